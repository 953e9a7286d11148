r"""`table.tex`: a comparison for a paper, as Table 1 of Chung et al. (2015), and the differences between its models.

Each caption states what the scores are: unit, measure, estimators with K, seeds, sequences. A table longer than a page
is cut into several, between models or differences, never within one.

The tables need the package booktabs and compile with pdflatex. All plain text is escaped here; a `Number` is set as
mathematics, where a minus is not a hyphen. A character without a glyph by default is written as its code point. `[` and
`*` need care: at the beginning of a row they are arguments of the `\\` before.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from benchmarks.export.table_cells import (
    Number,
    Place,
    by_model,
    column_name,
    estimator_name,
    fixed,
    interval,
    left_out,
    one_line,
    p_value,
    place_of,
    places,
    sequence_count,
    span,
    spread,
)
from benchmarks.schema.comparison import ComparedModel, Comparison, ComparisonRow, PairedDifference
from benchmarks.schema.estimators import signed_estimator

__all__ = ["tex_table", "tex_tables"]

Block: TypeAlias = Sequence[Sequence[str]]
"""Rows that are not separated."""

_MOST_LINES = 45
_MEASURES = {"density": "densities of normalised frames", "mass": "masses (probabilities of the recorded integers)"}
_SIMILAR = "∼"
_KEY = {
    "exact": "= exact",
    "elbo": "≥ ELBO by one sample of the posterior",
    "iwae": f"{_SIMILAR} IWAE, K = {{}} samples",
    "fivo": f"{_SIMILAR} FIVO, K = {{}} particles",
    "code": "= code length of a lossless codec",
}
_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textquoteleft{}",
    '"': r"\textquotedblright{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "≥": r"$\geq$",
    "∼": r"$\sim$",
    "±": r"$\pm$",
} | {character: f"\\{character}" for character in "&%$#_{}"}
_TEX_SIGNS = str.maketrans({"≥": r"\geq", "~": r"\sim", "±": r"\pm"})
_TEX_LETTERS = set("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿ")


def tex_tables(comparison: Comparison) -> str:
    """The tables of a comparison, each a `table` environment."""
    return "\n".join([*_score_tables(comparison), *_difference_tables(comparison)])


def _score_tables(comparison: Comparison) -> Iterator[str]:
    """One table per measure, since measures are not comparable in nats."""
    missing = len(left_out(comparison))
    for measure in dict.fromkeys(measure for measure, _ in by_model(comparison.rows)):
        rows = [row for row in comparison.rows if row.measure == measure]
        columns = places(rows)
        blocks = [
            block
            for (_, model), found in by_model(rows).items()
            for block in _model_blocks(model, found, list(columns))
        ]
        corpora = [place.corpus for place in columns]
        unique = len(set(corpora)) == len(corpora)
        heads = corpora if unique else [column_name(place, columns) for place in columns]
        caption = _score_caption(comparison.study, measure, columns, missing)
        align = "ll" + "r" * len(columns)
        yield from _tables(caption, f"{comparison.study}-{measure}", ("model", "estimator", *heads), align, blocks)


def _model_blocks(name: str, rows: Iterable[ComparisonRow], columns: Sequence[Place]) -> Iterator[Block]:
    """One block per estimator: scores, their intervals below, and their spreads over seeds below these."""
    estimators: dict[str, dict[Place, ComparisonRow]] = {}
    for row in rows:
        estimators.setdefault(estimator_name(row), {})[place_of(row)] = row
    for estimator, found in estimators.items():
        cells = [_score_cells(found.get(column)) for column in columns]
        scores, intervals, spreads = zip(*cells, strict=True)
        yield [(name, estimator, *scores), ("", "", *intervals), ("", "", *spreads)]


def _score_cells(row: ComparisonRow | None) -> tuple[str, str, str]:
    if row is None:
        return "", "", ""
    over_seeds = spread(row) if row.seed_std is None else f"{spread(row)} of {row.seeds}"
    return Number(f"{row.sign} {fixed(row.nats_per_sequence, 1)}"), interval(row.interval, 1), over_seeds


def _score_caption(study: str, measure: str, columns: dict[Place, list[ComparisonRow]], missing: int) -> str:
    rows = [row for found in columns.values() for row in found]
    seeds = [row.seeds for row in rows if row.estimator != "code"]
    samples = {
        name: span(row.num_samples for row in rows if row.estimator == name)
        for name in dict.fromkeys(row.estimator for row in rows)
    }
    data = "; ".join(f"{column_name(column, columns)}: {sequence_count(found)}" for column, found in columns.items())
    sentences = [
        f"Study {study}: log-likelihood in nats per sequence, higher is better, {_MEASURES[measure]}",
        "; ".join(_KEY[name].format(count) for name, count in samples.items()),
        "Below each score its 95 % bootstrap interval over sequences, and ± the standard deviation over its seeds",
        *([f"Seeds of training: {span(seeds)}"] if seeds else []),
        f"Corpus, protocol and split: {data}",
        *([f"Trials without a score, since they diverged or failed: {missing}"] if missing else []),
    ]
    return ". ".join(sentences) + "."


def _difference_tables(comparison: Comparison) -> Iterator[str]:
    groups: dict[tuple[Place, str], list[PairedDifference]] = {}
    for row in comparison.differences:
        groups.setdefault((place_of(row), row.measure), []).append(row)
    known = dict.fromkeys(place for place, _ in groups)
    head = ("first", "second", "difference", "over", "95 % interval", "p", "verdict")
    for number, ((place, measure), rows) in enumerate(groups.items(), start=1):
        caption = _difference_caption(comparison.study, column_name(place, known), measure, rows)
        name = f"{comparison.study}-differences-{number}"
        blocks: list[Block] = []
        for row in rows:
            nats, first, second = row.nats_per_sequence, row.first, row.second
            difference, seeds = fixed(nats.difference, 2, "+"), f"seeds: {first.seeds}, {second.seeds}"
            over_sequences, over_both = interval(nats.interval, 2, "+"), interval(nats.joint_interval, 2, "+")
            p_sequences, p_both = p_value(row.p_sequences_corrected), p_value(row.p_joint_corrected)
            one = (first.model, second.model, difference, "sequences", over_sequences, p_sequences, row.verdict)
            blocks.append([one, (_signed(first), _signed(second), "", "both", over_both, p_both, seeds)])
        yield from _tables(caption, name, head, "llrlrrl", blocks)


def _signed(model: ComparedModel) -> str:
    return signed_estimator(model.estimator, model.num_samples).replace("~", _SIMILAR)


def _difference_caption(study: str, where: str, measure: str, rows: Sequence[PairedDifference]) -> str:
    estimators = dict.fromkeys(_signed(model) for row in rows for model in (row.first, row.second))
    bounds = any(row.caution for row in rows)
    sentences = [
        f"Study {study}, {where}: differences in nats per sequence, positive where the first model is better",
        f"Scores are {_MEASURES[measure]} of {span(row.sequences for row in rows)} sequences, "
        f"by the given estimators ({', '.join(estimators)}) and seeds",
        "95 % intervals over sequences, for these trained models, and over both sequences and seeds, for models "
        f"trained again; p after Holm's correction for {rows[0].comparisons} comparisons",
        "The verdict is on the first model",
        *(["A difference of bounds need not be that of the log-likelihoods"] if bounds else []),
    ]
    return ". ".join(sentences) + "."


def _tables(caption: str, name: str, head: Sequence[str], align: str, blocks: Sequence[Block]) -> Iterator[str]:
    """The blocks as one table, or as several that each fit on a page."""
    pages: list[list[Block]] = [[]]
    for block in blocks:
        if pages[-1] and sum(map(len, pages[-1])) + len(block) > _MOST_LINES:
            pages.append([])
        pages[-1].append(block)
    for number, page in enumerate(pages, start=1):
        part = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
        yield tex_table(caption + part, f"{name}-{number}" if part else name, head, align, page)


def tex_table(caption: str, label: str, head: Sequence[str], align: str, blocks: Sequence[Block]) -> str:
    """A `table` environment with rules of booktabs.

    Args:
        caption: plain text.
        label: for references; characters other than letters, digits, dots and hyphens become hyphens.
        head: the names of the columns.
        align: `l` or `r` for each column.
        blocks: rows with one cell per column, with a little space between blocks.
    """

    def row(cells: Sequence[str]) -> str:
        written = (f"${cell.translate(_TEX_SIGNS)}$" if isinstance(cell, Number) else tex_text(cell) for cell in cells)
        return " & ".join(written) + " \\\\\n"

    body = "\\addlinespace\n".join("".join(map(row, block)) for block in blocks)
    return "\n".join(
        [
            r"\begin{table}[tbp]",
            r"\centering",
            r"\scriptsize",
            r"\setlength{\tabcolsep}{4pt}",
            rf"\caption{{{tex_text(caption)}}}",
            rf"\label{{tab:{re.sub('[^A-Za-z0-9.-]', '-', label)}}}",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            row(head).rstrip("\n"),
            r"\midrule",
            f"{body}\\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def tex_text(text: str) -> str:
    """Plain text as LaTeX that shows exactly it, in a cell or in a caption."""
    written = [
        _TEX.get(letter) or (letter if letter.isascii() or letter in _TEX_LETTERS else f"(U+{ord(letter):04X})")
        for letter in unicodedata.normalize("NFC", one_line(text))
    ]
    # An empty group between two hyphens keeps LaTeX from setting them as a dash.
    return re.sub("-(?=-)", "-{}", "".join(written))
