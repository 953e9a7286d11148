"""How far a paired difference would move on other sequences, and with other seeds: intervals and tests.

Two models are scored on the same N sequences, the first with S_a training seeds, the second with S_b. The variance of
the difference of their means has independent parts, those that a bootstrap of rows and columns adds up (Owen 2007,
"The pigeonhole bootstrap"):

- sequences: the paired differences of the seed-averaged scores, N - 1 degrees of freedom;
- the seeds of each model: the variance of its seeds' means over S, with S - 1 degrees of freedom, and Welch's (1947)
  degrees for both models together. The noise of single scores is counted here and in the sequences. That is too much
  where it dominates, but subtracting it makes a test at level 0.001, which a correction for 50 comparisons asks for,
  reject ten times as often.

Everything is in closed form, without a bootstrap of the data, because that is better calibrated (docs/statistics.md):
BCa intervals of few skewed differences are too short, and three seeds, when resampled, have two thirds of their
variance and normal tails.

**Sequences.** With skewed scores Student's t errs to one side. Hall (1992, "On the removal of skewness by
transformation", JRSS B 54) corrects it by a monotone cubic, to the order that a bootstrap-t does and without its noise;
where tails are heavy and symmetric, this correction errs instead. The interval has the outer ends of both, the test
the larger of both p-values.

**Sequences and seeds.** The distance to an end is the root of the sum of the squares of the distances over sequences
and over seeds (Howe 1974; Zou and Donner 2008). One t interval of the summed variance, with Satterthwaite's degrees of
freedom, is shorter, and wrong where it matters: three seeds that happen to agree make it trust the sequences' degrees
of freedom. The p-value is the level at which the interval's end is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks.schema.comparison import LEVEL, Difference

__all__ = [
    "Array",
    "JointSpread",
    "Spread",
    "difference",
    "holm",
    "joint_p_value",
    "joint_spread",
    "mean_spread",
    "ratio_spread",
    "seed_variance",
    "sign_flip_p_values",
]

Array = npt.NDArray[np.float64]

_RESAMPLES = 9_999
_RESAMPLES_A_COMPARISON = 200
_ELEMENTS = 2**21
_NO_SKEWNESS = 1e-6
_LEAST_P_VALUE, _HALVINGS = 1e-15, 40


@dataclass(frozen=True)
class Spread:
    """An estimate and how it varies with the sequences; every field has the same shape.

    Attributes:
        value: the estimate.
        variance: variance of the estimate.
        degrees: degrees of freedom of that variance.
        skewness: skewness of the estimate: third cumulant over variance^1.5, of order 1 / sqrt(N).
    """

    value: Array
    variance: Array
    degrees: Array
    skewness: Array

    def interval(self, level: Array | float = LEVEL) -> tuple[Array, Array]:
        """Ends of the (1 - `level`) interval."""
        quantile = stats.t.isf(np.asarray(level) / 2, self.degrees)
        error = np.sqrt(self.variance)
        low = self.value - error * np.maximum(quantile, _inverse_cubic(quantile, self.skewness))
        high = self.value - error * np.minimum(-quantile, _inverse_cubic(-quantile, self.skewness))
        return low, high

    def p_value(self) -> Array:
        """Two-sided, of the hypothesis that what is estimated is 0; without variance 1 where the value is 0, else 0."""
        known = self.variance > 0
        student = self.value / np.sqrt(np.where(known, self.variance, 1.0))
        least = np.minimum(np.abs(student), np.abs(_cubic(student, self.skewness)))
        return np.where(known, 2 * stats.t.sf(least, self.degrees), np.where(self.value == 0, 1.0, 0.0))


@dataclass(frozen=True)
class JointSpread:
    """An estimate and how it varies with the sequences and with the seeds; every field has the same shape.

    Attributes:
        sequences: how it varies with the sequences.
        variance: variance from seeds.
        degrees: degrees of freedom of that variance.
    """

    sequences: Spread
    variance: Array
    degrees: Array

    def interval(self, level: Array | float = LEVEL) -> tuple[Array, Array]:
        """Ends of the (1 - `level`) interval."""
        value, (low, high) = self.sequences.value, self.sequences.interval(level)
        seeds = np.sqrt(self.variance) * stats.t.isf(np.asarray(level) / 2, self.degrees)
        return value - np.hypot(value - low, seeds), value + np.hypot(high - value, seeds)

    def p_value(self) -> Array:
        """The largest level whose interval contains 0, by bisection on its logarithm; at least 1e-15."""
        value = self.sequences.value
        below, above = np.full(value.shape, np.log(_LEAST_P_VALUE)), np.zeros(value.shape)
        for _ in range(_HALVINGS):
            middle = (below + above) / 2
            low, high = self.interval(np.exp(middle))
            holds = (low <= 0) & (high >= 0)
            below, above = np.where(holds, middle, below), np.where(holds, above, middle)
        return np.exp(above)


def _cubic(student: Array, skewness: Array) -> Array:
    """Hall's transformation of Student's t, with skewness for his gamma / sqrt(n)."""
    return student + skewness * student**2 / 3 + skewness**2 * student**3 / 27 + skewness / 6


def _inverse_cubic(quantile: Array, skewness: Array) -> Array:
    safe = np.where(np.abs(skewness) < _NO_SKEWNESS, _NO_SKEWNESS, skewness)
    return 3 / safe * (np.cbrt(1 + safe * (quantile - safe / 6)) - 1)


def mean_spread(values: Array) -> Spread:
    """The mean of values `[..., N]` over the last axis, N > 1; sequences are what varies."""
    mean = values.mean(axis=-1)
    return _sequence_spread(mean, values - mean[..., None])


def ratio_spread(values: Array, sizes: Array) -> Spread:
    """Total of values `[..., N]` over total of sizes, linearised: sequences carry their sizes along."""
    ratio = values.sum(axis=-1) / sizes.sum(axis=-1)
    return _sequence_spread(ratio, (values - ratio[..., None] * sizes) / sizes.mean(axis=-1, keepdims=True))


def _sequence_spread(value: Array, influence: Array) -> Spread:
    count = influence.shape[-1]
    second = np.square(influence).mean(axis=-1)
    third = (influence**3).mean(axis=-1)
    spread = np.where(second > 0, second, 1.0) ** 1.5
    degrees = np.full_like(second, count - 1)
    return Spread(value, second / (count - 1), degrees, third / (spread * np.sqrt(count)))


def seed_variance(means: Array) -> Array:
    """Variance of a model's mean from its seeds' means `[..., S]`, S > 1."""
    return means.var(axis=-1, ddof=1) / means.shape[-1]


def joint_spread(sequences: Spread, seeds: Sequence[tuple[Array, int]]) -> JointSpread:
    """Sequences and seeds together.

    Args:
        sequences: the spread over sequences.
        seeds: (`seed_variance`, number of seeds) of each model that has seeds; a codec has none.
    """
    variance = sum((part for part, _ in seeds), np.zeros_like(sequences.value))
    parts = sum((part**2 / (count - 1) for part, count in seeds), np.zeros_like(variance))
    known = parts > 0
    return JointSpread(sequences, variance, np.where(known, variance**2 / np.where(known, parts, 1.0), 1.0))


def difference(paired: Array, trained: Sequence[Array], sizes: Array | None = None) -> Difference:
    """The difference per sequence, or per unit of size.

    Args:
        paired: differences of the seed-averaged scores, `[N]`.
        trained: scores `[S, N]` of each model that has seeds.
        sizes: of the sequences, `[N]`.
    """
    sizes = np.ones_like(paired) if sizes is None else sizes
    if len(paired) < 2:
        return Difference(difference=float(paired.sum() / sizes.sum()), interval=None, joint_interval=None)
    sequences = ratio_spread(paired, sizes)
    joint = _jointly(sequences, trained, float(sizes.mean()))
    return Difference(
        difference=float(sequences.value),
        interval=_ends(sequences),
        joint_interval=None if joint is None else _ends(joint),
    )


def joint_p_value(paired: Array, trained: Sequence[Array]) -> float | None:
    """P-value over sequences and seeds of the difference per sequence; arguments as of `difference`."""
    joint = _jointly(mean_spread(paired), trained, 1.0) if len(paired) > 1 else None
    return None if joint is None else float(joint.p_value())


def _jointly(sequences: Spread, trained: Sequence[Array], size: float) -> JointSpread | None:
    if any(len(scores) < 2 for scores in trained):
        return None
    return joint_spread(sequences, [(seed_variance(scores.mean(axis=1) / size), len(scores)) for scores in trained])


def _ends(spread: Spread | JointSpread) -> tuple[float, float]:
    low, high = spread.interval()
    return float(low), float(high)


def sign_flip_p_values(differences: Array, comparisons: int = 1, resamples: int = _RESAMPLES) -> Array:
    """Two-sided p-values that the signs of paired differences `[P, N]` are chance; exact where 2^N is small.

    The P rows meet the same signs, drawn with a fixed seed.

    Args:
        differences: paired differences, `[P, N]`.
        comparisons: that the p-values will be corrected for: the number of resamples grows with it, so that corrected
            p-values can be significant.
        resamples: at least so many, where not exact.
    """
    count = differences.shape[1]
    result = stats.permutation_test(
        (np.ones(count),),
        lambda signs, axis: np.moveaxis(signs, axis, -1) @ differences.T,
        permutation_type="samples",
        vectorized=True,
        n_resamples=max(resamples, _RESAMPLES_A_COMPARISON * comparisons - 1),
        batch=max(1, _ELEMENTS // count),
        axis=-1,
        rng=np.random.default_rng(0),
    )
    return np.asarray(result.pvalue, dtype=np.float64)


def holm(p_values: Array) -> Array:
    """P-values `[..., M]` corrected for M comparisons (Holm 1979): the chance of one false claim stays at the level."""
    order = np.argsort(p_values, axis=-1)
    weights = np.arange(p_values.shape[-1], 0, -1)
    scaled = np.maximum.accumulate(np.take_along_axis(p_values, order, axis=-1) * weights, axis=-1)
    corrected = np.empty_like(scaled)
    np.put_along_axis(corrected, order, np.minimum(scaled, 1.0), axis=-1)
    return corrected
