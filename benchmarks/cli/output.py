"""What the commands print: tables and progress for people on stderr or stdout, one JSON object for programs."""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

__all__ = [
    "estimator_label",
    "json_text",
    "progress_bar",
    "say",
    "say_result",
    "score_table",
    "show",
    "show_aside",
    "summary_table",
    "write_json",
]

_BOUND_SIGNS = {"exact": "=", "elbo": "≥", "iwae": "~", "fivo": "~", "code": "="}
_SAMPLED = ("iwae", "fivo")


def say(message: str) -> None:
    """Tell the person at the terminal, on stderr."""
    Console(stderr=True, highlight=False).print(message, markup=False, soft_wrap=True)


def say_result(line: str) -> None:
    """Print a result of one line on stdout."""
    Console(highlight=False).print(line, markup=False, soft_wrap=True)


def show(table: Table) -> None:
    """Print a table on stdout; wide enough for its columns where stdout is no terminal."""
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table)


def show_aside(table: Table) -> None:
    """Print a table on stderr: stdout is for the result."""
    Console(stderr=True, width=None if sys.stderr.isatty() else 160).print(table)


def write_json(value: Mapping[str, Any]) -> None:
    """Write one JSON object on stdout; numbers that are not finite become null."""
    sys.stdout.write(json_text(value))


def json_text(value: Mapping[str, Any]) -> str:
    """One JSON object, indented; numbers that are not finite become null."""
    return json.dumps(_finite(value), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr; yields a function of (done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def summary_table(summary: Mapping[str, Any]) -> Table:
    """The result of `inspect` as a table: one row a split."""
    speech = summary["kind"] == "speech"
    table = Table(title=f"{summary['corpus']}  fingerprint {summary['fingerprint'][:12]}", caption=_caption(summary))
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


def _caption(summary: Mapping[str, Any]) -> str:
    rejects = ", ".join(f"{code} {count}" for code, count in summary["rejects"].items()) or "none"
    what = "samples" if summary["kind"] == "speech" else "offsets (dx, dy)"
    moments = f"train {what}: mean {_numbers(summary['mean'])}, std {_numbers(summary['std'])}"
    return f"{summary['split_rule']}; rejects: {rejects}; {moments}"


def _numbers(value: float | list[float] | None) -> str:
    values = value if isinstance(value, list) else [value]
    return ", ".join("unknown" if number is None else f"{number:.4g}" for number in values)


def estimator_label(name: str, samples: int) -> str:
    """An estimator as tables call it, with the relation of the log-likelihood to its figure."""
    return f"{_BOUND_SIGNS[name]} {name}{f'-{samples}' if name in _SAMPLED else ''}"


def score_table(summary: Mapping[str, Any]) -> Table:
    """The result of `score` as a table."""
    table = Table(title=f"{summary['model']} on {summary['split']}, protocol {summary['protocol']}", show_header=False)
    table.add_row("estimator", estimator_label(summary["estimator"], summary["num_samples"]))
    table.add_row("sequences", f"{summary['sequences']:,} ({summary['frames']:,} frames)")
    error = f" ± {summary['monte_carlo_error']:.2f} (Monte Carlo)" if summary["monte_carlo_error"] > 0 else ""
    table.add_row(f"nats per sequence, {summary['measure']}", f"{summary['nats_per_sequence']:.2f}{error}")
    table.add_row("nats per frame", f"{summary['nats_per_frame']:.4f}")
    if summary["bits_per_sample"] is not None:
        table.add_row("bits per sample", f"{summary['bits_per_sample']:.4f}")
    return table
