"""Paired differences and published figures are read whole or refused in one line; older files have none."""

import json
from typing import Any

import pytest

from dashboards.errors import ReportError
from dashboards.report.comparison_file import Comparison, parse_comparison
from dashboards.report.differences_file import Gap
from tests.dashboards.report_cases import beside, difference, gap, side
from tests.dashboards.studies import comparison


def parsed(**changes: Any) -> Comparison:
    return parse_comparison(json.dumps(comparison(**changes)))


def test_an_older_file_has_no_differences_figures_warnings_or_failures():
    old = parsed()
    assert (old.differences, old.published, old.warnings, old.failed) == ((), (), (), {})


def test_every_field_of_a_difference_is_read():
    (read,) = parsed(differences=[difference(verdict="behind", caution="c")]).differences
    assert read.key == ("speech", "paper", "test", "density")
    assert (read.name, read.verdict, read.caution) == ("VRNN-Gauss over RNN-GMM", "behind", "c")
    assert (read.nats_per_sequence, read.nats_per_frame.difference) == (Gap(20.0, (15.0, 25.0), (12.0, 28.0)), 0.2)
    assert (read.p_sequences_corrected, read.p_joint_corrected, read.comparisons) == (0.0004, 0.00004, 4)
    assert [one.model for one in read.order] == ["RNN-GMM", "VRNN-Gauss"]


def test_what_is_not_known_is_none():
    nothing = {"bits_per_sample": None, "p_joint": None, "p_joint_corrected": None}
    (read,) = parsed(differences=[difference(nats_per_sequence=gap(1.0, seeds=None), **nothing)]).differences
    assert read.nats_per_sequence.joint_interval is None
    assert (read.bits_per_sample, read.p_joint, read.p_joint_corrected) == (None, None, None)


def test_an_unsettled_difference_is_ordered_by_its_size_and_a_settled_one_by_its_verdict():
    below = {"nats_per_sequence": gap(-3.0)}
    records = [difference(verdict="not settled", **below), difference(verdict="ahead", **below)]
    unsettled, settled = parsed(differences=records).differences
    assert [one.order[0].model for one in (unsettled, settled)] == ["RNN-GMM", "VRNN-Gauss"]
    assert [one.is_settled for one in (unsettled, settled)] == [False, True]


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"verdict": "probably"}, "verdict"),
        ({"p_joint": 1.5}, "p_joint"),
        ({"first": None}, "first"),
        ({"first": side(estimator="fisher")}, "estimator"),
        ({"nats_per_frame": {"difference": float("nan")}}, "difference"),
        ({"nats_per_frame": gap(1.0) | {"interval": [2.0, 1.0]}}, "interval"),
        ({"nats_per_sequence": None}, "nats_per_sequence"),
        ({"measure": "volume"}, "measure"),
    ],
)
def test_a_faulty_difference_is_refused_in_one_line_that_says_which(fault: dict[str, Any], named: str):
    with pytest.raises(ReportError, match=f"difference 1.*{named}") as caught:
        parsed(differences=[difference(), difference(**fault)])
    assert "\n" not in str(caught.value)


def test_a_published_figure_is_read_with_its_reasons_apart():
    (read,) = parsed(published=[beside()]).published
    assert (read.published_value, read.published_label, read.comparable) == (26643.0, "exact", False)
    assert [reason.code for reason in read.bars] == ["split_unknown"]
    assert [reason.code for reason in read.remarks] == ["rounded"]


@pytest.mark.parametrize(
    "fault", [{"comparable": "no"}, {"provenance": "heard"}, {"published_unit": "dB"}, {"reasons": 1}]
)
def test_a_faulty_published_figure_is_refused(fault: dict[str, Any]):
    with pytest.raises(ReportError, match=f"published figure 0.*{next(iter(fault))}"):
        parsed(published=[beside(**fault)])


@pytest.mark.parametrize("fault", [{"failed": []}, {"failed": {"a": 1}}, {"warnings": "w"}, {"warnings": [1]}])
def test_faulty_warnings_and_failures_are_refused(fault: dict[str, Any]):
    with pytest.raises(ReportError, match="comparison"):
        parsed(**fault)
