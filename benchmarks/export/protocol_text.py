"""`protocol.md`: how a study's figures came about, in words that can stand in a paper.

Two log-likelihoods are of one quantity only if all of this agrees: frames, windows, normalisation, noise, split, floor,
estimator. Nothing is guessed: what the study's own file does not say is said to be unrecorded.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from benchmarks.export.cells import Place, by_model, label, omissions, places, span, whole
from benchmarks.export.markup import Sheet, markdown_item, markdown_table, markdown_text
from benchmarks.statistics.paired_differences import LEAST_SEEDS
from benchmarks.statistics.resampling import LEVEL
from benchmarks.statistics.table import ComparisonRow
from benchmarks.study.summary import Comparison

__all__ = ["protocol_statement"]


class _Markdown(str):
    """Markdown that is finished: not to be escaped."""

    __slots__ = ()


def protocol_statement(comparison: Comparison) -> str:
    """The statement, in GitHub Markdown."""
    about, rows = comparison.about, comparison.rows
    suite = about.get("suite", {})
    environment = Environment(  # noqa: S701 - it is no HTML that is written; `finalize` escapes every value
        loader=PackageLoader("benchmarks.export"),
        undefined=StrictUndefined,
        finalize=_escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("protocol.md.j2").render(
        study=comparison.study,
        data=_data(rows, about),
        protocols=_protocols(rows, about),
        models=_Markdown(markdown_table(_models(rows, suite))),
        rules=_Markdown(markdown_table(rules)) if (rules := _rules(suite)) else None,
        seeds=", ".join(map(str, suite["seeds"])) if suite else None,
        scoring=suite.get("scoring"),
        bounds=_bounds(rows),
        bits=any(row.bits_per_sample is not None for row in rows),
        claims=suite.get("claims"),
        comparisons=comparison.differences[0].comparisons if comparison.differences else 0,
        level=LEVEL,
        least_seeds=LEAST_SEEDS,
        pairs=len(comparison.published),
        comparable=sum(pair.comparable for pair in comparison.published),
        code=about.get("code"),
        keys=about.get("keys"),
        looked="leaks" in about,
        warnings=_items(comparison.warnings),
        omitted=_items(omissions(comparison)),
    )


def _escaped(value: object) -> str:
    return value if isinstance(value, _Markdown) else markdown_text(str(value))


def _items(texts: Iterable[str]) -> _Markdown:
    return _Markdown("\n".join(map(markdown_item, texts)))


def _data(rows: Iterable[ComparisonRow], about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is said of each column's data."""
    columns = places(rows)
    return [_column(place, found, label(place, columns), about) for place, found in columns.items()]


def _column(place: Place, rows: list[ComparisonRow], name: str, about: Mapping[str, Any]) -> dict[str, Any]:
    key = f"{place.corpus}/{place.protocol}"
    return {
        "name": name,
        "dataset": rows[0].dataset,
        "fingerprint": place.fingerprint,
        "split": place.split,
        "sequences": span(row.sequences for row in rows),
        "frames": span(row.frames for row in rows),
        "rule": about.get("protocols", {}).get(key, {}).get("rule"),
        "roles": about.get("leaks", {}).get(key, {}).get("sequences"),
    }


def _protocols(rows: list[ComparisonRow], about: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The rules of each corpus, and whether they say of densities what is done to these.

    They are those of the first model that the study trains on it, and a discretised one is never given noise.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, protocol in about.get("protocols", {}).items():
        here = [row for row in rows if f"{row.corpus}/{row.protocol}" == name]
        trained = next((row for row in here if row.estimator != "code"), None)
        measures = {row.measure for row in here}
        unsure = "density" in measures and trained is not None and trained.measure == "mass"
        found[name] = {**protocol, "measures": measures, "noise_known": protocol["dequantise"] or not unsure}
    return found


def _models(rows: list[ComparisonRow], suite: Mapping[str, Any]) -> Sheet:
    """A line for each model, corpus and protocol."""
    sizes = {(corpus["name"], corpus["protocol"]): corpus["size"] for corpus in suite.get("corpora", ())}
    head = (
        "model",
        "corpus",
        "protocol",
        "size",
        "parameters",
        "likelihood",
        "floor under sigma",
        "estimators",
        "seeds",
    )
    return Sheet(
        head,
        "llllrlrlr",
        [
            (model, *corpus, *_model(found, sizes.get(corpus, "unrecorded")))
            for (_, model), of_model in by_model(rows).items()
            for corpus, found in _by_corpus(of_model).items()
        ],
    )


def _by_corpus(rows: Iterable[ComparisonRow]) -> dict[tuple[str, str], list[ComparisonRow]]:
    found: dict[tuple[str, str], list[ComparisonRow]] = {}
    for row in rows:
        found.setdefault((row.corpus, row.protocol), []).append(row)
    return found


def _model(rows: list[ComparisonRow], size: str) -> tuple[str, str, str, str, str, str]:
    first = rows[0]
    trained = first.estimator != "code"
    floor = "none" if first.sigma_floor is None else f"{first.sigma_floor:g}"
    estimators = ", ".join(dict.fromkeys(_estimator(row.estimator, row.num_samples) for row in rows))
    seeds = span(row.seeds for row in rows) if trained else "not trained"
    return size if trained else "", whole(first.parameters), first.measure, floor, estimators, seeds


def _estimator(name: str, samples: int) -> str:
    return f"{name}-{samples}" if name in ("iwae", "fivo") else name


def _bounds(rows: Iterable[ComparisonRow]) -> dict[str, str]:
    """K of each estimator that was used."""
    known = list(rows)
    return {name: span(row.num_samples for row in known if row.estimator == name) for name in _names(known)}


def _names(rows: Iterable[ComparisonRow]) -> list[str]:
    return list(dict.fromkeys(row.estimator for row in rows))


def _rules(suite: Mapping[str, Any]) -> Sheet | None:
    """Rules of training down, corpora across."""
    corpora = suite.get("corpora", ())
    names = list(dict.fromkeys(name for corpus in corpora for name in corpus["optimisation"]))
    head = ("rule", *(f"{corpus['name']}, {corpus['protocol']}" for corpus in corpora))
    lines = [(name, *(_value(corpus["optimisation"].get(name)) for corpus in corpora)) for name in names]
    return Sheet(head, "l" + "r" * len(corpora), lines) if corpora else None


def _value(value: object) -> str:
    return "unrecorded" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
