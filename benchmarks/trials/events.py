"""The events of a running study, in one stream; the progress display and the MLflow writer subscribe to it.

A subscriber is a function of one event. An executor publishes what happens to its tasks; the study adds its own start
and the trials that it skips.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.schema.trial import Outcome
from benchmarks.trials.task import TrialTask
from vrnn.training.epoch_metrics import EpochRecord
from vrnn.training.stopping import Stop

__all__ = [
    "EpochFinished",
    "Event",
    "Executor",
    "OnEvent",
    "OnTrialEvent",
    "ScoringStarted",
    "StudyStarted",
    "TrialEvent",
    "TrialFailed",
    "TrialFinished",
    "TrialRetried",
    "TrialSkipped",
    "TrialStarted",
    "TrialStopped",
]


@dataclass(frozen=True)
class StudyStarted:
    """The study started: the names of all its trials in order, and the address of Ray's dashboard, if it has one."""

    trials: tuple[str, ...]
    dashboard: str | None = None


@dataclass(frozen=True)
class TrialSkipped:
    """The trial is recorded already."""

    task: TrialTask


@dataclass(frozen=True)
class TrialStarted:
    """The trial started, or resumed from its last checkpoint."""

    task: TrialTask


@dataclass(frozen=True)
class EpochFinished:
    """One epoch of training finished."""

    task: TrialTask
    record: EpochRecord


@dataclass(frozen=True)
class ScoringStarted:
    """The model is fitted, and its scoring started."""

    task: TrialTask


@dataclass(frozen=True)
class TrialFinished:
    """The trial finished: it was scored, or it diverged."""

    task: TrialTask
    outcome: Outcome


@dataclass(frozen=True)
class TrialRetried:
    """An attempt failed, and the trial will be retried."""

    task: TrialTask
    reason: str


@dataclass(frozen=True)
class TrialFailed:
    """The trial failed and is not retried; `reason` is one line."""

    task: TrialTask
    reason: str


@dataclass(frozen=True)
class TrialStopped:
    """The trial was stopped by a signal; its progress is saved."""

    task: TrialTask


TrialEvent: TypeAlias = (
    TrialStarted | EpochFinished | ScoringStarted | TrialFinished | TrialRetried | TrialFailed | TrialStopped
)
Event: TypeAlias = StudyStarted | TrialSkipped | TrialEvent
OnTrialEvent: TypeAlias = Callable[[TrialEvent], None]
OnEvent: TypeAlias = Callable[[Event], None]
Executor: TypeAlias = Callable[[Sequence[TrialTask], OnTrialEvent, Stop], None]
"""Runs tasks and publishes their events; each task ends in one `TrialFinished`, `TrialFailed` or `TrialStopped`."""
