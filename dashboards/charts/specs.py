"""The style of all charts (colours, dashes, type), and the chart of scores with their intervals.

Text and grid are `currentColor`, so one specification works in light, dark and print. A colour identifies a model on
the whole page, and shape identifies the estimator, so no reading depends on colour alone. The palette is Okabe and
Ito's ("Color Universal Design", 2008), ordered so that the first five have a contrast of 3:1 on both backgrounds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from benchmarks.schema.comparison import ComparisonRow
from benchmarks.schema.estimators import ESTIMATORS

__all__ = ["Style", "colour_by_model", "interval_chart", "model_colours", "model_styles", "rounded", "themed"]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "currentColor", "#E69F00", "#56B4E9", "#F0E442")
# 5 dashes and 8 colours share no factor, so a pair of dash and colour repeats only after 40 models.
DASHES = ((1, 0), (7, 3), (2, 2), (10, 3, 2, 3), (4, 2))
# A bound's triangle points to where the true value is.
SHAPES = {"exact": "circle", "code": "square", "iwae": "diamond", "fivo": "cross", "elbo": "triangle-right"}


def model_colours(models: Iterable[str]) -> dict[str, str]:
    """One colour per model, in order of first appearance; the ninth model repeats the first colour."""
    return {model: PALETTE[i % len(PALETTE)] for i, model in enumerate(dict.fromkeys(models))}


@dataclass(frozen=True)
class Style:
    """The line style of a model; `dash` lists lengths of strokes and gaps in pixels."""

    colour: str
    dash: tuple[int, ...]


def model_styles(colours: Mapping[str, str]) -> dict[str, Style]:
    """The line style of each model: its colour, and a dash that differs from other models of that colour."""
    return {model: Style(colour, DASHES[i % len(DASHES)]) for i, (model, colour) in enumerate(colours.items())}


def interval_chart(rows: Sequence[ComparisonRow], colours: Mapping[str, str]) -> dict[str, Any]:
    """A dot and its 95 % interval for each row, in nats per sequence, in the order of the rows."""
    marks = [
        {
            "label": f"{row.model}, {row.label}",
            "model": row.model,
            "family": ESTIMATORS[row.estimator].label,
            "nats": row.nats_per_sequence,
            "low": row.interval[0] if row.has_interval else None,
            "high": row.interval[1] if row.has_interval else None,
        }
        for row in rows
    ]
    present = {row.estimator for row in rows}
    families = {known.label: SHAPES[name] for name, known in ESTIMATORS.items() if name in present}
    base = alt.Chart(alt.Data(values=marks)).encode(
        # Without an explicit order Vega would sort the labels by name.
        y=alt.Y("label:N", sort=[mark["label"] for mark in marks], title=None),
        color=colour_by_model(colours, [row.model for row in rows], legend=None),
        tooltip=[
            alt.Tooltip("label:N", title="model"),
            alt.Tooltip("nats:Q", title="nats per sequence", format=".2f"),
            alt.Tooltip("low:Q", title="95 % from", format=".2f"),
            alt.Tooltip("high:Q", title="95 % to", format=".2f"),
        ],
    )
    interval = base.mark_rule(strokeWidth=2).encode(
        # The axis need not start at zero: only differences between scores matter.
        x=alt.X("low:Q", title="nats per sequence", scale=alt.Scale(zero=False, nice=True)),
        x2="high:Q",
    )
    dot = base.mark_point(filled=True, size=110, opacity=1).encode(
        x="nats:Q",
        shape=alt.Shape(
            "family:N",
            scale=alt.Scale(domain=list(families), range=list(families.values())),
            legend=alt.Legend(title=None, orient="top", symbolFillColor="currentColor", symbolStrokeWidth=0),
        ),
    )
    chart = alt.layer(interval, dot).properties(width="container", height=30 * len(marks))
    return themed(chart)


def colour_by_model(colours: Mapping[str, str], models: Sequence[str], legend: alt.Legend | None) -> alt.Color:
    """The encoding of the field `model` by the page's colours."""
    domain = list(dict.fromkeys(models))
    scale = alt.Scale(domain=domain, range=[colours[model] for model in domain])
    return alt.Color("model:N", scale=scale, legend=legend)


def rounded(value: float | None) -> float | None:
    """The value with as many digits as a drawing can show; tables show the full value."""
    return None if value is None else float(f"{value:.6g}")


def themed(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """The chart's specification with the page's fonts and colours."""
    ink = "currentColor"
    themed = (
        chart.configure(background="transparent", font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=ink,
            titleColor=ink,
            domainColor=ink,
            tickColor=ink,
            gridColor=ink,
            gridOpacity=0.14,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            labelLimit=170,
        )
        .configure_axisX(tickCount=5, labelOverlap="greedy")
        .configure_legend(labelColor=ink, titleColor=ink, labelFontSize=12)
    )
    return themed.to_dict()
