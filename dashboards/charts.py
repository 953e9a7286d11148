"""Vega-Lite specifications of the report's charts, as plain JSON objects that hold their own data.

Text and grid are `currentColor`, so one specification serves light, dark and print. Colour tells the models
apart and is the same on the whole page; the estimator is told by shape, so no reading depends on colour alone.
The palette is Okabe and Ito's ("Color Universal Design", 2008), ordered so that the first five keep a contrast
of 3:1 on both backgrounds.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from dashboards.comparison import ESTIMATORS, Row
from dashboards.record import Trial

__all__ = ["interval_chart", "learning_chart", "model_colours"]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "currentColor", "#E69F00", "#56B4E9", "#F0E442")
ROW_HEIGHT = 30
CURVE_HEIGHT = 260
LOW_QUANTILE = 0.1


def model_colours(models: Iterable[str]) -> dict[str, str]:
    """One colour per model, in order of first appearance; the ninth model repeats the first's."""
    return {model: PALETTE[i % len(PALETTE)] for i, model in enumerate(dict.fromkeys(models))}


def interval_chart(rows: Sequence[Row], colours: Mapping[str, str]) -> dict[str, Any]:
    """A dot and its 95 % interval for each row, in nats per sequence, in the order of the rows."""
    figures = [_figure(row) for row in rows]
    present = {row.estimator for row in rows}
    families = [estimator for key, estimator in ESTIMATORS.items() if key in present]
    base = alt.Chart(alt.Data(values=figures)).encode(
        y=alt.Y("label:N", sort=[figure["label"] for figure in figures], title=None),
        color=_colour_by_model(colours, [row.model for row in rows], legend=None),
        tooltip=[
            alt.Tooltip("label:N", title="model"),
            alt.Tooltip("nats:Q", title="nats per sequence", format=".2f"),
            alt.Tooltip("low:Q", title="95 % from", format=".2f"),
            alt.Tooltip("high:Q", title="95 % to", format=".2f"),
        ],
    )
    interval = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title="nats per sequence", scale=alt.Scale(zero=False, nice=True)), x2="high:Q"
    )
    shape_scale = alt.Scale(domain=[e.name for e in families], range=[e.shape for e in families])
    dot = base.mark_point(filled=True, size=110, opacity=1).encode(
        x="nats:Q",
        shape=alt.Shape(
            "family:N",
            scale=shape_scale,
            legend=alt.Legend(title=None, orient="top", symbolFillColor="currentColor", symbolStrokeWidth=0),
        ),
    )
    chart = alt.layer(interval, dot).properties(width="container", height=ROW_HEIGHT * len(figures))
    return _themed(chart)


def _figure(row: Row) -> dict[str, Any]:
    return {
        "label": f"{row.model}, {row.label}",
        "model": row.model,
        "family": ESTIMATORS[row.estimator].name,
        "nats": row.nats_per_sequence,
        "low": row.interval[0] if row.has_interval else None,
        "high": row.interval[1] if row.has_interval else None,
    }


def learning_chart(
    trials: Sequence[Trial], column: str, title: str, colours: Mapping[str, str], low: float | None = None
) -> dict[str, Any] | None:
    """A thin line per trial of one column of `curves.parquet` against the epoch.

    Args:
        trials: training runs of one corpus and protocol.
        column: the column to draw; non-finite values are left out.
        title: the axis title, with the unit.
        colours: the colour of each model.
        low: where the vertical axis starts. None leaves out the steep first epochs, which would flatten the
            rest: it starts one interdecile range below the lowest tenth. Lines are cut there, never moved.

    Returns:
        the specification, or None where no trial has a finite value.
    """
    points = _points(trials, column)
    if points.empty:
        return None
    models = list(dict.fromkeys(points["model"]))
    domain = _domain(points["value"], low)
    base = alt.Chart(alt.Data(values=points.to_dict(orient="records"))).encode(
        x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="d")),
        y=alt.Y("value:Q", title=title, scale=alt.Scale(domain=domain, nice=True)),
        color=_colour_by_model(
            colours, models, legend=alt.Legend(title=None, orient="bottom", columns=2, symbolType="stroke")
        ),
        detail="seed:N",
        tooltip=["model:N", "seed:N", "epoch:Q", alt.Tooltip("value:Q", title=title, format=".3f")],
    )
    lines = base.mark_line(strokeWidth=1.3, clip=True, point=alt.OverlayMarkDef(size=12))
    return _themed(lines.properties(width="container", height=CURVE_HEIGHT))


def _points(trials: Sequence[Trial], column: str) -> pd.DataFrame:
    frames = [
        pd.DataFrame(
            {
                "model": trial.model,
                "seed": trial.seed,
                "epoch": trial.curves["epoch"].astype(int),
                "value": trial.curves[column].astype(float),
            }
        )
        for trial in trials
        if trial.curves is not None
    ]
    points = pd.concat(frames) if frames else pd.DataFrame({"value": []})
    return points[np.isfinite(points["value"].to_numpy(float))]


def _domain(values: pd.Series, low: float | None) -> list[float]:
    lowest, tenth, ninetieth, highest = np.quantile(values, [0, LOW_QUANTILE, 1 - LOW_QUANTILE, 1])
    return [float(max(lowest, tenth - (ninetieth - tenth))) if low is None else low, float(highest)]


def _colour_by_model(colours: Mapping[str, str], models: Sequence[str], legend: alt.Legend | None) -> alt.Color:
    domain = list(dict.fromkeys(models))
    scale = alt.Scale(domain=domain, range=[colours[model] for model in domain])
    return alt.Color("model:N", scale=scale, legend=legend)


def _themed(chart: alt.TopLevelMixin) -> dict[str, Any]:
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
