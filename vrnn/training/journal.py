"""What a process of a run has to say, kept beside its checkpoints: `logs/worker-0.txt` and so on.

A worker's own log lies on its node, which may be gone when somebody wants to know why. The journal holds the last
lines of every life of the run's worker, and is written whole or not at all: at most every few seconds, and at the end.
"""

import logging
import time
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from pipelines.runtime.locks import this_process
from pipelines.runtime.storage import Location

__all__ = ["LOGS", "Journal", "journal"]

LOGS = "logs"
_MOST_LINES = 2_000
_SECONDS = 5.0
_PACKAGES = ("vrnn", "pipelines")


class Journal(logging.Handler):
    """Lines, the newest of them, and warnings of this project's packages among them."""

    def __init__(self, place: Location) -> None:
        """Go on with what is at `place`."""
        super().__init__(logging.WARNING)
        self._place = place
        before = place.read_bytes().decode(errors="replace").splitlines() if place.is_file() else []
        self._lines = deque(before, maxlen=_MOST_LINES)
        self._kept_at = -_SECONDS

    def emit(self, record: logging.LogRecord) -> None:
        """Note a warning."""
        self.note(f"{record.levelname.lower()}: {record.getMessage()}")

    def note(self, text: str) -> None:
        """Add `text`, and write it all if that was not done for a while."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._lines.extend(f"{now} {line}" for line in text.splitlines())
        if time.monotonic() - self._kept_at > _SECONDS:
            self.keep()

    def keep(self) -> None:
        """Write it all."""
        self._place.write_bytes("".join(f"{line}\n" for line in self._lines).encode())
        self._kept_at = time.monotonic()


@contextmanager
def journal(out: Location, rank: int) -> Iterator[Journal]:
    """The journal of a rank of the run in `out`, within which the way it ends is noted too."""
    book = Journal(out / LOGS / f"worker-{rank}.txt")
    loggers = [logging.getLogger(name) for name in _PACKAGES]
    for logger in loggers:
        logger.addHandler(book)
    book.note(f"{this_process()} begins")
    try:
        yield book
        book.note("ends")
    except BaseException as error:
        book.note("".join(traceback.format_exception(error)))
        raise
    finally:
        for logger in loggers:
            logger.removeHandler(book)
        book.keep()
