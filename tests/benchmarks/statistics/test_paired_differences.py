"""Differences between models, held to scipy's tests, to enumeration, and to what must not change a comparison."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from benchmarks.errors import StudyError
from benchmarks.schema.base import to_json
from benchmarks.schema.comparison import PairedDifference
from benchmarks.schema.estimators import ESTIMATORS
from benchmarks.statistics.paired_differences import compare_pairs
from benchmarks.statistics.resampling import (
    difference,
    holm,
    joint_p_value,
    joint_spread,
    mean_spread,
    ratio_spread,
    seed_variance,
    sign_flip_p_values,
)
from benchmarks.statistics.table import ScoredTrial, compare_scores

pytestmark = pytest.mark.filterwarnings("error")

NUMBERS = st.floats(-100, 100, allow_nan=False)
SAMPLES = arrays(np.float64, st.integers(3, 12), elements=NUMBERS).filter(lambda values: np.ptp(values) > 1e-3)


def table(nats: Sequence[float] | np.ndarray, estimator: str = "exact", samples: int = 1) -> pd.DataFrame:
    frames = 10 + np.arange(len(nats)) % 7
    columns = {"frames": frames, "samples": 200 * frames, "nats": nats, "standard_error": 0.0}
    return pd.DataFrame({"id": [f"s{n}" for n in range(len(nats))]} | columns).assign(
        split="test", estimator=estimator, num_samples=samples
    )


def scored(model: str, scores: pd.DataFrame, seed: int = 0, corpus: str = "c", measure: str = "density") -> ScoredTrial:
    return ScoredTrial(corpus, "timit", "speech", "clean", model, seed, "f", scores, (200, 100.0), measure)


def trained(
    model: str, lead: float, seeds: int = 3, count: int = 40, corpus: str = "c", estimator: str = "exact"
) -> list[ScoredTrial]:
    """Seeds of a model that is `lead` nats a sequence better; the sequences' own nats are the same for all models."""
    common = 100 * np.random.default_rng(0).exponential(size=count)
    generator = np.random.default_rng(sum(map(ord, model)))
    return [
        scored(model, table(common + lead + 0.1 * generator.normal(size=count), estimator), seed, corpus)
        for seed in range(seeds)
    ]


def only(rows: list[PairedDifference]) -> PairedDifference:
    (row,) = rows
    return row


# Tests of one sample.


def test_sign_flips_are_those_of_enumeration() -> None:
    differences = np.random.default_rng(1).normal(0.4, 1.0, size=(20, 8))
    signs = np.array(list(product((-1, 1), repeat=8)))
    extreme = np.abs(signs @ differences.T) >= np.abs(differences.sum(axis=1)) - 1e-9
    assert sign_flip_p_values(differences) == pytest.approx(extreme.mean(axis=0), abs=1e-12)


def test_sign_flips_of_many_sequences_are_scipys_to_the_noise_of_sampling_and_the_same_each_time() -> None:
    differences = np.random.default_rng(2).normal(0.15, 1.0, size=(3, 100))
    found = sign_flip_p_values(differences)
    theirs = [
        stats.permutation_test(
            (row,), np.mean, permutation_type="samples", vectorized=True, rng=np.random.default_rng(9)
        )
        for row in differences
    ]
    assert found == pytest.approx([result.pvalue for result in theirs], abs=0.02)
    assert (found == sign_flip_p_values(differences)).all()
    assert found[1] == sign_flip_p_values(differences[1:2])[0]


def test_flips_are_so_many_that_many_comparisons_can_be_corrected_for() -> None:
    (p_value,) = sign_flip_p_values(np.random.default_rng(3).normal(9.0, 1.0, size=(1, 60)), comparisons=300)
    assert p_value * 300 < 0.05


@given(SAMPLES)
@settings(max_examples=50)
def test_where_nothing_is_skewed_the_interval_and_the_test_are_students(values: np.ndarray) -> None:
    symmetric = np.concatenate([values, 2 * values.mean() - values])
    spread = mean_spread(symmetric)
    student = stats.ttest_1samp(symmetric, 0.0)
    assert spread.interval() == pytest.approx(tuple(student.confidence_interval(0.95)), rel=1e-4, abs=1e-4)
    assert float(spread.p_value()) == pytest.approx(student.pvalue, rel=1e-3, abs=1e-9)


@given(SAMPLES)
@settings(max_examples=50)
def test_interval_and_p_value_agree_and_are_never_bolder_than_students(values: np.ndarray) -> None:
    spread, student = mean_spread(values), stats.ttest_1samp(values, 0.0)
    low, high = spread.interval()
    assert spread.p_value() >= student.pvalue - 1e-12
    for end in (low, high):
        assert float(mean_spread(values - end).p_value()) == pytest.approx(0.05, rel=1e-3)
    theirs = student.confidence_interval(0.95)
    assert low <= theirs.low + 1e-9
    assert high >= theirs.high - 1e-9


def test_skewness_lengthens_the_interval_towards_the_tail_as_a_bootstrap_t_does() -> None:
    values = np.random.default_rng(4).exponential(size=60)
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(60)
    resampled = np.random.default_rng(5).choice(values, size=(40_000, 60))
    student = (resampled.mean(axis=1) - mean) / (resampled.std(axis=1, ddof=1) / np.sqrt(60))
    low, high = mean_spread(values).interval()
    assert high == pytest.approx(mean - error * np.quantile(student, 0.025), abs=0.12 * error)
    assert low == pytest.approx(mean - error * stats.t.ppf(0.975, 59))
    assert high - mean > mean - low


def test_a_ratio_moves_as_under_a_bootstrap_of_sequences_with_their_lengths() -> None:
    generator = np.random.default_rng(6)
    frames = generator.integers(10, 100, size=400).astype(np.float64)
    nats = frames * generator.normal(3.0, 1.0, size=400)
    rows = generator.integers(0, 400, size=(20_000, 400))
    resampled = nats[rows].sum(axis=1) / frames[rows].sum(axis=1)
    spread = ratio_spread(nats, frames)
    assert float(spread.value) == pytest.approx(nats.sum() / frames.sum())
    assert float(spread.variance) == pytest.approx(resampled.var(), rel=0.05)


# Seeds.


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(2, 6))
@settings(max_examples=50)
def test_where_sequences_do_not_vary_the_joint_test_is_welchs_of_the_seeds(seed: int, one: int, other: int) -> None:
    generator = np.random.default_rng(seed)
    first, second = generator.normal(1.0, 1.0, one), generator.normal(0.0, 2.0, other)
    scores = [np.repeat(means[:, None], 9, axis=1) for means in (first, second)]
    paired = scores[0].mean(axis=0) - scores[1].mean(axis=0)
    welch = stats.ttest_ind(first, second, equal_var=False)
    assert joint_p_value(paired, scores) == pytest.approx(welch.pvalue, rel=1e-4)
    assert difference(paired, scores).joint_interval == pytest.approx(
        tuple(welch.confidence_interval()), rel=1e-4, abs=1e-4
    )


def test_where_seeds_do_not_vary_the_joint_interval_is_that_over_sequences() -> None:
    scores = np.tile(np.random.default_rng(7).exponential(size=30), (3, 1))
    found = difference(scores[0], [scores, np.zeros_like(scores)])
    assert found.joint_interval == pytest.approx(found.interval)


def test_the_joint_variance_is_the_pigeonhole_bootstraps_with_its_lost_degrees_of_freedom_put_back() -> None:
    generator, seeds, count = np.random.default_rng(8), 4, 12
    first, second = (generator.normal(size=(seeds, 1)) + generator.normal(size=count) for _ in range(2))
    columns = generator.multinomial(count, np.full(count, 1 / count), 40_000) / count
    rows = generator.multinomial(seeds, np.full(seeds, 1 / seeds), (2, 40_000)) / seeds
    draws = np.einsum("ri,si,rs->r", columns, first, rows[0]) - np.einsum("ri,si,rs->r", columns, second, rows[1])
    means = [scores.mean(axis=1) for scores in (first, second)]
    sequences = mean_spread(first.mean(axis=0) - second.mean(axis=0))
    found = joint_spread(sequences, [(seed_variance(part), seeds) for part in means])
    parts = float(sequences.variance), float(found.variance)
    assert draws.var() == pytest.approx(parts[0] * (count - 1) / count + parts[1] * (seeds - 1) / seeds, rel=0.03)


@given(SAMPLES, st.floats(0.1, 10), st.floats(0.1, 10))
@settings(max_examples=50)
def test_the_joint_interval_and_p_value_agree_and_seeds_only_ever_lengthen(
    values: np.ndarray, one: float, other: float
) -> None:
    seeds = [(np.asarray(one), 3), (np.asarray(other), 5)]
    (low, high), inner = joint_spread(mean_spread(values), seeds).interval(), mean_spread(values).interval()
    assert low < inner[0] <= inner[1] < high
    for end in (low, high):
        assert float(joint_spread(mean_spread(values - end), seeds).p_value()) == pytest.approx(0.05, rel=1e-3)


def test_per_frame_the_seeds_vary_by_as_much_less_as_frames_are_more() -> None:
    scores = [np.random.default_rng(model).normal(size=(3, 10)) for model in range(2)]
    paired = scores[0].mean(axis=0) - scores[1].mean(axis=0)
    per_sequence, per_frame = difference(paired, scores), difference(paired, scores, np.full(10, 4.0))
    assert per_frame.scaled(4.0).joint_interval == pytest.approx(per_sequence.joint_interval)


@given(arrays(np.float64, st.integers(1, 6), elements=st.floats(0, 1)))
@settings(max_examples=50)
def test_holm_is_the_closure_of_bonferroni(p_values: np.ndarray) -> None:
    everyone = range(len(p_values))
    subsets = [list(s) for size in range(1, len(p_values) + 1) for s in combinations(everyone, size)]
    expected = [
        max(min(1.0, len(subset) * p_values[subset].min()) for subset in subsets if one in subset) for one in everyone
    ]
    assert holm(p_values) == pytest.approx(expected)


def test_families_are_corrected_each_by_itself() -> None:
    assert holm(np.array([[0.01, 0.04], [0.04, 0.5]])).tolist() == [[0.02, 0.04], [0.08, 0.5]]


# Rows.


def test_a_difference_is_of_means_over_seeds_and_sequences_in_three_units() -> None:
    row = only(compare_pairs(trained("rnn", 0.0) + trained("vrnn", 3.0)))
    means = {row.model: row for row in compare_scores(trained("rnn", 0.0) + trained("vrnn", 3.0))}
    gaps = row.nats_per_sequence, row.nats_per_frame, row.bits_per_sample
    bits = means["vrnn"].bits_per_sample, means["rnn"].bits_per_sample
    assert gaps[0].difference == pytest.approx(means["rnn"].nats_per_sequence - means["vrnn"].nats_per_sequence)
    assert gaps[1].difference == pytest.approx(means["rnn"].nats_per_frame - means["vrnn"].nats_per_frame)
    assert gaps[2] is not None
    assert bits[0] is not None
    assert bits[1] is not None
    assert gaps[2].difference == pytest.approx(bits[0] - bits[1])
    assert (row.first.model, row.second.model, row.verdict) == ("rnn", "vrnn", "behind")
    assert (row.sequences, row.frames, row.first.seeds, row.comparisons) == (40, means["rnn"].frames, 3, 1)
    assert row.first.seed_std == pytest.approx(means["rnn"].seed_std)
    for unit in gaps:
        assert unit is not None
        for ends in (unit.interval, unit.joint_interval):
            assert ends is not None
            assert ends[0] < unit.difference < ends[1] < 0


def test_the_other_way_round_everything_is_negated() -> None:
    trials = trained("rnn", 0.0) + trained("vrnn", 3.0)
    one, other = only(compare_pairs(trials, [("rnn", "vrnn")])), only(compare_pairs(trials, [("vrnn", "rnn")]))
    assert (one.verdict, other.verdict) == ("behind", "ahead")
    assert one.p_joint == pytest.approx(other.p_joint)
    for unit in ("nats_per_sequence", "nats_per_frame", "bits_per_sample"):
        mine, theirs = getattr(one, unit), getattr(other, unit)
        assert mine.difference == pytest.approx(-theirs.difference)
        assert mine.interval == pytest.approx((-theirs.interval[1], -theirs.interval[0]))
        assert mine.joint_interval == pytest.approx((-theirs.joint_interval[1], -theirs.joint_interval[0]))


def test_the_order_of_sequences_and_what_they_have_in_common_change_nothing() -> None:
    trials = trained("rnn", 0.0) + trained("vrnn", 0.02)
    moved = [
        replace(trial, scores=trial.scores.assign(nats=trial.scores["nats"] + 50 * trial.scores["frames"]))
        for trial in trials
    ]
    shuffled = [
        replace(trial, scores=trial.scores.sample(frac=1, random_state=number)) for number, trial in enumerate(trials)
    ]
    row, mixed, other = only(compare_pairs(trials)), only(compare_pairs(shuffled)), only(compare_pairs(moved))
    assert mixed == row
    assert other.nats_per_sequence.joint_interval == pytest.approx(row.nats_per_sequence.joint_interval, rel=1e-6)
    assert other.p_sequences == pytest.approx(row.p_sequences, abs=1e-3)


def test_pairs_stand_in_the_order_of_models_and_claims_replace_them() -> None:
    trials = [t for corpus in "ab" for n, model in enumerate("xyz") for t in trained(model, n, corpus=corpus)]
    rows = compare_pairs(trials)
    pairs = [("x", "y"), ("x", "z"), ("y", "z")]
    assert [(row.corpus, row.first.model, row.second.model) for row in rows] == [(c, *p) for c in "ab" for p in pairs]
    assert {row.comparisons for row in rows} == {6}
    claimed = compare_pairs(trials, [("z", "x"), ("z", "absent")])
    assert [(row.first.model, row.second.model, row.comparisons) for row in claimed] == [("z", "x", 2)] * 2
    assert compare_pairs([]) == []


def test_p_values_are_corrected_for_all_comparisons_of_the_list() -> None:
    trials = [t for corpus in "ab" for model in "xyz" for t in trained(model, 0.0, corpus=corpus)]
    rows = compare_pairs(trials)
    for test in ("p_sequences", "p_joint"):
        plain = np.array([getattr(row, test) for row in rows])
        assert [getattr(row, f"{test}_corrected") for row in rows] == pytest.approx(holm(plain))


def test_what_only_seeds_explain_is_not_settled_though_these_trained_models_differ() -> None:
    spread = [[-1.0, 0.0, 1.0], [0.5, 1.5, 2.5]]
    trials = [
        replace(trial, model=model, seed=seed)
        for model, leads in zip(("rnn", "vrnn"), spread, strict=True)
        for seed, lead in enumerate(leads)
        for trial in trained(f"{model}{seed}", lead, seeds=1)
    ]
    row = only(compare_pairs(trials))
    assert row.verdict == "not settled"
    assert row.p_sequences_corrected is not None
    assert row.p_joint is not None
    assert row.p_sequences_corrected < 0.001
    assert row.p_joint > 0.05


def test_few_sequences_cannot_settle_many_comparisons() -> None:
    trials = [t for n, model in enumerate("wxyz") for t in trained(model, float(n), count=6)]
    assert {row.verdict for row in compare_pairs(trials)} == {"not settled"}
    assert only(compare_pairs(trials, [("z", "w")])).verdict == "ahead"


@pytest.mark.parametrize(("seeds", "joint"), [(1, False), (2, True)])
def test_fewer_than_three_seeds_are_not_enough(seeds: int, joint: bool) -> None:
    row = only(compare_pairs(trained("rnn", 0.0) + trained("vrnn", 3.0, seeds=seeds)))
    assert row.verdict == "not enough seeds"
    assert (row.nats_per_sequence.joint_interval is not None, row.p_joint is not None) == (joint, joint)
    assert (row.second.seed_std is not None) == joint
    assert row.p_sequences is not None
    assert row.nats_per_sequence.interval is not None


def test_a_lossless_coder_has_no_seeds_and_needs_none() -> None:
    codec = trained("flac", 5.0, seeds=1, estimator="code")
    row = only(compare_pairs(codec + trained("rnn", 0.0)))
    assert (row.verdict, row.first.seeds, row.caution) == ("ahead", 1, None)
    joint, interval = row.nats_per_sequence.joint_interval, row.nats_per_sequence.interval
    assert joint is not None
    assert interval is not None
    assert joint[1] - joint[0] > interval[1] - interval[0]
    assert only(compare_pairs(codec + trained("rnn", 0.0, seeds=2))).verdict == "not enough seeds"


def test_one_sequence_says_nothing_of_others() -> None:
    row = only(compare_pairs(trained("rnn", 0.0, count=1) + trained("vrnn", 3.0, count=1)))
    assert row.nats_per_sequence.difference == pytest.approx(-3.0, abs=0.5)
    assert (row.nats_per_sequence.interval, row.nats_per_frame.joint_interval) == (None, None)
    assert (row.p_sequences, row.p_joint, row.p_joint_corrected, row.verdict) == (None, None, None, "not settled")


@pytest.mark.parametrize("count", [2, 3])
def test_two_or_three_sequences_have_an_interval_and_settle_nothing(count: int) -> None:
    row = only(compare_pairs(trained("rnn", 0.0, count=count) + trained("vrnn", 3.0, count=count)))
    assert row.nats_per_sequence.interval is not None
    assert np.isfinite(row.nats_per_sequence.interval).all()
    assert row.verdict == "not settled"


def test_a_model_does_not_differ_from_itself() -> None:
    twins = [replace(trial, model="twin") for trial in trained("rnn", 0.0)]
    row = only(compare_pairs(trained("rnn", 0.0) + twins))
    assert row.nats_per_sequence.interval == (0.0, 0.0)
    assert (row.p_sequences, row.p_joint, row.verdict) == (1.0, 1.0, "not settled")


def test_densities_and_masses_fingerprints_and_splits_are_not_compared_with_one_another() -> None:
    mass = [replace(trial, measure="mass") for trial in trained("rnn-dmol", 0.0)]
    elsewhere = [replace(trial, fingerprint="g") for trial in trained("other", 0.0)]
    valid = [replace(trial, scores=trial.scores.assign(split="valid")) for trial in trained("third", 0.0)]
    rows = compare_pairs(trained("rnn", 0.0) + mass + elsewhere + valid + trained("vrnn", 1.0))
    assert [(row.first.model, row.second.model) for row in rows] == [("rnn", "vrnn")]


# The score that stands for a model.


def several(*scores: tuple[str, int, float], seeds: int = 3) -> list[ScoredTrial]:
    return [
        scored("vrnn", pd.concat([table(np.arange(5.0) + high, name, k) for name, k, high in scores]), seed)
        for seed in range(seeds)
    ]


@pytest.mark.parametrize(
    ("scores", "stands"),
    [
        ([("elbo", 1, 9.0), ("iwae", 40, 1.0), ("fivo", 40, 2.0)], ("fivo", 40)),
        ([("fivo", 40, 1.0), ("iwae", 40, 2.0), ("elbo", 1, 0.0)], ("iwae", 40)),
        ([("iwae", 1000, 1.0), ("fivo", 40, 2.0)], ("iwae", 1000)),
        ([("iwae", 40, 9.0), ("exact", 1, 1.0)], ("exact", 1)),
        ([("elbo", 1, 1.0)], ("elbo", 1)),
    ],
)
def test_the_tightest_score_stands_for_a_model(scores: list[tuple[str, int, float]], stands: tuple[str, int]) -> None:
    row = only(compare_pairs([*several(*scores), scored("rnn", table(np.zeros(5)))]))
    assert (row.first.estimator, row.first.num_samples) == stands
    rows = compare_scores(several(*scores))
    theirs = max(rows, key=lambda r: (ESTIMATORS[r.estimator].tightness, r.num_samples, r.nats_per_sequence))
    assert (theirs.estimator, theirs.num_samples) == stands


def test_a_score_that_some_seeds_lack_does_not_stand_for_the_model() -> None:
    trials = several(("elbo", 1, 0.0), seeds=3) + several(("fivo", 40, 2.0), seeds=1)
    row = only(compare_pairs([*trials, scored("rnn", table(np.zeros(5)))]))
    assert (row.first.estimator, row.first.seeds) == ("elbo", 3)


@pytest.mark.parametrize(
    ("estimators", "leads", "words"),
    [
        (("exact", "exact"), (1.0, 0.0), None),
        (("elbo", "exact"), (1.0, 0.0), "The value of a is a lower bound in expectation: its true lead is no smaller"),
        (
            ("elbo", "exact"),
            (0.0, 1.0),
            "The value of a is only a lower bound: its true log-likelihood may be the higher",
        ),
        (("iwae", "code"), (0.0, 1.0), "The value of a is only a lower bound"),
        (("iwae", "elbo"), (1.0, 0.0), "Both values are lower bounds"),
    ],
)
def test_a_bound_is_cautioned_about(estimators: tuple[str, str], leads: tuple[float, float], words: str | None) -> None:
    trials = [
        trial
        for model, lead, estimator in zip("ab", leads, estimators, strict=True)
        for trial in trained(model, lead, seeds=1, estimator=estimator)
    ]
    caution = only(compare_pairs(trials)).caution
    assert caution is None if words is None else caution is not None and caution.startswith(words)


# Wrong input.


@pytest.mark.parametrize(
    ("trials", "claims", "said"),
    [
        ([], [("a", "a")], "a is compared with itself"),
        ([], [("a", "b"), ("b", "a")], "b and a are compared twice"),
        ([scored("a", table(np.zeros(4))), scored("b", table(np.zeros(5)))], [], "c/clean/a and c/clean/b were scored"),
        (
            [scored("a", table(np.zeros(4))), scored("b", table(np.zeros(4)).assign(frames=11))],
            [],
            "c/clean/a and c/clean/b were scored on different sequences",
        ),
        ([scored("a", table(np.zeros(4))), scored("a", table(np.zeros(5)), 1)], [], "c/clean/a: its seeds were scored"),
        ([scored("a", table(np.zeros(4)))] * 2, [], "two trials have seed 0"),
        ([scored("a", table([1.0, -np.inf]))], [], "c/clean/a: a score is not finite"),
        (
            [scored("a", table(np.zeros(4))), scored("b", table(np.zeros(4)), measure="mass")],
            [("a", "b")],
            "c/clean/a is a density, c/clean/b a mass",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    trials: list[ScoredTrial], claims: list[tuple[str, str]], said: str
) -> None:
    with pytest.raises(StudyError, match=said) as caught:
        compare_pairs(trials, claims)
    assert "\n" not in str(caught.value)


def test_rows_are_json_values() -> None:
    value = to_json(only(compare_pairs(trained("a", 0.0) + trained("b", 1.0))))
    assert value["first"]["model"] == "a"
    assert len(value["nats_per_sequence"]["joint_interval"]) == 2
