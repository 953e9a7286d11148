"""Timing two pieces of work in alternation, on a machine that does other work too.

The runs alternate, A B A B ... A, and each run of B is compared with the mean of the two runs of A around it, so that a
machine that slows down for a minute slows both. A ratio is stated with the spread of its pairs.

Two clocks: wall time, which other work on the machine affects, and processor time, which it hardly affects. Processor
time is that of this process and of all its descendants, including Ray's workers; it says nothing about idle cores. This
process and its ended children are counted to the microsecond, living children in kernel ticks of about 10 ms.
"""

import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeAlias

__all__ = ["Comparison", "Paired", "Spent", "Stopwatch", "Subject", "run_paired", "timed"]

Clock = Literal["wall", "processor"]

_PROCESSES = Path("/proc")
_PARENT, _TIMES = 1, slice(11, 15)
"""Fields of /proc/PID/stat after the name: the parent's PID; user and system ticks, own and of ended children."""


@dataclass(frozen=True)
class Spent:
    """Seconds of wall time and of processor time."""

    wall: float
    processor: float


Subject: TypeAlias = Callable[[], Spent]
"""Runs once and returns the time to count."""


class Stopwatch:
    """Runs from its construction."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), _family_seconds()

    def read(self) -> Spent:
        """The time since the start."""
        return Spent(time.perf_counter() - self._wall, _family_seconds() - self._processor)


def _family_seconds() -> float:
    """Processor time of this process and of all its descendants, living or ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    stats = _process_stats()
    family = {os.getpid()}
    while found := {pid for pid, stat in stats.items() if int(stat[_PARENT]) in family} - family:
        family |= found
    living = (family & stats.keys()) - {os.getpid()}
    ticks = sum(int(ticks) for pid in living for ticks in stats[pid][_TIMES])
    return time.process_time() + ended.ru_utime + ended.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


def _process_stats() -> dict[int, list[str]]:
    """The fields after the name in /proc/PID/stat of every process; empty on systems without /proc."""
    stats = {}
    for place in _PROCESSES.glob("[0-9]*/stat"):
        try:
            stats[int(place.parent.name)] = place.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # the process ended in the meantime
    return stats


def timed(action: Callable[[], object]) -> Subject:
    """A subject whose whole time counts."""

    def run() -> Spent:
        watch = Stopwatch()
        action()
        return watch.read()

    return run


@dataclass(frozen=True)
class Paired:
    """The times of the runs of A, of which there is one more, and of B."""

    a: tuple[Spent, ...]
    b: tuple[Spent, ...]

    def ratios(self, clock: Clock) -> list[float]:
        """How many times as fast as A each run of B was."""
        a, b = ([getattr(run, clock) for run in runs] for runs in (self.a, self.b))
        around = [(before + after) / 2 for before, after in pairwise(a)]
        return [seconds / ours for seconds, ours in zip(around, b, strict=True)]


@dataclass(frozen=True)
class Comparison:
    """A case: what is compared, and in which units.

    Attributes:
        ours: description of B.
        other: description of A.
        amount: how much work a run of either is.
        clock: the clock that counts: `processor` if all work is done in one process.
        other_times: factor on A's speed by wall time, for one process that stands for a perfect pool on all cores.
    """

    name: str
    ours: str
    other: str
    amount: float
    unit: str
    clock: Clock = "wall"
    other_times: int = 1

    def result(self, paired: Paired) -> dict[str, Any]:
        """The case as JSON: medians, amounts per second, and the ratio with its spread."""
        return {
            "name": self.name,
            "unit": self.unit,
            "amount": self.amount,
            "clock": self.clock,
            "ours": self._side(self.ours, paired.b),
            "other": self._side(self.other, paired.a) | {"times": self.other_times},
            "ratio": {
                "wall": _spread([ratio / self.other_times for ratio in paired.ratios("wall")]),
                "processor": _spread(paired.ratios("processor")),
            },
        }

    def _side(self, what: str, runs: tuple[Spent, ...]) -> dict[str, Any]:
        medians = {clock: statistics.median(getattr(run, clock) for run in runs) for clock in ("wall", "processor")}
        return {
            "what": what,
            "median_seconds": medians,
            "per_second": self.amount / medians[self.clock],
            "runs": [asdict(run) for run in runs],
        }


def _spread(ratios: list[float]) -> dict[str, Any]:
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios), "pairs": ratios}


def run_paired(a: Subject, b: Subject, pairs: int) -> Paired:
    """Run A, then `pairs` times B and A."""
    first, second = [a()], []
    for _ in range(pairs):
        second.append(b())
        first.append(a())
    return Paired(tuple(first), tuple(second))
