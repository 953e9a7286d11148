"""`table.md`: a comparison as Table 1 of Chung et al. (2015), models down and corpora across, then its details.

Each score has its sign (`=` an exact log-likelihood, `≥` an ELBO, `~` an estimate from K samples or particles) and both
of its uncertainties, over sequences and over training seeds: without them it does not say which model is better.

Names come from the authors of studies, corpora and papers, so all plain text is escaped here.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from benchmarks.export.table_cells import (
    SHOWN_DIGITS,
    Cell,
    Sheet,
    by_model,
    column_name,
    estimator_name,
    fixed,
    interval,
    left_out,
    model_names,
    one_line,
    p_value,
    place_of,
    places,
    sequence_count,
    spread,
    whole,
)
from benchmarks.schema.comparison import ComparedModel, Comparison, ComparisonRow, PairedDifference, PublishedComparison
from benchmarks.schema.estimators import signed_estimator

__all__ = ["markdown_item", "markdown_table", "markdown_tables", "markdown_text"]

_Row = TypeVar("_Row")
_Columns: TypeAlias = Mapping[str, tuple[str, Callable[[_Row], Cell]]]
"""By name of the column: its alignment, `l` or `r`, and its cell of a row."""

_KEY = (
    "Nats per sequence, higher is better: `=` exact, `≥` an ELBO, `~` an estimate from K samples (iwae-K) or particles "
    "(fivo-K), each with its 95 % interval over sequences and, after ±, its standard deviation over training seeds."
)


def markdown_text(text: str) -> str:
    """Plain text as one line of GitHub Markdown that shows exactly it, also in a table cell."""
    return re.sub(r"([\\`*_\[\]<>|~&$#])", r"\\\1", one_line(text))


def markdown_item(text: str) -> str:
    """Plain text as an item of a list; text that would start a heading or an inner list is escaped."""
    escaped = re.sub(r"^([-+=:])", r"\\\1", markdown_text(text))
    return "- " + re.sub(r"^(\d+)([.)])", r"\1\\\2", escaped)


def markdown_table(sheet: Sheet) -> str:
    """A sheet as a table of GitHub Markdown."""

    def row(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |\n"

    def escaped(cell: Cell) -> str:
        return markdown_text(cell) if isinstance(cell, str) else "<br>".join(map(markdown_text, cell))

    rule = ["---:" if side == "r" else "---" for side in sheet.align]
    return row(map(markdown_text, sheet.head)) + row(rule) + "".join(row(map(escaped, cells)) for cells in sheet.rows)


def markdown_tables(comparison: Comparison) -> str:
    """All of a comparison in GitHub Markdown."""
    warnings = [*comparison.warnings, *left_out(comparison), *filter(None, [comparison.unsent])]
    sections = {
        "All scores": markdown_table(_sheet(_SCORES, comparison.rows)),
        "Differences": _differences(comparison.differences),
        "Published results": markdown_table(_sheet(_PUBLISHED, comparison.published))
        if comparison.published
        else "None: nothing is published for these models on these corpora.\n",
        "Warnings": _items(warnings),
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
        (names[key], *(tuple(_score(row) for row in found if place_of(row) == column) for column in columns))
        for key, found in models.items()
    ]
    heads = [f"{column_name(column, columns)}: {sequence_count(found)}" for column, found in columns.items()]
    return Sheet(("model", *heads), "l" + "r" * len(columns), cells)


def _score(row: ComparisonRow) -> str:
    """A score, its estimator where the sign does not imply it, and its uncertainties."""
    named = "" if row.estimator in ("exact", "elbo") else f" ({estimator_name(row)})"
    seeds = "" if row.seed_std is None else f" over {row.seeds} seeds"
    return f"{row.sign} {fixed(row.nats_per_sequence, 1)}{named} {interval(row.interval, 1)} {spread(row)}{seeds}"


_SCORES: _Columns[ComparisonRow] = {
    "corpus": ("l", lambda row: row.corpus),
    "dataset": ("l", lambda row: row.dataset),
    "protocol": ("l", lambda row: row.protocol),
    "split": ("l", lambda row: row.split),
    "model": ("l", lambda row: row.model),
    "estimator": ("l", lambda row: signed_estimator(row.estimator, row.num_samples)),
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


def _named(model: ComparedModel) -> str:
    return f"{model.model} ({signed_estimator(model.estimator, model.num_samples)})"


_DIFFERENCES: _Columns[PairedDifference] = {
    "corpus": ("l", lambda row: row.corpus),
    "protocol": ("l", lambda row: row.protocol),
    "split": ("l", lambda row: row.split),
    "first": ("l", lambda row: _named(row.first)),
    "second": ("l", lambda row: _named(row.second)),
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


def _differences(found: Sequence[PairedDifference]) -> str:
    if not found:
        return "None: no two models of one measure were scored on the same sequences.\n"
    explanation = (
        "Positive where the first model is better. The 95 % intervals are over sequences, for these trained models, "
        "and over both sequences and seeds, for models trained again; p-values are Holm-corrected for "
        f"{found[0].comparisons} comparisons."
    )
    return f"{explanation}\n\n{markdown_table(_sheet(_DIFFERENCES, found))}"


def _spaced(unit: str) -> str:
    return unit.replace("_", " ")


_PUBLISHED: _Columns[PublishedComparison] = {
    "corpus": ("l", lambda row: row.corpus),
    "protocol": ("l", lambda row: row.protocol),
    "model": ("l", lambda row: row.model),
    "estimator": ("l", lambda row: signed_estimator(row.estimator, row.num_samples)),
    "source": ("l", lambda row: row.source),
    "their model": ("l", lambda row: row.published_model),
    "their estimator": ("l", lambda row: signed_estimator(row.published_bound, row.published_num_samples)),
    "as published": ("r", lambda row: f"{row.published_value:.12g} {_spaced(row.published_unit)}"),
    "provenance": ("l", lambda row: row.provenance),
    "ours": ("r", lambda row: fixed(row.ours, 3)),
    "theirs": ("r", lambda row: fixed(row.theirs, 3)),
    "unit": ("l", lambda row: _spaced(row.unit or "none in common")),
    "ours minus theirs": ("r", lambda row: fixed(row.difference, 3, "+")),
    "comparable": ("l", lambda row: "yes" if row.comparable else "no"),
    "why not": ("l", lambda row: tuple(reason.sentence for reason in row.blockers)),
    "notes": ("l", lambda row: tuple(reason.sentence for reason in row.notes)),
}
