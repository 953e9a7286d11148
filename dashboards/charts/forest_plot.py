"""The forest plot: each paired difference of a corpus as a dot with its two intervals, and the line at zero.

The unit is nats per frame, because sequences differ in length while a frame has one size in a protocol. Normalisation
shifts the log-densities of both models equally, so it does not affect their difference. Each panel has its own axis,
because the content of a frame, and so the size of a difference, depends on the corpus.

The 95 % intervals are drawn as recorded, uncorrected. The verdict next to each dot comes from the tests of the mean
difference per sequence, corrected for all comparisons. So it is written out and cannot be read off the intervals.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from benchmarks.schema.comparison import PairedDifference
from dashboards.charts.specs import rounded, themed

__all__ = ["forest_chart"]

# The page's background in the current theme.
PAPER = "var(--paper)"


def forest_chart(differences: Sequence[PairedDifference], colours: Mapping[str, str]) -> dict[str, Any]:
    """A dot, a thick and a thin line for each difference, in nats per frame, in the given order.

    All are of one corpus, protocol, split and measure. A dot has the colour of the model with the higher score.
    """
    marks = [_mark(place, difference) for place, difference in enumerate(differences)]
    numbers = {
        "difference": "nats per frame",
        "low": "sequences, from",
        "high": "sequences, to",
        "joint_low": "sequences and seeds, from",
        "joint_high": "sequences and seeds, to",
    }
    base = alt.Chart(alt.Data(values=marks)).encode(
        y=alt.Y("place:O", axis=None, scale=alt.Scale(paddingOuter=0.3)),
        tooltip=[
            alt.Tooltip("label:N", title="comparison"),
            *(alt.Tooltip(f"{key}:Q", title=title, format=".4~g") for key, title in numbers.items()),
        ],
    )
    # The line at zero is drawn in pieces that leave room for the labels.
    zero = base.mark_tick(orient="vertical", size=28, yOffset=8, opacity=1, color="currentColor", aria=False)
    zero_line = zero.encode(x=_axis("zero:Q")).transform_calculate(zero="0")
    models = list(dict.fromkeys(mark["favours"] for mark in marks))
    scale = alt.Scale(domain=models, range=[colours[model] for model in models])
    colour = alt.Color("favours:N", scale=scale, legend=None)
    dots = base.mark_point(size=110, opacity=1, strokeWidth=2).encode(
        x="difference:Q",
        stroke=alt.Stroke("favours:N", scale=scale, legend=None),
        fill=alt.condition("datum.settled", colour, alt.value(PAPER)),
        shape=alt.Shape("settled:N", scale=alt.Scale(domain=[True, False], range=["circle", "diamond"]), legend=None),
    )
    layers = [zero_line, *_intervals(base, marks), dots, *_labels(base)]
    return themed(alt.layer(*layers).properties(width="container", height=46 * len(marks)))


def _mark(place: int, difference: PairedDifference) -> dict[str, Any]:
    per_frame = difference.nats_per_frame
    low, high = map(rounded, per_frame.interval or (None, None))
    joint_low, joint_high = map(rounded, per_frame.joint_interval or (None, None))
    return {
        "place": place,
        "label": f"{difference.name}: {difference.verdict}",
        "favours": difference.order[0].model,
        "settled": difference.is_settled,
        "difference": rounded(per_frame.difference),
        "low": low,
        "high": high,
        "joint_low": joint_low,
        "joint_high": joint_high,
    }


def _intervals(base: alt.Chart, marks: Sequence[Mapping[str, Any]]) -> list[alt.Chart]:
    """The thick and the thin line of the differences that have them."""
    lines: list[alt.Chart] = []
    for low, high, width, opacity in (("low", "high", 6.0, 0.45), ("joint_low", "joint_high", 1.5, 1.0)):
        if any(mark[low] is not None for mark in marks):
            # A line without an interval would be drawn at zero.
            known = base.transform_filter(f"isValid(datum.{low})")
            line = known.mark_rule(strokeWidth=width, opacity=opacity, color="currentColor", aria=False)
            lines.append(line.encode(x=_axis(f"{low}:Q"), x2=f"{high}:Q"))
    return lines


def _labels(base: alt.Chart) -> list[alt.Chart]:
    """The text above each line, on a halo that hides the grid behind it."""
    place = {"align": "left", "baseline": "bottom", "dy": -8, "fontSize": 12, "limit": {"expr": "width"}}
    # The halo is the same text in the background colour with a thick outline.
    halo = base.mark_text(**place, color=PAPER, stroke=PAPER, strokeWidth=5, aria=False)
    text = base.mark_text(**place, color="currentColor")
    return [mark.encode(x=alt.value(0), text="label:N") for mark in (halo, text)]


def _axis(field: str) -> alt.X:
    return alt.X(field, title="nats per frame, first model minus second", scale=alt.Scale(zero=True, nice=True))
