"""The forest plot: every paired difference of a corpus as a dot on its two intervals, beside the line of no difference.

The unit is nats per frame: a sequence is of any length, a frame is of one size in a protocol. Log-densities of one
corpus are moved by its normalisation alike for both models, so that their difference owes nothing to it. Each panel has
its own axis, since what a frame holds, and so how large a difference is, depends on the corpus.

What is drawn are the 95 % intervals as recorded, uncorrected; the verdict beside each dot is of the tests, corrected
for all comparisons, of the mean difference of a sequence. So it stands in words and is not read off the picture.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from dashboards.charts.specs import themed
from dashboards.report.differences_file import Difference

__all__ = ["forest_chart", "rounded"]

ROW_HEIGHT = 46
LABEL_RISE = -8
ZERO_SIZE = 28
ZERO_FALL = 8
PAPER = "var(--paper)"
DIGITS = 6


def forest_chart(differences: Sequence[Difference], colours: Mapping[str, str]) -> dict[str, Any]:
    """A dot, a thick and a thin line for each difference, in nats per frame, in the order given.

    Args:
        differences: of one corpus, protocol, split and measure.
        colours: the colour of each model; a dot has that of the model which the difference favours.
    """
    marks = [_mark(place, difference) for place, difference in enumerate(differences)]
    models = list(dict.fromkeys(mark["favours"] for mark in marks))
    base = alt.Chart(alt.Data(values=marks)).encode(
        y=alt.Y("place:O", axis=None, scale=alt.Scale(paddingOuter=0.3)),
        tooltip=_tooltips(),
    )
    layers = [_zero(base), *_intervals(base, marks), _dots(base, colours, models), *_labels(base)]
    return themed(alt.layer(*layers).properties(width="container", height=ROW_HEIGHT * len(marks)))


def _zero(base: alt.Chart) -> alt.Chart:
    """The line of no difference, left out where the words stand."""
    mark = base.mark_tick(
        orient="vertical", size=ZERO_SIZE, yOffset=ZERO_FALL, opacity=1, color="currentColor", aria=False
    )
    return mark.encode(x=_axis("zero:Q")).transform_calculate(zero="0")


def _intervals(base: alt.Chart, marks: Sequence[Mapping[str, Any]]) -> list[alt.Chart]:
    """The thick and the thin line, of those differences that have them."""
    lines: list[alt.Chart] = []
    for low, high, width, opacity in (("low", "high", 6.0, 0.45), ("joint_low", "joint_high", 1.5, 1.0)):
        if any(mark[low] is not None for mark in marks):
            known = base.transform_filter(f"isValid(datum.{low})")
            line = known.mark_rule(strokeWidth=width, opacity=opacity, color="currentColor", aria=False)
            lines.append(line.encode(x=_axis(f"{low}:Q"), x2=f"{high}:Q"))
    return lines


def _dots(base: alt.Chart, colours: Mapping[str, str], models: Sequence[str]) -> alt.Chart:
    scale = alt.Scale(domain=models, range=[colours[model] for model in models])
    colour = alt.Color("favours:N", scale=scale, legend=None)
    return base.mark_point(size=110, opacity=1, strokeWidth=2).encode(
        x="difference:Q",
        stroke=alt.Stroke("favours:N", scale=scale, legend=None),
        fill=alt.condition("datum.settled", colour, alt.value(PAPER)),
        shape=alt.Shape("settled:N", scale=alt.Scale(domain=[True, False], range=["circle", "diamond"]), legend=None),
    )


def _labels(base: alt.Chart) -> list[alt.Chart]:
    """The words over each line, on a halo that keeps the grid off them."""
    place = {"align": "left", "baseline": "bottom", "dy": LABEL_RISE, "fontSize": 12, "limit": {"expr": "width"}}
    halo = base.mark_text(**place, color=PAPER, stroke=PAPER, strokeWidth=5, aria=False)
    words = base.mark_text(**place, color="currentColor")
    return [mark.encode(x=alt.value(0), text="label:N") for mark in (halo, words)]


def rounded(value: float | None) -> float | None:
    """A number with the digits that a drawing can show; the tables have the whole of it."""
    return None if value is None else float(f"{value:.{DIGITS}g}")


def _axis(field: str) -> alt.X:
    return alt.X(field, title="nats per frame, first model minus second", scale=alt.Scale(zero=True, nice=True))


def _mark(place: int, difference: Difference) -> dict[str, Any]:
    gap = difference.nats_per_frame
    low, high = map(rounded, gap.interval or (None, None))
    joint_low, joint_high = map(rounded, gap.joint_interval or (None, None))
    return {
        "place": place,
        "label": f"{difference.name}: {difference.verdict}",
        "favours": difference.order[0].model,
        "settled": difference.is_settled,
        "difference": rounded(gap.difference),
        "low": low,
        "high": high,
        "joint_low": joint_low,
        "joint_high": joint_high,
    }


def _tooltips() -> list[alt.Tooltip]:
    numbers = {
        "difference": "nats per frame",
        "low": "sequences, from",
        "high": "sequences, to",
        "joint_low": "sequences and seeds, from",
        "joint_high": "sequences and seeds, to",
    }
    figures = [alt.Tooltip(f"{key}:Q", title=title, format=".4~g") for key, title in numbers.items()]
    return [alt.Tooltip("label:N", title="comparison"), *figures]
