"""Tables about a set of shards: its summary, its speakers, its rejects, its exports."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.table import Table

__all__ = ["MOST_SPEAKERS", "export_table", "reject_table", "speaker_table", "summary_table"]

MOST_SPEAKERS = 20


def summary_table(summary: Mapping[str, Any]) -> Table:
    """The summary of a set of shards, one row per split."""
    speech = summary["kind"] == "speech"
    rejects = ", ".join(f"{code} {count}" for code, count in summary["rejects"].items()) or "none"
    values = "samples" if speech else "offsets (dx, dy)"
    moments = f"train {values}: mean {_numbers(summary['mean'])}, std {_numbers(summary['std'])}"
    table = Table(
        title=f"{summary['corpus']}, fingerprint {summary['fingerprint'][:12]}",
        caption=f"Splits: {summary['split_rule']}\nRejects: {rejects}\n{moments}",
        caption_justify="left",
    )
    table.add_column("split")
    for name in ("sequences", "hours" if speech else "points", "speakers", "shards", "shortest", "median", "longest"):
        table.add_column(name, justify="right")
    for split, sequences in summary["sequences"].items():
        size = f"{summary['seconds'][split] / 3600:.3f}" if speech else f"{summary['samples'][split]:,}"
        lengths = summary["lengths"].get(split, {"min": 0, "median": 0, "max": 0})
        scale = summary["sample_rate"] if speech else 1
        extent = [f"{lengths[key] / scale:.2f} s" if speech else str(lengths[key]) for key in ("min", "median", "max")]
        speakers = f"{summary['speakers'][split]:,}" + (" + unknown" if summary["without_speaker"][split] else "")
        table.add_row(split, f"{sequences:,}", size, speakers, str(summary["shards"][split]), *extent)
    return table


def _numbers(value: float | list[float] | None) -> str:
    values = value if isinstance(value, list) else [value]
    return ", ".join("unknown" if number is None else f"{number:.4g}" for number in values)


def speaker_table(speakers: pd.DataFrame, sample_rate: int | None) -> Table:
    """The longest speakers of `speakers_by_length`, one row per speaker and split."""
    unit = "minutes" if sample_rate else "points"
    table = Table(title=f"speakers by length: {min(MOST_SPEAKERS, len(speakers))} of {len(speakers)}")
    table.add_column("speaker")
    table.add_column("split")
    for name in ("sequences", unit, "shortest", "median", "longest"):
        table.add_column(name, justify="right")
    for row in speakers.head(MOST_SPEAKERS).to_dict("records"):
        name = "unknown" if pd.isna(row["speaker"]) else str(row["speaker"])
        size = f"{row['seconds'] / 60:.2f}" if sample_rate else f"{row['length']:,}"
        extent = [
            f"{row[key] / sample_rate:.2f} s" if sample_rate else f"{row[key]:.0f}"
            for key in ("shortest", "median", "longest")
        ]
        table.add_row(name, str(row["split"]), f"{row['sequences']:,}", size, *extent)
    return table


def reject_table(rejects: pd.DataFrame) -> Table:
    """The result of `rejects_by_code`, one row per code."""
    table = Table(title="rejects by code, with one example each")
    table.add_column("code")
    table.add_column("files", justify="right")
    table.add_column("example", overflow="fold")
    for row in rejects.to_dict("records"):
        table.add_row(str(row["code"]), f"{row['count']:,}", f"{row['path']}: {row['message']}")
    return table


def export_table(splits: Mapping[str, Mapping[str, Any]], title: str) -> Table:
    """The result of `export`, one row per split."""
    table = Table(title=title)
    table.add_column("split")
    for name in ("sequences", "files", "bytes"):
        table.add_column(name, justify="right")
    for split, done in splits.items():
        table.add_row(split, *(f"{done[name]:,}" for name in ("sequences", "files", "bytes")))
    return table
