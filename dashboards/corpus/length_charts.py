"""How long a corpus's sequences are: one small histogram a split, on one axis of length."""

from typing import Any

import altair as alt

from dashboards.charts.specs import themed
from dashboards.corpus.summary_file import Corpus

__all__ = ["length_charts"]

BAR_HEIGHT = 72
LABEL_WIDTH = 44
"""Pixels that the counts' labels take in every histogram, so that their axes of length lie below each other."""


def length_charts(corpus: Corpus) -> list[tuple[str, dict[str, Any]]]:
    """The name and the histogram of every split that holds sequences; the last one carries the axis of length.

    Counts have an axis of their own in each, since splits differ in size by far.
    """
    names = [split.name for split in corpus.splits if split.sequences]
    return [(name, _histogram(corpus, name, last=name == names[-1])) for name in names]


def _histogram(corpus: Corpus, split: str, *, last: bool) -> dict[str, Any]:
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
