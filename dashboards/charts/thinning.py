"""Reduces long curves to few points without changing how they look.

The first, last, lowest and highest point of every bucket of neighbouring points are kept, so that no spike and no jump
is lost: Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation", 2014. All curves of a page share one
budget of points.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

__all__ = ["LEAST_POINTS", "POINTS_PER_PAGE", "points_per_curve", "thin"]

POINTS_PER_PAGE = 100_000
LEAST_POINTS = 16
"""A curve may always have this many points."""
MOST_POINTS = 800
"""A curve never needs more: most charts are half as many pixels wide."""


def points_per_curve(curves: int) -> int:
    """The budget of each curve on a page with this many curves."""
    return min(MOST_POINTS, max(LEAST_POINTS, POINTS_PER_PAGE // max(curves, 1)))


def thin(series: Sequence[npt.NDArray[np.float64]], budget: int) -> npt.NDArray[np.intp]:
    """Choose the points of a curve to keep.

    Args:
        series: finite arrays `[N]`; for a band its lower and its upper edge. Extremes of each are kept.
        budget: the most points to keep, at least 4 per array.

    Returns:
        positions in ascending order; all of them if there are at most `budget`.
    """
    length = len(series[0])
    if length <= budget:
        return np.arange(length)
    # Each bucket keeps up to 4 positions for each array.
    buckets = max(1, budget // (4 * len(series)))
    edges = np.linspace(0, length, buckets + 1).astype(int)
    kept: set[int] = set()
    for start, end in pairwise(edges):
        for values in series:
            bucket = values[start:end]
            kept |= {start, end - 1, start + int(bucket.argmin()), start + int(bucket.argmax())}
    return np.array(sorted(kept))
