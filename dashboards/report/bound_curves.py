"""How far the bounds of each latent model rise above its ELBO, against the number of samples K.

The ELBO is IWAE-1. IWAE-K rises with K in expectation and stays a lower bound. So a steep rise shows that the ELBO is
far below the log-likelihood, but a flat curve proves nothing: a bound may be flat and loose. A fall is Monte Carlo
noise. FIVO-K is another bound, which may be tighter or looser; it has its own line.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from benchmarks.schema.comparison import ComparisonRow
from benchmarks.schema.estimators import ESTIMATORS
from dashboards.charts.specs import rounded, themed
from dashboards.report.conclusions import Group
from dashboards.report.study_data import grouped
from dashboards.text import joined, typeset

__all__ = ["Bounds", "Rise", "find_bounds"]

# 7 shapes and 8 colours share no factor, so a pair of shape and colour repeats only after 56 models.
SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "triangle-right")


@dataclass(frozen=True)
class Rise:
    """A model's ELBO and its sampled bounds (IWAE and FIVO)."""

    model: str
    elbo: ComparisonRow
    sampled: tuple[ComparisonRow, ...]

    @property
    def tightest(self) -> ComparisonRow | None:
        """The tightest sampled bound; None if there is none."""
        return max(self.sampled, key=lambda row: row.tightness, default=None)

    @property
    def nats(self) -> float | None:
        """Tightest bound minus the ELBO, nats per sequence; noise can make it negative."""
        return None if self.tightest is None else self.tightest.nats_per_sequence - self.elbo.nats_per_sequence


@dataclass(frozen=True)
class Bounds:
    """The latent models of one group of rows; `chart` is None if no sampled bound was computed."""

    group: Group
    rises: tuple[Rise, ...]
    sentence: str
    chart: dict[str, Any] | None


def find_bounds(groups: Sequence[Group], colours: Mapping[str, str]) -> tuple[Bounds, ...]:
    """The bounds of every group that has a model with an ELBO."""
    found: list[Bounds] = []
    for group in groups:
        elbos = {row.model: row for row in group.rows if row.estimator == "elbo"}
        sampled = grouped((row for row in group.rows if ESTIMATORS[row.estimator].sampled), lambda row: row.model)
        rises = tuple(Rise(model, elbo, tuple(sampled.get(model, ()))) for model, elbo in elbos.items())
        if rises:
            found.append(Bounds(group, rises, _sentence(rises), _chart(rises, colours)))
    return tuple(found)


def _sentence(rises: Sequence[Rise]) -> str:
    gains = [(rise.nats, rise.tightest.label, rise.model) for rise in rises if rise.tightest and rise.nats is not None]
    gains.sort(key=lambda gain: -gain[0])
    parts: list[str] = []
    if gains:
        listed = ", ".join(f"{model} {typeset(nats, '+.2f')} ({label})" for nats, label, model in gains)
        parts.append(f"Gain over the ELBO in nats per sequence: {listed}.")
    if below := [model for nats, _, model in gains if nats < 0]:
        parts.append(f"{joined(below)} fell below the ELBO: for IWAE that is noise, for FIVO it may be real.")
    if elbo_only := [rise.model for rise in rises if rise.nats is None]:
        parts.append(f"Only the ELBO was computed for {joined(elbo_only)}, so its distance from log p(x) is unknown.")
    return " ".join(parts)


def _chart(rises: Sequence[Rise], colours: Mapping[str, str]) -> dict[str, Any] | None:
    points = [point for rise in rises for point in _points(rise)]
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
            # Ticks only at the values of K that were computed.
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
                alt.Tooltip("nats:Q", title="nats per sequence", format=".2f"),
                alt.Tooltip("gain:Q", title="over the ELBO", format="+.2f"),
            ],
        )
    )
    return themed(chart.properties(width="container", height=200))


def _points(rise: Rise) -> Iterable[dict[str, Any]]:
    """The points of the IWAE line and of the FIVO line; each line starts at the ELBO with K = 1."""
    for key in ("iwae", "fivo"):
        members = [row for row in rise.sampled if row.estimator == key]
        for row in (rise.elbo, *members) if members else ():
            yield {
                "model": rise.model,
                "family": ESTIMATORS[key].label,
                "bound": row.label,
                "K": max(row.num_samples, 1) if row.estimator != "elbo" else 1,
                "nats": rounded(row.nats_per_sequence),
                "gain": rounded(row.nats_per_sequence - rise.elbo.nats_per_sequence),
            }
