"""What `curves.parquet` says of each training run, and of the runs of each model together.

The best epoch of a run is the one with its highest validation figure, whose weights are scored; a run that diverged
has none. Over runs stand the median, the lowest and the highest: nothing is estimated.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dashboards.errors import ReportError
from dashboards.report.study_record import Trial

__all__ = ["Course", "Outcome", "Range", "Speed", "by_model", "courses_of", "outcome_of", "range_of", "speed_of"]

Array = npt.NDArray[np.float64]
NEEDED = ("epoch", "valid_nats_per_frame")
TAKEN = (
    *NEEDED,
    "train_nats_per_frame",
    "valid_kl_nats_per_frame",
    "seconds",
    "frames_per_second",
    "data_wait_share",
    "fraction_of_peak",
)
LIMIT = "optimisation.max_epochs"


@dataclass(frozen=True)
class Range:
    """The median of some figures, their lowest and their highest."""

    median: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Course:
    """One training run, epoch by epoch.

    Attributes:
        columns: of `curves.parquet`, nan where an epoch or a whole column has no figure.
        limit: the most epochs it was allowed; None where that is not known.
        best: the position of its best epoch; None where it diverged or has no finite figure.
        diverged: whether its loss stopped being finite.
    """

    model: str
    seed: int
    columns: Mapping[str, Array]
    limit: int | None
    best: int | None
    diverged: bool

    @property
    def epochs(self) -> Array:
        """Their numbers, from 1."""
        return self.columns["epoch"]

    @property
    def has_latent(self) -> bool:
        """Whether a KL was measured."""
        return bool(np.isfinite(self.columns["valid_kl_nats_per_frame"]).any())

    @property
    def still_rising(self) -> bool:
        """Whether its best epoch was its last."""
        return self.best is not None and self.best == len(self.epochs) - 1

    @property
    def reconstruction(self) -> Array:
        """Expected log-likelihood given the latent, validation, nats per frame: the ELBO and what the KL took of it."""
        return self.columns["valid_nats_per_frame"] + self.columns["valid_kl_nats_per_frame"]

    @property
    def gap(self) -> Array:
        """Training figure less validation figure, nats per frame."""
        with np.errstate(invalid="ignore"):
            return self.columns["train_nats_per_frame"] - self.columns["valid_nats_per_frame"]

    def at_best(self, values: Array) -> float:
        """The value at the best epoch; nan without one."""
        return float(values[self.best]) if self.best is not None else float("nan")


@dataclass(frozen=True)
class Outcome:
    """A model's runs on one corpus; figures are those of the best epochs, nats per frame."""

    model: str
    runs: int
    diverged: int
    still_rising: int
    epochs: Range | None
    best_epoch: Range | None
    valid: Range | None
    gap: Range | None


@dataclass(frozen=True)
class Speed:
    """How fast a model's runs were on one corpus, over all their epochs.

    Attributes:
        frames_per_second: real frames over the time of training steps.
        wait: share of that time spent waiting for batches.
        peak: operations over that time as a share of the machine's fastest.
        seconds: of training steps, all runs together; None where no epoch knows.
    """

    model: str
    frames_per_second: Range | None
    wait: Range | None
    peak: Range | None
    seconds: float | None


def courses_of(trials: Iterable[Trial]) -> list[Course]:
    """The courses of those trials that finished an epoch.

    Raises:
        ReportError: a trial's curves lack a column, or hold something else than numbers.
    """
    return [_course(trial) for trial in trials if trial.curves is not None and len(trial.curves)]


def _course(trial: Trial) -> Course:
    columns = {name: _column(trial, name) for name in TAKEN}
    if not np.isfinite(columns["epoch"]).all():
        raise ReportError(f"curves.parquet of MLflow run {trial.run_id}: an epoch has no number: train the trial again")
    valid, diverged = columns["valid_nats_per_frame"], trial.diverged_at_step is not None
    finite = np.where(np.isfinite(valid), valid, -np.inf)
    best = None if diverged or not np.isfinite(valid).any() else int(finite.argmax())
    limit = trial.params.get(LIMIT, "")
    return Course(trial.model, trial.seed, columns, int(limit) if limit.isdecimal() else None, best, diverged)


def _column(trial: Trial, name: str) -> Array:
    """As numbers; older studies lack columns that nobody needs."""
    assert trial.curves is not None
    where = f"curves.parquet of MLflow run {trial.run_id}"
    if name not in trial.curves:
        if name in NEEDED:
            raise ReportError(f"{where} lacks the column {name!r}: train the trial again")
        return np.full(len(trial.curves), np.nan)
    try:
        return trial.curves[name].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ReportError(f"{where}: the column {name!r} is not of numbers: train the trial again") from error


def by_model(courses: Iterable[Course]) -> dict[str, list[Course]]:
    """The courses of each model, in order of first appearance."""
    members: dict[str, list[Course]] = {}
    for course in courses:
        members.setdefault(course.model, []).append(course)
    return members


def range_of(values: Iterable[float] | Array) -> Range | None:
    """Of the finite ones; None where there is none."""
    figures = np.asarray(values if isinstance(values, np.ndarray) else list(values), dtype=np.float64)
    finite = figures[np.isfinite(figures)]
    if not len(finite):
        return None
    return Range(float(np.median(finite)), float(finite.min()), float(finite.max()), len(finite))


def outcome_of(model: str, courses: Sequence[Course]) -> Outcome:
    """The runs of one model together."""
    return Outcome(
        model=model,
        runs=len(courses),
        diverged=sum(course.diverged for course in courses),
        still_rising=sum(course.still_rising for course in courses),
        epochs=range_of(len(course.epochs) for course in courses),
        best_epoch=range_of(course.at_best(course.epochs) for course in courses),
        valid=range_of(course.at_best(course.columns["valid_nats_per_frame"]) for course in courses),
        gap=range_of(course.at_best(course.gap) for course in courses),
    )


def speed_of(model: str, courses: Sequence[Course]) -> Speed:
    """The epochs of all runs of one model together."""
    columns = {name: np.concatenate([course.columns[name] for course in courses]) for name in TAKEN}
    seconds = columns["seconds"][np.isfinite(columns["seconds"])]
    return Speed(
        model=model,
        frames_per_second=range_of(columns["frames_per_second"]),
        wait=range_of(columns["data_wait_share"]),
        peak=range_of(columns["fraction_of_peak"]),
        seconds=float(seconds.sum()) if len(seconds) else None,
    )
