"""The charts of learning curves.

The data has one row per curve with lists of epochs and values, which the browser flattens: repeating the keys at every
point would fill most of the page. The legend is part of the page and sets the chart's parameter `focus`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import numpy.typing as npt

from dashboards.charts.specs import Style, colour_by_model, rounded, themed

__all__ = ["Axis", "Band", "Line", "axis_of", "curves_chart"]

Array = npt.NDArray[np.float64]
END_SHAPES = {"best": "circle", "diverged after": "cross"}


@dataclass(frozen=True)
class Line:
    """The finite values of one training run by epoch.

    Attributes:
        best: epoch and value of the epoch whose weights are scored; None if there is none.
        diverged: whether the run ended because its loss stopped being finite.
    """

    model: str
    seed: int
    epochs: Array
    values: Array
    best: tuple[int, float] | None = None
    diverged: bool = False


@dataclass(frozen=True)
class Band:
    """The lowest and the highest value of a model's runs, at the epochs that all of them reached."""

    model: str
    epochs: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Axis:
    """The vertical axis of a chart of curves.

    Attributes:
        unit: title of the axis.
        low: lower end; lines are clipped there.
        high: upper end.
    """

    unit: str
    low: float
    high: float

    def cuts(self, values: Array) -> int:
        """The number of values below the axis."""
        return int((values < self.low).sum())


def axis_of(values: Array, unit: str) -> Axis:
    """An axis that cuts off steep first epochs, which would flatten the rest.

    It starts one interdecile range below the 10 % quantile of the values, or at the lowest value if that is higher.
    """
    lowest, tenth, ninetieth, highest = np.quantile(values, [0, 0.1, 0.9, 1])
    return Axis(unit, float(max(lowest, tenth - (ninetieth - tenth))), float(highest))


def curves_chart(
    lines: Sequence[Line], bands: Sequence[Band], axis: Axis, styles: Mapping[str, Style]
) -> dict[str, Any]:
    """A thin line per training run by epoch, a band per model, and a dot at each run's best epoch.

    The parameter `focus` names the model to highlight; the others are dimmed. If it is empty, none is dimmed.
    """
    encoding = _Encoding(axis, lines, styles)
    datasets = {
        "bands": [{"model": band.model} | _columns(band.epochs, low=band.low, high=band.high) for band in bands],
        "lines": [
            {"model": line.model, "seed": line.seed, "ended": f"epoch {line.best[0]}" if line.best else "none"}
            | _columns(line.epochs, value=line.values)
            for line in lines
        ],
        "ends": [end for line in lines for end in _ends_of(line)],
    }
    area = alt.Chart(alt.NamedData(name="bands")).mark_area(clip=True, tooltip=None)
    drawn = {
        "bands": area.transform_flatten(["epoch", "low", "high"]).encode(
            x=encoding.x, y=encoding.y("low"), y2="high:Q", color=encoding.colour, opacity=encoding.opacity(0.14)
        ),
        "lines": _lines(encoding, len(lines), pointed=sum(len(line.epochs) for line in lines) <= 1500),
        "ends": _ends(encoding),
    }
    # Vega warns about a layer without data.
    layers = [layer for name, layer in drawn.items() if datasets[name]]
    chart = alt.layer(*layers).add_params(alt.param(name="focus", value=""))
    # The data is added last: altair copies and checks it at every step, which takes minutes for a large study.
    return themed(chart.properties(width="container", height=300)) | {
        "datasets": {name: rows for name, rows in datasets.items() if rows}
    }


class _Encoding:
    """The encodings that all layers share."""

    def __init__(self, axis: Axis, lines: Sequence[Line], styles: Mapping[str, Style]) -> None:
        models = list(dict.fromkeys(line.model for line in lines))
        ends = [int(line.epochs[end]) for line in lines if len(line.epochs) for end in (0, -1)]
        # So few ticks that none is between two epochs.
        ticks = max(1, min(5, max(ends, default=1) - min(ends, default=1)))
        self._unit = axis.unit
        # All layers share one scale, so that clipping at its lower end applies to all of them.
        self._scale = alt.Scale(domain=[axis.low, axis.high], nice=True, zero=False)
        self.x = alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickCount=ticks, format="d"))
        self.colour = colour_by_model({model: styles[model].colour for model in models}, models, legend=None)
        dashes = alt.Scale(domain=models, range=[list(styles[model].dash) for model in models])
        self.dash = alt.StrokeDash("model:N", scale=dashes, legend=None)
        self.value = alt.Tooltip("value:Q", title=axis.unit, format=".3f")

    def y(self, field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title=self._unit, scale=self._scale)

    def opacity(self, opacity: float) -> Any:  # noqa: ANN401 - altair's own type is private
        focused = "focus === '' || datum.model === focus"
        return alt.condition(focused, alt.value(opacity), alt.value(round(opacity * 0.12, 3)))


def _columns(epochs: Array, **columns: Array) -> dict[str, Any]:
    shown = {name: [rounded(value) for value in values] for name, values in columns.items()}
    return {"epoch": epochs.astype(int).tolist()} | shown


def _lines(encoding: _Encoding, count: int, *, pointed: bool) -> alt.Chart | alt.LayerChart | alt.FacetChart:
    """The lines with tooltips, and if there are few points a tooltip at each point."""
    data = alt.NamedData(name="lines")
    curves = alt.Chart(data).transform_flatten(["epoch", "value"]).encode(x=encoding.x, y=encoding.y("value"))
    drawn = curves.mark_line(strokeWidth=1.4, clip=True).encode(
        color=encoding.colour,
        strokeDash=encoding.dash,
        detail="seed:N",
        opacity=encoding.opacity(0.9 if count <= 12 else 0.5),
        tooltip=["model:N", "seed:N", alt.Tooltip("ended:N", title="best")],
    )
    if not pointed:
        return drawn
    # Invisible points, which only carry the tooltips.
    points = curves.mark_point(opacity=0, size=60, clip=True, filled=True)
    return alt.layer(drawn, points.encode(tooltip=["model:N", "seed:N", "epoch:Q", encoding.value]))


def _ends(encoding: _Encoding) -> alt.Chart:
    shapes = alt.Scale(domain=list(END_SHAPES), range=list(END_SHAPES.values()))
    marks = alt.Chart(alt.NamedData(name="ends")).mark_point(filled=True, size=50, clip=True)
    return marks.encode(
        x=encoding.x,
        y=encoding.y("value"),
        color=encoding.colour,
        shape=alt.Shape("what:N", scale=shapes, legend=None),
        opacity=encoding.opacity(1.0),
        tooltip=["model:N", "seed:N", "what:N", "epoch:Q", encoding.value],
    )


def _ends_of(line: Line) -> Iterator[dict[str, Any]]:
    """The marks on a line: the best epoch, and the last one before it diverged."""
    shared = {"model": line.model, "seed": line.seed}
    if line.best is not None:
        yield shared | {"what": "best", "epoch": line.best[0], "value": rounded(line.best[1])}
    # The mark is at the last finite value before the loss diverged.
    if line.diverged and len(line.epochs):
        last = {"epoch": int(line.epochs[-1]), "value": rounded(line.values[-1])}
        yield shared | {"what": "diverged after"} | last
