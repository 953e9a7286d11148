"""The opening sentences claim what the figures show, and no more."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.report.comparison_file import Divergence, Row, parse_comparison
from dashboards.report.conclusions import Conclusion, conclude, group_rows
from dashboards.report.differences_file import Difference
from tests.dashboards.report_cases import difference
from tests.dashboards.studies import comparison, row


def rows(*changes: dict[str, Any]) -> tuple[Row, ...]:
    return parse_comparison(json.dumps(comparison(rows=[row(**change) for change in changes]))).rows


def figure(model: str, nats: float, half: float, estimator: str = "exact", **changes: object) -> dict[str, Any]:
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


def differences_of(*records: dict[str, Any]) -> tuple[Difference, ...]:
    return parse_comparison(json.dumps(comparison(differences=records))).differences


def paired(verdict: str, first: str = "B", second: str = "A", **changes: Any) -> Conclusion:
    (group,) = group_rows(rows(figure("A", 100, 20), figure("B", 130, 20)))
    return conclude(group, (), differences_of(difference(first, second, verdict=verdict, **changes)))


def test_a_paired_verdict_settles_what_overlapping_intervals_do_not():
    assert paired("ahead").sentence == (
        "B (exact = 130.00) is ahead of A (exact = 100.00) by 30.00 nats per sequence (0.300 nats per frame); the "
        "paired tests over sequences and seeds say so, corrected for 4 comparisons."
    )
    assert paired("behind", "A", "B").sentence == paired("ahead").sentence


def test_intervals_apart_settle_nothing_where_the_paired_test_does_not():
    (group,) = group_rows(rows(figure("A", 100, 1), figure("B", 130, 1)))
    pairs = {"not settled": "the order is not settled", "not enough seeds": "there are not enough seeds for a verdict"}
    for verdict, words in pairs.items():
        sentence = conclude(group, (), differences_of(difference("B", "A", verdict=verdict))).sentence
        assert "ahead" not in sentence
        assert words in sentence


def test_a_verdict_against_the_table_is_said_to_be_so():
    assert paired("behind").sentence.endswith(", but the paired tests put A ahead.")


def test_a_pair_without_a_test_or_of_another_corpus_has_no_verdict():
    assert paired("ahead", "B", "C").sentence.endswith("this pair was not among the study's comparisons.")
    assert paired("ahead", corpus="elsewhere").sentence.endswith("this pair was not among the study's comparisons.")


def test_a_bound_above_an_exact_figure_with_intervals_apart_is_ahead_by_at_least_the_gap():
    result = concluded(figure("RNN", 100, 5), figure("VRNN", 130, 5, "elbo"))
    assert result.sentence == (
        "VRNN (ELBO ≥ 130.00) is ahead of RNN (exact = 100.00) by 30.00 nats per sequence "
        "(0.300 nats per frame); their 95 % intervals do not overlap."
    )
    assert any("VRNN's figure is a lower bound" in caution for caution in result.cautions)


def test_overlapping_intervals_settle_nothing():
    result = concluded(figure("A", 100, 20), figure("B", 130, 20))
    assert "ahead" not in result.sentence
    assert "overlap, so the order is not settled" in result.sentence


def test_intervals_that_touch_overlap():
    assert "do not overlap" not in concluded(figure("A", 100, 15), figure("B", 130, 15)).sentence
    assert "do not overlap" in concluded(figure("A", 100, 14.9), figure("B", 130, 15)).sentence


def test_one_sequence_has_no_interval_and_settles_nothing():
    result = concluded(figure("A", 100, float("inf")), figure("B", 130, 5))
    assert "ahead" not in result.sentence
    assert result.sentence.endswith("their 95 % intervals are not known.")


def test_nobody_is_ahead_of_a_bound():
    result = concluded(figure("RNN", 130, 5), figure("VRNN", 100, 5, "iwae", num_samples=40))
    assert "ahead" not in result.sentence
    assert "VRNN's figure is a lower bound: its true log-likelihood may be the higher one." in result.cautions


def test_two_bounds_are_not_two_likelihoods():
    result = concluded(figure("A", 130, 5, "iwae"), figure("B", 100, 5, "iwae"))
    assert "ahead" not in result.sentence
    assert any(caution.startswith("Both figures are lower bounds") for caution in result.cautions)


def test_a_model_is_represented_by_its_tightest_figure():
    result = concluded(
        figure("RNN", 100, 1), figure("VRNN", 90, 1, "elbo"), figure("VRNN", 120, 1, "iwae", num_samples=40)
    )
    assert result.sentence.startswith("VRNN (IWAE-40 ~ 120.00) is ahead of RNN (exact = 100.00) by 20.00")


def test_more_importance_samples_represent_a_model_before_fewer():
    result = concluded(
        figure("VRNN", 125, 1, "iwae", num_samples=5),
        figure("VRNN", 120, 1, "iwae", num_samples=1000),
        figure("RNN", 100, 1),
    )
    assert result.sentence.startswith("VRNN (IWAE-1000 ~ 120.00)")


def test_the_best_exact_model_is_compared_even_from_third_place():
    result = concluded(figure("RNN", 100, 1), figure("V1", 130, 1, "elbo"), figure("V2", 120, 1, "elbo"))
    assert result.sentence.startswith("V1 (ELBO ≥ 130.00) scores higher than V2")
    assert any(caution.startswith("V1 (ELBO ≥ 130.00) is ahead of RNN") for caution in result.cautions)


def test_one_seed_is_said_to_leave_the_spread_unknown():
    result = concluded(figure("A", 100, 1, seeds=1, seed_std=None), figure("B", 130, 1))
    assert any(caution.startswith("One training seed for A:") for caution in result.cautions)


def test_a_difference_within_the_spread_of_seeds_is_said_to_be_so():
    within = concluded(figure("A", 100, 1, seed_std=31.0), figure("B", 130, 1, seed_std=29.0))
    beyond = concluded(figure("A", 100, 1, seed_std=29.0), figure("B", 130, 1, seed_std=29.0))
    assert any(
        "within the spread between training seeds (std 31.00 nats per sequence)" in caution
        for caution in within.cautions
    )
    assert not any("spread" in caution for caution in beyond.cautions)


def test_rows_scored_on_different_data_are_pointed_out():
    result = concluded(figure("A", 100, 1), figure("B", 130, 1, fingerprint="other"))
    assert any("not all scored on the same data" in caution for caution in result.cautions)


def test_lost_runs_of_the_corpus_are_counted_and_those_of_another_are_not():
    lost = (
        Divergence("speech", "B", 0, 7),
        Divergence("speech", "B", 1, 9),
        Divergence("elsewhere", "A", 0, 1),
    )
    result = concluded(figure("A", 100, 1), figure("B", 130, 1), diverged=lost)
    assert [caution for caution in result.cautions if "diverged" in caution] == [
        "2 runs of B diverged and have no part in these figures."
    ]


def test_a_single_model_is_compared_with_nothing():
    assert "nothing to compare" in concluded(figure("A", 100, 1)).sentence


def test_protocols_splits_and_measures_are_never_compared():
    groups = group_rows(
        rows(figure("A", 1, 1), {"protocol": "clean"}, {"split": "valid"}, {"corpus": "other"}, {"measure": "mass"})
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
        figure("RNN", 100, 1),
        figure("V1", 90, 1, "elbo"),
        figure("V1", 120, 1, "iwae", num_samples=40),
        figure("V2", 99, 1, "elbo"),
        figure("V2", 110, 1, "iwae", num_samples=40),
        figure("V2", 111, 1, "fivo", num_samples=40),
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
