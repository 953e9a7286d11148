"""`table.md`: a comparison as Table 1 of Chung et al. (2015), models down and corpora across, then what it rests on.

A figure stands with its sign, `=` the exact log-likelihood, `≥` an ELBO, `~` an estimate from K samples or particles,
and with both of its uncertainties, over sequences and over seeds of training: without them a figure says nothing of
which model is better.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from benchmarks.cli.output import estimator_label
from benchmarks.export.cells import (
    SHOWN_DIGITS,
    by_model,
    fixed,
    interval,
    label,
    model_names,
    omissions,
    p_value,
    place_of,
    places,
    sequence_count,
    sign_of,
    spread,
    whole,
)
from benchmarks.export.markup import Cell, Sheet, markdown_item, markdown_table, markdown_text
from benchmarks.published.comparability import Beside
from benchmarks.statistics.paired_differences import Difference, Side
from benchmarks.statistics.table import ComparisonRow
from benchmarks.study.summary import Comparison

__all__ = ["markdown_tables"]

_Row = TypeVar("_Row")
_Columns: TypeAlias = Mapping[str, tuple[str, Callable[[_Row], Cell]]]
"""By name: `l` or `r`, and what a row has there."""

_KEY = (
    "Nats per sequence, higher is better: `=` exact, `≥` an ELBO, `~` an estimate from K samples (iwae-K) or particles "
    "(fivo-K), each with its 95 % interval over sequences and, after ±, its standard deviation over seeds of training."
)


def markdown_tables(comparison: Comparison) -> str:
    """All of a comparison in GitHub Markdown."""
    told = [*comparison.warnings, *omissions(comparison), *filter(None, [comparison.unsent])]
    sections = {
        "All figures": markdown_table(_sheet(_FIGURES, comparison.rows)),
        "Differences": _differences(comparison.differences),
        "Beside published figures": _published(comparison.published),
        "Warnings": _items(told),
        "Notes": _items(comparison.notes),
    }
    title = f"# {markdown_text(comparison.study)}: log-likelihood\n\n{_KEY}\n\n"
    table = markdown_table(_models_by_corpora(comparison.rows))
    return title + table + "".join(f"\n## {name}\n\n{text}" for name, text in sections.items())


def _items(texts: Sequence[str]) -> str:
    return "".join(f"{markdown_item(text)}\n" for text in texts) or "None.\n"


def _sheet(columns: _Columns[_Row], rows: Iterable[_Row]) -> Sheet:
    align = "".join(side for side, _ in columns.values())
    return Sheet(tuple(columns), align, [tuple(cell(row) for _, cell in columns.values()) for row in rows])


def _models_by_corpora(rows: Sequence[ComparisonRow]) -> Sheet:
    columns, models = places(rows), by_model(rows)
    names = model_names(models)
    cells: list[tuple[Cell, ...]] = [
        (names[key], *(tuple(_told(row) for row in found if place_of(row) == column) for column in columns))
        for key, found in models.items()
    ]
    heads = [f"{label(column, columns)}: {sequence_count(found)}" for column, found in columns.items()]
    return Sheet(("model", *heads), "l" + "r" * len(columns), cells)


def _told(row: ComparisonRow) -> str:
    """A figure, its estimator where the sign does not tell it, and its uncertainties."""
    sign, name = sign_of(row)
    named = "" if row.estimator in ("exact", "elbo") else f" ({name})"
    seeds = "" if row.seed_std is None else f" over {row.seeds} seeds"
    return f"{sign} {fixed(row.nats_per_sequence, 1)}{named} {interval(row.interval, 1)} {spread(row)}{seeds}"


_FIGURES: _Columns[ComparisonRow] = {
    "corpus": ("l", lambda row: row.corpus),
    "dataset": ("l", lambda row: row.dataset),
    "protocol": ("l", lambda row: row.protocol),
    "split": ("l", lambda row: row.split),
    "model": ("l", lambda row: row.model),
    "estimator": ("l", lambda row: estimator_label(row.estimator, row.num_samples)),
    "measure": ("l", lambda row: row.measure),
    "nats/sequence": ("r", lambda row: fixed(row.nats_per_sequence, 1)),
    "95 % interval": ("r", lambda row: interval(row.interval, 1)),
    "MC error": ("r", lambda row: fixed(row.monte_carlo_error, 2) or "unknown"),
    "std over seeds": ("r", spread),
    "seeds": ("r", lambda row: whole(row.seeds)),
    "nats/frame": ("r", lambda row: fixed(row.nats_per_frame, 3)),
    "bits/sample": ("r", lambda row: fixed(row.bits_per_sample, 3)),
    "sequences": ("r", lambda row: whole(row.sequences)),
    "frames": ("r", lambda row: whole(row.frames)),
    "parameters": ("r", lambda row: whole(row.parameters)),
    "floor under sigma": ("r", lambda row: "" if row.sigma_floor is None else f"{row.sigma_floor:g}"),
    "data": ("l", lambda row: row.fingerprint[:SHOWN_DIGITS]),
}


def _side(side: Side) -> str:
    return f"{side.model} ({estimator_label(side.estimator, side.num_samples)})"


_DIFFERENCES: _Columns[Difference] = {
    "corpus": ("l", lambda row: row.corpus),
    "protocol": ("l", lambda row: row.protocol),
    "split": ("l", lambda row: row.split),
    "first": ("l", lambda row: _side(row.first)),
    "second": ("l", lambda row: _side(row.second)),
    "measure": ("l", lambda row: row.measure),
    "nats/sequence": ("r", lambda row: fixed(row.nats_per_sequence.difference, 2, "+")),
    "over sequences": ("r", lambda row: interval(row.nats_per_sequence.interval, 2, "+")),
    "over both": ("r", lambda row: interval(row.nats_per_sequence.joint_interval, 2, "+")),
    "nats/frame": ("r", lambda row: fixed(row.nats_per_frame.difference, 4, "+")),
    "bits/sample saved": ("r", lambda row: fixed(row.bits_per_sample and row.bits_per_sample.difference, 4, "+")),
    "sequences": ("r", lambda row: whole(row.sequences)),
    "seeds": ("r", lambda row: f"{row.first.seeds}, {row.second.seeds}"),
    "p sequences": ("r", lambda row: p_value(row.p_sequences_corrected)),
    "p both": ("r", lambda row: p_value(row.p_joint_corrected)),
    "verdict on the first": ("l", lambda row: row.verdict),
    "caution": ("l", lambda row: row.caution or ""),
    "data": ("l", lambda row: row.fingerprint[:SHOWN_DIGITS]),
}


def _differences(found: Sequence[Difference]) -> str:
    if not found:
        return "None: no two models of one measure were scored on the same sequences.\n"
    said = (
        "Positive where the first model is the better one. The 95 % intervals are over sequences, for these trained "
        "models, and over both sequences and seeds, for such models trained anew; p-values are Holm's, over "
        f"{found[0].comparisons} comparisons."
    )
    return f"{said}\n\n{markdown_table(_sheet(_DIFFERENCES, found))}"


def _words(unit: str) -> str:
    return unit.replace("_", " ")


_PUBLISHED: _Columns[Beside] = {
    "corpus": ("l", lambda row: row.corpus),
    "protocol": ("l", lambda row: row.protocol),
    "model": ("l", lambda row: row.model),
    "estimator": ("l", lambda row: estimator_label(row.estimator, row.num_samples)),
    "source": ("l", lambda row: row.source),
    "their model": ("l", lambda row: row.published_model),
    "their estimator": ("l", lambda row: estimator_label(row.published_bound, row.published_num_samples)),
    "as published": ("r", lambda row: f"{row.published_value:.12g} {_words(row.published_unit)}"),
    "provenance": ("l", lambda row: row.provenance),
    "ours": ("r", lambda row: fixed(row.ours, 3)),
    "theirs": ("r", lambda row: fixed(row.theirs, 3)),
    "unit": ("l", lambda row: _words(row.unit or "none in common")),
    "ours less theirs": ("r", lambda row: fixed(row.difference, 3, "+")),
    "comparable": ("l", lambda row: "yes" if row.comparable else "no"),
    "why not": ("l", lambda row: tuple(reason.sentence for reason in row.reasons if reason.bar)),
    "to know": ("l", lambda row: tuple(reason.sentence for reason in row.reasons if not reason.bar)),
}


def _published(found: Sequence[Beside]) -> str:
    if not found:
        return "None: no published figure is of these models on these corpora.\n"
    return markdown_table(_sheet(_PUBLISHED, found))
