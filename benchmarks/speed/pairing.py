"""Timing two things against one another on a machine that does other work too.

They run in alternation, A B A B ... A, and each run of B is held against the mean of the two runs of A around it: a
machine that grows slower for a minute slows both. A ratio comes with the spread of its pairs, since a single one says
little.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

__all__ = ["Comparison", "Paired", "Subject", "run_paired", "timed"]

Subject = Callable[[], float]
"""Runs once and returns the seconds that count."""


def timed(action: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> Subject:
    """A subject all of whose time counts.

    Args:
        action: what to run.
        clock: `time.process_time` for what runs in this process alone: other work does not count there.
    """

    def run() -> float:
        start = clock()
        action()
        return clock() - start

    return run


@dataclass(frozen=True)
class Paired:
    """The seconds of A, of which there is one more, and of B."""

    a: tuple[float, ...]
    b: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """How many times as fast as A each run of B was."""
        around = [(before + after) / 2 for before, after in pairwise(self.a)]
        return [seconds / ours for seconds, ours in zip(around, self.b, strict=True)]


@dataclass(frozen=True)
class Comparison:
    """A case: what is compared, and in which units.

    Attributes:
        name: of the case.
        ours: what B is.
        other: what A is.
        amount: how much either processes in a run.
        unit: of `amount`.
        clock: whose seconds they are: `wall`, or `processor` where nothing waits and other work must not count.
        other_times: A's speed is multiplied by this: a single process that a perfect pool would run once a core.
    """

    name: str
    ours: str
    other: str
    amount: float
    unit: str
    clock: Literal["wall", "processor"] = "wall"
    other_times: int = 1

    def result(self, paired: Paired) -> dict[str, Any]:
        """The case as JSON: medians, amounts a second, and the ratio with its spread."""
        ratios = [ratio / self.other_times for ratio in paired.ratios]
        return {
            "name": self.name,
            "unit": self.unit,
            "amount": self.amount,
            "clock": self.clock,
            "ours": _side(self.ours, paired.b, self.amount),
            "other": _side(self.other, paired.a, self.amount) | {"times": self.other_times},
            "ratio": {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios), "pairs": ratios},
        }


def _side(what: str, seconds: tuple[float, ...], amount: float) -> dict[str, Any]:
    median = statistics.median(seconds)
    return {"what": what, "median_seconds": median, "per_second": amount / median, "seconds": list(seconds)}


def run_paired(a: Subject, b: Subject, pairs: int) -> Paired:
    """Run A, then B and A again as often as there are pairs."""
    first, second = [a()], []
    for _ in range(pairs):
        second.append(b())
        first.append(a())
    return Paired(tuple(first), tuple(second))
