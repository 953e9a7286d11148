"""What is said of a corpus in sentences: every one is computed from its summary."""

from collections.abc import Mapping
from typing import Any

from dashboards.corpus.summary_file import Corpus
from dashboards.text import counted

__all__ = [
    "duration",
    "length_sentence",
    "moment_rows",
    "protocol_words",
    "reject_sentence",
    "size_sentence",
    "speaker_sentence",
    "split_conflict",
]

FEW = 20
"""Sequences below which a 5 % quantile is the shortest or next to it: then the whole range is told."""
UNITS = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


def duration(seconds: float) -> str:
    """A duration in the largest unit of which it has one: "2.31 hours", "3.95 minutes", "0.82 seconds"."""
    size, unit = next((pair for pair in UNITS if seconds >= pair[0]), UNITS[-1])
    return f"{seconds / size:.2f} {unit}"


def _total(corpus: Corpus) -> str:
    if corpus.sample_rate:
        return duration(sum(corpus.samples.values()) / corpus.sample_rate)
    return f"{sum(corpus.samples.values()):,} points"


def size_sentence(corpus: Corpus) -> str:
    """How much there is, and how it is divided."""
    sequences = sum(corpus.sequences.values())
    if not sequences:
        return "It holds no sequence."
    parts = ", ".join(f"{name} {count:,} ({100 * count / sequences:.0f} %)" for name, count in corpus.sequences.items())
    return f"{counted(sequences, 'sequence')}, {_total(corpus)}: {parts}."


def length_sentence(corpus: Corpus) -> str:
    """Where the lengths of the largest split lie, and how far the splits' medians differ."""
    if not corpus.lengths:
        return "There are no lengths to draw."
    name = max(corpus.lengths, key=lambda split: corpus.sequences[split])
    medians = {split: lengths.median for split, lengths in corpus.lengths.items()}
    shortest, longest = min(medians, key=medians.__getitem__), max(medians, key=medians.__getitem__)
    said = _spread(corpus, name)
    if len(medians) == 1:
        return f"{said}."
    if medians[shortest] == medians[longest]:
        return f"{said}; the splits' medians are equal."
    more = 100 * (medians[longest] / medians[shortest] - 1)
    return f"{said}; the median of {longest} is {more:.1f} % above that of {shortest}."


def _spread(corpus: Corpus, split: str) -> str:
    lengths, count = corpus.lengths[split], corpus.sequences[split]
    measure = "long" if corpus.sample_rate else "in length"
    if count == 1:
        return f"The one sequence of {split} is {_length(corpus, lengths.median)} {measure}"
    few = count < FEW
    part = f"All {count}" if few else f"90 % of the {count:,}"
    low, high = (lengths.min, lengths.max) if few else (lengths.p05, lengths.p95)
    between = f"{_range(corpus, low, high)} {measure}"
    return f"{part} sequences of {split} are {between}, with a median of {_length(corpus, lengths.median)}"


def _length(corpus: Corpus, length: float) -> str:
    return f"{length / corpus.sample_rate:.2f} s" if corpus.sample_rate else f"{length:,.0f} points"


def _range(corpus: Corpus, low: int, high: int) -> str:
    if low == high:
        return _length(corpus, low)
    first = f"{low / corpus.sample_rate:.2f}" if corpus.sample_rate else f"{low:,}"
    return f"{first} to {_length(corpus, high)}"


def speaker_sentence(corpus: Corpus) -> str:
    """How many are heard, or write, and whose share is largest."""
    who = "speaker" if corpus.kind == "speech" else "writer"
    sequences, unknown = sum(corpus.sequences.values()), sum(corpus.without_speaker.values())
    if not sequences:
        return f"There is no {who}."
    if unknown == sequences:
        return f"No sequence names its {who}."
    parts = ", ".join(f"{name} {count:,}" for name, count in corpus.speakers.items())
    missing = f" {unknown:,} of {sequences:,} sequences name none." if unknown else ""
    named = [row for row in corpus.by_speaker if row.speaker is not None]
    if not named:
        return f"Named {who}s by split: {parts}.{missing}"
    first, share = named[0], 100 * named[0].length / max(sum(corpus.samples.values()), 1)
    what = "of all samples" if corpus.kind == "speech" else "of all points"
    return f"Named {who}s by split: {parts}. {first.speaker} ({first.split}) has most, {share:.1f} % {what}.{missing}"


def reject_sentence(corpus: Corpus) -> str:
    """How many source files could not be used, and why."""
    total = sum(corpus.rejects.values())
    if not total:
        return "No source file was rejected."
    codes = ", ".join(f"{reject.code} {reject.count:,}" for reject in corpus.rejected)
    return f"{counted(total, 'source file')} {'was' if total == 1 else 'were'} rejected: {codes}."


def moment_rows(corpus: Corpus) -> list[tuple[str, float, float]]:
    """Channel, mean and standard deviation of the training split, in units of int16 or of the pen's device."""
    if corpus.mean is None or corpus.std is None:
        return []
    means, stds = (value if isinstance(value, list) else [value] for value in (corpus.mean, corpus.std))
    channels = ("samples",) if corpus.kind == "speech" else ("dx", "dy")
    return list(zip(channels, means, stds, strict=False))


def protocol_words(protocol: Mapping[str, Any]) -> list[str]:
    """A protocol of `study.json` in sentences; what it does not say is left out."""
    speech = protocol.get("kind") == "speech"
    size = protocol.get("frame_size")
    frames = (
        f"A frame is {size} consecutive samples; what is left over at the end is not scored."
        if speech
        else "A frame is the offset (dx, dy) to the next point and whether the pen lifts there; the first point is not "
        "scored."
    )
    return [
        words
        for words in (
            _sentence(protocol.get("rule")),
            frames,
            _NORMALISATIONS.get(str(protocol.get("normalisation"))),
            _if(protocol.get("dequantise"), "Noise from U(-1/2, 1/2) is added to each integer.", "No noise is added."),
            _if(protocol.get("flip_y"), "y is turned to grow upward.", None),
            _windows(protocol),
            _SPLITS.get(str(protocol.get("split_column"))),
        )
        if words
    ]


_NORMALISATIONS = {
    "per_channel": "Each channel is normalised by its mean and standard deviation in training.",
    "shared_integer": "Both axes are normalised by one integer mean and one standard deviation of training.",
}
_SPLITS = {
    "split": "Splits never cut a speaker, page or recording.",
    "split_by_sequence": "Where the split by sequence differs from the table's, a speaker may be in several.",
}


def _if(said: object, yes: str, no: str | None) -> str | None:
    return None if said is None else yes if said else no


def _sentence(rule: object) -> str | None:
    return f"{str(rule)[:1].upper()}{str(rule)[1:]}." if rule else None


def _windows(protocol: Mapping[str, Any]) -> str | None:
    if "window_frames" not in protocol:
        return None
    frames = protocol["window_frames"]
    if frames is None:
        return "Sequences are scored whole."
    rest = "the rest is kept as a shorter one" if protocol.get("rest_kept") else "the rest is dropped"
    return f"Sequences are cut into windows of {frames} frames; {rest}."


def split_conflict(
    corpus: Corpus, protocol: Mapping[str, Any], says: str = "This protocol splits otherwise"
) -> str | None:
    """What the split by sequence holds, where the protocol uses it and it differs from that of the table.

    Args:
        corpus: the corpus.
        protocol: of `study.json`.
        says: how the sentence begins.
    """
    if protocol.get("split_column") != "split_by_sequence":
        return None
    other = {name: (rule.sequences, rule.samples) for name, rule in corpus.by_sequence.items()}
    table = {
        name: (corpus.sequences[name], corpus.samples[name]) for name in corpus.sequences if corpus.sequences[name]
    }
    if other == table:
        return None
    order = [*corpus.sequences, *(name for name in other if name not in corpus.sequences)]
    parts = ", ".join(f"{name} {other[name][0]:,}" for name in order if name in other)
    return f"{says} from the table, by sequence: {parts}."
