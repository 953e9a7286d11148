"""A comparison as CSV, for programs: each field in a column of its own, with all digits.

The columns follow from the schema, so that a table without rows has the same ones. A nested field has the names of the
fields around it: `first_model`, `nats_per_sequence_difference`. An interval becomes two columns, `low` and `high`, with
the name of the value whose interval it is. None is an empty cell.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel

from benchmarks.schema.comparison import ComparisonRow, PairedDifference, PublishedComparison, Reason

__all__ = ["differences_csv", "published_csv", "rows_csv"]

_INTERVALS = {"interval": "", "joint_interval": "joint_"}
_SEPARATOR = " | "


def rows_csv(rows: Iterable[ComparisonRow]) -> str:
    """One line per score; its interval is `nats_per_sequence_low` and `nats_per_sequence_high`."""
    return _csv(ComparisonRow, rows)


def differences_csv(rows: Iterable[PairedDifference]) -> str:
    """One line per pair of models."""
    return _csv(PairedDifference, rows)


def published_csv(rows: Iterable[PublishedComparison]) -> str:
    """One line per pair; `blockers` and `notes` are codes of its reasons, `reasons` their sentences in that order."""
    return _csv(PublishedComparison, rows)


def _csv(kind: type[BaseModel], rows: Iterable[BaseModel]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(name for name, _ in _columns(kind, None))
    writer.writerows([value for _, value in _columns(kind, row)] for row in rows)
    return stream.getvalue()


def _columns(kind: type[BaseModel], row: BaseModel | None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of all columns, those of nested models included; the values are None without a row."""
    for name, field in kind.model_fields.items():
        value = None if row is None else getattr(row, name)
        nested = [
            part
            for part in (field.annotation, *get_args(field.annotation))
            if isinstance(part, type) and issubclass(part, BaseModel)
        ]
        if name == "reasons":
            reasons: tuple[Reason, ...] = value or ()
            yield "blockers", _SEPARATOR.join(reason.code for reason in reasons if reason.blocks)
            yield "notes", _SEPARATOR.join(reason.code for reason in reasons if not reason.blocks)
            yield "reasons", _SEPARATOR.join(reason.sentence for reason in reasons)
        elif name in _INTERVALS:
            stem = f"{prefix or 'nats_per_sequence_'}{_INTERVALS[name]}"
            low, high = value or (None, None)
            yield from ((f"{stem}low", low), (f"{stem}high", high))
        elif nested:
            yield from _columns(nested[0], value, f"{prefix}{name}_")
        else:
            yield prefix + name, value
