"""What a page shows of a corpus: sentences, charts and numbers. The corpus report and the study report both use it."""

from dataclasses import dataclass
from typing import Any

import altair as alt

from benchmarks.schema.corpus import CorpusDescription
from dashboards.charts.specs import themed
from dashboards.corpus.sentences import (
    TIME_UNITS,
    length_sentence,
    moment_rows,
    reject_sentence,
    size_sentence,
    speaker_sentence,
)

__all__ = ["CorpusView", "length_charts", "view_corpus"]

BAR_HEIGHT = 72
LABEL_WIDTH = 44
"""Width of the count labels in pixels; fixed, so that the histograms are aligned."""


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
    size, unit = next((pair for pair in TIME_UNITS if longest >= pair[0]), TIME_UNITS[-1])
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
            y=alt.Y(
                "sequences:Q",
                title=split,
                scale=alt.Scale(domain=[0, max(counts)], nice=True),
                axis=alt.Axis(tickCount=2, tickMinStep=1, format="d", minExtent=LABEL_WIDTH, maxExtent=LABEL_WIDTH),
            ),
            # Bars start at zero, not at the lower end of the axis.
            y2=alt.datum(0),
            tooltip=[
                alt.Tooltip("sequences:Q", title=f"sequences of {split}", format=",d"),
                alt.Tooltip("from:Q", title=f"{unit}, from", format=digits),
                alt.Tooltip("to:Q", title="to below", format=digits),
            ],
        )
        .properties(width="container", height=BAR_HEIGHT)
    )
    return themed(chart)
