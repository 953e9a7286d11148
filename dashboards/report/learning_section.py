"""How the models got there: learning curves, what the latent costs and brings, and what training took.

Nothing is estimated here. A band runs from the lowest to the highest seed and is no interval; it ends where the first
seed's training did, since the seeds that are left after it say little of the spread. The validation figure is the ELBO
where there is a latent, so that the reconstruction (the expected log-likelihood of a frame given its latent) is that
and the KL together.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dashboards.charts.learning_curves import Axis, Band, Line, axis_of, curves_chart
from dashboards.charts.specs import Style, model_styles
from dashboards.charts.thinning import points_per_curve, thin
from dashboards.report.learning_text import say_gaps, say_kl, say_outcomes, say_reconstruction, say_speeds
from dashboards.report.study_record import Trial
from dashboards.report.training_curves import Course, Outcome, Speed, by_model, courses_of, outcome_of, speed_of
from dashboards.text import typeset

__all__ = ["Figure", "Learning", "learning_of"]

Array = npt.NDArray[np.float64]
Columns = Callable[[Course], Array]
CHARTS = 3
"""Of a corpus: the log-likelihood, and of latent models the KL and the reconstruction."""


@dataclass(frozen=True)
class Figure:
    """A chart with what is above it.

    Attributes:
        title: what is drawn, with the unit.
        conclusion: what it shows.
        remarks: what it does not show.
        chart: its specification.
    """

    title: str
    conclusion: str
    remarks: str
    chart: dict[str, Any]


@dataclass(frozen=True)
class Learning:
    """Training on one corpus under one protocol.

    Attributes:
        styles: of the models in the charts.
        outcomes: a row per model; `gaps` is what follows from them.
        speeds: a row per model; `pace` is what follows from them.
    """

    corpus: str
    protocol: str
    styles: Mapping[str, Style]
    figures: tuple[Figure, ...]
    outcomes: tuple[Outcome, ...]
    gaps: str
    speeds: tuple[Speed, ...]
    pace: str


def learning_of(trials: Iterable[Trial], colours: Mapping[str, str]) -> list[Learning]:
    """The section's parts, one a corpus and protocol, in the order of the trials.

    Args:
        trials: of the study, in the page's order.
        colours: of every model of the page.

    Raises:
        ReportError: the curves of a trial are malformed.
    """
    places: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        places.setdefault((trial.corpus, trial.protocol), []).append(trial)
    courses = {place: courses_of(members) for place, members in places.items()}
    curves = sum(CHARTS * (len(members) + len(by_model(members))) for members in courses.values())
    budget, styles = points_per_curve(curves), model_styles(colours)
    return [_learning(place, members, styles, budget) for place, members in courses.items() if members]


def _learning(place: tuple[str, str], courses: Sequence[Course], styles: Mapping[str, Style], budget: int) -> Learning:
    models = by_model(courses)
    outcomes = tuple(outcome_of(model, members) for model, members in models.items())
    speeds = tuple(speed_of(model, members) for model, members in models.items())
    return Learning(
        *place,
        styles={model: styles[model] for model in models},
        figures=tuple(_figures(courses, outcomes, styles, budget)),
        outcomes=outcomes,
        gaps=say_gaps(outcomes),
        speeds=speeds,
        pace=say_speeds(speeds),
    )


def _figures(
    courses: Sequence[Course], outcomes: Sequence[Outcome], styles: Mapping[str, Style], budget: int
) -> Iterator[Figure]:
    latent = [course for course in courses if course.has_latent]
    bound = "log-likelihood (its ELBO where there is a latent)" if latent else "log-likelihood"
    wanted: list[tuple[str, str, Sequence[Course], Columns, bool]] = [
        (f"Validation {bound}", say_outcomes(outcomes, courses), courses, _valid, False),
        ("KL of the posterior from the prior, validation", say_kl(latent), latent, _kl, True),
        ("Reconstruction: ELBO + KL, validation", say_reconstruction(latent), latent, _reconstruction, False),
    ]
    for title, conclusion, members, values, from_zero in wanted:
        drawn = _chart(members, values, styles, budget, from_zero=from_zero)
        if drawn is not None:
            chart, remarks = drawn
            yield Figure(f"{title}, nats per frame by epoch", conclusion, remarks, chart)


def _valid(course: Course) -> Array:
    return course.columns["valid_nats_per_frame"]


def _kl(course: Course) -> Array:
    return course.columns["valid_kl_nats_per_frame"]


def _reconstruction(course: Course) -> Array:
    return course.reconstruction


def _chart(
    courses: Sequence[Course], values: Columns, styles: Mapping[str, Style], budget: int, *, from_zero: bool
) -> tuple[dict[str, Any], str] | None:
    """The chart, and what is not in it; None where no run has a finite figure."""
    found = np.concatenate([values(course) for course in courses]) if courses else np.empty(0)
    finite = found[np.isfinite(found)]
    if not len(finite):
        return None
    unit = "nats per frame"
    axis = Axis(unit, min(0.0, float(finite.min())), float(finite.max())) if from_zero else axis_of(finite, unit)
    lines = [_line(course, values(course), budget) for course in courses]
    bands = [band for members in by_model(courses).values() if (band := _band(members, values, budget))]
    return curves_chart(lines, bands, axis, styles), _remarks(axis, found, finite)


def _remarks(axis: Axis, found: Array, finite: Array) -> str:
    said: list[str] = []
    if cut := axis.cuts(finite):
        low = typeset(axis.low, ".4g")
        said.append(f"The axis starts near {low}: {cut} of {len(finite)} figures lie below and are cut off.")
    if missing := len(found) - len(finite):
        said.append(f"{missing} of {len(found)} figures are not finite and not drawn.")
    return " ".join(said)


def _line(course: Course, values: Array, budget: int) -> Line:
    finite = np.isfinite(values)
    epochs, figures = course.epochs[finite], values[finite]
    kept = thin([figures], budget) if len(figures) else np.empty(0, dtype=int)
    at_best = course.at_best(values)
    best = (int(course.at_best(course.epochs)), at_best) if np.isfinite(at_best) else None
    return Line(course.model, course.seed, epochs[kept], figures[kept], best, course.diverged)


def _band(courses: Sequence[Course], values: Columns, budget: int) -> Band | None:
    """None where fewer than two runs have two epochs in common."""
    by_epoch = [
        {epoch: value for epoch, value in zip(course.epochs, values(course), strict=True) if np.isfinite(value)}
        for course in courses
        if not course.diverged
    ]
    shared = sorted(set.intersection(*map(set, by_epoch))) if len(by_epoch) > 1 else []
    if len(shared) < 2:
        return None
    figures = np.array([[each[epoch] for epoch in shared] for each in by_epoch])
    low, high, epochs = figures.min(axis=0), figures.max(axis=0), np.array(shared)
    kept = thin([low, high], budget)
    return Band(courses[0].model, epochs[kept], low[kept], high[kept])
