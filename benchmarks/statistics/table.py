"""From per-sequence scores to the table: means, their uncertainty over sequences and over seeds, kept apart.

The interval is a 95 % bootstrap over sequences of the seed-averaged scores: it says how far the mean would move on
other sequences of this corpus. The standard deviation over seeds says how far it moves when training is repeated; with
one seed it is not known, and shown as such. The Monte Carlo error is a third thing: how far a bound's figure would move
if the same model were scored with other noise.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.schema.units import bits_per_sample

__all__ = ["ComparisonRow", "Scored", "compare_scores", "rows_to_json"]

_RESAMPLES = 2000
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Scored:
    """One trial's scores and what identifies them.

    Attributes:
        corpus: the study's name for it.
        dataset: which corpus it is, by the name of what prepared it, such as `iam_ondb`.
        kind: `speech` or `pen`.
        protocol: by name.
        model: by name.
        seed: of training.
        fingerprint: of the data.
        scores: a table as `benchmarks.scoring.score.score` makes, of one or more estimators.
        bits_scale: what turns nats per frame into bits per sample, as `benchmarks.schema.units.bits_scale`; None for
            pen.
        measure: `density` of normalised frames, or `mass` of recorded integers.
        parameters: of the model; None where it has none.
        sigma_floor: under every standard deviation; None where there is none.
        training_sequences: recordings or lines that the model was fitted on; None where it was not, or is not known.
    """

    corpus: str
    dataset: str
    kind: str
    protocol: str
    model: str
    seed: int
    fingerprint: str
    scores: pd.DataFrame
    bits_scale: tuple[int, float] | None
    measure: str = "density"
    parameters: int | None = None
    sigma_floor: float | None = None
    training_sequences: int | None = None


@dataclass(frozen=True)
class ComparisonRow:
    """One line of the table: a model's score on a corpus by one estimator; see the module's text for the rest."""

    corpus: str
    dataset: str
    kind: str
    protocol: str
    model: str
    estimator: str
    num_samples: int
    split: str
    seeds: int
    sequences: int
    frames: int
    nats_per_sequence: float
    interval: tuple[float, float]
    seed_std: float | None
    nats_per_frame: float
    bits_per_sample: float | None
    fingerprint: str
    measure: str
    monte_carlo_error: float | None
    parameters: int | None
    sigma_floor: float | None
    training_sequences: int | None


def compare_scores(trials: Iterable[Scored]) -> list[ComparisonRow]:
    """The table's rows, in the order in which corpora, models and estimators first appear."""
    groups: dict[tuple[str, str], dict[tuple[object, ...], list[tuple[Scored, pd.DataFrame]]]] = {}
    for trial in trials:
        tables = groups.setdefault((trial.corpus, trial.protocol), {})
        for estimator, table in trial.scores.groupby(["estimator", "num_samples", "split"], sort=False):
            tables.setdefault((trial.model, trial.fingerprint, estimator), []).append((trial, table))
    return [_row(members) for tables in groups.values() for members in tables.values()]


def _row(members: list[tuple[Scored, pd.DataFrame]]) -> ComparisonRow:
    first, table = members[0]
    by_seed = pd.DataFrame({trial.seed: scores.set_index("id")["nats"] for trial, scores in members})
    assert not by_seed.isna().any(axis=None), "seeds of one model were scored on different sequences"
    per_sequence = by_seed.mean(axis=1).to_numpy(dtype=np.float64)
    frames = int(table["frames"].sum())
    nats_per_frame = float(per_sequence.sum() / frames)
    means = by_seed.mean(axis=0).to_numpy(dtype=np.float64)
    return ComparisonRow(
        corpus=first.corpus,
        dataset=first.dataset,
        kind=first.kind,
        protocol=first.protocol,
        model=first.model,
        estimator=str(table["estimator"].iloc[0]),
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
        monte_carlo_error=_monte_carlo_error([scores for _, scores in members]),
        parameters=first.parameters,
        sigma_floor=first.sigma_floor,
        training_sequences=first.training_sequences,
    )


def _monte_carlo_error(tables: list[pd.DataFrame]) -> float | None:
    """Standard error of the row's mean from the randomness of the bound itself; None where it is not known."""
    errors = np.concatenate([table["standard_error"].to_numpy(dtype=np.float64) for table in tables])
    if np.isnan(errors).any():
        return None
    return float(np.sqrt(np.square(errors).sum()) / len(errors))


def _interval(per_sequence: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval (BCa) of the mean; the whole line where one sequence says nothing of spread."""
    if len(per_sequence) < 2:
        return (float("-inf"), float("inf"))
    if np.ptp(per_sequence) == 0.0:
        return (float(per_sequence[0]), float(per_sequence[0]))
    result = stats.bootstrap(
        (per_sequence,),
        np.mean,
        confidence_level=_CONFIDENCE,
        n_resamples=_RESAMPLES,
        batch=max(1, 2**22 // len(per_sequence)),
        rng=np.random.default_rng(0),
    )
    return (float(result.confidence_interval.low), float(result.confidence_interval.high))


def rows_to_json(rows: list[ComparisonRow]) -> list[dict[str, Any]]:
    """The rows as JSON values."""
    return [asdict(row) for row in rows]
