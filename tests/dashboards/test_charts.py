"""Charts hold the figures that they draw, and one colour per model."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dashboards.charts import PALETTE, interval_chart, learning_chart, model_colours
from dashboards.comparison import parse_comparison
from dashboards.conclusions import group_rows
from dashboards.record import Trial
from tests.dashboards.studies import comparison, row


def trial(model: str, seed: int, valid: list[float], kl: list[float]) -> Trial:
    epochs = np.arange(1, len(valid) + 1)
    frame = pd.DataFrame({"epoch": epochs, "valid_nats_per_frame": valid, "valid_kl_nats_per_frame": kl})
    return Trial("run", "FINISHED", "speech", "paper", model, seed, "key", "f", "c", None, frame)


def drawn_curves(trials: list[Trial], column: str, colours: dict[str, str]) -> dict[str, Any]:
    chart = learning_chart(trials, column, "title", colours)
    assert chart is not None
    return chart


def test_a_row_without_an_interval_is_drawn_as_a_dot_alone():
    whole_line = row(interval=[float("-inf"), float("inf")])
    rows = parse_comparison(json.dumps(comparison(rows=[whole_line]))).rows
    (drawn,) = interval_chart(rows, {"RNN-GMM": "c"})["data"]["values"]
    assert (drawn["nats"], drawn["low"], drawn["high"]) == (whole_line["nats_per_sequence"], None, None)


def test_the_interval_chart_draws_every_row_in_the_order_of_the_table():
    group = group_rows(parse_comparison(json.dumps(comparison())).rows)[0]
    chart = interval_chart(group.rows, model_colours(row.model for row in group.rows))
    drawn = chart["data"]["values"]
    assert [(d["nats"], d["low"], d["high"]) for d in drawn] == [(r.nats_per_sequence, *r.interval) for r in group.rows]
    assert chart["layer"][0]["encoding"]["y"]["sort"] == [d["label"] for d in drawn]
    shapes = chart["layer"][1]["encoding"]["shape"]["scale"]
    assert dict(zip(shapes["domain"], shapes["range"], strict=True)) == {
        "exact": "circle",
        "IWAE": "diamond",
        "ELBO": "triangle-right",
    }


def test_a_model_has_the_same_colour_in_every_chart():
    trials = [trial("B", 0, [1, 2, 3], [1, 1, 1]), trial("A", 0, [1, 2, 3], [np.nan] * 3)]
    colours = model_colours(["A", "B"])
    for column in ("valid_nats_per_frame", "valid_kl_nats_per_frame"):
        scale = drawn_curves(trials, column, colours)["encoding"]["color"]["scale"]
        assert dict(zip(scale["domain"], scale["range"], strict=True)).items() <= colours.items()


def test_the_first_models_have_colours_of_their_own_and_many_models_are_still_drawn():
    colours = model_colours(f"model {i}" for i in range(len(PALETTE) + 2))
    assert list(colours.values())[: len(PALETTE)] == list(PALETTE)
    assert len(colours) == len(PALETTE) + 2


def test_epochs_without_a_finite_value_are_left_out():
    trials = [trial("A", 3, [1.0, np.nan, 2.0, -np.inf], [0] * 4)]
    chart = drawn_curves(trials, "valid_nats_per_frame", {"A": "c"})
    assert chart["data"]["values"] == [
        {"model": "A", "seed": 3, "epoch": 1, "value": 1.0},
        {"model": "A", "seed": 3, "epoch": 3, "value": 2.0},
    ]


@pytest.mark.parametrize("trials", [[], [trial("A", 0, [1.0], [np.nan])]])
def test_nothing_to_draw_is_no_chart(trials: list[Trial]):
    assert learning_chart(trials, "valid_kl_nats_per_frame", "title", {"A": "c"}) is None


def test_the_axis_leaves_out_a_steep_start_but_no_later_epoch():
    valid = [-1e6, *np.linspace(90, 100, 40)]
    chart = drawn_curves([trial("A", 0, valid, [0] * 41)], "valid_nats_per_frame", {"A": "c"})
    low, high = chart["encoding"]["y"]["scale"]["domain"]
    assert 70 < low < 90
    assert high == 100
