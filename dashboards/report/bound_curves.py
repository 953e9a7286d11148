"""How far the bounds of each latent model rise above its ELBO, against the number of samples K.

The ELBO is IWAE-1. IWAE-K rises with K in expectation and stays a lower bound, so a steep rise says that the ELBO lies
far below the log-likelihood, and a flat one says little: a bound may be flat and loose. A fall is Monte Carlo noise.
FIVO-K is another bound, tighter or looser, and is drawn apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from dashboards.charts.forest_plot import rounded
from dashboards.charts.specs import themed
from dashboards.estimators import ESTIMATORS
from dashboards.report.comparison_file import Row
from dashboards.report.conclusions import Group
from dashboards.text import typeset

__all__ = ["Bounds", "Rise", "find_bounds"]

HEIGHT = 200
SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "triangle-right")
"""Of models; as many as share no factor with the colours."""


@dataclass(frozen=True)
class Rise:
    """A model's bounds over its ELBO; `highest` is that of IWAE or FIVO with the most samples; None without one."""

    model: str
    elbo: Row
    others: tuple[Row, ...]

    @property
    def highest(self) -> Row | None:
        """The tightest of the sampled bounds."""
        return max(self.others, key=lambda row: row.tightness, default=None)

    @property
    def nats(self) -> float | None:
        """How far it lies above the ELBO, nats per sequence; below where it is negative."""
        return None if self.highest is None else self.highest.nats_per_sequence - self.elbo.nats_per_sequence


@dataclass(frozen=True)
class Bounds:
    """One corpus's latent models; `chart` is None where there is nothing above the ELBO to draw."""

    group: Group
    rises: tuple[Rise, ...]
    sentence: str
    chart: dict[str, Any] | None


def find_bounds(groups: Sequence[Group], colours: Mapping[str, str]) -> tuple[Bounds, ...]:
    """The bounds of every corpus that has a model with an ELBO.

    Args:
        groups: of the comparison's rows.
        colours: the colour of each model.
    """
    found = ((group, _rises(group)) for group in groups)
    return tuple(Bounds(group, rises, _sentence(rises), _chart(rises, colours)) for group, rises in found if rises)


def _rises(group: Group) -> tuple[Rise, ...]:
    elbos = {row.model: row for row in group.rows if row.estimator == "elbo"}
    return tuple(
        Rise(model, elbo, tuple(r for r in group.rows if r.model == model and ESTIMATORS[r.estimator].sampled))
        for model, elbo in elbos.items()
    )


def _sentence(rises: Sequence[Rise]) -> str:
    alone = [rise.model for rise in rises if rise.nats is None]
    known = sorted(((rise.nats, rise) for rise in rises if rise.nats is not None), key=lambda pair: -pair[0])
    parts = [_of_known(known)] if known else []
    if alone:
        parts.append(f"{', '.join(alone)}: the ELBO alone was taken, so how far below log p(x) it lies is not known.")
    return " ".join(parts)


def _of_known(known: Sequence[tuple[float, Rise]]) -> str:
    told = [
        f"{rise.model} {typeset(nats, '+.2f')} ({rise.highest.label})"
        for nats, rise in known
        if rise.highest is not None
    ]
    fallen = [rise.model for nats, rise in known if nats < 0]
    text = f"Nats per sequence over the ELBO: {', '.join(told)}."
    return f"{text} {' and '.join(fallen)} fell: IWAE by noise alone, FIVO may do so in truth." if fallen else text


def _chart(rises: Sequence[Rise], colours: Mapping[str, str]) -> dict[str, Any] | None:
    points = [_point(rise, row) for rise in rises for row in _drawn(rise)]
    if not points:
        return None
    has_fivo = any(point["family"] == "FIVO" for point in points)
    samples = sorted({point["K"] for point in points})
    drawn = {point["model"] for point in points}
    models = [model for model in colours if model in drawn]
    shapes = [SHAPES[list(colours).index(model) % len(SHAPES)] for model in models]
    legend = alt.Legend(title=None, orient="bottom", columns=2)
    dashes = alt.Scale(domain=["IWAE", "FIVO"], range=[[1, 0], [4, 3]])
    chart = (
        alt.Chart(alt.Data(values=points))
        .mark_line(point=alt.OverlayMarkDef(size=90, opacity=1, filled=False, strokeWidth=2), strokeWidth=1.2)
        .encode(
            x=alt.X("K:Q", title="samples K", scale=alt.Scale(type="log"), axis=alt.Axis(values=samples, format="d")),
            y=alt.Y("gain:Q", title="nats per sequence over the ELBO", scale=alt.Scale(zero=True)),
            color=alt.Color(
                "model:N",
                scale=alt.Scale(domain=models, range=[colours[model] for model in models]),
                legend=legend,
            ),
            shape=alt.Shape("model:N", scale=alt.Scale(domain=models, range=shapes), legend=legend),
            strokeDash=alt.StrokeDash(
                "family:N",
                scale=dashes,
                legend=alt.Legend(title=None, orient="bottom", symbolStrokeColor="currentColor") if has_fivo else None,
            ),
            tooltip=[
                "model:N",
                alt.Tooltip("bound:N", title="estimator"),
                alt.Tooltip("figure:Q", title="nats per sequence", format=".2f"),
                alt.Tooltip("gain:Q", title="over the ELBO", format="+.2f"),
            ],
        )
    )
    return themed(chart.properties(width="container", height=HEIGHT))


def _drawn(rise: Rise) -> list[tuple[str, Row]]:
    """The points of each line, every line from the ELBO on."""
    lines: list[tuple[str, Row]] = []
    for key in ("iwae", "fivo"):
        members = [row for row in rise.others if row.estimator == key]
        lines += [(ESTIMATORS[key].name, row) for row in (rise.elbo, *members)] if members else []
    return lines


def _point(rise: Rise, drawn: tuple[str, Row]) -> dict[str, Any]:
    family, row = drawn
    return {
        "model": rise.model,
        "family": family,
        "bound": row.label,
        "K": max(row.num_samples, 1) if row.estimator != "elbo" else 1,
        "figure": rounded(row.nats_per_sequence),
        "gain": rounded(row.nats_per_sequence - rise.elbo.nats_per_sequence),
    }
