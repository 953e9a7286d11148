"""`table.tex`: a comparison for a paper, as Table 1 of Chung et al. (2015), and the differences between its models.

Each table says in its caption what its figures are: unit, measure, estimators with K, seeds, sequences. A table longer
than a page is cut into several, between models or differences, never within one.
"""

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.cli.output import estimator_label
from benchmarks.export.cells import (
    Place,
    by_model,
    fixed,
    interval,
    label,
    omissions,
    p_value,
    place_of,
    places,
    sequence_count,
    sign_of,
    span,
    spread,
)
from benchmarks.export.markup import Block, Number, tex_table
from benchmarks.statistics.paired_differences import Difference, Side
from benchmarks.statistics.table import ComparisonRow
from benchmarks.study.summary import Comparison

__all__ = ["tex_tables"]

_MOST_LINES = 45
_MEASURES = {
    "density": "densities of normalised frames",
    "mass": "masses (probabilities of the recorded integers)",
}
_SIMILAR = "∼"
_KEY = {
    "exact": "= exact",
    "elbo": "≥ ELBO by one sample of the posterior",
    "iwae": f"{_SIMILAR} IWAE, K = {{}} samples",
    "fivo": f"{_SIMILAR} FIVO, K = {{}} particles",
    "code": "= code length of a lossless coder",
}


def tex_tables(comparison: Comparison) -> str:
    """The tables of a comparison, each a `table` environment; they need the package booktabs."""
    return "\n".join([*_figure_tables(comparison), *_difference_tables(comparison)])


def _cut(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """The blocks in runs of so few lines that a page holds them."""
    run: list[Block] = []
    for block in blocks:
        if run and sum(map(len, run)) + len(block) > _MOST_LINES:
            yield run
            run = []
        run.append(block)
    if run:
        yield run


def _tables(caption: str, name: str, head: Sequence[str], align: str, blocks: Sequence[Block]) -> Iterator[str]:
    runs = list(_cut(blocks))
    for number, run in enumerate(runs, start=1):
        part = f" ({number} of {len(runs)})" if len(runs) > 1 else ""
        yield tex_table(caption + part, f"{name}-{number}" if part else name, head, align, run)


def _figure_tables(comparison: Comparison) -> Iterator[str]:
    """One table a measure, since they are not comparable in nats."""
    left_out = len(omissions(comparison))
    for measure in dict.fromkeys(measure for measure, _ in by_model(comparison.rows)):
        rows = [row for row in comparison.rows if row.measure == measure]
        columns = places(rows)
        blocks = [
            block
            for (_, model), found in by_model(rows).items()
            for block in _model_blocks(model, found, list(columns))
        ]
        caption = _figure_caption(comparison.study, measure, columns, left_out)
        head = ("model", "estimator", *_heads(columns))
        yield from _tables(caption, f"{comparison.study}-{measure}", head, "ll" + "r" * len(columns), blocks)


def _heads(columns: Iterable[Place]) -> list[str]:
    """The corpora's names, where they tell the columns apart."""
    known = list(columns)
    corpora = [place.corpus for place in known]
    return corpora if len(set(corpora)) == len(corpora) else [label(place, known) for place in known]


def _model_blocks(name: str, rows: Iterable[ComparisonRow], columns: Sequence[Place]) -> Iterator[Block]:
    """One block an estimator: figures, intervals below them, spreads over seeds below these."""
    estimators: dict[str, dict[Place, ComparisonRow]] = {}
    for row in rows:
        estimators.setdefault(sign_of(row)[1], {})[place_of(row)] = row
    for estimator, found in estimators.items():
        here = [found.get(column) for column in columns]
        yield [
            (name, estimator, *("" if row is None else _figure(row) for row in here)),
            ("", "", *("" if row is None else interval(row.interval, 1) for row in here)),
            ("", "", *("" if row is None else _spread(row) for row in here)),
        ]


def _spread(row: ComparisonRow) -> str:
    return spread(row) if row.seed_std is None else f"{spread(row)} of {row.seeds}"


def _figure(row: ComparisonRow) -> Number:
    return Number(f"{sign_of(row)[0]} {fixed(row.nats_per_sequence, 1)}")


def _figure_caption(study: str, measure: str, columns: dict[Place, list[ComparisonRow]], left_out: int) -> str:
    rows = [row for found in columns.values() for row in found]
    trained = [row.seeds for row in rows if row.estimator != "code"]
    data = "; ".join(f"{label(column, columns)}: {sequence_count(found)}" for column, found in columns.items())
    sentences = [
        f"Study {study}: log-likelihood in nats per sequence, higher is better, {_MEASURES[measure]}",
        "; ".join(_key(name, rows) for name in dict.fromkeys(row.estimator for row in rows)),
        "Below each figure its 95 % bootstrap interval over sequences, and ± the standard deviation over its seeds",
        *([f"Seeds of training: {span(trained)}"] if trained else []),
        f"Corpus, protocol and split: {data}",
        *(
            [f"Trials of the study that are in no figure, since they diverged or failed: {left_out}"]
            if left_out
            else []
        ),
    ]
    return ". ".join(sentences) + "."


def _key(estimator: str, rows: Iterable[ComparisonRow]) -> str:
    return _KEY[estimator].format(span(row.num_samples for row in rows if row.estimator == estimator))


def _difference_tables(comparison: Comparison) -> Iterator[str]:
    groups: dict[tuple[Place, str], list[Difference]] = {}
    for row in comparison.differences:
        groups.setdefault((place_of(row), row.measure), []).append(row)
    known = dict.fromkeys(place for place, _ in groups)
    head = ("first", "second", "difference", "over", "95 % interval", "p", "verdict")
    for number, ((place, measure), rows) in enumerate(groups.items(), start=1):
        caption = _difference_caption(comparison.study, label(place, known), measure, rows)
        name = f"{comparison.study}-differences-{number}"
        yield from _tables(caption, name, head, "llrlrrl", [_difference_block(row) for row in rows])


def _difference_block(row: Difference) -> Block:
    gap, first, second = row.nats_per_sequence, row.first, row.second
    ours, theirs = p_value(row.p_sequences_corrected), p_value(row.p_joint_corrected)
    seeds = f"seeds: {first.seeds}, {second.seeds}"
    difference = fixed(gap.difference, 2, "+")
    over_sequences, over_both = interval(gap.interval, 2, "+"), interval(gap.joint_interval, 2, "+")
    return [
        (first.model, second.model, difference, "sequences", over_sequences, ours, row.verdict),
        (_signed(first), _signed(second), "", "both", over_both, theirs, seeds),
    ]


def _signed(side: Side) -> str:
    return estimator_label(side.estimator, side.num_samples).replace("~", _SIMILAR)


def _difference_caption(study: str, where: str, measure: str, rows: Sequence[Difference]) -> str:
    estimators = dict.fromkeys(_signed(side) for row in rows for side in (row.first, row.second))
    sentences = [
        f"Study {study}, {where}: differences in nats per sequence, positive where the first model is the better one",
        f"Figures are {_MEASURES[measure]} of {span(row.sequences for row in rows)} sequences, "
        f"by the estimators ({', '.join(estimators)}) and seeds that are given",
        "95 % intervals over sequences, for these trained models, and over both sequences and seeds, for such models "
        f"trained anew; p after Holm's correction for {rows[0].comparisons} comparisons",
        "The verdict is on the first model",
        *(
            ["A difference of bounds need not be that of the log-likelihoods"]
            if any(row.caution for row in rows)
            else []
        ),
    ]
    return ". ".join(sentences) + "."
