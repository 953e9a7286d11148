"""The study report: what a person opens to see who is ahead, by how much, and how sure that is.

The page repeats `comparison.json`; it estimates nothing itself. It is one file, opened from disk and offline,
and the same study gives the same bytes.
"""

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboards.charts import interval_chart, learning_chart, model_colours
from dashboards.comparison import Row
from dashboards.conclusions import Conclusion, Group, conclude, group_rows
from dashboards.media import WAVE_COLUMNS, WAVE_HEIGHT, Clip, Drawing, clips, drawings
from dashboards.page import render
from dashboards.record import ROLES, Sample, Study, Trial, read_study

__all__ = ["build_report", "write_report"]


@dataclass(frozen=True)
class Result:
    """One group's part of the results: its rows, what follows from them, and their chart."""

    group: Group
    conclusion: Conclusion
    chart: dict[str, Any]


@dataclass(frozen=True)
class Learning:
    """The learning curves of one corpus and protocol; `charts` pairs a title with a specification."""

    corpus: str
    protocol: str
    charts: tuple[tuple[str, dict[str, Any]], ...]


@dataclass(frozen=True)
class Source:
    """Where samples come from: the corpus, or one model; `colour` is the model's."""

    name: str
    colour: str | None
    clips: tuple[Clip, ...]
    drawings: tuple[Drawing, ...]


@dataclass(frozen=True)
class Gallery:
    """Recorded samples of one corpus and protocol beside what the models make."""

    corpus: str
    protocol: str
    sources: tuple[Source, ...]


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
    content = {
        "study": record,
        "comparison": comparison,
        "colours": colours,
        "results": [
            Result(group, conclude(group, comparison.diverged), interval_chart(group.rows, colours)) for group in groups
        ],
        "learning": list(_learning(trials, colours)),
        "galleries": list(_galleries(trials, colours)),
        "commits": sorted({trial.git_commit for trial in trials}),
        "commands": _commands(record),
        "roles": ROLES,
        "wave_box": f"0 0 {WAVE_COLUMNS} {WAVE_HEIGHT}",
    }
    return render("report.html.j2", content)


def write_report(study: str, out: Path, tracking_uri: str | None = None) -> None:
    """Write the report to `out`, whole or not at all; folders on the way are made.

    Raises:
        ReportError: as `build_report`; `out` is then left as it was.
    """
    html = build_report(study, tracking_uri)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        partial.write_text(html, encoding="utf-8")
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _in_order(trials: Iterable[Trial], rows: Sequence[Row], models: Sequence[str]) -> list[Trial]:
    """The trials in the order of the results: corpora as they first appear there, models as coloured."""
    corpora = list(dict.fromkeys((row.corpus, row.protocol) for row in rows))
    rank = {corpus: i for i, corpus in enumerate(corpora)}
    return sorted(trials, key=lambda t: (rank.get((t.corpus, t.protocol), len(rank)), models.index(t.model), t.seed))


def _by_corpus(trials: Iterable[Trial]) -> dict[tuple[str, str], list[Trial]]:
    members: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        members.setdefault((trial.corpus, trial.protocol), []).append(trial)
    return members


def _learning(trials: Sequence[Trial], colours: Mapping[str, str]) -> Iterable[Learning]:
    for (corpus, protocol), members in _by_corpus(trials).items():
        curves = {
            "Log-likelihood (ELBO where there is a latent)": learning_chart(
                members, "valid_nats_per_frame", "validation, nats per frame", colours
            ),
            "KL divergence of the posterior from the prior": learning_chart(
                members, "valid_kl_nats_per_frame", "validation KL, nats per frame", colours, low=0.0
            ),
        }
        charts = tuple((title, chart) for title, chart in curves.items() if chart is not None)
        if charts:
            yield Learning(corpus, protocol, charts)


def _galleries(trials: Sequence[Trial], colours: Mapping[str, str]) -> Iterable[Gallery]:
    for (corpus, protocol), members in _by_corpus(trials).items():
        samples: dict[tuple[str, str | None], list[Sample]] = {}
        for trial in members:
            made = [sample for sample in trial.samples if sample.role != "real"]
            samples.setdefault(("Real", None), []).extend(s for s in trial.samples if s.role == "real")
            if made:
                samples[f"{trial.model}, seed {trial.seed}", colours[trial.model]] = made
        sources = _sources(samples)
        if sources:
            yield Gallery(corpus, protocol, sources)


def _sources(samples: Mapping[tuple[str, str | None], Sequence[Sample]]) -> tuple[Source, ...]:
    """Render the samples of every source together, so that they share one scale; repeats are shown once."""
    unique = [
        (source, sample)
        for source, members in samples.items()
        for sample in {sample.content: sample for sample in members}.values()
    ]
    spoken = [source for source, sample in unique if sample.kind == "speech"]
    drawn = [source for source, sample in unique if sample.kind == "pen"]
    flat = [sample for _, sample in unique]
    heard, seen = list(zip(spoken, clips(flat), strict=True)), list(zip(drawn, drawings(flat), strict=True))
    return tuple(
        Source(*key, tuple(c for k, c in heard if k == key), tuple(d for k, d in seen if k == key))
        for key, members in samples.items()
        if members
    )


def _commands(study: Study) -> list[str]:
    name = shlex.quote(study.name)
    suite = shlex.quote(f"benchmarks/suites/{study.name}.toml")
    return [f"vrnn-bench run {suite}", f"vrnn-bench report {name} --out report.html"]
