"""Runs a study's trials in this process, one after another."""

from collections.abc import Sequence

from benchmarks.errors import FailedError, StudyError
from benchmarks.trials.events import (
    OnTrialEvent,
    ScoringStarted,
    TrialEvent,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    TrialStopped,
)
from benchmarks.trials.task import TrialTask
from benchmarks.trials.trial import run_trial
from pipelines.errors import InputError
from vrnn.errors import CheckpointError, ModelError, RunFailedError
from vrnn.training.stopping import Stop

__all__ = ["failure_reason", "run_locally"]

_OUR_ERRORS = (InputError, StudyError, ModelError, CheckpointError, FailedError, RunFailedError)
# A trial that fails, by its data or by a defect of this program, must not end the others. What is not listed, such as
# KeyboardInterrupt, ends the study.
_OTHER_ERRORS = (
    RuntimeError,
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    OSError,
    MemoryError,
    AssertionError,
)


def failure_reason(error: BaseException) -> str:
    """Why a trial failed, in one line; an error that is not ours is named by its type."""
    first = next(iter(str(error).splitlines()), "")
    return first if isinstance(error, _OUR_ERRORS) else f"{type(error).__name__}: {first}"


def run_locally(tasks: Sequence[TrialTask], on_event: OnTrialEvent, stop: Stop) -> None:
    """Run `tasks` in order until all are done or `stop` says so; see `benchmarks.trials.events.Executor`.

    Raises:
        KeyboardInterrupt: it was stopped while it scored.
    """

    def publish(event: TrialEvent) -> None:
        on_event(event)
        if isinstance(event, ScoringStarted):
            # Scoring has nothing to save: a signal interrupts it at once, and the next run repeats it.
            stop.interrupts = True
            stop.interrupt()

    for task in tasks:
        if stop():
            return
        on_event(TrialStarted(task))
        try:
            outcome = run_trial(task, publish, stop)
            ended: TrialEvent = TrialStopped(task) if outcome is None else TrialFinished(task, outcome)
        except (*_OUR_ERRORS, *_OTHER_ERRORS) as error:
            ended = TrialFailed(task, failure_reason(error))
        finally:
            # A subscriber may write the result elsewhere: that must not be interrupted.
            stop.interrupts = False
        on_event(ended)
