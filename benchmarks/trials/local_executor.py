"""Doing a study's works in this process, one after another."""

from collections.abc import Sequence

from benchmarks.errors import FailedError, StudyError
from benchmarks.trials.events import Begun, Done, Epoch, Failed, Scoring, Stopped, Tell
from benchmarks.trials.trial import Work, perform
from pipelines.errors import InputError
from vrnn.errors import ModelError
from vrnn.training.errors import CheckpointError, RunFailedError
from vrnn.training.stopping import Stop

__all__ = ["reason_of", "run_here"]

_NAMED = (InputError, StudyError, ModelError, CheckpointError, FailedError, RunFailedError)
_FAULTS = (RuntimeError, ValueError, ArithmeticError, LookupError, TypeError, OSError, MemoryError, AssertionError)
"""What a trial that goes wrong, by its data or by a fault of ours, may raise: the others are to go on."""


def reason_of(error: BaseException) -> str:
    """Why a work failed, in one line."""
    first = next(iter(str(error).splitlines()), "")
    return first if isinstance(error, _NAMED) else f"{type(error).__name__}: {first}"


def run_here(works: Sequence[Work], tell: Tell, stop: Stop) -> None:
    """See `benchmarks.trials.events.Runner`.

    Raises:
        KeyboardInterrupt: it was asked to stop while it scored.
    """
    for work in works:
        if stop():
            return
        tell(Begun(work))
        tell(_ended(work, tell, stop))


def _ended(work: Work, tell: Tell, stop: Stop) -> Done | Failed | Stopped:
    def on_scoring() -> None:
        tell(Scoring(work))
        stop.interrupts = True
        stop.interrupt()

    try:
        outcome = perform(work, lambda record: tell(Epoch(work, record)), on_scoring, stop)
    except (*_NAMED, *_FAULTS) as error:
        return Failed(work, reason_of(error))
    finally:
        stop.interrupts = False
    return Stopped(work) if outcome is None else Done(work, outcome)
