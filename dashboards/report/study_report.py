"""The study report: what a person opens to see who is ahead, by how much, and how sure that is.

The page repeats what the study's record holds; it estimates nothing of models itself. It is one file, opened from disk
and offline, and the same study gives the same bytes. Each section has a module that finds what it shows and a template
that shows it; this one puts them in the reader's order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dashboards.charts.specs import interval_chart, model_colours
from dashboards.media.players import WAVE_BOX
from dashboards.media.spectrograms import RANGE_DB, palette_bar
from dashboards.page import render
from dashboards.report.comparison_file import Row
from dashboards.report.conclusions import Conclusion, Group, conclude, group_rows
from dashboards.report.data_section import data_section
from dashboards.report.learning_section import learning_of
from dashboards.report.read_study import read_study
from dashboards.report.reproduce_section import reproduction
from dashboards.report.results_section import find_ahead
from dashboards.report.samples_section import galleries
from dashboards.report.study_record import ROLES, Trial
from dashboards.report.trust_section import find_trust
from dashboards.writing import write_page

__all__ = ["build_report", "write_report"]


@dataclass(frozen=True)
class Result:
    """One group's part of the results: its rows, what follows from them, and their chart."""

    group: Group
    conclusion: Conclusion
    chart: dict[str, Any]


def build_report(study: str, tracking_uri: str | None = None) -> str:
    """The report of a study, as one HTML document.

    Args:
        study: the study's name.
        tracking_uri: the MLflow store; None takes MLflow's own default.

    Raises:
        ReportError: the study is unknown, has no finished comparison, or its artifacts are malformed.
    """
    record = read_study(study, tracking_uri)
    comparison = record.comparison
    groups = group_rows(comparison.rows)
    colours = model_colours([r.model for r in comparison.rows] + [t.model for t in record.trials])
    trials = _in_order(record.trials, comparison.rows, list(colours))
    results = [
        Result(
            group,
            conclude(group, comparison.diverged, comparison.differences),
            interval_chart(group.rows, colours),
        )
        for group in groups
    ]
    content = {
        "study": record,
        "colours": colours,
        "ahead": find_ahead(comparison, colours),
        "results": results,
        "trust": find_trust(record, colours),
        "learning": learning_of(trials, colours),
        "galleries": galleries(trials, colours),
        "roles": ROLES,
        "wave_box": WAVE_BOX,
        "range_db": RANGE_DB,
        "palette": palette_bar(),
        "data": data_section(record),
        "reproduction": reproduction(replace(record, trials=tuple(trials))),
    }
    return render("report.html.j2", content)


def write_report(study: str, out: Path, tracking_uri: str | None = None) -> None:
    """Write the report to `out`, whole or not at all; folders on the way are made.

    Raises:
        ReportError: as `build_report`, or it cannot be written there; `out` is then left as it was.
    """
    write_page(build_report(study, tracking_uri), out)


def _in_order(trials: Iterable[Trial], rows: Sequence[Row], models: Sequence[str]) -> list[Trial]:
    """The trials in the order of the results: corpora as they first appear there, models as coloured."""
    corpora = list(dict.fromkeys((row.corpus, row.protocol) for row in rows))
    rank = {corpus: i for i, corpus in enumerate(corpora)}
    return sorted(trials, key=lambda t: (rank.get((t.corpus, t.protocol), len(rank)), models.index(t.model), t.seed))
