"""Two clocks for one piece of work: the wall's, and that of the processor.

By the wall, a busy machine's other work counts as much as this. The processor's seconds count what
this process and all that descend from it have computed, Ray's workers among them; they say nothing of idle cores. This
process and its ended children are counted to the microsecond, the living ones in the kernel's ticks of some ten
milliseconds.
"""

import os
import resource
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
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + _seconds_of_descendants()


def _seconds_of_descendants() -> float:
    """What the living descendants, and what has ended among their own, have computed."""
    stats = _all_stats()
    family = {os.getpid()}
    while found := {pid for pid, stat in stats.items() if int(stat[_PARENT]) in family} - family:
        family |= found
    descendants = (family & stats.keys()) - {os.getpid()}
    return sum(int(ticks) for pid in descendants for ticks in stats[pid][_TIMES]) / os.sysconf("SC_CLK_TCK")


def _all_stats() -> dict[int, list[str]]:
    """The fields after the name in every process's `/proc/PID/stat`; none where there is no such thing."""
    stats = {}
    for place in _PROCESSES.glob("[0-9]*/stat"):
        try:
            stats[int(place.parent.name)] = place.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return stats
