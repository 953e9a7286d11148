import numpy as np
import pandas as pd
import pytest

from benchmarks.statistics.table import ScoredTrial, compare_scores


def scores(values: np.ndarray, estimator: str = "exact", samples: int = 1) -> pd.DataFrame:
    count = len(values)
    return pd.DataFrame(
        {
            "id": [f"s{n}" for n in range(count)],
            "split": "test",
            "estimator": estimator,
            "num_samples": samples,
            "frames": 10,
            "samples": 2000,
            "nats": values,
            "standard_error": 0.5,
        }
    )


def trial(
    table: pd.DataFrame, model: str = "rnn-gauss", corpus: str = "c", seed: int = 0, bits: object = None
) -> ScoredTrial:
    return ScoredTrial(corpus, "timit", "speech", "clean", model, seed, "f", table, bits)  # type: ignore[arg-type]


def test_a_row_is_the_mean_over_seeds_of_the_mean_over_sequences() -> None:
    table = np.arange(20.0)
    (row,) = compare_scores([trial(scores(table), seed=0), trial(scores(table + 3), seed=1)])
    assert row.nats_per_sequence == pytest.approx(11.0)
    assert row.nats_per_frame == pytest.approx(1.1)
    assert row.seed_std == pytest.approx(np.std([0, 3], ddof=1))
    assert (row.seeds, row.sequences, row.frames) == (2, 20, 200)
    assert row.interval[0] < 11.0 < row.interval[1]


def test_one_seed_has_no_spread_and_one_sequence_no_interval() -> None:
    (row,) = compare_scores([trial(scores(np.array([5.0])))])
    assert row.seed_std is None
    assert row.interval == (-np.inf, np.inf)


def test_rows_stand_by_corpus_and_model_in_the_order_of_trials_with_a_row_an_estimator() -> None:
    both = pd.concat([scores(np.arange(4.0), "elbo"), scores(np.arange(4.0) + 1, "iwae", 40)])
    rows = compare_scores(
        [trial(scores(np.arange(4.0)), corpus="b"), trial(both, "vrnn-gauss", "b"), trial(both, "vrnn-gauss", "a")]
    )
    assert [(row.corpus, row.model, row.estimator) for row in rows] == [
        ("b", "rnn-gauss", "exact"),
        ("b", "vrnn-gauss", "elbo"),
        ("b", "vrnn-gauss", "iwae"),
        ("a", "vrnn-gauss", "elbo"),
        ("a", "vrnn-gauss", "iwae"),
    ]


def test_seeds_scored_on_different_sequences_are_not_averaged() -> None:
    with pytest.raises(AssertionError, match="different sequences"):
        compare_scores([trial(scores(np.arange(4.0))), trial(scores(np.arange(5.0)), seed=1)])


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        (row,) = compare_scores([trial(scores(generator.normal(7.0, 3.0, size=40)))])
        hits += row.interval[0] <= 7.0 <= row.interval[1]
    assert 0.89 <= hits / 200 <= 0.99


def test_bits_per_sample_follow_from_the_std() -> None:
    (row,) = compare_scores([trial(scores(np.full(3, 12613.0)), bits=(200, 1261.3))])
    assert row.bits_per_sample == pytest.approx(0.0, abs=1e-12)


def test_the_monte_carlo_error_is_that_of_the_mean_and_unknown_where_a_part_of_it_is() -> None:
    table = scores(np.arange(16.0), "elbo")
    (row,) = compare_scores([trial(table, seed=0), trial(table, seed=1)])
    assert row.monte_carlo_error == pytest.approx(0.5 / np.sqrt(32))
    (row,) = compare_scores([trial(table), trial(table.assign(standard_error=np.nan), seed=1)])
    assert row.monte_carlo_error is None
