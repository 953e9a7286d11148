"""How long work ends before its time: stopped by whoever started it, or given up."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.cli.output import say
from benchmarks.errors import FailedError

if TYPE_CHECKING:
    from vrnn.training.stopping import Stop

__all__ = ["failing", "stopping"]


@contextmanager
def stopping(how: str) -> "Iterator[Stop]":
    """Within, the first Ctrl-C or SIGTERM asks the work to stop and says so; the second ends it at once.

    Args:
        how: what it does before it stops.
    """
    from vrnn.training.stopping import Stop, stopping_on_signals

    stop = Stop(lambda: say(f"stopping: {how}; once more to stop at once"))
    with stopping_on_signals(stop):
        yield stop


@contextmanager
def failing() -> Iterator[None]:
    """Within, a run that was given up, or that another command is at already, fails the command.

    Raises:
        FailedError: it was, or is.
    """
    from pipelines.runtime.locks import BusyError
    from vrnn.training.errors import RunFailedError

    try:
        yield
    except (BusyError, RunFailedError) as error:
        raise FailedError(str(error)) from error
