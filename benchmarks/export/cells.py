"""What stands in the cells of every exported table: where a figure belongs, and how it is written.

One column holds one corpus under one protocol: trials on other content, or of another split, have a column of their
own. Densities and masses are different measures: a model is told by its measure where a table has both.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from benchmarks.cli.output import estimator_label
from benchmarks.export.markup import Number
from benchmarks.statistics.paired_differences import Difference
from benchmarks.statistics.table import ComparisonRow
from benchmarks.study.summary import Comparison

__all__ = [
    "SHOWN_DIGITS",
    "Place",
    "by_model",
    "fixed",
    "interval",
    "label",
    "model_names",
    "omissions",
    "p_value",
    "place_of",
    "places",
    "sequence_count",
    "sign_of",
    "span",
    "spread",
    "whole",
]

SHOWN_DIGITS = 12
"""Of a fingerprint, where it only tells columns apart."""


class Place(NamedTuple):
    """What the figures of one column have in common."""

    corpus: str
    protocol: str
    split: str
    fingerprint: str


def place_of(row: ComparisonRow | Difference) -> Place:
    """Where a row belongs."""
    return Place(row.corpus, row.protocol, row.split, row.fingerprint)


def places(rows: Iterable[ComparisonRow]) -> dict[Place, list[ComparisonRow]]:
    """The rows of each place, in order of appearance."""
    found: dict[Place, list[ComparisonRow]] = {}
    for row in rows:
        found.setdefault(place_of(row), []).append(row)
    return found


def label(place: Place, among: Iterable[Place]) -> str:
    """A place by its names, and by its content's fingerprint where another place has the same names."""
    names = ", ".join(place[:3])
    alone = sum(other[:3] == place[:3] for other in among) == 1
    return names if alone else f"{names}, data {place.fingerprint[:SHOWN_DIGITS]}"


def by_model(rows: Iterable[ComparisonRow]) -> dict[tuple[str, str], list[ComparisonRow]]:
    """The rows of each measure and model, densities first, models in order of appearance."""
    found: dict[tuple[str, str], list[ComparisonRow]] = {}
    for row in rows:
        found.setdefault((row.measure, row.model), []).append(row)
    return dict(sorted(found.items(), key=lambda item: item[0][0]))


def model_names(models: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
    """What to call each measure and model."""
    known = list(models)
    mixed = len({measure for measure, _ in known}) > 1
    return {(measure, model): f"{model} ({measure})" if mixed else model for measure, model in known}


def omissions(comparison: Comparison) -> list[str]:
    """The trials that no figure holds: who reads an average over seeds must know which seeds are missing."""
    diverged = [
        f"{found['corpus']}/{found['model']}/seed{found['seed']} diverged at step {found['step']} and is in no figure"
        for found in comparison.diverged
    ]
    failed = [f"{name} was not finished and is in no figure: {why}" for name, why in comparison.failed.items()]
    return diverged + failed


def fixed(value: float | None, digits: int, sign: str = "") -> str:
    """A number with so many decimals, never -0; empty where there is none."""
    return "" if value is None else Number(f"{value:{sign}z.{digits}f}")


def whole(value: int | None) -> str:
    """A count; empty where there is none."""
    return "" if value is None else Number(str(value))


def interval(ends: tuple[float, float] | None, digits: int, sign: str = "") -> str:
    """An interval; unknown where there is none, or where it is the whole line."""
    if ends is None or not all(map(math.isfinite, ends)):
        return "unknown"
    return Number(f"[{fixed(ends[0], digits, sign)}, {fixed(ends[1], digits, sign)}]")


def p_value(value: float | None) -> str:
    """A p-value."""
    return "unknown" if value is None else Number("< 0.001" if value < 0.001 else f"{value:.3f}")


def sign_of(row: ComparisonRow) -> tuple[str, str]:
    """The relation of the log-likelihood to a figure, and the estimator's name with its K."""
    sign, name = estimator_label(row.estimator, row.num_samples).split()
    return sign, name


def spread(row: ComparisonRow) -> str:
    """The standard deviation over seeds, or why there is none."""
    if row.estimator == "code":
        return "not trained"
    return "one seed" if row.seed_std is None else Number(f"± {fixed(row.seed_std, 1)}")


def sequence_count(rows: Iterable[ComparisonRow]) -> str:
    """How many sequences the figures of a place are of."""
    return f"{span(row.sequences for row in rows)} sequences"


def span(counts: Iterable[int]) -> str:
    """A count, or the least and the largest of several."""
    low, high = min(known := list(counts)), max(known)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
