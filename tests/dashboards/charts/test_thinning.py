"""Thinned curves keep their order, their ends and every bucket's extremes; short ones are as they were."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.charts.thinning import LEAST_POINTS, MOST_POINTS, POINTS_PER_PAGE, points_per_curve, thin

VALUES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=400)


@given(VALUES, st.integers(4, 100))
def test_order_ends_extremes_and_the_budget_are_kept(numbers: list[float], budget: int):
    values = np.array(numbers)
    kept = thin([values], budget)
    assert len(kept) <= budget or len(kept) == len(values) <= budget
    assert (np.diff(kept) > 0).all()
    assert (kept[0], kept[-1]) == (0, len(values) - 1)
    assert (values[kept].min(), values[kept].max()) == (values.min(), values.max())


@given(VALUES, st.integers(4, 100))
def test_every_bucket_keeps_its_first_last_lowest_and_highest(numbers: list[float], budget: int):
    values = np.array(numbers)
    kept = thin([values], budget)
    buckets = budget // 4 if len(values) > budget else len(values)
    for bucket in np.split(np.arange(len(values)), np.linspace(0, len(values), buckets + 1).astype(int)[1:-1]):
        inside = kept[np.isin(kept, bucket)]
        assert {bucket[0], bucket[-1]} <= set(inside)
        assert values[inside].min() == values[bucket].min()
        assert values[inside].max() == values[bucket].max()


@given(VALUES)
def test_a_curve_within_the_budget_is_untouched(numbers: list[float]):
    assert thin([np.array(numbers)], max(4, len(numbers))).tolist() == list(range(len(numbers)))


def test_a_band_keeps_the_extremes_of_both_edges():
    low, high = np.zeros(1000), np.ones(1000)
    low[123], high[877] = -50, 70
    kept = thin([low, high], 40)
    assert {123, 877} <= set(kept)
    assert len(kept) <= 40


@pytest.mark.parametrize(
    ("curves", "points"), [(0, MOST_POINTS), (1, MOST_POINTS), (1000, 100), (POINTS_PER_PAGE, LEAST_POINTS)]
)
def test_curves_share_the_points_of_a_page(curves: int, points: int):
    assert points_per_curve(curves) == points
