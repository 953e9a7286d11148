"""Printing: results on stdout, everything else on stderr. Each table is built in the module of its verbs."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.schema.base import json_text

__all__ = ["print_json", "print_message", "print_result", "print_table", "progress_bar"]

_WIDTH_WITHOUT_TERMINAL = 200


def print_message(message: str) -> None:
    """Print one line on stderr."""
    Console(stderr=True, highlight=False).print(message, markup=False, soft_wrap=True)


def print_result(line: str) -> None:
    """Print one line on stdout."""
    Console(highlight=False).print(line, markup=False, soft_wrap=True)


def print_table(table: Table, *, stderr: bool = False) -> None:
    """Print a table, on stdout by default; in a file or a pipe it is as wide as its columns need."""
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    Console(stderr=stderr, width=None if is_terminal else _WIDTH_WITHOUT_TERMINAL).print(table)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout; numbers that are not finite become null."""
    sys.stdout.write(json_text(value))


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on stderr; yields a function of (done, total) that updates it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
