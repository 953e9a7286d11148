"""The training curves of each run (`curves.parquet`), and statistics over the runs of each model.

The best epoch of a run is the one with its highest validation score; its weights are the ones that are scored. A run
that diverged has no best epoch. Statistics over runs are the median, the lowest and the highest: nothing is estimated.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from dashboards.errors import ReportError
from dashboards.report.study_data import Trial, grouped

__all__ = ["Outcome", "Range", "RunCurves", "Speed", "by_model", "outcome_of", "range_of", "run_curves", "speed_of"]

Array = npt.NDArray[np.float64]
REQUIRED = ("epoch", "valid_nats_per_frame")
COLUMNS = (
    *REQUIRED,
    "train_nats_per_frame",
    "valid_kl_nats_per_frame",
    "seconds",
    "frames_per_second",
    "data_wait_share",
    "fraction_of_peak",
)


@dataclass(frozen=True)
class Range:
    """Median, lowest and highest of some values, and how many there are."""

    median: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class RunCurves:
    """The curves of one training run.

    Attributes:
        columns: columns of `curves.parquet`; nan where a value or a whole column is missing.
        best: position of the best epoch; None if the run diverged or has no finite score.
        diverged: whether the loss stopped being finite.
    """

    model: str
    seed: int
    columns: Mapping[str, Array]
    best: int | None
    diverged: bool

    @property
    def epochs(self) -> Array:
        """Epoch numbers, from 1."""
        return self.columns["epoch"]

    @property
    def has_latent(self) -> bool:
        """Whether a KL divergence was measured."""
        return bool(np.isfinite(self.columns["valid_kl_nats_per_frame"]).any())

    @property
    def still_improving(self) -> bool:
        """Whether the best epoch was the last one."""
        return self.best is not None and self.best == len(self.epochs) - 1

    @property
    def reconstruction(self) -> Array:
        """Expected log-likelihood given the latent (ELBO + KL), validation, nats per frame."""
        return self.columns["valid_nats_per_frame"] + self.columns["valid_kl_nats_per_frame"]

    @property
    def gap(self) -> Array:
        """Training score minus validation score, nats per frame."""
        with np.errstate(invalid="ignore"):
            return self.columns["train_nats_per_frame"] - self.columns["valid_nats_per_frame"]

    def at_best(self, values: Array) -> float:
        """The value at the best epoch; nan if there is none."""
        return float(values[self.best]) if self.best is not None else float("nan")


@dataclass(frozen=True)
class Outcome:
    """A model's runs on one corpus; scores are those of the best epochs, nats per frame."""

    model: str
    runs: int
    diverged: int
    still_improving: int
    epochs: Range | None
    best_epoch: Range | None
    valid: Range | None
    gap: Range | None


@dataclass(frozen=True)
class Speed:
    """Training speed of a model on one corpus, over all epochs of its runs.

    Attributes:
        frames_per_second: real frames per second of training steps.
        wait: share of that time spent waiting for batches.
        peak: operations per second as a share of the machine's peak.
        seconds: duration of all training steps; None if no epoch recorded it.
    """

    model: str
    frames_per_second: Range | None
    wait: Range | None
    peak: Range | None
    seconds: float | None


def run_curves(trials: Iterable[Trial]) -> list[RunCurves]:
    """The curves of the trials that finished at least one epoch.

    Raises:
        ReportError: a required column is missing, or a column does not contain numbers.
    """
    runs: list[RunCurves] = []
    for trial in trials:
        if trial.curves is None or not len(trial.curves):
            continue
        where = f"{trial.where}: curves.parquet"
        columns = {name: _column(trial.curves, name, where) for name in COLUMNS}
        if not np.isfinite(columns["epoch"]).all():
            raise ReportError(f"{where}: an epoch has no number; train the trial again")
        valid = columns["valid_nats_per_frame"]
        has_best = not trial.diverged and bool(np.isfinite(valid).any())
        # argmax would return a nan.
        best = int(np.where(np.isfinite(valid), valid, -np.inf).argmax()) if has_best else None
        runs.append(RunCurves(trial.model, trial.seed, columns, best, trial.diverged))
    return runs


def _column(curves: pd.DataFrame, name: str, where: str) -> Array:
    if name not in curves:
        if name in REQUIRED:
            raise ReportError(f"{where} lacks the column {name!r}; train the trial again")
        return np.full(len(curves), np.nan)
    try:
        return curves[name].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ReportError(f"{where}: the column {name!r} does not contain numbers; train the trial again") from error


def by_model(runs: Iterable[RunCurves]) -> dict[str, list[RunCurves]]:
    """The runs of each model, in order of first appearance."""
    return grouped(runs, lambda run: run.model)


def range_of(values: Iterable[float] | Array) -> Range | None:
    """The range of the finite values; None if there are none."""
    array = np.asarray(values if isinstance(values, np.ndarray) else list(values), dtype=np.float64)
    finite = array[np.isfinite(array)]
    if not len(finite):
        return None
    return Range(float(np.median(finite)), float(finite.min()), float(finite.max()), len(finite))


def outcome_of(model: str, runs: Sequence[RunCurves]) -> Outcome:
    """Statistics over the runs of one model."""
    return Outcome(
        model=model,
        runs=len(runs),
        diverged=sum(run.diverged for run in runs),
        still_improving=sum(run.still_improving for run in runs),
        epochs=range_of(len(run.epochs) for run in runs),
        best_epoch=range_of(run.at_best(run.epochs) for run in runs),
        valid=range_of(run.at_best(run.columns["valid_nats_per_frame"]) for run in runs),
        gap=range_of(run.at_best(run.gap) for run in runs),
    )


def speed_of(model: str, runs: Sequence[RunCurves]) -> Speed:
    """Statistics over all epochs of the runs of one model."""
    columns = {name: np.concatenate([run.columns[name] for run in runs]) for name in COLUMNS}
    seconds = columns["seconds"][np.isfinite(columns["seconds"])]
    return Speed(
        model=model,
        frames_per_second=range_of(columns["frames_per_second"]),
        wait=range_of(columns["data_wait_share"]),
        peak=range_of(columns["fraction_of_peak"]),
        seconds=float(seconds.sum()) if len(seconds) else None,
    )
