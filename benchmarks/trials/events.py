"""What happens to the works of a study, in the order in which whoever runs them hears of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.trials.trial import Outcome, Work
from vrnn.training.checkpoints import EpochRecord
from vrnn.training.stopping import Stop

__all__ = ["Begun", "Done", "Epoch", "Event", "Failed", "Retried", "Runner", "Scoring", "Stopped", "Tell"]


@dataclass(frozen=True)
class Begun:
    """The work is taken up, for the first time or again."""

    work: Work


@dataclass(frozen=True)
class Epoch:
    """An epoch of its training ended."""

    work: Work
    record: EpochRecord


@dataclass(frozen=True)
class Scoring:
    """Its model is fitted and is being scored."""

    work: Work


@dataclass(frozen=True)
class Done:
    """It came to its end."""

    work: Work
    outcome: Outcome


@dataclass(frozen=True)
class Retried:
    """It was cut short by something that another attempt may mend."""

    work: Work
    reason: str


@dataclass(frozen=True)
class Failed:
    """It cannot be done; `reason` is one line."""

    work: Work
    reason: str


@dataclass(frozen=True)
class Stopped:
    """It was stopped, as was asked; what was done of it is saved."""

    work: Work


Event: TypeAlias = Begun | Epoch | Scoring | Done | Retried | Failed | Stopped
Tell: TypeAlias = Callable[[Event], None]
Runner: TypeAlias = Callable[[Sequence[Work], Tell, Stop], None]
"""Does the works and tells of each its end, until asked to stop."""
