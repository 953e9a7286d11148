"""`comparison.json` is read whole or refused, in one line that says where."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.errors import ReportError
from dashboards.report.comparison_file import parse_comparison
from tests.dashboards.studies import comparison, row

OPTIONAL = {"seed_std", "bits_per_sample", "monte_carlo_error", "parameters", "sigma_floor"}


def test_every_field_of_a_row_is_read():
    document = comparison()
    parsed = parse_comparison(json.dumps(document))
    assert len(parsed.rows) == len(document["rows"])
    for read, written in zip(parsed.rows, document["rows"], strict=True):
        assert {key: getattr(read, key) for key in written} == written | {"interval": tuple(written["interval"])}
    assert [(run.corpus, run.model, run.seed, run.step) for run in parsed.diverged] == [("speech", "VRNN-GMM", 1, 4210)]
    assert list(parsed.notes) == document["notes"]


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
def test_a_figure_carries_its_estimator_and_sign(estimator: str, sign: str, label: str):
    document = comparison(rows=[row(estimator=estimator, num_samples=40)])
    parsed = parse_comparison(json.dumps(document)).rows[0]
    assert (parsed.sign, parsed.label) == (sign, label)


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
    document = comparison(rows=[row(), row(**fault)])
    with pytest.raises(ReportError, match="row 1") as caught:
        parse_comparison(json.dumps(document))
    assert next(iter(fault)) in str(caught.value)
    assert "\n" not in str(caught.value)


@given(key=st.sampled_from(sorted(set(row()) - OPTIONAL)))
@settings(deadline=None, max_examples=20)
def test_a_row_that_lacks_a_field_is_refused(key: str):
    incomplete = row()
    del incomplete[key]
    with pytest.raises(ReportError, match=key):
        parse_comparison(json.dumps(comparison(rows=[incomplete])))


@pytest.mark.parametrize("text", ["{", "[]", '{"study": "s"}', '{"study": "s", "rows": {}}'])
def test_what_is_not_a_comparison_is_refused(text: str):
    with pytest.raises(ReportError, match="comparison"):
        parse_comparison(text)
