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
from dashboards.report.study_data import Trial, by_corpus
from dashboards.report.training_curves import (
    Outcome,
    Range,
    RunCurves,
    Speed,
    by_model,
    outcome_of,
    range_of,
    run_curves,
    speed_of,
)
from dashboards.text import typeset

__all__ = ["CurveFigure", "Training", "learning_section"]

Array = npt.NDArray[np.float64]
Column = Callable[[RunCurves], Array]
MODELS_NAMED = 3


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

    Raises:
        ReportError: the curves of a trial are malformed.
    """
    runs = {place: run_curves(members) for place, members in by_corpus(trials).items()}
    # Three charts for each corpus, each with a line per run and a band per model, share one budget of points.
    budget = points_per_curve(sum(3 * (len(members) + len(by_model(members))) for members in runs.values()))
    all_styles = model_styles(colours)
    parts: list[Training] = []
    for place, members in runs.items():
        if not members:
            continue
        models = by_model(members)
        styles = {model: all_styles[model] for model in models}
        outcomes = tuple(outcome_of(model, own) for model, own in models.items())
        speeds = tuple(speed_of(model, own) for model, own in models.items())
        parts.append(
            Training(
                *place,
                styles=styles,
                figures=tuple(_figures(members, outcomes, styles, budget)),
                outcomes=outcomes,
                gap_sentence=_gap_sentence(outcomes),
                speeds=speeds,
                speed_sentence=_speed_sentence(speeds),
            )
        )
    return parts


def _figures(
    runs: Sequence[RunCurves], outcomes: Sequence[Outcome], styles: Mapping[str, Style], budget: int
) -> Iterator[CurveFigure]:
    latent = [run for run in runs if run.has_latent]
    score = "log-likelihood (ELBO for models with a latent)" if latent else "log-likelihood"
    wanted: list[tuple[str, str, Sequence[RunCurves], Column, bool]] = [
        (f"Validation {score}", "", runs, lambda run: run.columns["valid_nats_per_frame"], False),
        (
            "KL of the posterior from the prior, validation",
            "The KL",
            latent,
            lambda run: run.columns["valid_kl_nats_per_frame"],
            # A KL is an amount, so its axis starts at zero.
            True,
        ),
        ("Reconstruction (ELBO + KL), validation", "The reconstruction", latent, lambda run: run.reconstruction, False),
    ]
    for title, subject, members, column, from_zero in wanted:
        drawn = _chart(members, column, styles, budget, from_zero=from_zero)
        if drawn is not None:
            chart, note = drawn
            conclusion = _extremes(members, column, subject) if subject else _outcome_sentence(outcomes, runs)
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


def _outcome_sentence(outcomes: Sequence[Outcome], runs: Sequence[RunCurves]) -> str:
    """The best epochs, whether runs were still improving at their end, and which diverged."""
    sentences = [_best_epochs(outcomes)]
    ended, improving = sum(o.runs - o.diverged for o in outcomes), sum(o.still_improving for o in outcomes)
    noun = "run" if ended == 1 else "runs"
    if improving:
        verb = "was" if improving == 1 else "were"
        sentences.append(f"{improving} of {ended} {noun} {verb} still improving at the end: more epochs may help.")
    elif ended:
        sentences.append(f"None of {ended} {noun} was still improving at its end.")
    if lost := [f"{run.model} seed {run.seed}" for run in runs if run.diverged]:
        more = f" and {len(lost) - MODELS_NAMED} more" if len(lost) > MODELS_NAMED else ""
        sentences.append(f"{len(lost)} diverged ({', '.join(lost[:MODELS_NAMED])}{more}).")
    return " ".join(sentences)


def _best_epochs(outcomes: Sequence[Outcome]) -> str:
    known = [(o.model, o.best_epoch, o.epochs) for o in outcomes if o.best_epoch and o.epochs]
    if not known:
        return "No run has a best epoch."
    if len(known) <= MODELS_NAMED:
        parts = [f"{model} {_epochs(best)} of {_epochs(epochs)}" for model, best, epochs in known]
        return f"Best epoch: {', '.join(parts)}."
    first, last = (pick(known, key=lambda each: each[1].median) for pick in (min, max))
    if first[1].median == last[1].median:
        low, high = min(best.low for _, best, _ in known), max(best.high for _, best, _ in known)
        return f"The median best epoch of every model is {_epochs(Range(first[1].median, low, high, len(known)))}."
    ends = [f"{_epochs(best)} of {_epochs(epochs)} ({model})" for model, best, epochs in (first, last)]
    return f"Best epochs range from {ends[0]} to {ends[1]}."


def _epochs(found: Range) -> str:
    if found.low == found.high:
        return f"{found.low:.0f}"
    return f"{found.median:g} ({found.low:.0f} to {found.high:.0f})"


def _gap_sentence(outcomes: Sequence[Outcome]) -> str:
    """By how much the training scores exceed the validation scores."""
    known = [(o.gap, o.model) for o in outcomes if o.gap is not None]
    if not known:
        return "Training scores were not recorded."
    low, high = (pick(known, key=lambda each: each[0].median) for pick in (min, max))
    start = "At the best epoch, the training score is"
    if _above(low[0].median) == _above(high[0].median):
        return f"{start} {_above(low[0].median)} validation{_for_models(known)}."
    # If training is below validation for all models, the lowest value is the largest gap.
    if high[0].median < 0:
        low, high = high, low
    return f"{start} {_above(high[0].median)} validation for {high[1]} (most) and {_above(low[0].median)} for {low[1]}."


def _for_models(known: Sequence[tuple[Range, str]]) -> str:
    return f" for {known[0][1]}" if len(known) == 1 else " for every model"


def _above(gap: float) -> str:
    return f"{abs(gap):.2f} nats per frame {'above' if gap >= 0 else 'below'}"


def _extremes(runs: Sequence[RunCurves], column: Column, subject: str) -> str:
    """The models with the highest and the lowest median at their best epochs."""
    known = []
    for model, members in by_model(runs).items():
        found = range_of(run.at_best(column(run)) for run in members)
        if found is not None:
            known.append((found, model))
    if not known:
        return "No run has a best epoch."
    low, high = (pick(known, key=lambda each: each[0].median) for pick in (min, max))
    start = f"{subject} at the best epoch has a median of {_with_range(high[0])} nats per frame"
    if typeset(low[0].median, ".2f") == typeset(high[0].median, ".2f"):
        return f"{start}{_for_models(known)}."
    return f"{start} for {high[1]} (highest) and {_with_range(low[0])} for {low[1]} (lowest)."


def _with_range(found: Range) -> str:
    median, low, high = (typeset(value, ".2f") for value in (found.median, found.low, found.high))
    return f"{median} ({low} to {high} over {found.count} seeds)" if found.count > 1 else median


def _speed_sentence(speeds: Sequence[Speed]) -> str:
    """The fastest and the slowest model, and the duration of all training steps."""
    known = [(speed.frames_per_second, speed.model) for speed in speeds if speed.frames_per_second is not None]
    sentences: list[str] = []
    if known:
        low, high = (pick(known, key=lambda each: each[0].median) for pick in (min, max))
        most, least = (f"{each[0].median:,.0f}" for each in (high, low))
        if most == least:
            sentences.append(f"The median speed is {most} frames per second{_for_models(known)}.")
        else:
            sentences.append(
                f"{high[1]} is the fastest (median {most} frames per second), {low[1]} the slowest ({least})."
            )
    if seconds := [speed.seconds for speed in speeds if speed.seconds is not None]:
        sentences.append(f"Training steps took {_duration(sum(seconds))} in total.")
    return " ".join(sentences) or "Speeds were not recorded."


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
