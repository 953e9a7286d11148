"""What a page shows of a corpus: sentences, charts and numbers, computed from its description.

The corpus report and the study report both use it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import altair as alt

from benchmarks.schema.corpus import CorpusDescription
from benchmarks.schema.study import AppliedProtocol
from dashboards.charts.specs import themed
from dashboards.text import counted

__all__ = ["CorpusView", "protocol_sentences", "split_difference", "view_corpus"]

FEW = 20
"""With fewer sequences a 5 % quantile is almost the shortest one, so the whole range is given."""


@dataclass(frozen=True)
class CorpusView:
    """A corpus with its sentences and charts.

    Attributes:
        charts: name and histogram of lengths of each split.
        moments: channel, mean and standard deviation of the training split.
        time: unit of durations in the table of splits, and its length in seconds; None for pen.
        link: the corpus's web address; None if a browser cannot open it.
    """

    corpus: CorpusDescription
    size: str
    lengths: str
    speakers: str
    rejects: str
    charts: tuple[tuple[str, dict[str, Any]], ...]
    moments: tuple[tuple[str, float, float], ...]
    time: tuple[str, float] | None
    link: str | None


def view_corpus(corpus: CorpusDescription) -> CorpusView:
    """Compute what a page shows of a corpus."""
    longest = max((seconds or 0.0 for seconds in corpus.seconds.values()), default=0.0)
    size, unit = _time_unit(longest)
    return CorpusView(
        corpus=corpus,
        size=size_sentence(corpus),
        lengths=length_sentence(corpus),
        speakers=speaker_sentence(corpus),
        rejects=reject_sentence(corpus),
        charts=tuple(length_charts(corpus)),
        moments=tuple(moment_rows(corpus)),
        time=(unit, size) if corpus.sample_rate else None,
        link=corpus.url if corpus.url.startswith(("https://", "http://")) else None,
    )


def _time_unit(seconds: float) -> tuple[float, str]:
    """The largest unit that fits, with its length in seconds."""
    units = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
    return next((unit for unit in units if seconds >= unit[0]), units[-1])


def duration(seconds: float) -> str:
    """A duration in the largest fitting unit: "2.31 hours", "3.95 minutes", "0.82 seconds"."""
    size, unit = _time_unit(seconds)
    return f"{seconds / size:.2f} {unit}"


def size_sentence(corpus: CorpusDescription) -> str:
    """Number of sequences, total duration, and the share of each split."""
    sequences, samples = sum(corpus.sequences.values()), sum(corpus.samples.values())
    if not sequences:
        return "The corpus has no sequences."
    total = duration(samples / corpus.sample_rate) if corpus.sample_rate else f"{samples:,} points"
    parts = ", ".join(f"{name} {count:,} ({100 * count / sequences:.0f} %)" for name, count in corpus.sequences.items())
    return f"{counted(sequences, 'sequence')}, {total}: {parts}."


def length_sentence(corpus: CorpusDescription) -> str:
    """The range of lengths in the largest split, and how far the splits' medians differ."""
    if not corpus.lengths:
        return "There are no lengths to show."
    # The largest split is usually the training split.
    largest = max(corpus.lengths, key=lambda split: corpus.sequences[split])
    medians = {split: lengths.median for split, lengths in corpus.lengths.items()}
    shortest, longest = min(medians, key=medians.__getitem__), max(medians, key=medians.__getitem__)
    text = _length_range(corpus, largest)
    if len(medians) == 1:
        return f"{text}."
    if medians[shortest] == medians[longest]:
        return f"{text}; the splits' medians are equal."
    more = 100 * (medians[longest] / medians[shortest] - 1)
    return f"{text}; the median of {longest} is {more:.1f} % above that of {shortest}."


def _length_range(corpus: CorpusDescription, split: str) -> str:
    lengths, count, rate = corpus.lengths[split], corpus.sequences[split], corpus.sample_rate

    def shown(length: float) -> str:
        return f"{length / rate:.2f}" if rate else f"{length:,.0f}"

    unit, measure = ("s", "long") if rate else ("points", "in length")
    if count == 1:
        return f"The one sequence of {split} is {shown(lengths.median)} {unit} {measure}"
    which = f"All {count}" if count < FEW else f"90 % of the {count:,}"
    low, high = (lengths.min, lengths.max) if count < FEW else (lengths.p05, lengths.p95)
    ends = shown(low) if low == high else f"{shown(low)} to {shown(high)}"
    return f"{which} sequences of {split} are {ends} {unit} {measure}, with a median of {shown(lengths.median)} {unit}"


def speaker_sentence(corpus: CorpusDescription) -> str:
    """Number of speakers or writers, and the one with the largest share."""
    person = "speaker" if corpus.kind == "speech" else "writer"
    sequences, unnamed = sum(corpus.sequences.values()), sum(corpus.without_speaker.values())
    if not sequences:
        return f"There are no {person}s."
    if unnamed == sequences:
        return f"No sequence has a named {person}."
    sentences = [f"Named {person}s by split: {', '.join(f'{name} {n:,}' for name, n in corpus.speakers.items())}."]
    # Rows are sorted by length, so the first named one has the most.
    if first := next((row for row in corpus.by_speaker if row.speaker is not None), None):
        share = 100 * first.length / max(sum(corpus.samples.values()), 1)
        what = "samples" if corpus.kind == "speech" else "points"
        sentences.append(f"{first.speaker} ({first.split}) has the most: {share:.1f} % of all {what}.")
    if unnamed:
        sentences.append(
            f"{unnamed:,} of {sequences:,} sequences {'has' if unnamed == 1 else 'have'} no named {person}."
        )
    return " ".join(sentences)


def reject_sentence(corpus: CorpusDescription) -> str:
    """Number of rejected source files by reason."""
    total = sum(corpus.rejects.values())
    if not total:
        return "No source file was rejected."
    codes = ", ".join(f"{reject.code} {reject.count:,}" for reject in corpus.rejected)
    return f"{counted(total, 'source file')} {'was' if total == 1 else 'were'} rejected: {codes}."


def moment_rows(corpus: CorpusDescription) -> list[tuple[str, float, float]]:
    """Channel, mean and standard deviation of the training split, in units of int16 or of the pen's device."""
    if corpus.mean is None or corpus.std is None:
        return []
    means, stds = (value if isinstance(value, list) else [value] for value in (corpus.mean, corpus.std))
    channels = ("samples",) if corpus.kind == "speech" else ("dx", "dy")
    return list(zip(channels, means, stds, strict=False))


def protocol_sentences(protocol: AppliedProtocol) -> Iterator[str]:
    """A protocol in sentences."""
    yield f"{protocol.rule[:1].upper()}{protocol.rule[1:]}."
    if protocol.kind == "speech":
        yield f"A frame is {protocol.frame_size} consecutive samples; an incomplete last frame is not scored."
    else:
        yield (
            "A frame is the offset (dx, dy) to the next point and whether the pen lifts there; the first point is not "
            "scored."
        )
    yield {
        "per_channel": "Each channel is normalised by its mean and standard deviation in training.",
        "shared_integer": "Both axes are normalised by one integer mean and one standard deviation of training.",
    }[protocol.normalisation]
    yield "Noise from U(-1/2, 1/2) is added to each integer." if protocol.dequantise else "No noise is added."
    if protocol.flip_y:
        yield "The y axis is flipped to point upward."
    if protocol.window_frames is None:
        yield "Sequences are scored whole."
    else:
        rest = "the rest is kept as a shorter window" if protocol.rest_kept else "the rest is dropped"
        yield f"Sequences are cut into windows of {protocol.window_frames} frames; {rest}."
    yield {
        "split": "No speaker, page or recording is in two splits.",
        "split_by_sequence": "The split is by sequence: where it differs from the table, a speaker may be in several.",
    }[protocol.split_column]


def split_difference(corpus: CorpusDescription) -> str | None:
    """What the split by sequence contains, if it differs from the table's split."""
    by_sequence = {name: (rule.sequences, rule.samples) for name, rule in corpus.by_sequence.items()}
    table = {name: (count, corpus.samples[name]) for name, count in corpus.sequences.items() if count}
    if by_sequence == table:
        return None
    order = [*corpus.sequences, *(name for name in by_sequence if name not in corpus.sequences)]
    parts = ", ".join(f"{name} {by_sequence[name][0]:,}" for name in order if name in by_sequence)
    return f"The split by sequence differs from the table: {parts}."


def length_charts(corpus: CorpusDescription) -> list[tuple[str, dict[str, Any]]]:
    """Name and histogram of every split that has sequences; the last one shows the axis of length.

    Each histogram has its own axis of counts, because splits differ widely in size.
    """
    names = [split.name for split in corpus.splits if split.sequences]
    return [(name, _histogram(corpus, name, last=name == names[-1])) for name in names]


def _histogram(corpus: CorpusDescription, split: str, *, last: bool) -> dict[str, Any]:
    # Speech is shown in seconds, pen in points.
    edges = [edge / (corpus.sample_rate or 1) for edge in corpus.histogram.edges]
    counts = corpus.histogram.counts[split]
    bars = [
        {"from": low, "to": high, "sequences": count}
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
        if count
    ]
    unit = "seconds" if corpus.sample_rate else "points"
    digits = ".2f" if corpus.sample_rate else "d"
    chart = (
        alt.Chart(alt.Data(values=bars))
        .mark_bar(color="currentColor", opacity=0.75, stroke="currentColor", strokeWidth=0.5)
        .encode(
            x=alt.X(
                "from:Q",
                title=f"length of a sequence in {unit}" if last else None,
                scale=alt.Scale(domain=[edges[0], edges[-1]], nice=False),
                axis=alt.Axis(labels=last, ticks=last, grid=True, labelBound=True),
            ),
            x2="to:Q",
            # The labels have a fixed width, so that the histograms are aligned.
            y=alt.Y(
                "sequences:Q",
                title=split,
                scale=alt.Scale(domain=[0, max(counts)], nice=True),
                axis=alt.Axis(tickCount=2, tickMinStep=1, format="d", minExtent=44, maxExtent=44),
            ),
            # Bars start at zero, not at the lower end of the axis.
            y2=alt.datum(0),
            tooltip=[
                alt.Tooltip("sequences:Q", title=f"sequences of {split}", format=",d"),
                alt.Tooltip("from:Q", title=f"{unit}, from", format=digits),
                alt.Tooltip("to:Q", title="to below", format=digits),
            ],
        )
        .properties(width="container", height=72)
    )
    return themed(chart)
