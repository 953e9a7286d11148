"""What is said of a set of shards beside its summary: its speakers, its rejects, its problems."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from rich.table import Table

__all__ = ["MOST_SPEAKERS", "export_table", "print_lines", "reject_table", "speaker_table"]

MOST_SPEAKERS = 20


def speaker_table(speakers: pd.DataFrame, sample_rate: int | None) -> Table:
    """The result of `speakers_by_length` as a table, those with most of it."""
    unit = "minutes" if sample_rate else "points"
    table = Table(title=f"speakers by length: {min(MOST_SPEAKERS, len(speakers))} of {len(speakers)}")
    table.add_column("speaker")
    table.add_column("split")
    for name in ("sequences", unit, "shortest", "median", "longest"):
        table.add_column(name, justify="right")
    for row in speakers.head(MOST_SPEAKERS).to_dict("records"):
        name = "unknown" if pd.isna(row["speaker"]) else str(row["speaker"])
        size = f"{row['seconds'] / 60:.2f}" if sample_rate else f"{row['length']:,}"
        extent = [_length(row[key], sample_rate) for key in ("shortest", "median", "longest")]
        table.add_row(name, str(row["split"]), f"{row['sequences']:,}", size, *extent)
    return table


def _length(value: float, sample_rate: int | None) -> str:
    return f"{value / sample_rate:.2f} s" if sample_rate else f"{value:.0f}"


def reject_table(rejects: pd.DataFrame) -> Table:
    """The result of `rejects_by_code` as a table."""
    table = Table(title="rejects by code, each with an example")
    table.add_column("code")
    table.add_column("files", justify="right")
    table.add_column("example", overflow="fold")
    for row in rejects.to_dict("records"):
        table.add_row(str(row["code"]), f"{row['count']:,}", f"{row['path']}: {row['message']}")
    return table


def export_table(splits: Mapping[str, Mapping[str, Any]], title: str) -> Table:
    """The result of `export` as a table: one row a split."""
    table = Table(title=title)
    table.add_column("split")
    for name in ("sequences", "files", "bytes"):
        table.add_column(name, justify="right")
    for split, done in splits.items():
        table.add_row(split, *(f"{done[name]:,}" for name in ("sequences", "files", "bytes")))
    return table


def print_lines(lines: Iterable[str]) -> None:
    """Print lines on stdout as they are, unwrapped, for `grep` to find."""
    sys.stdout.writelines(f"{line}\n" for line in lines)
