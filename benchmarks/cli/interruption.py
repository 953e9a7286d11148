"""Commands that end early: stopped by a signal, or failed although the input was right."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.cli.output import print_message
from benchmarks.errors import FailedError

if TYPE_CHECKING:
    from vrnn.training.stopping import Stop

__all__ = ["report_failures", "stop_on_signals"]


@contextmanager
def stop_on_signals(action: str) -> "Iterator[Stop]":
    """In this block the first Ctrl-C or SIGTERM requests a stop, and the second ends the process at once.

    Args:
        action: what the work does before it stops, for the message: "saving the run".
    """
    from vrnn.training.stopping import Stop, stopping_on_signals

    stop = Stop(lambda: print_message(f"stopping: {action}; interrupt again to stop at once"))
    with stopping_on_signals(stop):
        yield stop


@contextmanager
def report_failures() -> Iterator[None]:
    """Turn the failures of a training run into the one that the command line reports in one line.

    Raises:
        FailedError: training failed for good, or another command works in the same directory.
    """
    from pipelines.runtime.locks import BusyError
    from vrnn.errors import RunFailedError

    try:
        yield
    except (BusyError, RunFailedError) as error:
        raise FailedError(str(error)) from error
