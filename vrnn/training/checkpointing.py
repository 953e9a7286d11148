"""A run's checkpoints: when one is due, which are kept, and which one a run goes on from.

`last.pt` is where the run stood when it was last saved, `last-1.pt` where it stood the time before, and so on. A file
that cannot be read, which only a fault of the storage leaves behind, is set aside as `damaged-last.pt` and the one
before it is taken: the run repeats some steps, and ends with the same bits.
"""

import logging
import re
import time
from dataclasses import dataclass

from pipelines.runtime.storage import Location
from vrnn.training.checkpoints import BEST, LAST, Checkpoint, load_checkpoint, save_checkpoint
from vrnn.training.errors import CheckpointError

__all__ = ["Keeper", "Saving"]

_log = logging.getLogger(__name__)

_LAST = re.compile(r"last(?:-([0-9]+))?\.pt")
_MOST_KEPT = 100


@dataclass(frozen=True)
class Saving:
    """How a run is saved; it changes no figure and is no part of the trial.

    Attributes:
        seconds: after which a checkpoint is due within an epoch; one is written at the end of every epoch besides.
        keep: how many of the last checkpoints are kept, beside the best.
    """

    seconds: float = 600.0
    keep: int = 2

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise CheckpointError(f"checkpoints every {self.seconds} seconds: more than 0 are needed")
        if not 1 <= self.keep <= _MOST_KEPT:
            raise CheckpointError(f"{self.keep} checkpoints to keep: from 1 to {_MOST_KEPT} are possible")


class Keeper:
    """Writes and reads the checkpoints of one run."""

    def __init__(self, out: Location, saving: Saving) -> None:
        """Keep checkpoints in `out`."""
        self._out = out
        self._saving = saving
        self._saved_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether so much time has passed since the last checkpoint that one should be written."""
        return time.monotonic() - self._saved_at >= self._saving.seconds

    def keep_best(self, checkpoint: Checkpoint) -> None:
        """Write what is scored."""
        save_checkpoint(self._out / BEST, checkpoint)

    def keep_last(self, checkpoint: Checkpoint) -> None:
        """Write where the run stands; killed at any moment, this leaves the one before it, or the new one."""
        for age, place in reversed(self._lasts()):
            if age + 1 < self._saving.keep:
                place.move(self._out / _name(age + 1))
            elif age >= self._saving.keep:
                place.delete()
        save_checkpoint(self._out / LAST, checkpoint)
        self._saved_at = time.monotonic()

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that can be read, None where there is none at all; bad ones are set aside.

        Raises:
            CheckpointError: there are some, and none can be read.
        """
        lasts = self._lasts()
        for _, place in lasts:
            try:
                return load_checkpoint(place)
            except CheckpointError as error:
                _log.warning("%s; going on from the checkpoint before it", error)
                place.move(self._out / f"damaged-{place.path.rpartition('/')[2]}")
        if lasts:
            raise CheckpointError(
                f"{self._out}: none of its {len(lasts)} checkpoints can be read; choose another --out"
            )
        return None

    def _lasts(self) -> list[tuple[int, Location]]:
        """The last checkpoints there are, by age, the newest first."""
        found = (_LAST.fullmatch(file.path) for file in self._out.files(recursive=False))
        ages = sorted(int(match[1] or 0) for match in found if match)
        return [(age, self._out / _name(age)) for age in ages]


def _name(age: int) -> str:
    return f"last-{age}.pt" if age else LAST
