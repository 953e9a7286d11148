"""Calibration of the intervals and tests of `paired_differences`, on simulated scores of known truth.

    python -m benchmarks.statistics.calibration [--json]

A score is, in standard deviations of the first model's own response to a sequence,

    score[m, s, i] = f_i (mu_m + seed_ms + interaction_mi + noise_msi) + sequence_i

where `sequence_i` is large, skewed and common to all models, the interactions are skewed, and f_i, the length, is 1 or
log-normal. `seed` is the ratio of the variance of a difference from seeds to that from sequences: 0, 1 or 25.
Clustered: a third of the variance of an interaction is common to the eight sequences of a speaker. Unequal: only the
first model's seeds vary. Failing: a tenth of the training runs lose ten standard deviations of the seeds.

Coverage, nominally 95 %:

- `interval`, `interval_per_frame`, `bca`: the interval over sequences, and scipy's BCa bootstrap of the same
  differences, contain the difference of these trained models over all sequences;
- `joint`, `joint_per_frame`: the joint interval contains the difference over all sequences and seeds.

False positives, at most 5 % each:

- `permutation`: the sign-flip test rejects for two trained models that are equal over all sequences;
- `unpaired`, `sequences_only`, `joint_test`, `verdict`: a test rejects for two models that differ by their seeds alone:
  Welch's test of two columns of scores, the sign-flip test, the joint test, and the last two together;
- `uncorrected`, `sequences_only`, `summed`, `joint_test`, `verdict` of a family: a test rejects for at least one of the
  50 pairs of five equal models on five corpora. `uncorrected` is both tests without a correction; the others are after
  Holm's correction: the sign-flip test, a t test of the summed variance with Satterthwaite's degrees of freedom, the
  joint test, and the sign-flip and joint tests together.

Power: `power_2` and `power_4`, how often `verdict` finds a difference of 2 or 4 true standard errors (with a known
standard error it would be 52 and 98 %). `unpaired_power_4` is that of Welch's test.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from rich.table import Table
from scipy import stats

from benchmarks.cli.output import print_json, print_table
from benchmarks.schema.comparison import LEVEL
from benchmarks.statistics.resampling import (
    Array,
    JointSpread,
    Spread,
    holm,
    joint_spread,
    mean_spread,
    ratio_spread,
    seed_variance,
    sign_flip_p_values,
)

__all__ = ["FAMILIES", "SETTINGS", "Setting", "calibrate", "calibrate_family", "main"]

_ELEMENTS = 2**21
_COLUMNS, _RESAMPLES = 800, 1_999
_BCA_REPETITIONS, _BCA_SEQUENCES = 1000, 200
_MODELS, _CORPORA = 5, 5
_SPEAKER, _SHARE = 8, 1 / 3
_FAILING, _LOSS = 0.1, 10.0
_SEQUENCE = 10.0
_SCALES = (1.0, 0.5)
"""Scales of the interactions, alternating over models: equal ones would make differences symmetric, the easy case."""

Shape = Literal["normal", "exponential", "lognormal"]


@dataclass(frozen=True)
class Setting:
    """What is simulated; see the description of the module.

    Attributes:
        sequences: N.
        seeds: S, seeds per model.
        seed: variance of a difference from seeds over its variance from sequences.
        shape: distribution of the interactions.
        lengths: standard deviation of log f.
        clustered: whether sequences have speakers in common.
        unequal: whether only the first model's seeds vary.
        failing: whether some training runs fail.
        noise: standard deviation of the noise.
    """

    sequences: int
    seeds: int
    seed: float
    shape: Shape = "exponential"
    lengths: float = 0.0
    clustered: bool = False
    unequal: bool = False
    failing: bool = False
    noise: float = 0.5

    @property
    def variance(self) -> float:
        """Variance of the seed-averaged difference of a sequence of length 1, without the seeds' part."""
        return sum(scale**2 for scale in _SCALES) + 2 * self.noise**2 / self.seeds

    @property
    def seed_std(self) -> float:
        """Standard deviation of `seed_ms`, averaged over both models, without failures."""
        return float(np.sqrt(self.seed * self.standard_error_over_sequences**2 * self.seeds / 2))

    @property
    def standard_error_over_sequences(self) -> float:
        """Standard error of the difference per unit of length, without the seeds' part."""
        return float(np.sqrt(self.variance * np.exp(self.lengths**2) / self.sequences))

    @property
    def standard_error(self) -> float:
        """Standard error of the difference per unit of length, seeds included."""
        return self.standard_error_over_sequences * float(np.sqrt(1 + self.seed))


_SEEDS = (0.0, 1.0, 25.0)
SETTINGS = (
    *(Setting(n, s, seed) for n in (8, 30, 200, 1500) for s in (3, 5, 10) for seed in _SEEDS),
    *(Setting(n, 3, seed, "lognormal") for n in (8, 30, 200) for seed in (0.0, 1.0)),
    *(Setting(n, 3, seed, lengths=0.7) for n in (8, 30, 200) for seed in (0.0, 1.0)),
    *(Setting(n, 3, 1.0, noise=4.0) for n in (8, 200)),
    *(Setting(n, 3, 0.0, clustered=True) for n in (200, 1600)),
    *(Setting(200, s, seed, unequal=True) for s in (3, 5) for seed in (1.0, 25.0)),
    *(Setting(200, s, 1.0, failing=True) for s in (3, 5, 10)),
)
FAMILIES = (
    *(Setting(n, s, seed) for n in (30, 200) for s in (3, 5) for seed in _SEEDS),
    *(Setting(200, s, 25.0, unequal=True) for s in (3, 5)),
)


@dataclass(frozen=True)
class _Draws:
    """R repetitions of the scores of M equal models.

    Attributes:
        scores: averaged over seeds, `[R, M, N]`.
        means: the mean of each seed over sequences, `[R, M, S]`.
        lengths: f, `[R, N]`.
        trained: the average of `seed_ms` over seeds, `[R, M]`.
    """

    scores: Array
    means: Array
    lengths: Array
    trained: Array


def _draw(setting: Setting, models: int, repetitions: int, generator: np.random.Generator) -> _Draws:
    size = max(1, _ELEMENTS // (models * setting.seeds * setting.sequences))
    parts = [
        _draw_part(setting, models, min(size, repetitions - start), generator) for start in range(0, repetitions, size)
    ]
    return _Draws(*(np.concatenate([getattr(part, name) for part in parts]) for name in _Draws.__annotations__))


def _draw_part(setting: Setting, models: int, repetitions: int, generator: np.random.Generator) -> _Draws:
    count, seeds = setting.sequences, setting.seeds
    lengths = generator.lognormal(0.0, setting.lengths, (repetitions, count))
    scales = np.resize(_SCALES, models)[:, None]
    interaction = scales * _interaction(setting, (repetitions, models, count), generator)
    share = np.resize((np.sqrt(2), 0.0) if setting.unequal else (1.0, 1.0), models)[:, None]
    seed = setting.seed_std * share * generator.normal(size=(repetitions, models, seeds))
    if setting.failing:
        seed -= _LOSS * setting.seed_std * (generator.random(seed.shape) < _FAILING)
    noise = setting.noise * generator.normal(size=(repetitions, models, seeds, count))
    own = seed[..., None] + interaction[:, :, None] + noise
    scores = lengths[:, None, None] * own + _SEQUENCE * generator.exponential(size=(repetitions, 1, 1, count))
    return _Draws(scores.mean(axis=2), scores.mean(axis=3), lengths, seed.mean(axis=2))


_SHAPES: Mapping[Shape, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "normal": lambda generator, shape: generator.normal(size=shape),
    "exponential": lambda generator, shape: generator.exponential(size=shape) - 1.0,
    "lognormal": lambda generator, shape: (
        (generator.lognormal(size=shape) - np.exp(0.5)) / np.sqrt(np.expm1(1.0) * np.exp(1.0))
    ),
}
"""Distributions with mean 0 and variance 1."""


def _interaction(setting: Setting, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    draw = _SHAPES[setting.shape]
    if not setting.clustered:
        return draw(generator, shape)
    speakers = draw(generator, (*shape[:-1], shape[-1] // _SPEAKER))
    return np.sqrt(1 - _SHARE) * draw(generator, shape) + np.sqrt(_SHARE) * np.repeat(speakers, _SPEAKER, axis=-1)


def calibrate(setting: Setting, repetitions: int = 2000, seed: int = 0) -> dict[str, float]:
    """The shares that the description of the module lists, for one pair of models."""
    draws = _draw(setting, 2, repetitions, np.random.default_rng(seed))
    first, second = draws.scores[:, 0], draws.scores[:, 1]
    paired, lengths = first - second, draws.lengths
    trained = draws.trained[:, 0] - draws.trained[:, 1]
    over_sequences, per_frame = mean_spread(paired), ratio_spread(paired, lengths)
    effect = setting.standard_error * lengths
    found = {
        "interval": _coverage(over_sequences, trained * np.exp(setting.lengths**2 / 2)),
        "interval_per_frame": _coverage(per_frame, trained),
        "joint": _coverage(_joint(over_sequences, draws, (0, 1)), 0.0),
        "joint_per_frame": _coverage(_joint(per_frame, draws, (0, 1), lengths.mean(axis=1)), 0.0),
        "permutation": _rejection_rate(_sign_flips(paired - trained[:, None] * lengths)),
        "unpaired": _rejection_rate(_welch(first, second)),
        "sequences_only": _rejection_rate(_sign_flips(paired)),
        "joint_test": _rejection_rate(_joint(over_sequences, draws, (0, 1)).p_value()),
        "verdict": _rejection_rate(_verdict_p(paired, draws)),
        "power_2": _rejection_rate(_verdict_p(paired + 2 * effect, draws)),
        "power_4": _rejection_rate(_verdict_p(paired + 4 * effect, draws)),
        "unpaired_power_4": _rejection_rate(_welch(first + 4 * effect, second)),
    }
    if setting.sequences <= _BCA_SEQUENCES and setting.seed == 0:
        found["bca"] = _bca_coverage(paired[:_BCA_REPETITIONS])
    return found


def calibrate_family(setting: Setting, repetitions: int = 400, seed: int = 0) -> dict[str, float]:
    """Shares of repetitions with a false positive among all pairs of five equal models on five corpora."""
    draws = _draw(setting, _MODELS, repetitions * _CORPORA, np.random.default_rng(seed))
    pairs = list(combinations(range(_MODELS), 2))
    tests: dict[str, list[Array]] = {"sequences_only": [], "summed": [], "joint_test": []}
    for pair in pairs:
        paired = draws.scores[:, pair[0]] - draws.scores[:, pair[1]]
        joint = _joint(mean_spread(paired), draws, pair)
        tests["sequences_only"].append(_sign_flips(paired, len(pairs) * _CORPORA))
        # A t test of the summed variance, with Satterthwaite's degrees of freedom.
        sequences, variance = joint.sequences, joint.sequences.variance + joint.variance
        degrees = variance**2 / (sequences.variance**2 / sequences.degrees + joint.variance**2 / joint.degrees)
        tests["summed"].append(np.asarray(2 * stats.t.sf(np.abs(sequences.value) / np.sqrt(variance), degrees)))
        tests["joint_test"].append(joint.p_value())
    plain = {name: np.stack(p_values, axis=1).reshape(repetitions, -1) for name, p_values in tests.items()}
    found = {name: holm(p_values) for name, p_values in plain.items()}
    found["verdict"] = np.maximum(found["sequences_only"], found["joint_test"])
    found["uncorrected"] = np.maximum(plain["sequences_only"], plain["joint_test"])
    return {name: _rejection_rate(p_values.min(axis=1)) for name, p_values in found.items()}


def _joint(sequences: Spread, draws: _Draws, pair: tuple[int, int], size: Array | None = None) -> JointSpread:
    means = draws.means if size is None else draws.means / size[:, None, None]
    return joint_spread(sequences, [(seed_variance(means[:, model]), means.shape[2]) for model in pair])


def _verdict_p(paired: Array, draws: _Draws) -> Array:
    return np.maximum(_sign_flips(paired), _joint(mean_spread(paired), draws, (0, 1)).p_value())


def _sign_flips(paired: Array, comparisons: int = 1) -> Array:
    starts = range(0, len(paired), _COLUMNS)
    return np.concatenate(
        [sign_flip_p_values(paired[start : start + _COLUMNS], comparisons, _RESAMPLES) for start in starts]
    )


def _welch(first: Array, second: Array) -> Array:
    _, p_values = stats.ttest_ind(first, second, axis=1, equal_var=False)
    return np.asarray(p_values)


def _bca_coverage(paired: Array, truth: float = 0.0) -> float:
    held: list[npt.NDArray[np.bool_]] = []
    for part in np.array_split(paired, max(1, paired.size // 2**13)):
        result = stats.bootstrap((part,), np.mean, axis=1, n_resamples=2000, rng=np.random.default_rng(0), batch=100)
        held.append((result.confidence_interval.low <= truth) & (truth <= result.confidence_interval.high))
    return float(np.concatenate(held).mean())


def _coverage(spread: Spread | JointSpread, truth: Array | float) -> float:
    low, high = spread.interval()
    return float(((low <= truth) & (truth <= high)).mean())


def _rejection_rate(p_values: Array) -> float:
    return float((p_values < LEVEL).mean())


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate all settings and print the shares."""
    about = "Simulate the coverage, false positives and power of intervals and tests; see docs/statistics.md."
    parser = argparse.ArgumentParser(prog="python -m benchmarks.statistics.calibration", description=about)
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    parser.add_argument("--repetitions", type=int, default=2000, help="per pair of models; a fifth of it per family")
    options = parser.parse_args(arguments)
    measured = {
        "pairs": [asdict(setting) | calibrate(setting, options.repetitions) for setting in SETTINGS],
        "families": [asdict(setting) | calibrate_family(setting, options.repetitions // 5) for setting in FAMILIES],
    }
    if options.json:
        print_json({"repetitions": options.repetitions} | measured)
        return
    for title, rows in measured.items():
        print_table(_table(title, rows))


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """One row per setting: the setting, then the shares in percent."""
    table, simulated = Table(title=f"{title}, shares in %"), set(Setting.__annotations__)
    columns = dict.fromkeys(name for row in rows for name in row)
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for row in rows:
        shares = {name: f"{100 * share:.1f}" for name, share in row.items() if name not in simulated}
        table.add_row(*(str(row[name]) if name in simulated else shares.get(name, "") for name in columns))
    return table


if __name__ == "__main__":
    main()
