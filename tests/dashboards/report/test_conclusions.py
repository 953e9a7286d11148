"""The opening sentences claim what the scores show, and no more."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.schema.comparison import ComparisonRow, Divergence, PairedDifference
from dashboards.report.conclusions import Conclusion, conclude, group_rows
from tests.dashboards.report_cases import difference
from tests.dashboards.studies import compared, row


def rows(*changes: dict[str, Any]) -> tuple[ComparisonRow, ...]:
    return compared(rows=[row(**change) for change in changes]).rows


def score(model: str, nats: float, half: float, estimator: str = "exact", **changes: object) -> dict[str, Any]:
    interval = [nats - half, nats + half]
    return {
        "model": model,
        "nats_per_sequence": nats,
        "interval": interval,
        "estimator": estimator,
        "nats_per_frame": nats / 100,
    } | changes


def concluded(*changes: dict[str, Any], diverged: tuple[Divergence, ...] = ()) -> Conclusion:
    (group,) = group_rows(rows(*changes))
    return conclude(group, diverged)


def differences_of(*records: dict[str, Any]) -> tuple[PairedDifference, ...]:
    return compared(differences=records).differences


def paired(verdict: str, first: str = "B", second: str = "A", **changes: Any) -> Conclusion:
    (group,) = group_rows(rows(score("A", 100, 20), score("B", 130, 20)))
    return conclude(group, (), differences_of(difference(first, second, verdict=verdict, **changes)))


def test_a_paired_verdict_settles_what_overlapping_intervals_do_not():
    assert paired("ahead").sentence == (
        "B (exact = 130.00) is ahead of A (exact = 100.00) by 30.00 nats per sequence (0.300 nats per frame); the "
        "paired tests over sequences and seeds confirm it, corrected for 4 comparisons."
    )
    assert paired("behind", "A", "B").sentence == paired("ahead").sentence


def test_intervals_apart_settle_nothing_where_the_paired_test_does_not():
    (group,) = group_rows(rows(score("A", 100, 1), score("B", 130, 1)))
    pairs = {"not settled": "the order is not settled", "not enough seeds": "there are not enough seeds for a verdict"}
    for verdict, text in pairs.items():
        sentence = conclude(group, (), differences_of(difference("B", "A", verdict=verdict))).sentence
        assert "ahead" not in sentence
        assert text in sentence


def test_a_verdict_against_the_table_is_said_to_be_so():
    assert paired("behind").sentence.endswith(", but the paired tests put A ahead.")


def test_a_pair_without_a_test_or_of_another_corpus_has_no_verdict():
    assert paired("ahead", "B", "C").sentence.endswith("the study did not test this pair.")
    assert paired("ahead", corpus="elsewhere").sentence.endswith("the study did not test this pair.")


def test_a_bound_above_an_exact_score_with_intervals_apart_is_ahead_by_at_least_the_gap():
    result = concluded(score("RNN", 100, 5), score("VRNN", 130, 5, "elbo"))
    assert result.sentence == (
        "VRNN (ELBO ≥ 130.00) is ahead of RNN (exact = 100.00) by 30.00 nats per sequence "
        "(0.300 nats per frame); their 95 % intervals do not overlap."
    )
    assert any("VRNN's score is a lower bound" in caution for caution in result.cautions)


def test_overlapping_intervals_settle_nothing():
    result = concluded(score("A", 100, 20), score("B", 130, 20))
    assert "ahead" not in result.sentence
    assert "overlap, so the order is not settled" in result.sentence


def test_intervals_that_touch_overlap():
    assert "do not overlap" not in concluded(score("A", 100, 15), score("B", 130, 15)).sentence
    assert "do not overlap" in concluded(score("A", 100, 14.9), score("B", 130, 15)).sentence


def test_one_sequence_has_no_interval_and_settles_nothing():
    result = concluded(score("A", 100, float("inf")), score("B", 130, 5))
    assert "ahead" not in result.sentence
    assert result.sentence.endswith("their 95 % intervals are unknown.")


def test_no_model_is_ahead_of_a_bound():
    result = concluded(score("RNN", 130, 5), score("VRNN", 100, 5, "iwae", num_samples=40))
    assert "ahead" not in result.sentence
    assert "VRNN's score is a lower bound, so its true log-likelihood may be the higher one." in result.cautions


def test_two_bounds_are_not_two_likelihoods():
    result = concluded(score("A", 130, 5, "iwae"), score("B", 100, 5, "iwae"))
    assert "ahead" not in result.sentence
    assert any(caution.startswith("Both scores are lower bounds") for caution in result.cautions)


def test_a_model_is_represented_by_its_tightest_score():
    result = concluded(
        score("RNN", 100, 1), score("VRNN", 90, 1, "elbo"), score("VRNN", 120, 1, "iwae", num_samples=40)
    )
    assert result.sentence.startswith("VRNN (IWAE-40 ~ 120.00) is ahead of RNN (exact = 100.00) by 20.00")


def test_more_importance_samples_represent_a_model_before_fewer():
    result = concluded(
        score("VRNN", 125, 1, "iwae", num_samples=5),
        score("VRNN", 120, 1, "iwae", num_samples=1000),
        score("RNN", 100, 1),
    )
    assert result.sentence.startswith("VRNN (IWAE-1000 ~ 120.00)")


def test_the_best_exact_model_is_compared_even_from_third_place():
    result = concluded(score("RNN", 100, 1), score("V1", 130, 1, "elbo"), score("V2", 120, 1, "elbo"))
    assert result.sentence.startswith("V1 (ELBO ≥ 130.00) scores higher than V2")
    assert any(caution.startswith("V1 (ELBO ≥ 130.00) is ahead of RNN") for caution in result.cautions)


def test_one_seed_is_said_to_leave_the_spread_unknown():
    result = concluded(score("A", 100, 1, seeds=1, seed_std=None), score("B", 130, 1))
    assert any(caution.startswith("A has one training seed, so") for caution in result.cautions)


def test_a_difference_within_the_spread_of_seeds_is_said_to_be_so():
    within = concluded(score("A", 100, 1, seed_std=31.0), score("B", 130, 1, seed_std=29.0))
    beyond = concluded(score("A", 100, 1, seed_std=29.0), score("B", 130, 1, seed_std=29.0))
    assert any(
        "within the spread between training seeds (std 31.00 nats per sequence)" in caution
        for caution in within.cautions
    )
    assert not any("spread" in caution for caution in beyond.cautions)


def test_rows_scored_on_different_data_are_pointed_out():
    result = concluded(score("A", 100, 1), score("B", 130, 1, fingerprint="other"))
    assert any("Not all rows were scored on the same data" in caution for caution in result.cautions)


def test_lost_runs_of_the_corpus_are_counted_and_those_of_another_are_not():
    lost = (
        Divergence(corpus="speech", model="B", seed=0, step=7),
        Divergence(corpus="speech", model="B", seed=1, step=9),
        Divergence(corpus="elsewhere", model="A", seed=0, step=1),
    )
    result = concluded(score("A", 100, 1), score("B", 130, 1), diverged=lost)
    assert [caution for caution in result.cautions if "diverged" in caution] == [
        "2 runs of B diverged and are not in these scores."
    ]


def test_a_single_model_is_compared_with_nothing():
    assert "nothing to compare" in concluded(score("A", 100, 1)).sentence


def test_protocols_splits_and_measures_are_never_compared():
    groups = group_rows(
        rows(score("A", 1, 1), {"protocol": "clean"}, {"split": "valid"}, {"corpus": "other"}, {"measure": "mass"})
    )
    assert [(group.corpus, group.protocol, group.split, group.measure) for group in groups] == [
        ("speech", "paper", "test", "density"),
        ("speech", "clean", "test", "density"),
        ("speech", "paper", "valid", "density"),
        ("other", "paper", "test", "density"),
        ("speech", "paper", "test", "mass"),
    ]


@given(st.permutations(range(6)))
@settings(deadline=None, max_examples=20)
def test_the_ranking_does_not_depend_on_the_order_of_the_rows(order: list[int]):
    changes = [
        score("RNN", 100, 1),
        score("V1", 90, 1, "elbo"),
        score("V1", 120, 1, "iwae", num_samples=40),
        score("V2", 99, 1, "elbo"),
        score("V2", 110, 1, "iwae", num_samples=40),
        score("V2", 111, 1, "fivo", num_samples=40),
    ]
    (group,) = group_rows(rows(*(changes[i] for i in order)))
    assert [(r.model, r.label) for r in group.rows] == [
        ("V1", "IWAE-40"),
        ("V1", "ELBO"),
        ("V2", "FIVO-40"),
        ("V2", "IWAE-40"),
        ("V2", "ELBO"),
        ("RNN", "exact"),
    ]
    assert [(r.model, r.label) for r in group.best] == [("V1", "IWAE-40"), ("V2", "FIVO-40"), ("RNN", "exact")]
