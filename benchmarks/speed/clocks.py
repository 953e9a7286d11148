"""Two clocks for one piece of work: the wall's, and that of the processor.

By the wall, a busy machine's other work counts as much as this. The processor's seconds count what
this process and all that descend from it have computed, Ray's workers among them; they say nothing of idle cores.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Spent", "Stopwatch"]

_PROCESSES = Path("/proc")
_PARENT, _TIMES = 1, slice(11, 15)


@dataclass(frozen=True)
class Spent:
    """Seconds by the wall, and of processors."""

    wall: float
    processor: float


class Stopwatch:
    """Runs from its construction."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), _family_seconds()

    def read(self) -> Spent:
        """What was spent since."""
        return Spent(time.perf_counter() - self._wall, _family_seconds() - self._processor)


def _family_seconds() -> float:
    """What this process, its living descendants, and those of them that have ended have computed."""
    stats = _all_stats()
    family, ticks = {os.getpid()}, 0
    while found := {pid for pid, stat in stats.items() if int(stat[_PARENT]) in family} - family:
        family |= found
    for pid in family & stats.keys():
        ticks += sum(map(int, stats[pid][_TIMES]))
    return ticks / os.sysconf("SC_CLK_TCK") if stats else sum(os.times()[:4])


def _all_stats() -> dict[int, list[str]]:
    """The fields after the name in every process's `/proc/PID/stat`; none where there is no such thing."""
    stats = {}
    for place in _PROCESSES.glob("[0-9]*/stat"):
        try:
            stats[int(place.parent.name)] = place.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return stats
