"""From pen offsets to strokes, and from strokes to SVG and PNG.

Drawings that are made together share one scale, so that large handwriting looks larger than small. y grows downward,
both axes have the same scale, the pen is round, and a stroke ends where the pen was lifted. The same strokes give the
same bytes: a picture contains no date and no random name.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import vl_convert

from benchmarks.errors import NotFiniteError

__all__ = ["Strokes", "svg_to_png", "to_strokes", "to_svg", "units_per_point"]

Strokes: TypeAlias = Sequence[npt.NDArray[np.float64]]
"""The points of each stroke, `[N, 2]`, y growing downward."""

_SIZE = 1000.0
_LEAST_EXTENT = 1e-6
"""In pen units; a drawing smaller than this is a point and is not scaled up."""
_MARGIN = 30.0
_PEN_WIDTH = 2.5
_PAPER, _INK, _PRIME_INK = "#ffffff", "#1b1f24", "#e07b00"


def to_strokes(offsets: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    """The strokes of (dx, dy, pen up) `[T, 3]`: T + 1 points, the first of which is the origin with the pen down.

    Raises:
        NotFiniteError: a value is not finite.
    """
    if broken := int((~np.isfinite(offsets).all(axis=1)).sum()):
        raise NotFiniteError(f"{broken} of {len(offsets)} pen offsets are not finite")
    points = np.concatenate([np.zeros((1, 2)), np.cumsum(offsets[:, :2], axis=0)])
    ends = np.flatnonzero(offsets[:, 2] > 0.5) + 2  # offset t leads to point t + 1, which is the stroke's last
    return [stroke for stroke in np.split(points, ends) if len(stroke)]


def units_per_point(drawings: Iterable[Strokes]) -> float:
    """The scale at which the largest of the drawings is 1,000 picture units wide or high."""
    extent = max((float(np.ptp(np.concatenate(strokes), axis=0).max()) for strokes in drawings), default=0.0)
    return _SIZE / extent if extent >= _LEAST_EXTENT else 1.0


def to_svg(strokes: Strokes, scale: float, *, prime_points: int = 0, title: str = "") -> str:
    """The strokes as one SVG document.

    Args:
        strokes: at least one point.
        scale: of `units_per_point`.
        prime_points: number of first points that were given to the model; they are drawn in another colour.
        title: what the picture shows, for screen readers.
    """
    points = np.concatenate(strokes)
    low = points.min(axis=0)
    width, height = np.ptp(points, axis=0) * scale + 2 * _MARGIN
    box = f'width="{width:.1f}" height="{height:.1f}"'
    placed = [(stroke - low) * scale + _MARGIN for stroke in strokes]
    given, drawn = _split_at(placed, prime_points)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} viewBox="0 0 {width:.1f} {height:.1f}">',
        f"<title>{escape(''.join(letter for letter in title if letter.isprintable()))}</title>",
        f'<rect {box} fill="{_PAPER}"/>',
        f'<g fill="none" stroke-width="{_PEN_WIDTH}" stroke-linecap="round" stroke-linejoin="round">',
        *_group(given, _PRIME_INK),
        *_group(drawn, _INK),
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _split_at(strokes: Strokes, first: int) -> tuple[Strokes, Strokes]:
    """The strokes of the `first` points and those of the others; a stroke in both parts shares one point."""
    before: list[npt.NDArray[np.float64]] = []
    after: list[npt.NDArray[np.float64]] = []
    for stroke in strokes:
        if first > 0:
            before.append(stroke[:first])
        if first < len(stroke):
            after.append(stroke[max(first - 1, 0) :])
        first -= len(stroke)
    return before, after


def _group(strokes: Strokes, colour: str) -> list[str]:
    paths: list[str] = []
    for stroke in strokes:
        # A single point becomes a line of no length, which a round pen draws as a dot.
        points = stroke if len(stroke) > 1 else np.repeat(stroke, 2, axis=0)
        paths.append(f'<path d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>')
    return [f'<g stroke="{colour}">', *paths, "</g>"] if paths else []


def svg_to_png(svg: str) -> bytes:
    """The picture as PNG, one pixel per unit."""
    return vl_convert.svg_to_png(svg, scale=1)
