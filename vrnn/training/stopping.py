"""Asking a run to stop: a signal is noted, the run saves itself after the step it is at, and ends.

Once asked politely, by Ctrl-C or by the SIGTERM of a scheduler that wants its machine back, a run loses nothing. A
second signal of the same kind is what it always was: it ends the process at once, and the run goes on later from its
last checkpoint.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

__all__ = ["Stop", "stopping_on_signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _silently() -> None:
    pass


@dataclass
class Stop:
    """Whether to stop, and why.

    Attributes:
        on_signal: called when the signal comes.
        signal: that asked to stop; 0 while there was none.
        interrupts: whether the work in hand has nothing to save and is to be interrupted where it is.
    """

    on_signal: Callable[[], None] = _silently
    signal: int = 0
    interrupts: bool = False

    def __call__(self) -> bool:
        """Whether to stop."""
        return bool(self.signal)

    def interrupt(self) -> None:
        """Interrupt the work in hand if that is what is wanted.

        Raises:
            KeyboardInterrupt: it is.
        """
        if self.signal and self.interrupts:
            raise KeyboardInterrupt


@contextmanager
def stopping_on_signals(stop: Stop) -> Iterator[Stop]:
    """Within, the first SIGINT or SIGTERM is noted in `stop`; the next does what it did before.

    In a thread that is not the main one, where Python takes no signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        stop.signal = number
        restore()
        stop.on_signal()
        stop.interrupt()

    for number in _SIGNALS:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        restore()
