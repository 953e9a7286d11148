"""Stopping a run by a signal: the run finishes its batch, saves itself and ends.

The first Ctrl-C, or SIGTERM of a scheduler, therefore loses nothing. A second one ends the process at once, and the run
resumes later from its last checkpoint.
"""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

__all__ = ["Stop", "stopping_on_signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Stop:
    """Whether to stop, and why.

    Attributes:
        on_signal: called when the signal arrives.
        signal: number of the signal that asked to stop; 0 while there was none.
        interrupts: whether the current work has nothing to save, so that a signal interrupts it at once.
    """

    on_signal: Callable[[], None] = lambda: None
    signal: int = 0
    interrupts: bool = False

    def __call__(self) -> bool:
        """Whether to stop."""
        return bool(self.signal)

    def interrupt(self) -> None:
        """Interrupt the current work if a signal arrived and the work has nothing to save.

        Raises:
            KeyboardInterrupt: both are true.
        """
        if self.signal and self.interrupts:
            raise KeyboardInterrupt


@contextmanager
def stopping_on_signals(stop: Stop) -> Generator[Stop, None, None]:
    """Within the context, the first SIGINT or SIGTERM sets `stop`; the next one does what it did before.

    Outside the main thread, where Python handles no signals, nothing is changed.
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
