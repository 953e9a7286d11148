"""The verbs that show what was found, and check it."""

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.arguments import Argument, Json, at_least
from benchmarks.cli.interruption import failing, stopping
from benchmarks.cli.output import say, say_result, show, show_aside, write_json
from benchmarks.errors import FailedError, StoppedError, StudyError

if TYPE_CHECKING:
    from benchmarks.study.reproduce import Check
    from benchmarks.study.summary import Comparison

__all__ = ["compare", "keep_report", "report", "reproduce", "show_comparison"]


def compare(
    study: Argument[str], other: Argument[str | None] = None, out: Path | None = None, json_: Json = False
) -> None:
    """Print what a recorded study found, or what changed between two studies or two git commits.

    Everything is computed anew from per-sequence scores.

    Args:
        study: its name, as in the suite, or a git commit.
        other: a study or commit that came after it: the difference is positive where it is the better one.
        out: of one study, a directory to write to: the comparison as Markdown, LaTeX, CSV and JSON, with a statement
            of the protocol and a citation.
        json_: print one JSON object on stdout.
    """
    from benchmarks.cli.study_tables import changes_table
    from benchmarks.export import write_exports
    from benchmarks.study.changes import compare_two
    from benchmarks.study.summary import compare_study

    if other is not None:
        if out is not None:
            raise StudyError("--out writes one study's comparison; leave it out, or name one study")
        changes = compare_two(study, other)
        if json_:
            write_json(changes.to_json())
        else:
            show(changes_table(changes))
        return
    comparison = compare_study(study)
    show_comparison(comparison, as_json=json_)
    if out is not None:
        for path in write_exports(comparison, out):
            say(f"{path}: written")


def show_comparison(comparison: "Comparison", *, as_json: bool) -> None:
    """Print a study's result."""
    from benchmarks.cli.study_tables import comparison_table, differences_table, published_table

    if as_json:
        write_json(comparison.to_json())
        return
    show(comparison_table(comparison))
    if comparison.differences:
        show(differences_table(comparison))
    if comparison.published:
        show(published_table(comparison))
    for warning in comparison.warnings:
        say(f"warning: {warning}")


def _show_checks(name: str, checks: "tuple[Check, ...]") -> None:
    from benchmarks.cli.study_tables import checks_table

    show_aside(checks_table(name, checks))


def reproduce(
    run_id: Argument[str],
    shards: str | None = None,
    out: str | None = None,
    tolerance: float = 1e-3,
    json_: Json = False,
) -> None:
    """Run a recorded trial again, and say whether it comes out identical, within tolerance, or different and where.

    A trial goes by its run's ID in MLflow or by its name, such as table1-small/timit/paper/vrnn-gauss/seed0.

    Exit status: 0 identical or within tolerance, 1 different.

    Args:
        run_id: of a trial, as MLflow's page of it shows, or STUDY/TRIAL.
        shards: where its data lie, if not where they lay.
        out: where its checkpoints and scores go; `reproduced/RUN_ID` by default.
        tolerance: nats per frame, on the mean score by each estimator.
        json_: print one JSON object on stdout.
    """
    from benchmarks.cli.study_tables import reproduction_line
    from benchmarks.store.mlflow_reader import find_run
    from benchmarks.store.mlflow_writer import asking
    from benchmarks.study.reproduce import reproduce as run_again
    from pipelines.runtime.storage import Location
    from vrnn.device.memory import keep_freed_memory

    at_least(0, "--tolerance", tolerance)
    with asking():
        run_id = find_run(run_id)
    place = Location(out or str(Path("reproduced") / run_id)).absolute
    keep_freed_memory()
    with failing(), stopping("saving the run") as stop:
        found = run_again(
            run_id,
            place,
            shards=shards,
            tolerance=tolerance,
            on_checked=_show_checks,
            on_epoch=lambda record, most: say(f"epoch {record.epoch}/{most}: valid {record.valid_nats_per_frame:.3f}"),
            stop=stop,
        )
    if found is None:
        raise StoppedError(stop.signal, f"reproduction of {run_id}: stopped")
    if json_:
        write_json(found.to_json())
    else:
        say_result(reproduction_line(found))
    if found.verdict == "different":
        raise FailedError(f"run {run_id} is not reproduced: {found.first_difference}")


def report(study: Argument[str], out: Path, log: bool = True) -> None:
    """Write a study's report: one HTML page that opens offline.

    Args:
        study: its name, as in the suite.
        out: the file to write.
        log: keep it in MLflow too, as report.html of the study's run.
    """
    from benchmarks.store.mlflow_writer import log_report, store
    from dashboards.report.study_report import build_report
    from dashboards.writing import write_page

    html = build_report(study, store())
    write_page(html, out)
    say(f"{out}: written")
    if log:
        log_report(study, html)


def keep_report(study: str) -> None:
    """Keep the report in MLflow; a study does not fail for it."""
    from benchmarks.store.mlflow_writer import REPORT, log_report, store
    from dashboards.errors import ReportError
    from dashboards.report.study_report import build_report

    try:
        log_report(study, build_report(study, store()))
    except (ReportError, StudyError) as error:
        say(f"{REPORT} was not written: {error}")
