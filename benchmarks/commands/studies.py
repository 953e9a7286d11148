"""The verbs that run a study and show what it found."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.commands.arguments import Argument, Json
from benchmarks.errors import FailedError
from benchmarks.output import comparison_table, say, show, write_json

if TYPE_CHECKING:
    from benchmarks.study import Comparison

__all__ = ["compare", "report", "run"]


def run(suite: Argument[Path], workers: int = 0, address: str | None = None, json_: Json = False) -> None:
    """Run a study: train, score and record every trial of a suite that is not yet recorded.

    Args:
        suite: a TOML file.
        workers: processes that share each batch of a trial; 0 trains in this process.
        address: of a Ray cluster.
        json_: print one JSON object on stdout.
    """
    from benchmarks.study import run_study
    from benchmarks.suite import load_suite
    from benchmarks.tracking import open_record
    from benchmarks.watching import TerminalWatcher
    from vrnn.memory import keep_freed_memory

    keep_freed_memory()
    loaded = load_suite(suite)
    comparison = run_study(loaded, open_record, workers=workers, address=address, watcher=TerminalWatcher())
    _print_comparison(comparison, as_json=json_)
    if comparison.diverged:
        first = comparison.diverged[0]
        raise FailedError(
            f"{len(comparison.diverged)} trials diverged, the first of them {first['corpus']}/{first['model']}/"
            f"seed{first['seed']} at step {first['step']}; lower its learning_rate in {suite}"
        )


def compare(study: Argument[str], json_: Json = False) -> None:
    """Print the table of a recorded study, computed anew from its per-sequence scores.

    Args:
        study: its name, as in the suite.
        json_: print one JSON object on stdout.
    """
    from benchmarks.study import compare_study

    _print_comparison(compare_study(study), as_json=json_)


def _print_comparison(comparison: "Comparison", *, as_json: bool) -> None:
    if as_json:
        write_json(comparison.to_json())
    else:
        show(comparison_table(comparison))


def report(study: Argument[str], out: Path) -> None:
    """Write a study's report: one HTML page that opens offline.

    Args:
        study: its name, as in the suite.
        out: the file to write.
    """
    from benchmarks.tracking import DEFAULT_STORE
    from dashboards.report import write_report

    write_report(study, out, os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_STORE))
    say(f"{out}: written")
