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
class _OfTrial:
    task: TrialTask


class TrialSkipped(_OfTrial):
    """The trial is recorded already."""


class TrialStarted(_OfTrial):
    """The trial started, or resumed from its last checkpoint."""


@dataclass(frozen=True)
class EpochFinished(_OfTrial):
    """One epoch of training finished."""

    record: EpochRecord


class ScoringStarted(_OfTrial):
    """The model is fitted, and its scoring started."""


@dataclass(frozen=True)
class TrialFinished(_OfTrial):
    """The trial finished: it was scored, or it diverged."""

    outcome: Outcome


@dataclass(frozen=True)
class TrialRetried(_OfTrial):
    """An attempt failed, and the trial will be retried."""

    reason: str


@dataclass(frozen=True)
class TrialFailed(_OfTrial):
    """The trial failed and is not retried; `reason` is one line."""

    reason: str


class TrialStopped(_OfTrial):
    """The trial was stopped by a signal; its progress is saved."""


TrialEvent: TypeAlias = (
    TrialStarted | EpochFinished | ScoringStarted | TrialFinished | TrialRetried | TrialFailed | TrialStopped
)
Event: TypeAlias = StudyStarted | TrialSkipped | TrialEvent
OnTrialEvent: TypeAlias = Callable[[TrialEvent], None]
OnEvent: TypeAlias = Callable[[Event], None]
Executor: TypeAlias = Callable[[Sequence[TrialTask], OnTrialEvent, Stop], None]
"""Runs tasks and publishes their events; each task ends in one `TrialFinished`, `TrialFailed` or `TrialStopped`."""
