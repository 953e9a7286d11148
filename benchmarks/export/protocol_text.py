"""`protocol.md`: how the scores of a study came about, in sentences for a paper.

Two log-likelihoods measure the same quantity only if all of it agrees: frames, windows, normalisation, noise, split,
floor, estimator. What the study does not record is stated as unrecorded.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from benchmarks.export.markdown import markdown_item, markdown_table, markdown_text
from benchmarks.export.table_cells import (
    Place,
    Sheet,
    by_model,
    column_name,
    estimator_name,
    left_out,
    places,
    span,
    whole,
)
from benchmarks.schema.comparison import LEVEL, Comparison, ComparisonRow
from benchmarks.schema.study import AppliedProtocol, StudyDescription
from benchmarks.schema.suite import CorpusEntry
from benchmarks.statistics.paired_differences import LEAST_SEEDS

__all__ = ["protocol_statement"]


class _Markdown(str):
    """Finished Markdown, which must not be escaped again."""

    __slots__ = ()


@dataclass(frozen=True)
class _Rules:
    """A protocol as it was applied to one corpus.

    Attributes:
        protocol: as recorded for the first model that the study trains on the corpus.
        measures: of the models that were scored on it.
        noise_known: whether `protocol.dequantise` holds for densities. A discretised model is never given noise, so it
            is unknown if the first model is one.
    """

    protocol: AppliedProtocol
    measures: set[str]
    noise_known: bool


def protocol_statement(comparison: Comparison, study: StudyDescription) -> str:
    """The statement, in GitHub Markdown."""
    rows, suite = comparison.rows, study.suite
    environment = Environment(  # noqa: S701 - the output is not HTML; `finalize` escapes every value
        loader=PackageLoader("benchmarks.export"),
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, _Markdown) else markdown_text(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    columns = places(rows)
    return environment.get_template("protocol.md.j2").render(
        study=comparison.study,
        data=[_column(place, found, column_name(place, columns), study) for place, found in columns.items()],
        protocols=_protocols(rows, study),
        models=_Markdown(markdown_table(_models(rows, suite.corpora))),
        rules=_Markdown(markdown_table(_training_rules(suite.corpora))),
        seeds=", ".join(map(str, suite.seeds)),
        scoring=suite.scoring,
        bounds={
            name: span(row.num_samples for row in rows if row.estimator == name)
            for name in dict.fromkeys(row.estimator for row in rows)
        },
        bits=any(row.bits_per_sample is not None for row in rows),
        claims=suite.claims,
        comparisons=comparison.differences[0].comparisons if comparison.differences else 0,
        level=LEVEL,
        least_seeds=LEAST_SEEDS,
        pairs=len(comparison.published),
        comparable=sum(pair.comparable for pair in comparison.published),
        code=study.code,
        keys=study.keys,
        warnings=_items(comparison.warnings),
        left_out=_items(left_out(comparison)),
    )


def _items(texts: Iterable[str]) -> _Markdown:
    return _Markdown("\n".join(map(markdown_item, texts)))


def _column(place: Place, rows: list[ComparisonRow], name: str, study: StudyDescription) -> dict[str, Any]:
    """What is stated about the data of a column."""
    key = f"{place.corpus}/{place.protocol}"
    return {
        "name": name,
        "dataset": rows[0].dataset,
        "fingerprint": place.fingerprint,
        "split": place.split,
        "sequences": span(row.sequences for row in rows),
        "frames": span(row.frames for row in rows),
        "rule": study.protocols[key].rule if key in study.protocols else None,
        "roles": study.leaks[key].sequences if key in study.leaks else None,
    }


def _protocols(rows: Iterable[ComparisonRow], study: StudyDescription) -> dict[str, _Rules]:
    found: dict[str, _Rules] = {}
    for name, protocol in study.protocols.items():
        here = [row for row in rows if f"{row.corpus}/{row.protocol}" == name]
        first = next((row for row in here if row.estimator != "code"), None)
        measures = {str(row.measure) for row in here}
        unknown = "density" in measures and first is not None and first.measure == "mass"
        found[name] = _Rules(protocol, measures, protocol.dequantise or not unknown)
    return found


def _models(rows: Iterable[ComparisonRow], corpora: Iterable[CorpusEntry]) -> Sheet:
    """One line per model, corpus and protocol."""
    sizes = {(corpus.name, corpus.protocol): corpus.size for corpus in corpora}
    lines: list[tuple[str, ...]] = []
    for (_, model), of_model in by_model(rows).items():
        by_corpus: dict[tuple[str, str], list[ComparisonRow]] = {}
        for row in of_model:
            by_corpus.setdefault((row.corpus, row.protocol), []).append(row)
        for (corpus, protocol), found in by_corpus.items():
            first = found[0]
            trained = first.estimator != "code"
            lines.append(
                (
                    model,
                    corpus,
                    protocol,
                    sizes.get((corpus, protocol), "unrecorded") if trained else "",
                    whole(first.parameters),
                    first.measure,
                    "none" if first.sigma_floor is None else f"{first.sigma_floor:g}",
                    ", ".join(dict.fromkeys(map(estimator_name, found))),
                    span(row.seeds for row in found) if trained else "not trained",
                )
            )
    head = ("model", "corpus", "protocol", "size", "parameters", "likelihood")
    return Sheet((*head, "floor under sigma", "estimators", "seeds"), "llllrlrlr", list(lines))


def _training_rules(corpora: Iterable[CorpusEntry]) -> Sheet:
    """Settings of training down, corpora across."""
    settings = {f"{corpus.name}, {corpus.protocol}": corpus.optimisation.model_dump() for corpus in corpora}
    names = dict.fromkeys(name for values in settings.values() for name in values)

    def written(value: object) -> str:
        return f"{value:g}" if isinstance(value, float) else str(value)

    lines = [(name, *(written(values[name]) for values in settings.values())) for name in names]
    return Sheet(("rule", *settings), "l" + "r" * len(settings), list(lines))
