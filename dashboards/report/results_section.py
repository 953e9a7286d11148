"""The section "Results": which model is ahead, by how much, how certain that is, and every score.

It repeats `comparison.json`. The lead sentence counts the verdicts of the paired tests, and a bullet per pair of models
lists where the first is ahead, behind or not settled. Published scores are shown next to ours, whether comparable or
not, with the reasons.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, get_args

from benchmarks.schema.comparison import Comparison, ComparisonRow, PairedDifference, PublishedComparison, Verdict
from dashboards.charts.forest_plot import forest_chart
from dashboards.charts.specs import interval_chart
from dashboards.report.conclusions import Conclusion, Group, conclude, group_rows
from dashboards.report.study_data import grouped
from dashboards.text import counted, joined, typeset

__all__ = ["Cell", "ForestPanel", "GroupResult", "OurScore", "Results", "ScoreTable", "place_names", "results_section"]

Place = tuple[str, str, str, str]
PAIRS_IN_LEAD = 3
"""The lead sentence names at most this many settled pairs; more are in the bullets alone."""


@dataclass(frozen=True)
class GroupResult:
    """Comparable rows, the conclusion from them, and their chart."""

    group: Group
    conclusion: Conclusion
    chart: dict[str, Any]


@dataclass(frozen=True)
class ForestPanel:
    """The forest plot of one corpus, protocol, split and measure."""

    corpus: str
    protocol: str
    split: str
    measure: str
    sentence: str
    chart: dict[str, Any]


@dataclass(frozen=True)
class OurScore:
    """One of our scores, and the published scores of the same model, corpus and kind of bound."""

    row: ComparisonRow
    published: tuple[PublishedComparison, ...]


Cell = tuple[OurScore, ...]


@dataclass(frozen=True)
class ScoreTable:
    """Table 1: models by corpora. `rows` pairs a model with its cell in each column."""

    columns: tuple[Group, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    sentence: str


@dataclass(frozen=True)
class Results:
    """The section's content.

    Attributes:
        headline: None if the study recorded no paired differences; `panels` and `differences` are then empty.
        codecs: one sentence per codec baseline and corpus: its rate and that of the best model.
        places: short name of each corpus, protocol, split and measure.
    """

    headline: Conclusion | None
    groups: tuple[GroupResult, ...]
    codecs: tuple[str, ...]
    panels: tuple[ForestPanel, ...]
    differences: tuple[PairedDifference, ...]
    places: Mapping[Place, str]
    table: ScoreTable


def results_section(comparison: Comparison, colours: Mapping[str, str]) -> Results:
    """Build the section."""
    differences, groups = comparison.differences, group_rows(comparison.rows)
    places = place_names([*(group.place for group in groups), *(difference.key for difference in differences)])
    return Results(
        headline=_headline(differences, places) if differences else None,
        groups=tuple(
            GroupResult(group, conclude(group, comparison.diverged, differences), interval_chart(group.rows, colours))
            for group in groups
        ),
        codecs=tuple(_codec_sentences(groups)),
        panels=tuple(_panels(differences, colours)),
        differences=differences,
        places=places,
        table=_score_table(comparison, groups),
    )


def place_names(places: Iterable[Place]) -> dict[Place, str]:
    """Short names: the corpus, plus what distinguishes the place from others of that corpus ("density" is omitted)."""
    unique = list(dict.fromkeys(places))
    names: dict[Place, str] = {}
    for place in unique:
        others = [other for other in unique if other[0] == place[0] and other != place]
        # Only the parts in which another place of this corpus differs.
        differing = [place[i] for i in range(1, len(place)) if any(other[i] != place[i] for other in others)]
        shown = [word for word in differing if word != "density"]
        names[place] = f"{place[0]} ({', '.join(shown)})" if shown else place[0]
    return names


def _headline(differences: Sequence[PairedDifference], places: Mapping[Place, str]) -> Conclusion:
    settled = [difference for difference in differences if difference.is_settled]
    wins: dict[tuple[str, str], list[str]] = {}
    for difference in settled:
        better, worse = difference.order
        wins.setdefault((better.model, worse.model), []).append(places[difference.key])
    winners = [f"{better} is ahead of {worse} on {joined(where)}" for (better, worse), where in wins.items()]
    cautions = [*_pair_sentences(differences, places), *_open_sentences(differences)]
    if loose := sum(not difference.order[1].is_exact for difference in settled):
        cautions.append(
            f"In {loose} of {counted(len(settled), 'settled comparison')} the score of the model behind is a lower "
            "bound: the scores are in this order, but the log-likelihoods may not be."
        )
    return Conclusion(_settled_sentence(len(settled), len(differences), winners), tuple(cautions))


def _settled_sentence(settled: int, total: int, winners: Sequence[str]) -> str:
    verb = "is" if 1 in (settled, total) else "are"
    count = f"{settled} of {counted(total, 'comparison')} {verb} settled"
    return f"{count}: {'; '.join(winners)}." if 0 < len(winners) <= PAIRS_IN_LEAD else f"{count}."


def _pair_sentences(differences: Sequence[PairedDifference], places: Mapping[Place, str]) -> Iterable[str]:
    found: dict[str, dict[str, list[str]]] = {}
    for difference in differences:
        found.setdefault(difference.name, {}).setdefault(difference.verdict, []).append(places[difference.key])
    for name, where in found.items():
        verdicts = (f"{verdict} on {joined(where[verdict])}" for verdict in get_args(Verdict) if verdict in where)
        yield f"{name}: {'; '.join(verdicts)}."


def _open_sentences(differences: Sequence[PairedDifference]) -> Iterable[str]:
    open_to = Counter(d.open_to for d in differences if d.verdict == "not settled")
    count = open_to.total()
    if open_to:
        verb = "is" if count == 1 else "are"
        parts = [what if len(open_to) == 1 else f"{what} ({n})" for what, n in open_to.items()]
        yield f"{counted(count, 'comparison')} {verb} not settled: the order could change with {joined(parts)}."
    if few := sum(d.verdict == "not enough seeds" for d in differences):
        verb = "has" if few == 1 else "have"
        yield f"{counted(few, 'comparison')} {verb} no verdict, which needs at least three seeds of a trained model."


def _codec_sentences(groups: Sequence[Group]) -> Iterable[str]:
    """Compare each codec baseline with the lowest rate of a model on the same split: rates compare across measures."""
    for codecs in (group for group in groups if group.is_codec):
        rates = [
            (row.bits_per_sample, f"{row.model}, {row.label}")
            for group in groups
            if (group.corpus, group.protocol, group.split) == (codecs.corpus, codecs.protocol, codecs.split)
            for row in group.rows
            if row.estimator != "code" and row.bits_per_sample is not None
        ]
        for row in codecs.rows:
            start = f"{row.corpus}, protocol {row.protocol}: {row.model}"
            if row.bits_per_sample is None:
                yield f"{start} has no known rate."
            elif not rates:
                yield f"{start} needs {row.bits_per_sample:.3f}; no model was scored on this split."
            else:
                best, model = min(rates)
                change = typeset(best - row.bits_per_sample, "+.3f")
                yield f"{start} needs {row.bits_per_sample:.3f}, the best model ({model}) {best:.3f} ({change})."


def _panels(differences: Sequence[PairedDifference], colours: Mapping[str, str]) -> Iterable[ForestPanel]:
    for place, group in grouped(differences, lambda difference: difference.key).items():
        orders = [difference.order for difference in group if difference.is_settled]
        winners = [f"{better.model} is ahead of {worse.model}" for better, worse in orders]
        sentence = _settled_sentence(len(orders), len(group), winners)
        yield ForestPanel(*place, sentence, forest_chart(group, colours))


def _score_table(comparison: Comparison, groups: tuple[Group, ...]) -> ScoreTable:
    score = attrgetter("corpus", "protocol", "split", "measure", "model", "estimator", "num_samples")
    published = grouped(comparison.published, score)

    def cell(model: str, group: Group) -> Cell:
        own = [row for row in group.rows if row.model == model]
        return tuple(OurScore(row, tuple(published.get(score(row), ()))) for row in own)

    models = dict.fromkeys(row.model for row in comparison.rows)
    rows = tuple((model, tuple(cell(model, group) for group in groups)) for model in models)
    return ScoreTable(groups, rows, _published_sentence(comparison.published))


def _published_sentence(published: Sequence[PublishedComparison]) -> str:
    if not published:
        return "No published score matches these models and corpora."
    differences = [(p.difference, p.unit) for p in published if p.comparable and p.difference is not None]
    verb = "is" if 1 in (len(differences), len(published)) else "are"
    count = f"{len(differences)} of {counted(len(published), 'published score')} {verb} comparable with ours"
    if not differences:
        return f"{count}."
    # Fewer bits are better, more nats are better.
    better = sum(difference < 0 if unit == "bits_per_sample" else difference > 0 for difference, unit in differences)
    return f"{count}; ours is better than {better} of them."
