"""The verbs about the results of a study: compare, reproduce, report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from benchmarks.cli.arguments import Argument, Json, PathOrNone, Uri, at_least
from benchmarks.cli.interruption import report_failures, stop_on_signals
from benchmarks.cli.output import print_json, print_message, print_result, print_table
from benchmarks.errors import FailedError, StoppedError, StudyError

if TYPE_CHECKING:
    from benchmarks.schema.comparison import Comparison
    from pipelines.runtime.storage import Location

__all__ = ["compare", "log_study_report", "print_comparison", "report", "reproduce"]


def compare(
    study: Annotated[Argument[str], tyro.conf.arg(metavar="STUDY")],
    other: Annotated[Argument[str | None], tyro.conf.arg(metavar="[AFTER]", help_behavior_hint="(optional)")] = None,
    out: PathOrNone = None,
    json_: Json = False,
) -> None:
    """Print the results of a study, or what changed between two studies or two git commits.

    All values are recomputed from the scores of single sequences.

    Args:
        study: Name or results directory of a study, or a git commit.
        other: A later study or commit. Differences are positive where it is better.
        out: Write the comparison of one study to this directory: Markdown, LaTeX, CSV and JSON, a statement of the
            protocol, and a citation.
        json_: Print one JSON object on stdout.
    """
    from benchmarks.cli.study_tables import changes_table
    from benchmarks.export import write_exports
    from benchmarks.store.locate import open_study
    from benchmarks.study.changes import compare_two
    from benchmarks.study.summary import compare_study

    if other is not None:
        if out is not None:
            raise StudyError("--out writes one study's comparison; leave it out, or name one study")
        changes = compare_two(study, other)
        if json_:
            print_json(changes.to_json())
        else:
            print_table(changes_table(changes))
        return
    comparison = compare_study(open_study(study))
    print_comparison(comparison, as_json=json_)
    if out is not None:
        for path in write_exports(comparison, out):
            print_message(f"written: {path}")


def print_comparison(comparison: "Comparison", *, as_json: bool) -> None:
    """Print the results of a study as tables, or as JSON."""
    from benchmarks.cli.study_tables import comparison_table, differences_table, published_table
    from benchmarks.schema.base import to_json

    if as_json:
        print_json(to_json(comparison))
        return
    print_table(comparison_table(comparison))
    if comparison.differences:
        print_table(differences_table(comparison))
    if comparison.published:
        print_table(published_table(comparison))
    for warning in comparison.warnings:
        print_message(f"warning: {warning}")


def reproduce(
    run_id: Annotated[Argument[str], tyro.conf.arg(metavar="TRIAL")],
    shards: Uri = None,
    out: Uri = None,
    tolerance: float = 1e-3,
    json_: Json = False,
) -> None:
    """Run a recorded trial again and compare: identical, within tolerance, or different, and where first.

    Exit status: 0 identical or within tolerance, 1 different.

    Args:
        run_id: Name of the trial, such as table1-small/timit/paper/vrnn-gauss/seed0, or the ID of its run in MLflow.
        shards: Present location of the data, if they were moved.
        out: Directory for checkpoints and scores; a directory in reproduced/ by default.
        tolerance: Accepted difference of the mean score by each estimator, in nats per frame.
        json_: Print one JSON object on stdout.
    """
    from benchmarks.cli.study_tables import checks_table, reproduction_line
    from benchmarks.study.reproduce import reproduce as run_again
    from pipelines.runtime.storage import Location
    from vrnn.device.memory import keep_freed_memory

    at_least(0, "--tolerance", tolerance)
    place = Location(out or str(Path("reproduced") / run_id.replace("/", "-"))).absolute
    keep_freed_memory()
    with report_failures(), stop_on_signals("saving the run") as stop:
        found = run_again(
            run_id,
            place,
            shards=shards,
            tolerance=tolerance,
            on_checked=lambda name, checks: print_table(checks_table(name, checks), stderr=True),
            on_epoch=lambda record, last: print_message(
                f"epoch {record.epoch}/{last}: valid {record.valid_nats_per_frame:.3f} nats per frame"
            ),
            stop=stop,
        )
    if found is None:
        raise StoppedError(stop.signal, f"reproduction of {run_id}: stopped")
    if json_:
        print_json(found.to_json())
    else:
        print_result(reproduction_line(found))
    if found.verdict == "different":
        raise FailedError(f"{run_id} is not reproduced: {found.first_difference}")


def report(study: Annotated[Argument[str], tyro.conf.arg(metavar="STUDY")], out: Path, log: bool = True) -> None:
    """Write the report of a study: one HTML page that opens offline.

    Args:
        study: Name or results directory of the study.
        out: File to write.
        log: Also store it in MLflow, as report.html of the study's run.
    """
    from benchmarks.store.locate import open_study
    from benchmarks.store.mlflow_writer import log_report
    from benchmarks.study.summary import compare_study
    from dashboards.page import write_page
    from dashboards.report.study_report import build_report

    stored = open_study(study)
    html = build_report(stored, compare_study(stored))
    write_page(html, out)
    print_message(f"written: {out}")
    if log:
        log_report(stored.name, html)


def log_study_report(directory: "Location", comparison: "Comparison") -> None:
    """Store the report of a study on disk in MLflow; an error here is printed and does not fail the study."""
    from benchmarks.store.mlflow_writer import REPORT, log_report
    from benchmarks.store.results import read_study_directory
    from dashboards.report.study_report import build_report

    try:
        log_report(comparison.study, build_report(read_study_directory(directory), comparison))
    except StudyError as error:
        print_message(f"{REPORT} was not written: {error}")
