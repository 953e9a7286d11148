"""The verbs that run a study and copy its results to MLflow: run, sync."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from benchmarks.cli.arguments import Argument, Count, Json, Name, NumberOrNone, Uri
from benchmarks.cli.interruption import stop_on_signals
from benchmarks.cli.output import print_json, print_message, print_table
from benchmarks.cli.result_verbs import log_study_report, print_comparison
from benchmarks.errors import FailedError, StoppedError

if TYPE_CHECKING:
    from benchmarks.schema.comparison import Comparison
    from benchmarks.schema.suite import Suite

__all__ = ["run", "sync"]


def run(
    suite: Annotated[Argument[Path], tyro.conf.arg(metavar="SUITE.toml")],
    concurrent: Count = None,
    workers: Count = None,
    elastic: Annotated[
        tuple[int, int] | None, tyro.conf.arg(metavar="LEAST MOST", help_behavior_hint="(optional)")
    ] = None,
    cpus_per_worker: NumberOrNone = None,
    gpus_per_worker: NumberOrNone = None,
    micro_batch: Count = None,
    max_failures: Count = None,
    address: Uri = None,
    save_seconds: NumberOrNone = None,
    keep: Count = None,
    study: Name = None,
    dry_run: bool = False,
    json_: Json = False,
) -> None:
    """Run a study: train and score every trial of a suite that has no result yet.

    Flags override the suite. The first Ctrl-C saves the running trials and stops, the second stops at once.

    Args:
        suite: Suite file.
        concurrent: Number of trials that run in parallel.
        workers: Processes that share each batch of a trial; 0 trains each trial in one process.
        elastic: Least and largest number of workers of a trial, instead of a fixed number.
        cpus_per_worker: Cores (and threads) per worker, or per trial without workers.
        gpus_per_worker: GPUs per worker, or per trial without workers. Workers share a GPU if this is a fraction.
        micro_batch: Sequences per forward and backward pass of a worker; their gradients are summed. 0 takes all.
        max_failures: Failures in a row, without progress, after which a trial is given up. Running out of memory
            does not count while a smaller micro-batch can be tried.
        address: Address of a Ray cluster.
        save_seconds: Seconds between checkpoints within an epoch.
        keep: Number of latest checkpoints to keep per trial, in addition to the best.
        study: Run the suite as a study of another name, for example to repeat a study.
        dry_run: Print the plan and exit: trials, sizes, and estimates of steps, memory and time.
        json_: Print one JSON object on stdout.
    """
    from benchmarks.suites.suite import load_suite, override
    from pipelines.runtime.storage import Location

    loaded = override(
        load_suite(suite),
        {"concurrent": concurrent, "address": address, "save_seconds": save_seconds, "keep": keep, "study": study},
        resources={
            "workers": workers,
            "elastic": elastic,
            "micro_batch": micro_batch,
            "max_failures": max_failures,
            "cpus_per_worker": cpus_per_worker,
            "gpus_per_worker": gpus_per_worker,
        },
    )
    if dry_run:
        _print_plan(loaded, as_json=json_)
        return
    comparison = _run(loaded)
    if comparison.unsent is None:
        log_study_report(Location(loaded.runs).absolute / loaded.study, comparison)
    print_comparison(comparison, as_json=json_)
    _check_complete(comparison, loaded, suite)


def _print_plan(suite: "Suite", *, as_json: bool) -> None:
    from dataclasses import asdict

    from benchmarks.cli.study_tables import forecast_table
    from benchmarks.study.estimate import forecast

    plan = forecast(suite)
    if as_json:
        print_json(asdict(plan))
    else:
        print_table(forecast_table(plan))


def _run(suite: "Suite") -> "Comparison":
    from benchmarks.cli.progress import show_progress
    from benchmarks.store.mlflow_writer import open_writer
    from benchmarks.study.run import run_study
    from vrnn.device.memory import keep_freed_memory

    keep_freed_memory()
    with stop_on_signals("saving the running trials") as stop, show_progress() as progress:
        try:
            return run_study(suite, open_writer, subscribers=[progress], stop=stop)
        except KeyboardInterrupt:
            if not stop():
                raise
            raise StoppedError(stop.signal, f"study {suite.study}: stopped") from None


def _check_complete(comparison: "Comparison", suite: "Suite", path: Path) -> None:
    """Make the command fail if the study is incomplete, after its results have been printed.

    Raises:
        FailedError: results were not sent, or trials failed or diverged.
    """
    if comparison.unsent is not None:
        raise FailedError(
            f"{comparison.unsent}; the results are on disk: run vrnn-bench sync {Path(suite.runs) / suite.study}"
        )
    if comparison.failed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in comparison.failed.items())
        raise FailedError(f"{len(comparison.failed)} trials failed: {reasons}; run the same command to retry them")
    if comparison.diverged:
        first = comparison.diverged[0]
        raise FailedError(
            f"{len(comparison.diverged)} trials diverged, the first is {first.corpus}/{first.model}/"
            f"seed{first.seed} at step {first.step}; lower its learning_rate in {path}"
        )


def sync(directory: Annotated[Argument[str], tyro.conf.arg(metavar="RUNS/STUDY")], json_: Json = False) -> None:
    """Send to MLflow the results of a study that it does not have yet.

    Use it after MLflow was unreachable, or to copy a study to another store. Nothing is sent twice.

    Args:
        directory: Directory of the study: RUNS/STUDY, as named in its suite.
        json_: Print one JSON object on stdout.
    """
    from benchmarks.store.mlflow_writer import open_writer
    from benchmarks.study.run import sync_study
    from pipelines.runtime.storage import Location

    sent: list[str] = []

    def on_sent(name: str) -> None:
        sent.append(name)
        print_message(f"{name}: sent")

    comparison = sync_study(Location(directory).absolute, open_writer, on_sent)
    log_study_report(Location(directory).absolute, comparison)
    print_message(f"study {comparison.study}: {len(sent)} results sent")
    print_comparison(comparison, as_json=json_)
