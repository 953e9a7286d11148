"""Histograms of sequence lengths: one per split, on a shared axis of length."""

from typing import Any

import altair as alt

from benchmarks.schema.corpus import CorpusDescription
from dashboards.charts.specs import themed

__all__ = ["length_charts"]

BAR_HEIGHT = 72
LABEL_WIDTH = 44
"""Width of the count labels in pixels; fixed, so that the histograms are aligned."""


def length_charts(corpus: CorpusDescription) -> list[tuple[str, dict[str, Any]]]:
    """Name and histogram of every split that has sequences; the last one shows the axis of length.

    Each histogram has its own axis of counts, because splits differ widely in size.
    """
    names = [split.name for split in corpus.splits if split.sequences]
    return [(name, _histogram(corpus, name, last=name == names[-1])) for name in names]


def _histogram(corpus: CorpusDescription, split: str, *, last: bool) -> dict[str, Any]:
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
