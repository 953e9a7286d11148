"""A comparison as CSV: every field in a column of its own and every digit kept, for whoever computes on with it.

Columns are taken from the types, so that a table without rows has the same ones. A nested field carries the names of
what it is in: `first_model`, `nats_per_sequence_difference`. An interval has two columns, `low` and `high`, with the
name of what it is an interval of. Empty cells are what is None.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from benchmarks.published.comparability import Beside
from benchmarks.statistics.paired_differences import Difference
from benchmarks.statistics.table import ComparisonRow

__all__ = ["differences_csv", "published_csv", "rows_csv"]

_INTERVALS = {"interval": "", "joint_interval": "joint_"}
_SEPARATOR = " | "


def rows_csv(rows: Iterable[ComparisonRow]) -> str:
    """One line a figure; the interval is `nats_per_sequence_low` and `nats_per_sequence_high`."""
    return _csv(ComparisonRow, rows)


def differences_csv(rows: Iterable[Difference]) -> str:
    """One line a comparison."""
    return _csv(Difference, rows)


def published_csv(rows: Iterable[Beside]) -> str:
    """One line a pair; `bars` and `remarks` are the codes of its reasons, `reasons` their sentences in that order."""
    return _csv(Beside, rows)


def _csv(kind: type, rows: Iterable[object]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(name for name, _ in _leaves(kind, None))
    writer.writerows([value for _, value in _leaves(kind, row)] for row in rows)
    return stream.getvalue()


def _leaves(kind: type, row: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of the fields of a dataclass, with those of the ones inside; all None where there is no row."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        value = None if row is None else getattr(row, field.name)
        hint = hints[field.name]
        inner = [part for part in (hint, *get_args(hint)) if isinstance(part, type) and is_dataclass(part)]
        if field.name == "reasons":
            yield from _reasons(value or ())
        elif field.name in _INTERVALS:
            yield from _ends(f"{prefix or 'nats_per_sequence_'}{_INTERVALS[field.name]}", value)
        elif inner:
            yield from _leaves(inner[0], value, f"{prefix}{field.name}_")
        else:
            yield prefix + field.name, value


def _ends(name: str, ends: tuple[float, float] | None) -> Iterator[tuple[str, float | None]]:
    low, high = ends or (None, None)
    yield f"{name}low", low
    yield f"{name}high", high


def _reasons(reasons: Iterable[Any]) -> Iterator[tuple[str, str]]:
    known = list(reasons)
    yield "bars", _SEPARATOR.join(reason.code for reason in known if reason.bar)
    yield "remarks", _SEPARATOR.join(reason.code for reason in known if not reason.bar)
    yield "reasons", _SEPARATOR.join(reason.sentence for reason in known)
