"""The cells of exported tables: where a score belongs, and how it is written.

A column holds one corpus under one protocol. Trials on other content, or of another split, have their own column.
Densities and masses are different measures, so a model's name states its measure where a table has both.
"""

import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from benchmarks.schema.comparison import Comparison, ComparisonRow, PairedDifference
from benchmarks.schema.estimators import signed_estimator

__all__ = [
    "SHOWN_DIGITS",
    "Cell",
    "Number",
    "Place",
    "Sheet",
    "by_model",
    "column_name",
    "estimator_name",
    "fixed",
    "interval",
    "left_out",
    "model_names",
    "one_line",
    "p_value",
    "place_of",
    "places",
    "sequence_count",
    "span",
    "spread",
    "whole",
]

SHOWN_DIGITS = 12
"""Digits of a fingerprint that are shown to tell columns apart."""


class Number(str):
    """A formatted number, interval or bound: digits, brackets, and the signs `= ≥ ~ ± <` before a space."""

    __slots__ = ()


Cell: TypeAlias = "str | tuple[str, ...]"
"""One line of plain text, or several."""


@dataclass(frozen=True)
class Sheet:
    """A table in plain text.

    Attributes:
        align: `l` or `r` for each column.
        rows: one cell per column each.
    """

    head: tuple[str, ...]
    align: str
    rows: list[tuple[Cell, ...]]


class Place(NamedTuple):
    """What the scores of one column have in common."""

    corpus: str
    protocol: str
    split: str
    fingerprint: str


def one_line(text: str) -> str:
    """Text with single spaces for white space and control characters."""
    shown = (" " if unicodedata.category(character).startswith("C") else character for character in text)
    return " ".join("".join(shown).split())


def place_of(row: ComparisonRow | PairedDifference) -> Place:
    """The column of a row."""
    return Place(row.corpus, row.protocol, row.split, row.fingerprint)


def places(rows: Iterable[ComparisonRow]) -> dict[Place, list[ComparisonRow]]:
    """The rows of each column, in order of appearance."""
    found: dict[Place, list[ComparisonRow]] = {}
    for row in rows:
        found.setdefault(place_of(row), []).append(row)
    return found


def column_name(place: Place, among: Iterable[Place]) -> str:
    """The names of a column, with its fingerprint if another column has the same names."""
    names = ", ".join(place[:3])
    alone = sum(other[:3] == place[:3] for other in among) == 1
    return names if alone else f"{names}, data {place.fingerprint[:SHOWN_DIGITS]}"


def by_model(rows: Iterable[ComparisonRow]) -> dict[tuple[str, str], list[ComparisonRow]]:
    """The rows of each measure and model: densities first, models in order of appearance."""
    found: dict[tuple[str, str], list[ComparisonRow]] = {}
    for row in rows:
        found.setdefault((row.measure, row.model), []).append(row)
    return dict(sorted(found.items(), key=lambda item: item[0][0]))


def model_names(models: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
    """The displayed name of each measure and model."""
    known = list(models)
    mixed = len({measure for measure, _ in known}) > 1
    return {(measure, model): f"{model} ({measure})" if mixed else model for measure, model in known}


def left_out(comparison: Comparison) -> list[str]:
    """The trials without a score: the reader of an average over seeds must know which seeds are missing."""
    diverged = [
        f"{found.corpus}/{found.model}/seed{found.seed} diverged at step {found.step} and has no score"
        for found in comparison.diverged
    ]
    failed = [f"{name} failed and has no score: {reason}" for name, reason in comparison.failed.items()]
    return diverged + failed


def fixed(value: float | None, digits: int, sign: str = "") -> str:
    """A number with `digits` decimals, never -0; empty if there is none."""
    return "" if value is None else Number(f"{value:{sign}z.{digits}f}")


def whole(value: int | None) -> str:
    """A count; empty if there is none."""
    return "" if value is None else Number(str(value))


def interval(ends: tuple[float, float] | None, digits: int, sign: str = "") -> str:
    """An interval, or "unknown" if there is none or it is infinite."""
    if ends is None or not all(map(math.isfinite, ends)):
        return "unknown"
    return Number(f"[{fixed(ends[0], digits, sign)}, {fixed(ends[1], digits, sign)}]")


def p_value(value: float | None) -> str:
    """A p-value."""
    return "unknown" if value is None else Number("< 0.001" if value < 0.001 else f"{value:.3f}")


def estimator_name(row: ComparisonRow) -> str:
    """The estimator with its K, without its sign: "elbo", "iwae-40"."""
    return signed_estimator(row.estimator, row.num_samples).split()[1]


def spread(row: ComparisonRow) -> str:
    """The standard deviation over seeds, or why there is none."""
    if row.estimator == "code":
        return "not trained"
    return "one seed" if row.seed_std is None else Number(f"± {fixed(row.seed_std, 1)}")


def sequence_count(rows: Iterable[ComparisonRow]) -> str:
    """The number of sequences of a column."""
    return f"{span(row.sequences for row in rows)} sequences"


def span(counts: Iterable[int]) -> str:
    """A count, or the least and the largest of several."""
    low, high = min(known := list(counts)), max(known)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
