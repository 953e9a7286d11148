"""`comparison.json` is read whole or refused, in one line that names the field."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.schema.base import ResultFileError, read_file
from benchmarks.schema.comparison import Comparison, Difference
from tests.dashboards.report_cases import difference, gap, published, side
from tests.dashboards.studies import comparison, row


def parsed(**changes: Any) -> Comparison:
    return read_file(Comparison, json.dumps(comparison(**changes)).encode(), "here")


def test_every_field_of_a_row_is_read():
    document = comparison()
    found = read_file(Comparison, json.dumps(document).encode(), "here")
    assert len(found.rows) == len(document["rows"])
    for read, written in zip(found.rows, document["rows"], strict=True):
        assert {key: getattr(read, key) for key in written} == written | {"interval": tuple(written["interval"])}
    assert [(run.corpus, run.model, run.seed, run.step) for run in found.diverged] == [("speech", "VRNN-GMM", 1, 4210)]
    assert list(found.notes) == document["notes"]


@pytest.mark.parametrize(
    ("estimator", "sign", "label"),
    [
        ("exact", "=", "exact"),
        ("elbo", "≥", "ELBO"),
        ("iwae", "~", "IWAE-40"),
        ("fivo", "~", "FIVO-40"),
        ("code", "=", "code length"),
    ],
)
def test_a_score_has_its_estimator_and_sign(estimator: str, sign: str, label: str):
    (read,) = parsed(rows=[row(estimator=estimator, num_samples=40)]).rows
    assert (read.sign, read.label) == (sign, label)


@pytest.mark.parametrize(
    "fault",
    [
        {"nats_per_sequence": float("nan")},
        {"nats_per_frame": float("inf")},
        {"nats_per_sequence": "26643"},
        {"nats_per_sequence": None},
        {"interval": [2.0, 1.0]},
        {"interval": [1.0]},
        {"interval": None},
        {"interval": [1.0, float("inf")]},
        {"interval": [float("nan"), 1.0]},
        {"seeds": 2.5},
        {"seeds": True},
        {"sequences": -1},
        {"estimator": "fisher"},
        {"kind": "video"},
        {"fingerprint": None},
        {"measure": "volume"},
        {"monte_carlo_error": float("nan")},
        {"parameters": 1.5},
    ],
)
def test_a_faulty_row_is_refused_in_one_line_that_names_row_and_field(fault: dict[str, Any]):
    with pytest.raises(ResultFileError, match=rf"^here: comparison\.json, rows\.1\.{next(iter(fault))}") as caught:
        parsed(rows=[row(), row(**fault)])
    assert "\n" not in str(caught.value)


@given(key=st.sampled_from(sorted(row())))
@settings(deadline=None, max_examples=20)
def test_a_row_that_lacks_a_field_is_refused(key: str):
    incomplete = row()
    del incomplete[key]
    with pytest.raises(ResultFileError, match=key):
        parsed(rows=[incomplete])


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"study": "s"}', '{"version": 1, "study": "s"}', '{"version": 1, "study": "s", "rows": {}}']
)
def test_what_is_not_a_comparison_is_refused(text: str):
    with pytest.raises(ResultFileError, match=r"^here: comparison\.json") as caught:
        read_file(Comparison, text.encode(), "here")
    assert "\n" not in str(caught.value)


def test_every_field_of_a_difference_is_read():
    (read,) = parsed(differences=[difference(verdict="behind", caution="c")]).differences
    assert read.key == ("speech", "paper", "test", "density")
    assert (read.name, read.verdict, read.caution) == ("VRNN-Gauss over RNN-GMM", "behind", "c")
    assert (read.nats_per_sequence, read.nats_per_frame.difference) == (
        Difference(difference=20.0, interval=(15.0, 25.0), joint_interval=(12.0, 28.0)),
        0.2,
    )
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
        ({"nats_per_frame": gap(1.0) | {"difference": float("nan")}}, "difference"),
        ({"nats_per_frame": gap(1.0) | {"interval": [2.0, 1.0]}}, "interval"),
        ({"nats_per_sequence": None}, "nats_per_sequence"),
        ({"measure": "volume"}, "measure"),
    ],
)
def test_a_faulty_difference_is_refused_in_one_line_that_says_which(fault: dict[str, Any], named: str):
    with pytest.raises(ResultFileError, match=rf"differences\.1\..*{named}") as caught:
        parsed(differences=[difference(), difference(**fault)])
    assert "\n" not in str(caught.value)


def test_a_published_score_is_read_with_its_blockers_and_notes():
    (read,) = parsed(published=[published()]).published
    assert (read.published_value, read.published_label, read.comparable) == (26643.0, "exact", False)
    assert [reason.code for reason in read.blockers] == ["split_unknown"]
    assert [reason.code for reason in read.notes] == ["rounded"]


@pytest.mark.parametrize(
    "fault", [{"comparable": "no"}, {"provenance": "guessed"}, {"published_unit": "dB"}, {"reasons": 1}]
)
def test_a_faulty_published_score_is_refused(fault: dict[str, Any]):
    with pytest.raises(ResultFileError, match=rf"published\.0\.{next(iter(fault))}"):
        parsed(published=[published(**fault)])


@pytest.mark.parametrize("fault", [{"failed": []}, {"failed": {"a": 1}}, {"warnings": "w"}, {"warnings": [1]}])
def test_faulty_warnings_and_failures_are_refused(fault: dict[str, Any]):
    with pytest.raises(ResultFileError, match="comparison"):
        parsed(**fault)
