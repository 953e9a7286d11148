"""The section "Training": learning curves, KL and reconstruction of latent models, and training speed.

Nothing is estimated here. A band spans the lowest to the highest seed and is not an interval; it ends where the first
seed's training ended, because the remaining seeds say little about the spread. The validation score is the ELBO for
models with a latent, so the reconstruction (the expected log-likelihood of a frame given its latent) is ELBO + KL.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dashboards.charts.learning_curves import Axis, Band, Line, axis_of, curves_chart
from dashboards.charts.specs import Style, model_styles
from dashboards.charts.thinning import points_per_curve, thin
from dashboards.report.learning_text import (
    gap_sentence,
    kl_sentence,
    outcome_sentence,
    reconstruction_sentence,
    speed_sentence,
)
from dashboards.report.study_data import Trial
from dashboards.report.training_curves import Outcome, RunCurves, Speed, by_model, outcome_of, run_curves, speed_of
from dashboards.text import typeset

__all__ = ["CurveFigure", "Training", "learning_section"]

Array = npt.NDArray[np.float64]
Column = Callable[[RunCurves], Array]
CHARTS = 3
"""Charts per corpus: log-likelihood, and KL and reconstruction of latent models."""


@dataclass(frozen=True)
class CurveFigure:
    """A chart of curves with its title.

    Attributes:
        title: what is drawn, with the unit.
        conclusion: what the chart shows.
        note: what the chart leaves out; empty if nothing.
        chart: the Vega-Lite specification.
    """

    title: str
    conclusion: str
    note: str
    chart: dict[str, Any]


@dataclass(frozen=True)
class Training:
    """Training on one corpus under one protocol.

    Attributes:
        styles: line style of each model.
        outcomes: one row per model; `gap_sentence` is the conclusion.
        speeds: one row per model; `speed_sentence` is the conclusion.
    """

    corpus: str
    protocol: str
    styles: Mapping[str, Style]
    figures: tuple[CurveFigure, ...]
    outcomes: tuple[Outcome, ...]
    gap_sentence: str
    speeds: tuple[Speed, ...]
    speed_sentence: str


def learning_section(trials: Iterable[Trial], colours: Mapping[str, str]) -> list[Training]:
    """Build the section, one part per corpus and protocol, in the order of the trials.

    Args:
        trials: the study's trials, in the page's order.
        colours: the colour of each model.

    Raises:
        ReportError: the curves of a trial are malformed.
    """
    places: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        places.setdefault((trial.corpus, trial.protocol), []).append(trial)
    runs = {place: run_curves(members) for place, members in places.items()}
    # One line per run and one band per model, in each chart.
    curves = sum(CHARTS * (len(members) + len(by_model(members))) for members in runs.values())
    budget, styles = points_per_curve(curves), model_styles(colours)
    return [_training(place, members, styles, budget) for place, members in runs.items() if members]


def _training(place: tuple[str, str], runs: Sequence[RunCurves], styles: Mapping[str, Style], budget: int) -> Training:
    models = by_model(runs)
    outcomes = tuple(outcome_of(model, members) for model, members in models.items())
    speeds = tuple(speed_of(model, members) for model, members in models.items())
    return Training(
        *place,
        styles={model: styles[model] for model in models},
        figures=tuple(_figures(runs, outcomes, styles, budget)),
        outcomes=outcomes,
        gap_sentence=gap_sentence(outcomes),
        speeds=speeds,
        speed_sentence=speed_sentence(speeds),
    )


def _figures(
    runs: Sequence[RunCurves], outcomes: Sequence[Outcome], styles: Mapping[str, Style], budget: int
) -> Iterator[CurveFigure]:
    latent = [run for run in runs if run.has_latent]
    score = "log-likelihood (ELBO for models with a latent)" if latent else "log-likelihood"
    wanted: list[tuple[str, str, Sequence[RunCurves], Column, bool]] = [
        (
            f"Validation {score}",
            outcome_sentence(outcomes, runs),
            runs,
            lambda run: run.columns["valid_nats_per_frame"],
            False,
        ),
        (
            "KL of the posterior from the prior, validation",
            kl_sentence(latent),
            latent,
            lambda run: run.columns["valid_kl_nats_per_frame"],
            True,
        ),
        (
            "Reconstruction (ELBO + KL), validation",
            reconstruction_sentence(latent),
            latent,
            lambda run: run.reconstruction,
            False,
        ),
    ]
    for title, conclusion, members, column, from_zero in wanted:
        drawn = _chart(members, column, styles, budget, from_zero=from_zero)
        if drawn is not None:
            chart, note = drawn
            yield CurveFigure(f"{title}, nats per frame by epoch", conclusion, note, chart)


def _chart(
    runs: Sequence[RunCurves], column: Column, styles: Mapping[str, Style], budget: int, *, from_zero: bool
) -> tuple[dict[str, Any], str] | None:
    """The chart and a note on what it leaves out; None if no run has a finite value."""
    values = np.concatenate([column(run) for run in runs]) if runs else np.empty(0)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    unit = "nats per frame"
    # A KL is an amount, so its axis starts at zero.
    axis = Axis(unit, min(0.0, float(finite.min())), float(finite.max())) if from_zero else axis_of(finite, unit)
    lines = [_line(run, column(run), budget) for run in runs]
    bands = [band for members in by_model(runs).values() if (band := _band(members, column, budget))]
    notes: list[str] = []
    if cut := axis.cuts(finite):
        notes.append(f"The axis starts near {typeset(axis.low, '.4g')}: {cut} of {len(finite)} values are below it.")
    if missing := len(values) - len(finite):
        notes.append(f"{missing} of {len(values)} values are not finite and are not drawn.")
    return curves_chart(lines, bands, axis, styles), " ".join(notes)


def _line(run: RunCurves, values: Array, budget: int) -> Line:
    finite = np.isfinite(values)
    epochs, values_drawn = run.epochs[finite], values[finite]
    kept = thin([values_drawn], budget) if len(values_drawn) else np.empty(0, dtype=int)
    at_best = run.at_best(values)
    best = (int(run.at_best(run.epochs)), at_best) if np.isfinite(at_best) else None
    return Line(run.model, run.seed, epochs[kept], values_drawn[kept], best, run.diverged)


def _band(runs: Sequence[RunCurves], column: Column, budget: int) -> Band | None:
    """The band over a model's runs; None if fewer than two runs share at least two epochs."""
    by_epoch = [
        {epoch: value for epoch, value in zip(run.epochs, column(run), strict=True) if np.isfinite(value)}
        for run in runs
        if not run.diverged
    ]
    # Epochs that all runs reached, so that the band ends with the shortest run.
    shared = sorted(set.intersection(*map(set, by_epoch))) if len(by_epoch) > 1 else []
    if len(shared) < 2:
        return None
    values = np.array([[each[epoch] for epoch in shared] for each in by_epoch])
    low, high, epochs = values.min(axis=0), values.max(axis=0), np.array(shared)
    kept = thin([low, high], budget)
    return Band(runs[0].model, epochs[kept], low[kept], high[kept])
