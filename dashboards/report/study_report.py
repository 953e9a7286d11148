"""The study report: one HTML page that shows which model is ahead, by how much, and how certain that is.

The page repeats the study's results and estimates nothing about models itself. It opens offline, and the same results
give the same bytes. Each section has a module that computes its content and a template that shows it.
"""

from dataclasses import replace

from benchmarks.schema.comparison import Comparison
from benchmarks.store.results import StoredStudy
from dashboards.charts.specs import model_colours
from dashboards.media.players import ROLES, WAVE_BOX
from dashboards.media.spectrograms import RANGE_DB, palette_bar
from dashboards.page import render
from dashboards.report.data_section import data_section
from dashboards.report.learning_section import learning_section
from dashboards.report.reproduce_section import reproduce_section
from dashboards.report.results_section import results_section
from dashboards.report.samples_section import samples_section
from dashboards.report.study_data import read_study_data
from dashboards.report.trust_section import trust_section

__all__ = ["build_report"]


def build_report(stored: StoredStudy, comparison: Comparison) -> str:
    """Build the report of a study as one HTML document.

    Raises:
        ReportError: an artifact is malformed.
        ResultFileError: a file of a trial is damaged or of another version.
    """
    study = read_study_data(stored, comparison)
    colours = model_colours([r.model for r in comparison.rows] + [t.model for t in study.trials])
    # In the order of the results: corpora as they first appear there, models by colour, then seeds.
    corpora, models = list(dict.fromkeys((row.corpus, row.protocol) for row in comparison.rows)), list(colours)
    rank = {corpus: i for i, corpus in enumerate(corpora)}
    trials = sorted(
        study.trials, key=lambda t: (rank.get((t.corpus, t.protocol), len(rank)), models.index(t.model), t.seed)
    )
    study = replace(study, trials=tuple(trials))
    content = {
        "study": study,
        "colours": colours,
        "results": results_section(comparison, colours),
        "trust": trust_section(study, colours),
        "learning": learning_section(study.trials, colours),
        "galleries": samples_section(study.trials, colours),
        "data": data_section(study),
        "reproduction": reproduce_section(study),
        "roles": ROLES,
        "wave_box": WAVE_BOX,
        "range_db": RANGE_DB,
        "palette": palette_bar(),
    }
    return render("report.html.j2", content)
