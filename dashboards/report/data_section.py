"""On which data: every corpus of a study with what its shards hold, its protocols in sentences, and what was scored."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.corpus.sentences import protocol_words, split_conflict
from dashboards.corpus.summary_file import Corpus, parse_corpora
from dashboards.corpus.view import CorpusView, view_corpus
from dashboards.errors import ReportError
from dashboards.report.comparison_file import Row
from dashboards.report.study_record import Study

__all__ = ["DataCard", "DataSection", "ProtocolView", "Scored", "data_section"]

KINDS = {"speech": "speech", "pen": "handwriting"}


@dataclass(frozen=True)
class ProtocolView:
    """A protocol in sentences; `conflict` is what it splits otherwise than the shards."""

    name: str
    words: tuple[str, ...]
    conflict: str | None


@dataclass(frozen=True)
class DataCard:
    """One corpus of a study.

    Attributes:
        name: what the study calls it.
        view: of its summary; None where the study kept none of it.
        protocols: that it is used under.
        strays: fingerprints of scored data that are not the summary's.
    """

    name: str
    view: CorpusView | None
    protocols: tuple[ProtocolView, ...]
    strays: tuple[str, ...]


@dataclass(frozen=True)
class Scored:
    """Data that some model was scored on."""

    corpus: str
    protocol: str
    split: str
    sequences: int
    frames: int
    fingerprint: str


@dataclass(frozen=True)
class DataSection:
    """The section: how much there is, a card a corpus, and what was scored, with what follows from it."""

    sentence: str
    cards: tuple[DataCard, ...]
    scored: str
    rows: tuple[Scored, ...]


def data_section(study: Study) -> DataSection:
    """The section of a study.

    Raises:
        ReportError: `corpora.json` or the protocols of `study.json` are malformed.
    """
    cards, rows = _cards(study), _scored(study.comparison.rows)
    return DataSection(_sentence(cards), tuple(cards), _sameness(rows), tuple(rows))


def _scored(rows: Iterable[Row]) -> list[Scored]:
    found = [Scored(r.corpus, r.protocol, r.split, r.sequences, r.frames, r.fingerprint) for r in rows]
    return list(dict.fromkeys(found))


def _sameness(rows: Sequence[Scored]) -> str:
    if not rows:
        return "Nothing was scored."
    places: dict[tuple[str, str, str], int] = {}
    for row in rows:
        key = (row.corpus, row.protocol, row.split)
        places[key] = places.get(key, 0) + 1
    mixed = [f"{corpus}, protocol {protocol}" for (corpus, protocol, _), count in places.items() if count > 1]
    if not mixed:
        return "All models of a corpus and protocol were scored on the same data, with as many sequences and frames."
    return f"Not all models were scored on the same data: {'; '.join(mixed)}."


def _sentence(cards: Sequence[DataCard]) -> str:
    known = [card.view.corpus for card in cards if card.view]
    if not known:
        return "What the corpora hold was not recorded with this study; the table says what was scored."
    kinds = {KINDS[kind]: sum(corpus.kind == kind for corpus in known) for kind in KINDS}
    parts = ", ".join(f"{count} of {kind}" for kind, count in kinds.items() if count)
    sequences = sum(sum(corpus.sequences.values()) for corpus in known)
    named = "1 corpus" if len(known) == 1 else f"{len(known)} corpora"
    missing = f" Of {len(cards) - len(known)} more no summary was recorded." if len(cards) > len(known) else ""
    return f"{named}, {parts}, with {sequences:,} sequences in all.{missing}"


def _cards(study: Study) -> list[DataCard]:
    """A card for every corpus that the study scores, in the order of its results."""
    corpora, rows = parse_corpora(study.corpora), study.comparison.rows
    used: dict[str, dict[str, None]] = {}
    for corpus, protocol in [(r.corpus, r.protocol) for r in rows] + [(t.corpus, t.protocol) for t in study.trials]:
        used.setdefault(corpus, {})[protocol] = None
    cards = []
    for name, protocols in used.items():
        corpus = corpora.get(name)
        known = {corpus.fingerprint} if corpus else set()
        cards.append(
            DataCard(
                name=name,
                view=view_corpus(corpus) if corpus else None,
                protocols=tuple(_protocols(study.about, name, protocols, corpus)),
                strays=tuple(sorted({row.fingerprint for row in rows if row.corpus == name} - known)) if corpus else (),
            )
        )
    return cards


def _protocols(
    about: Mapping[str, Any], corpus: str, protocols: Iterable[str], summary: Corpus | None
) -> Iterable[ProtocolView]:
    written = about.get("protocols", {})
    for name in protocols:
        found = written.get(f"{corpus}/{name}") if isinstance(written, Mapping) else written
        if found is not None and not isinstance(found, Mapping):
            raise ReportError(f"study.json: protocols: {corpus}/{name} is not an object; run the study again")
        conflict = split_conflict(summary, found) if summary and found else None
        yield ProtocolView(name, tuple(protocol_words(found)) if found else (), conflict)
