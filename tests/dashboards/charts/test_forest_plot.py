"""The forest plot draws what was recorded, and shows without colour whether a comparison is settled."""

from typing import Any

from dashboards.charts.forest_plot import forest_chart
from tests.dashboards.report_cases import difference, gap
from tests.dashboards.studies import HOSTILE_TEXT, compared

COLOURS = {"VRNN-Gauss": "#111111", "RNN-GMM": "#222222", HOSTILE_TEXT: "#333333"}


def drawn(*records: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    chart = forest_chart(compared(differences=records).differences, COLOURS)
    return chart, chart["data"]["values"]


def test_a_mark_has_the_difference_in_nats_per_frame_and_both_intervals():
    _, (mark,) = drawn(difference())
    assert mark == {
        "place": 0,
        "label": "VRNN-Gauss over RNN-GMM: ahead",
        "favours": "VRNN-Gauss",
        "settled": True,
        "difference": 0.2,
        "low": 0.15,
        "high": 0.25,
        "joint_low": 0.12,
        "joint_high": 0.28,
    }


def test_the_marks_are_in_the_order_given_and_favour_the_model_ahead():
    records = [
        difference(verdict="behind"),
        difference(verdict="not settled", nats_per_sequence=gap(-1.0)),
        difference(),
    ]
    _, marks = drawn(*records)
    assert [mark["favours"] for mark in marks] == ["RNN-GMM", "RNN-GMM", "VRNN-Gauss"]
    assert [mark["settled"] for mark in marks] == [True, False, True]
    assert [mark["place"] for mark in marks] == [0, 1, 2]


def test_an_interval_that_no_difference_has_is_no_layer():
    lines = [layer["encoding"]["x"].get("field") for layer in drawn(difference())[0]["layer"]]
    assert [field for field in lines if field] == ["zero", "low", "joint_low", "difference"]
    lone = difference(nats_per_frame=gap(0.2, 0.05, None))
    lines = [layer["encoding"]["x"].get("field") for layer in drawn(lone)[0]["layer"]]
    assert [field for field in lines if field] == ["zero", "low", "difference"]


def test_shape_and_fill_show_what_is_settled():
    dots = next(layer for layer in drawn(difference())[0]["layer"] if layer["mark"]["type"] == "point")
    assert dots["encoding"]["shape"]["scale"] == {"domain": [True, False], "range": ["circle", "diamond"]}
    assert dots["encoding"]["fill"]["value"] == "var(--paper)"
    assert dots["encoding"]["stroke"]["scale"] == {"domain": ["VRNN-Gauss"], "range": ["#111111"]}


def test_names_are_data_and_never_expressions():
    chart, (mark,) = drawn(difference(HOSTILE_TEXT, "RNN-GMM"))
    assert mark["label"] == f"{HOSTILE_TEXT} over RNN-GMM: ahead"
    assert all(HOSTILE_TEXT not in str(layer.get("transform")) for layer in chart["layer"])
