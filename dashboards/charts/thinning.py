"""Long curves with few points that still look the same.

Of every bucket of neighbouring points the first, the last, the lowest and the highest stay, so that no spike and no
jump is lost: Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation", 2014. A page holds many
curves, which share one budget of points.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

__all__ = ["LEAST_POINTS", "POINTS_PER_PAGE", "points_per_curve", "thin"]

POINTS_PER_PAGE = 100_000
LEAST_POINTS = 16
"""Of a curve, however many there are."""
MOST_POINTS = 800
"""Of a curve, however few there are: twice as many as most of the charts have pixels."""
KEPT_PER_BUCKET = 4


def points_per_curve(curves: int) -> int:
    """How many points each of so many curves of a page may have."""
    return min(MOST_POINTS, max(LEAST_POINTS, POINTS_PER_PAGE // max(curves, 1)))


def thin(series: Sequence[npt.NDArray[np.float64]], budget: int) -> npt.NDArray[np.intp]:
    """Which points of a curve to keep.

    Args:
        series: one array a quantity, `[N]` each, finite; of a band, its lower and its upper edge. Extremes of every
            one are kept.
        budget: the most points to keep, at least 4 a series.

    Returns:
        positions in ascending order; all of them where there are no more than `budget`.
    """
    length = len(series[0])
    if length <= budget:
        return np.arange(length)
    buckets = max(1, budget // (KEPT_PER_BUCKET * len(series)))
    edges = np.linspace(0, length, buckets + 1).astype(int)
    kept = {
        position
        for start, end in pairwise(edges)
        for values in series
        for position in _corners(values[start:end], start)
    }
    return np.array(sorted(kept))


def _corners(values: npt.NDArray[np.float64], start: int) -> tuple[int, int, int, int]:
    """Positions of the first, the last, the lowest and the highest."""
    return start, start + len(values) - 1, start + int(values.argmin()), start + int(values.argmax())
