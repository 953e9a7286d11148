"""Who is ahead, by how much, and how sure that is: the verdicts of the study's paired tests, and its Table 1.

All of it repeats `comparison.json`. The lead sentence counts verdicts; a bullet for each pair of models says where it
is ahead, where behind and where neither. Published figures stand beside ours whether or not they may be compared, with
what stands in the way.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.charts.forest_plot import forest_chart
from dashboards.estimators import is_exact
from dashboards.report.comparison_file import Comparison, Row
from dashboards.report.conclusions import Conclusion, Group, group_rows
from dashboards.report.differences_file import VERDICTS, Difference
from dashboards.report.published_file import Beside
from dashboards.text import counted, joined, typeset

__all__ = ["Ahead", "Cell", "Figure", "Panel", "Sheet", "find_ahead", "place_names"]

Place = tuple[str, str, str, str]
PAIRS_LED = 3
"""So many settled pairs of models are named in the lead; of more there are the bullets alone."""


@dataclass(frozen=True)
class Panel:
    """The forest plot of one corpus; `corpus`, `protocol` and `measure` are for the title."""

    corpus: str
    protocol: str
    split: str
    measure: str
    sentence: str
    chart: dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A figure of ours and those that were published of the same model, corpus and kind of bound."""

    row: Row
    published: tuple[Beside, ...]


Cell = tuple[Figure, ...]


@dataclass(frozen=True)
class Sheet:
    """Table 1: models by corpora; `lines` pairs a model with its cell of each column."""

    columns: tuple[Group, ...]
    lines: tuple[tuple[str, tuple[Cell, ...]], ...]
    sentence: str


@dataclass(frozen=True)
class Ahead:
    """The section; `headline` is None and `panels` and `differences` are empty where none were recorded.

    Attributes:
        coded: a sentence for each lossless coder and corpus: its rate beside that of the best model.
    """

    headline: Conclusion | None
    coded: tuple[str, ...]
    panels: tuple[Panel, ...]
    differences: tuple[Difference, ...]
    places: Mapping[Place, str]
    sheet: Sheet


def find_ahead(comparison: Comparison, colours: Mapping[str, str]) -> Ahead:
    """The section's content.

    Args:
        comparison: of the study.
        colours: the colour of each model.
    """
    differences, groups = comparison.differences, group_rows(comparison.rows)
    places = place_names([*(group.place for group in groups), *(difference.key for difference in differences)])
    headline = _headline(comparison, places) if differences else None
    return Ahead(
        headline,
        tuple(_coded(groups)),
        tuple(_panels(differences, colours)),
        differences,
        places,
        _sheet(comparison, groups),
    )


def _coded(groups: Sequence[Group]) -> Iterable[str]:
    """What a coder needs beside the lowest rate of a model on the same split: rates compare, whatever the measure."""
    for coded in (group for group in groups if group.is_code):
        beside = [group for group in groups if (group.key, group.split) == (coded.key, coded.split)]
        rates = [
            (row.bits_per_sample, f"{row.model}, {row.label}")
            for group in beside
            for row in group.rows
            if row.estimator != "code" and row.bits_per_sample is not None
        ]
        for row in coded.rows:
            yield f"{coded.corpus}, protocol {coded.protocol}: {row.model} {_against(row.bits_per_sample, rates)}."


def _against(rate: float | None, rates: Sequence[tuple[float, str]]) -> str:
    if rate is None:
        return "was scored, and its rate is not known"
    if not rates:
        return f"needs {rate:.3f}, and no model was scored beside it"
    best, model = min(rates)
    return f"needs {rate:.3f}, the best model ({model}) {best:.3f}, {typeset(best - rate, '+.3f')}"


def place_names(places: Iterable[Place]) -> dict[Place, str]:
    """A short name of each place: the corpus and what tells it from others of that corpus; a density goes unsaid."""
    unique = list(dict.fromkeys(places))
    names: dict[Place, str] = {}
    for place in unique:
        others = [other for other in unique if other[0] == place[0] and other != place]
        apart = [place[i] for i in range(1, len(place)) if any(other[i] != place[i] for other in others)]
        apart = [word for word in apart if word != "density"]
        names[place] = f"{place[0]} ({', '.join(apart)})" if apart else place[0]
    return names


def _headline(comparison: Comparison, places: Mapping[Place, str]) -> Conclusion:
    differences = comparison.differences
    settled = [difference for difference in differences if difference.is_settled]
    wins: dict[tuple[str, str], list[str]] = {}
    for difference in settled:
        better, worse = difference.order
        wins.setdefault((better.model, worse.model), []).append(places[difference.key])
    told = [f"{better} is ahead of {worse} on {joined(where)}" for (better, worse), where in wins.items()]
    verb = "is" if 1 in (len(settled), len(differences)) else "are"
    count = f"{len(settled)} of {counted(len(differences), 'comparison')} {verb} settled"
    sentence = f"{count}: {'; '.join(told)}." if 0 < len(told) <= PAIRS_LED else f"{count}."
    return Conclusion(sentence, (*_by_pair(differences, places), *_open(differences), *_bounds(settled)))


def _by_pair(differences: Sequence[Difference], places: Mapping[Place, str]) -> list[str]:
    found: dict[str, dict[str, list[str]]] = {}
    for difference in differences:
        found.setdefault(difference.name, {}).setdefault(difference.verdict, []).append(places[difference.key])
    return [
        f"{name}: {'; '.join(f'{verdict} on {joined(where[verdict])}' for verdict in VERDICTS if verdict in where)}."
        for name, where in found.items()
    ]


def _open(differences: Sequence[Difference]) -> list[str]:
    unsettled = [d for d in differences if d.verdict == "not settled"]
    open_to = Counter(d.open_to for d in unsettled)
    few = sum(d.verdict == "not enough seeds" for d in differences)
    told = []
    if len(open_to) == 1:
        told = [f"{len(unsettled)} not settled: {next(iter(open_to))} could turn the order round."]
    elif open_to:
        parts = [f"{count} by {what}" for what, count in open_to.items()]
        told = [f"{len(unsettled)} not settled: orders that could be turned round, {joined(parts)}."]
    return [*told, f"{few} without a verdict: a trained model needs at least three seeds for one."] if few else told


def _bounds(settled: Sequence[Difference]) -> list[str]:
    loose = [difference for difference in settled if not is_exact(difference.order[1].estimator)]
    if not loose:
        return []
    return [
        f"In {len(loose)} of the {len(settled)} settled the model behind has a lower bound for a figure: the figures "
        "are in this order, the log-likelihoods need not be."
    ]


def _panels(differences: Sequence[Difference], colours: Mapping[str, str]) -> Iterable[Panel]:
    members: dict[Place, list[Difference]] = {}
    for difference in differences:
        members.setdefault(difference.key, []).append(difference)
    for place, group in members.items():
        yield Panel(*place, _panel_sentence(group), forest_chart(group, colours))


def _panel_sentence(group: Sequence[Difference]) -> str:
    settled = [difference for difference in group if difference.is_settled]
    if not settled:
        return (
            "The one comparison is not settled." if len(group) == 1 else f"None of {len(group)} comparisons is settled."
        )
    told = [f"{better.model} is ahead of {worse.model}" for better, worse in (d.order for d in settled)]
    count = f"{len(settled)} of {counted(len(group), 'comparison')} settled"
    return f"{count}: {joined(told)}." if len(told) <= PAIRS_LED else f"{count}."


def _sheet(comparison: Comparison, groups: tuple[Group, ...]) -> Sheet:
    models = dict.fromkeys(row.model for row in comparison.rows)
    cells = {
        (model, group): tuple(
            Figure(row, tuple(b for b in comparison.published if _is_beside(b, row)))
            for row in group.rows
            if row.model == model
        )
        for model in models
        for group in groups
    }
    lines = tuple((model, tuple(cells[model, group] for group in groups)) for model in models)
    return Sheet(groups, lines, _published_sentence(comparison.published))


def _is_beside(beside: Beside, row: Row) -> bool:
    keys = ("corpus", "protocol", "split", "measure", "model", "estimator", "num_samples")
    return all(getattr(beside, key) == getattr(row, key) for key in keys)


def _published_sentence(published: Sequence[Beside]) -> str:
    if not published:
        return "No published figure is of these models and corpora."
    comparable = [beside for beside in published if beside.comparable and beside.difference is not None]
    if not comparable:
        none = (
            "The one published figure may not"
            if len(published) == 1
            else f"None of {len(published)} published figures may"
        )
        return f"{none} be compared with ours."
    better = sum(_is_better(beside) for beside in comparable)
    whole = f"{len(comparable)} of {counted(len(published), 'published figure')} may be compared with ours"
    if len(comparable) == 1:
        return f"{whole}; ours is {'better' if better else 'not better'}."
    return f"{whole}; ours is better than {better} of them."


def _is_better(beside: Beside) -> bool:
    difference = beside.difference or 0.0
    return difference < 0 if beside.unit == "bits_per_sample" else difference > 0
