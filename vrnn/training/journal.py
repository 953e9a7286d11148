"""The journal of a run's process, kept with the checkpoints: `logs/worker-0.txt` and so on.

A worker's own log is on its node, which may be gone when someone wants to know what happened. The journal has the last
lines of all processes that ran as this rank. It is written whole, at most every few seconds and at the end.
"""

import logging
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime

from pipelines.runtime.locks import process_name
from pipelines.runtime.storage import Location
from vrnn.training.epoch_metrics import EpochRecord

__all__ = ["LOGS", "Journal", "journal"]

LOGS = "logs"
_MOST_LINES = 2_000
_SECONDS = 5.0
_PACKAGES = ("vrnn", "pipelines")


class Journal(logging.Handler):
    """The newest lines, with the warnings of this project's packages among them."""

    def __init__(self, place: Location) -> None:
        """Append to the file at `place`."""
        super().__init__(logging.WARNING)
        self._place = place
        before = place.read_bytes().decode(errors="replace").splitlines() if place.is_file() else []
        self._lines = deque(before, maxlen=_MOST_LINES)
        self._written_at = -_SECONDS

    def emit(self, record: logging.LogRecord) -> None:
        """Add a warning."""
        self.note(f"{record.levelname.lower()}: {record.getMessage()}")

    def note(self, text: str) -> None:
        """Add `text`, and write the file if it was not written for a while."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._lines.extend(f"{now} {line}" for line in text.splitlines())
        if time.monotonic() - self._written_at > _SECONDS:
            self.write()

    def write(self) -> None:
        """Write the file."""
        self._place.write_bytes("".join(f"{line}\n" for line in self._lines).encode())
        self._written_at = time.monotonic()

    def with_epochs(self, on_epoch: Callable[[EpochRecord], None]) -> Callable[[EpochRecord], None]:
        """A subscriber that adds each epoch to the journal and then calls `on_epoch`."""

        def note_epoch(record: EpochRecord) -> None:
            self.note(
                f"epoch {record.epoch}, step {record.step}: train {record.train_nats_per_frame:.6g}, "
                f"valid {record.valid_nats_per_frame:.6g} nats per frame, {record.frames_per_second:,.0f} frames/s"
            )
            on_epoch(record)

        return note_epoch


@contextmanager
def journal(out: Location, rank: int) -> Generator[Journal, None, None]:
    """The journal of a rank of the run in `out`; it also notes how the context ends."""
    log = Journal(out / LOGS / f"worker-{rank}.txt")
    loggers = [logging.getLogger(name) for name in _PACKAGES]
    for logger in loggers:
        logger.addHandler(log)
    log.note(f"{process_name()} begins")
    try:
        yield log
        log.note("ends")
    except BaseException as error:
        log.note("".join(traceback.format_exception(error)))
        raise
    finally:
        for logger in loggers:
            logger.removeHandler(log)
        log.write()
