"""Timing two things against one another on a machine that does other work too.

They run in alternation, A B A B ... A, and each run of B is held against the mean of the two runs of A around it: a
machine that grows slower for a minute slows both. A ratio comes with the spread of its pairs, since a single one says
little.
"""

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

from benchmarks.speed.clocks import Spent, Stopwatch

__all__ = ["Comparison", "Paired", "Subject", "run_paired", "timed"]

Subject = Callable[[], Spent]
"""Runs once and returns the seconds that count."""

Clock = Literal["wall", "processor"]


def timed(action: Callable[[], object]) -> Subject:
    """A subject all of whose time counts."""

    def run() -> Spent:
        watch = Stopwatch()
        action()
        return watch.read()

    return run


@dataclass(frozen=True)
class Paired:
    """What the runs of A, of which there is one more, and of B took."""

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
        name: of the case.
        ours: what B is.
        other: what A is.
        amount: how much either processes in a run.
        unit: of `amount`.
        clock: the one that the case is about: `processor` where all of it is in one process.
        other_times: A's speed by the wall is multiplied by this: a single process that a perfect pool would run once a
            core.
    """

    name: str
    ours: str
    other: str
    amount: float
    unit: str
    clock: Clock = "wall"
    other_times: int = 1

    def result(self, paired: Paired) -> dict[str, Any]:
        """The case as JSON: medians, amounts a second, and the ratio with its spread."""
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
    """Run A, then B and A again as often as there are pairs."""
    first, second = [a()], []
    for _ in range(pairs):
        second.append(b())
        first.append(a())
    return Paired(tuple(first), tuple(second))
