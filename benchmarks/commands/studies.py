"""The verbs that run a study and show what it found."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.commands.arguments import Argument, Json
from benchmarks.commands.ending import stopping
from benchmarks.errors import FailedError, StoppedError
from benchmarks.output import comparison_table, say, show, write_json

if TYPE_CHECKING:
    from benchmarks.study import Comparison

__all__ = ["compare", "report", "run"]


def run(
    suite: Argument[Path],
    concurrent: int | None = None,
    workers: int | None = None,
    elastic: tuple[int, int] | None = None,
    cpus_per_worker: float | None = None,
    gpus_per_worker: float | None = None,
    micro_batch: int | None = None,
    max_failures: int | None = None,
    address: str | None = None,
    save_seconds: float | None = None,
    keep: int | None = None,
    json_: Json = False,
) -> None:
    """Run a study: train, score and record every trial of a suite that is not yet recorded.

    What is given here goes before what the suite says. Ctrl-C once saves what is running and ends, twice ends at once.

    Args:
        suite: a TOML file.
        concurrent: trials at once.
        workers: processes that share each batch of a trial; 0 trains a trial in one process.
        elastic: the least and the most workers of a trial, in place of a fixed number.
        cpus_per_worker: cores, and threads, of each worker, or of a trial without workers.
        gpus_per_worker: of each worker, or of a trial without workers; a fraction lets several share one.
        micro_batch: sequences that a worker computes on at once, their gradients summed; 0 takes all of its share.
        max_failures: of a trial in a row, without getting on, after which it is given up; running out of memory is not
            one while fewer sequences at once are left to try.
        address: of a Ray cluster.
        save_seconds: after which a checkpoint is written within an epoch.
        keep: how many of the last checkpoints of a trial are kept beside the best.
        json_: print one JSON object on stdout.
    """
    from benchmarks.study import run_study
    from benchmarks.suite import load_suite, with_ways
    from benchmarks.tracking import open_record
    from benchmarks.watching import watching
    from vrnn.memory import keep_freed_memory

    ways = {"concurrent": concurrent, "address": address, "save_seconds": save_seconds, "keep": keep}
    needs = {"workers": workers, "elastic": elastic, "micro_batch": micro_batch, "max_failures": max_failures}
    needs |= {"cpus_per_worker": cpus_per_worker, "gpus_per_worker": gpus_per_worker}
    loaded = with_ways(load_suite(suite), ways, needs)
    keep_freed_memory()
    with stopping("saving what is running") as stop, watching() as watcher:
        try:
            comparison = run_study(loaded, open_record, watcher=watcher, stop=stop)
        except KeyboardInterrupt:
            if not stop():
                raise
            raise StoppedError(stop.signal, f"study {loaded.study}: stopped") from None
    _print_comparison(comparison, as_json=json_)
    _fail_for_the_missing(comparison, suite)


def _fail_for_the_missing(comparison: "Comparison", suite: Path) -> None:
    if comparison.failed:
        told = "; ".join(f"{name}: {reason}" for name, reason in comparison.failed.items())
        raise FailedError(f"{len(comparison.failed)} trials failed: {told}; the same command tries them again")
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
