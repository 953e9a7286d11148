"""The section "Data": what each corpus contains, its protocols in sentences, and what was scored."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.corpus.corpus_view import CorpusView, protocol_sentences, split_difference, view_corpus
from dashboards.report.study_data import StudyData, grouped

__all__ = ["DataCard", "DataSection", "ProtocolView", "Scored", "data_section"]

KINDS = {"speech": "speech", "pen": "handwriting"}


@dataclass(frozen=True)
class ProtocolView:
    """A protocol in sentences; `conflict` says how its split differs from that of the shards, if it does."""

    name: str
    sentences: tuple[str, ...]
    conflict: str | None


@dataclass(frozen=True)
class DataCard:
    """One corpus of a study.

    Attributes:
        name: its name in the study.
        view: its summary; None if the study recorded none.
        protocols: the protocols it is used with.
        other_fingerprints: fingerprints of scored data that differ from the summary's.
    """

    name: str
    view: CorpusView | None
    protocols: tuple[ProtocolView, ...]
    other_fingerprints: tuple[str, ...]


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
    """The section's content: a summary, one card per corpus, and what was scored with its conclusion."""

    sentence: str
    cards: tuple[DataCard, ...]
    scored_sentence: str
    rows: tuple[Scored, ...]


def data_section(study: StudyData) -> DataSection:
    """Build the section."""
    rows = study.comparison.rows
    scored = [Scored(r.corpus, r.protocol, r.split, r.sequences, r.frames, r.fingerprint) for r in rows]
    # A dictionary without values is an ordered set.
    unique = tuple(dict.fromkeys(scored))
    used = dict.fromkeys([(r.corpus, r.protocol) for r in rows] + [(t.corpus, t.protocol) for t in study.trials])
    cards = tuple(_card(study, name, pairs) for name, pairs in grouped(used, lambda pair: pair[0]).items())
    return DataSection(_sentence(cards), cards, _scored_sentence(unique), unique)


def _scored_sentence(rows: Sequence[Scored]) -> str:
    if not rows:
        return "Nothing was scored."
    places = Counter((row.corpus, row.protocol, row.split) for row in rows)
    mixed = [f"{corpus}, protocol {protocol}" for (corpus, protocol, _), count in places.items() if count > 1]
    if mixed:
        return f"Not all models were scored on the same data: {'; '.join(mixed)}."
    return "All models of a corpus and protocol were scored on the same data: the same sequences and frames."


def _sentence(cards: Sequence[DataCard]) -> str:
    known = [card.view.corpus for card in cards if card.view]
    if not known:
        return "The study did not record what its corpora contain; the table shows what was scored."
    kinds = {KINDS[kind]: sum(corpus.kind == kind for corpus in known) for kind in KINDS}
    parts = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    sequences = sum(sum(corpus.sequences.values()) for corpus in known)
    text = f"{_corpora(len(known))} ({parts}) with {sequences:,} sequences in total."
    missing = len(cards) - len(known)
    return f"{text} No summary was recorded for {_corpora(missing, 'other ')}." if missing else text


def _corpora(count: int, adjective: str = "") -> str:
    return f"{count} {adjective}{'corpus' if count == 1 else 'corpora'}"


def _card(study: StudyData, name: str, used: Sequence[tuple[str, str]]) -> DataCard:
    corpus = study.corpora.get(name)
    protocols: list[ProtocolView] = []
    for _, protocol_name in used:
        protocol = study.description.protocols.get(f"{name}/{protocol_name}")
        by_sequence = protocol is not None and protocol.split_column == "split_by_sequence"
        conflict = split_difference(corpus) if corpus and by_sequence else None
        protocols.append(ProtocolView(protocol_name, tuple(protocol_sentences(protocol)) if protocol else (), conflict))
    scored = {row.fingerprint for row in study.comparison.rows if row.corpus == name}
    return DataCard(
        name=name,
        view=view_corpus(corpus) if corpus else None,
        protocols=tuple(protocols),
        other_fingerprints=tuple(sorted(scored - {corpus.fingerprint})) if corpus else (),
    )
