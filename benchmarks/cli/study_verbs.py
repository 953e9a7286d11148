"""The verbs that run a study, and send what it found to MLflow."""

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.arguments import Argument, Json
from benchmarks.cli.interruption import stopping
from benchmarks.cli.output import say, show, write_json
from benchmarks.cli.result_verbs import keep_report, show_comparison
from benchmarks.errors import FailedError, StoppedError

if TYPE_CHECKING:
    from benchmarks.study.summary import Comparison
    from benchmarks.suites.suite import Suite

__all__ = ["run", "sync"]


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
    study: str | None = None,
    dry_run: bool = False,
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
        study: what to call it instead, such as to repeat it beside what is recorded.
        dry_run: print the plan and end: trials, sizes, and estimates of steps, memory and time.
        json_: print one JSON object on stdout.
    """
    from benchmarks.suites.suite import load_suite, with_ways

    ways = {"concurrent": concurrent, "address": address, "save_seconds": save_seconds, "keep": keep, "study": study}
    needs = {"workers": workers, "elastic": elastic, "micro_batch": micro_batch, "max_failures": max_failures}
    needs |= {"cpus_per_worker": cpus_per_worker, "gpus_per_worker": gpus_per_worker}
    loaded = with_ways(load_suite(suite), ways, needs)
    if dry_run:
        _show_plan(loaded, as_json=json_)
        return
    comparison = _run(loaded)
    if comparison.unsent is None:
        keep_report(comparison.study)
    show_comparison(comparison, as_json=json_)
    _fail_for_the_unsent(comparison, loaded)
    _fail_for_the_missing(comparison, suite)


def _show_plan(suite: "Suite", *, as_json: bool) -> None:
    from dataclasses import asdict

    from benchmarks.cli.study_tables import forecast_table
    from benchmarks.study.estimate import forecast

    plan = forecast(suite)
    if as_json:
        write_json(asdict(plan))
    else:
        show(forecast_table(plan))


def _run(suite: "Suite") -> "Comparison":
    from benchmarks.cli.progress import watching
    from benchmarks.store.mlflow_writer import open_record
    from benchmarks.study.run import run_study
    from vrnn.device.memory import keep_freed_memory

    keep_freed_memory()
    with stopping("saving what is running") as stop, watching() as watcher:
        try:
            return run_study(suite, open_record, watcher=watcher, stop=stop)
        except KeyboardInterrupt:
            if not stop():
                raise
            raise StoppedError(stop.signal, f"study {suite.study}: stopped") from None


def _fail_for_the_unsent(comparison: "Comparison", suite: "Suite") -> None:
    if comparison.unsent is not None:
        raise FailedError(
            f"{comparison.unsent}; what is done is kept: vrnn-bench sync {Path(suite.runs) / suite.study} sends it"
        )


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


def sync(directory: Argument[str], json_: Json = False) -> None:
    """Send to MLflow what it lacks of a study: results that it did not answer for, or a whole study to another store.

    Nothing is sent twice.

    Args:
        directory: of the study: RUNS/STUDY, as its suite names them.
        json_: print one JSON object on stdout.
    """
    from benchmarks.store.mlflow_writer import open_record
    from benchmarks.study.run import sync_study
    from pipelines.runtime.storage import Location

    sent: list[str] = []

    def tell(name: str) -> None:
        sent.append(name)
        say(f"{name}: sent")

    comparison = sync_study(Location(directory).absolute, open_record, tell)
    keep_report(comparison.study)
    say(f"study {comparison.study}: {len(sent)} results sent")
    show_comparison(comparison, as_json=json_)
