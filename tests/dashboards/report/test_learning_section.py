"""The training section draws the curves, says what is not drawn, and concludes only from values."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import vl_convert

from dashboards.charts.specs import model_colours
from dashboards.errors import ReportError
from dashboards.report.learning_section import Training, learning_section
from dashboards.report.study_data import Trial
from tests.dashboards.corpora import trial as trial_of


def trial(model: str, seed: int, valid: list[float], kl: list[float] | None = None, **changes: Any) -> Trial:
    frame = pd.DataFrame(
        {
            "epoch": np.arange(1, len(valid) + 1),
            "train_nats_per_frame": np.array(valid) + 2,
            "valid_nats_per_frame": valid,
            "valid_kl_nats_per_frame": kl or [np.nan] * len(valid),
            "seconds": 10.0,
            "frames_per_second": 1000.0 * (seed + 1),
        }
    )
    return trial_of(**({"model": model, "seed": seed, "curves": frame} | changes))


def learn(*trials: Trial) -> Training:
    (part,) = learning_section(trials, model_colours(t.model for t in trials))
    return part


def rows_of(chart: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return chart["datasets"].get(name, [])


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 6, 9, 40])
def test_no_tick_stands_between_two_epochs(epochs: int):
    chart = learn(trial("A", 0, list(range(epochs)))).figures[0].chart | {"width": 300}
    drawn = vl_convert.vegalite_to_svg(chart).split('aria-label="Y-axis')[0]
    labels = [int(label) for label in re.findall(r">(\d+)</text>", drawn)]
    assert labels
    assert len(set(labels)) == len(labels)


def test_each_seed_is_a_line_and_the_band_is_from_their_lowest_to_their_highest():
    part = learn(trial("A", 0, [1, 4, 3]), trial("A", 1, [2, 3, 5, 4]))
    chart = part.figures[0].chart
    lines = [(row["seed"], row["epoch"], row["value"]) for row in rows_of(chart, "lines")]
    assert lines == [(0, [1, 2, 3], [1, 4, 3]), (1, [1, 2, 3, 4], [2, 3, 5, 4])]
    assert rows_of(chart, "bands") == [{"model": "A", "epoch": [1, 2, 3], "low": [1, 3, 3], "high": [2, 4, 5]}]
    assert [(row["epoch"], row["value"]) for row in rows_of(chart, "ends")] == [(2, 4), (3, 5)]
    assert part.figures[0].note == ""


def test_one_seed_has_no_band():
    part = learn(trial("A", 0, [1, 4, 3]))
    assert rows_of(part.figures[0].chart, "bands") == []
    assert "band" not in part.figures[0].note


def drawn_names(chart: dict[str, Any]) -> set[str]:
    """The data that the layers of a chart draw."""
    names = {chart["data"]["name"]} if "name" in chart.get("data", {}) else set()
    return names.union(*map(drawn_names, chart.get("layer", [])))


def test_no_layer_is_without_data():
    banded = learn(trial("A", 0, [1, 4, 3]), trial("A", 1, [2, 3, 5])).figures[0].chart
    single = learn(trial("A", 0, [1, 4, 3])).figures[0].chart
    endless = learn(trial("A", 0, [np.nan, 4, np.nan]), trial("A", 1, [np.nan, np.nan])).figures[0].chart
    assert drawn_names(banded) == {"bands", "lines", "ends"}
    assert drawn_names(single) == {"lines", "ends"}
    for chart in (banded, single, endless):
        assert drawn_names(chart) == set(chart["datasets"])
        assert all(chart["datasets"].values())


def test_the_reconstruction_is_the_elbo_and_the_kl_and_of_latent_models_alone():
    part = learn(trial("A", 0, [1, 2, 3]), trial("B", 0, [-1.0, 0.5, 2.0], [0.25, 0.5, 1.0]))
    assert [figure.title.split(",")[0].split(" (ELBO +")[0] for figure in part.figures] == [
        "Validation log-likelihood (ELBO for models with a latent)",
        "KL of the posterior from the prior",
        "Reconstruction",
    ]
    kl, reconstruction = (rows_of(figure.chart, "lines") for figure in part.figures[1:])
    assert [(row["model"], row["value"]) for row in kl] == [("B", [0.25, 0.5, 1.0])]
    assert [(row["model"], row["value"]) for row in reconstruction] == [("B", [-0.75, 1.0, 3.0])]
    assert part.figures[1].conclusion == ("The KL at the best epoch has a median of 1.00 nats per frame for B.")
    assert (
        part.figures[2].conclusion == "The reconstruction at the best epoch has a median of 3.00 nats per frame for B."
    )


def test_without_a_latent_there_is_one_chart_and_no_word_of_an_elbo():
    (figure,) = learn(trial("A", 0, [1, 2])).figures
    assert figure.title == "Validation log-likelihood, nats per frame by epoch"


def test_the_conclusion_counts_best_epochs_improving_runs_and_divergences():
    part = learn(
        trial("A", 0, [1, 5, 3, 2]),
        trial("A", 1, [1, 2, 5, 2]),
        trial("B", 0, [1, 2, 3, 4]),
        trial("B", 1, [1, 9, 2, 3], outcome={"diverged_at_step": 77}),
    )
    assert part.figures[0].conclusion == (
        "Best epoch: A 2.5 (2 to 3) of 4, B 4 of 4. "
        "1 of 3 runs was still improving at the end: more epochs may help. 1 diverged (B seed 1)."
    )
    assert [(row.model, row.runs, row.diverged, row.still_improving) for row in part.outcomes] == [
        ("A", 2, 0, 0),
        ("B", 2, 1, 1),
    ]
    marks = rows_of(part.figures[0].chart, "ends")
    assert [(m["what"], m["epoch"], m["value"]) for m in marks if m["model"] == "B"] == [
        ("best", 4, 4),
        ("diverged after", 4, 3),
    ]


def test_with_many_models_only_the_earliest_and_the_latest_are_named():
    part = learn(*(trial(f"M{best}", 0, [float(epoch == best) for epoch in range(1, 7)]) for best in (3, 1, 5, 2)))
    assert part.figures[0].conclusion == (
        "Best epochs range from 1 of 6 (M1) to 5 of 6 (M5). None of 4 runs was still improving at its end."
    )


def test_what_is_not_finite_is_neither_drawn_nor_best_and_is_counted():
    part = learn(trial("A", 0, [1, float("inf"), 3, float("nan"), 2]))
    (line,) = rows_of(part.figures[0].chart, "lines")
    assert (line["epoch"], line["value"]) == ([1, 3, 5], [1, 3, 2])
    assert "2 of 5 values are not finite and are not drawn." in part.figures[0].note
    assert part.outcomes[0].best_epoch is not None
    assert part.outcomes[0].best_epoch.median == 3


def test_the_axis_leaves_out_a_steep_start_and_says_so():
    part = learn(trial("A", 0, [-1e6, *np.linspace(90, 100, 40)]))
    text = repr(part.figures[0].chart)
    low, high = map(float, re.findall(r"'domain': \[([-\d.]+), ([-\d.]+)\]", text)[0])
    assert 70 < low < 90
    assert high == 100
    assert "1 of 41 values are below it." in part.figures[0].note


def test_a_long_curve_keeps_its_spike():
    valid = [100.0] * 5000
    valid[3210] = 40.0
    part = learn(*(trial("A", seed, valid) for seed in range(3)))
    for line in rows_of(part.figures[0].chart, "lines"):
        assert len(line["value"]) <= 800
        assert (3211, 40.0) in zip(line["epoch"], line["value"], strict=True)


def test_gaps_and_speeds_are_medians_and_ranges():
    part = learn(trial("A", 0, [1, 2]), trial("A", 2, [1, 2]), trial("B", 1, [1, 2]))
    assert (
        part.gap_sentence
        == "At the best epoch, the training score is 2.00 nats per frame above validation for every model."
    )
    (fast, slow) = part.speeds
    assert fast.frames_per_second is not None
    assert (fast.frames_per_second.median, fast.frames_per_second.low, fast.frames_per_second.high) == (
        2000,
        1000,
        3000,
    )
    assert (fast.wait, fast.peak, fast.seconds, slow.seconds) == (None, None, 40, 20)
    assert part.speed_sentence == (
        "The median speed is 2,000 frames per second for every model. Training steps took 60 s in total."
    )


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ({"valid_nats_per_frame": [1.0]}, "lacks the column 'epoch'"),
        ({"epoch": [1]}, "lacks the column 'valid_nats_per_frame'"),
        ({"epoch": [1], "valid_nats_per_frame": ["x"]}, "does not contain numbers"),
        ({"epoch": [np.nan], "valid_nats_per_frame": [1.0]}, "an epoch has no number"),
    ],
)
def test_malformed_curves_are_refused_in_one_line(frame: dict[str, Any], reason: str):
    with pytest.raises(ReportError, match=reason) as refused:
        learn(trial("A", 0, [1], curves=pd.DataFrame(frame)))
    assert str(refused.value).startswith("the trial: curves.parquet")


def test_runs_without_an_epoch_are_left_out():
    without = [trial("A", 0, [], curves=None), trial("A", 1, [])]
    assert learning_section(without, {"A": "c"}) == []


def test_forty_models_differ_by_colour_or_dash():
    models = [f"M{i}" for i in range(40)]
    part = learn(*(trial(model, 0, [1, 2]) for model in models))
    assert len({(style.colour, style.dash) for style in part.styles.values()}) == 40
