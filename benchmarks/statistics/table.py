"""From per-sequence scores to the table: means with their uncertainty over sequences and over seeds, kept apart.

The interval is a 95 % bootstrap over sequences of the seed-averaged scores: it says how far the mean would move on
other sequences of this corpus. The standard deviation over seeds says how far it moves when training is repeated; with
one seed it is not known, and is shown as unknown. The Monte Carlo error is a third thing: how far a bound would move if
the same model were scored with other noise.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.schema.base import Kind, Measure
from benchmarks.schema.comparison import CONFIDENCE, ComparisonRow
from benchmarks.schema.trial import TrialRecord
from benchmarks.schema.units import bits_per_sample, bits_scale

__all__ = ["ScoredTrial", "compare_scores"]

_RESAMPLES = 2000


@dataclass(frozen=True)
class ScoredTrial:
    """The scores of one trial, with what the statistics need of its record (`benchmarks.schema.trial.TrialRecord`).

    Attributes:
        scores: a table as `benchmarks.scoring.score` makes it, of one or more estimators.
        bits_scale: turns nats per frame into bits per sample, as `benchmarks.schema.units.bits_scale`; None for pen.
    """

    corpus: str
    dataset: str
    kind: Kind
    protocol: str
    model: str
    seed: int
    fingerprint: str
    scores: pd.DataFrame
    bits_scale: tuple[int, float] | None
    measure: Measure = "density"
    parameters: int | None = None
    sigma_floor: float | None = None
    training_sequences: int | None = None

    @classmethod
    def of(cls, record: TrialRecord, scores: pd.DataFrame) -> "ScoredTrial":
        """The scores of a recorded trial."""
        std = record.sample_std
        return cls(
            corpus=record.corpus,
            dataset=record.dataset,
            kind=record.kind,
            protocol=record.protocol,
            model=record.model,
            seed=record.seed,
            fingerprint=record.fingerprint,
            scores=scores,
            bits_scale=None if std is None else bits_scale(record.frame_size, std, record.measure),
            measure=record.measure,
            parameters=record.parameters,
            sigma_floor=record.sigma_floor,
            training_sequences=record.training_sequences,
        )


def compare_scores(trials: Iterable[ScoredTrial]) -> list[ComparisonRow]:
    """The table's rows, in the order in which corpora, models and estimators first appear."""
    groups: dict[tuple[str, str], dict[tuple[object, ...], list[tuple[ScoredTrial, pd.DataFrame]]]] = {}
    for trial in trials:
        tables = groups.setdefault((trial.corpus, trial.protocol), {})
        for estimator, table in trial.scores.groupby(["estimator", "num_samples", "split"], sort=False):
            tables.setdefault((trial.model, trial.fingerprint, estimator), []).append((trial, table))
    return [_row(members) for tables in groups.values() for members in tables.values()]


def _row(members: list[tuple[ScoredTrial, pd.DataFrame]]) -> ComparisonRow:
    first, table = members[0]
    by_seed = pd.DataFrame({trial.seed: scores.set_index("id")["nats"] for trial, scores in members})
    assert not by_seed.isna().any(axis=None), "seeds of one model were scored on different sequences"
    per_sequence = by_seed.mean(axis=1).to_numpy(dtype=np.float64)
    frames = int(table["frames"].sum())
    nats_per_frame = float(per_sequence.sum() / frames)
    means = by_seed.mean(axis=0).to_numpy(dtype=np.float64)

    # Errors of independent scores add in squares; one unknown error leaves that of the mean unknown.
    errors = np.concatenate([scores["standard_error"].to_numpy(dtype=np.float64) for _, scores in members])
    monte_carlo_error = None if np.isnan(errors).any() else float(np.sqrt(np.square(errors).sum()) / len(errors))

    return ComparisonRow(
        corpus=first.corpus,
        dataset=first.dataset,
        kind=first.kind,
        protocol=first.protocol,
        model=first.model,
        estimator=table["estimator"].iloc[0],
        num_samples=int(table["num_samples"].iloc[0]),
        split=str(table["split"].iloc[0]),
        seeds=len(means),
        sequences=len(per_sequence),
        frames=frames,
        nats_per_sequence=float(per_sequence.mean()),
        interval=_interval(per_sequence),
        seed_std=float(means.std(ddof=1)) if len(means) > 1 else None,
        nats_per_frame=nats_per_frame,
        bits_per_sample=bits_per_sample(nats_per_frame, first.bits_scale) if first.bits_scale else None,
        fingerprint=first.fingerprint,
        measure=first.measure,
        monte_carlo_error=monte_carlo_error,
        parameters=first.parameters,
        sigma_floor=first.sigma_floor,
        training_sequences=first.training_sequences,
    )


def _interval(per_sequence: np.ndarray) -> tuple[float, float]:
    """Bootstrap interval (BCa) of the mean; the whole line where one sequence leaves the spread unknown."""
    if len(per_sequence) < 2:
        return (float("-inf"), float("inf"))
    if np.ptp(per_sequence) == 0.0:
        return (float(per_sequence[0]), float(per_sequence[0]))
    result = stats.bootstrap(
        (per_sequence,),
        np.mean,
        confidence_level=CONFIDENCE,
        n_resamples=_RESAMPLES,
        # Bounds the memory of the resampled table, not the result.
        batch=max(1, 2**22 // len(per_sequence)),
        rng=np.random.default_rng(0),
    )
    return (float(result.confidence_interval.low), float(result.confidence_interval.high))
