"""Paired differences: which of two models is ahead, by how much, and whether other sequences or seeds could reverse it.

Two models are scored on the same sequences, and their difference is taken sequence by sequence: most of what makes
scores vary, a sequence's length and noise, is common to both and cancels. Seeds are not paired: seed 3 of one model has
nothing in common with seed 3 of another.

Two questions are kept apart. Do these trained models differ on such sequences? The interval over sequences and a
sign-flip permutation test answer it. Do the models differ when both are trained again? The joint interval and its
test, over sequences and seeds, answer that. A model is called ahead only where both tests say so after Holm's
correction for all comparisons of the list. `benchmarks.statistics.resampling` has the methods; docs/statistics.md says
how well they are calibrated.

Every difference is positive where the first model is better: more nats, fewer bits.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.errors import StudyError
from benchmarks.schema.comparison import LEVEL, ComparedModel, PairedDifference, Verdict
from benchmarks.schema.estimators import ESTIMATORS, EstimatorName, is_exact
from benchmarks.schema.suite import check_claims
from benchmarks.statistics.resampling import Array, difference, holm, joint_p_value, sign_flip_p_values
from benchmarks.statistics.table import ScoredTrial

__all__ = ["LEAST_SEEDS", "compare_pairs"]

LEAST_SEEDS = 3
"""Seeds of a trained model that a verdict needs: with two, the 95 % quantile of Student's t is 12.7."""


@dataclass(frozen=True)
class _ModelScores:
    """The scores that stand for a model: nats `[S, N]` by seed and sequence, frames `[N]`, ids `[N]`, ascending."""

    trial: ScoredTrial
    split: str
    estimator: EstimatorName
    num_samples: int
    ids: npt.NDArray[np.object_]
    frames: Array
    nats: Array

    @property
    def where(self) -> str:
        return f"{self.trial.corpus}/{self.trial.protocol}/{self.trial.model}"

    @property
    def preference(self) -> tuple[int, int, int, float]:
        """Sort key: an estimate that all seeds have, then the tighter one, then more samples, then the higher value."""
        return len(self.nats), ESTIMATORS[self.estimator].tightness, self.num_samples, float(self.nats.mean())

    @property
    def is_exact(self) -> bool:
        return is_exact(self.estimator)

    @property
    def is_trained(self) -> bool:
        return self.estimator != "code"


@dataclass(frozen=True)
class _PValues:
    sequences: float | None
    joint: float | None
    sequences_corrected: float | None
    joint_corrected: float | None


def compare_pairs(trials: Iterable[ScoredTrial], claims: Sequence[tuple[str, str]] = ()) -> list[PairedDifference]:
    """Compare the pairs of models of one measure that were scored on the same corpus, protocol, content and split.

    Args:
        trials: scores, one for each corpus, protocol, model and seed.
        claims: the pairs that the study named before it ran: the fewer they are, the smaller the correction. Empty for
            all pairs, in order of appearance. A claim has no row where one of its models was not scored.

    Raises:
        StudyError: a pair is claimed twice, is of one model, or is of two measures; a seed appears twice; the scored
            sequences differ, or a score is not finite.
    """
    check_claims(claims)
    groups = [_pairs(models, claims) for models in _tightest(trials)]
    comparisons = sum(map(len, groups))
    pairs = [pair for group in groups for pair in group]
    sequences = [p for group in groups for p in _sign_flip(group, comparisons)]
    joint = [joint_p_value(_paired(*pair), _trained(*pair)) for pair in pairs]
    tests = map(_PValues, sequences, joint, _corrected(sequences), _corrected(joint))
    return [_compare(*pair, p_values, comparisons) for pair, p_values in zip(pairs, tests, strict=True)]


def _tightest(trials: Iterable[ScoredTrial]) -> Iterator[dict[str, _ModelScores]]:
    """For each corpus, protocol, content and split, each model's tightest estimate, all in order of appearance."""
    found: dict[tuple[str, ...], dict[str, dict[object, list[tuple[ScoredTrial, pd.DataFrame]]]]] = {}
    for trial in trials:
        for (split, *estimator), table in trial.scores.groupby(["split", "estimator", "num_samples"], sort=False):
            group = found.setdefault((trial.corpus, trial.protocol, trial.fingerprint, str(split)), {})
            group.setdefault(trial.model, {}).setdefault(tuple(estimator), []).append((trial, table))
    for group in found.values():
        scores = {model: [_stack_seeds(members) for members in tables.values()] for model, tables in group.items()}
        yield {model: max(candidates, key=lambda score: score.preference) for model, candidates in scores.items()}


def _stack_seeds(members: list[tuple[ScoredTrial, pd.DataFrame]]) -> _ModelScores:
    """The seeds of one model by one estimator.

    Raises:
        StudyError: a seed appears twice, the scored sequences differ, or a score is not finite.
    """
    trial, seeds = members[0][0], [member.seed for member, _ in members]
    tables = [table.sort_values("id", ignore_index=True) for _, table in members]
    first = tables[0]
    where = f"{trial.corpus}/{trial.protocol}/{trial.model}"
    if repeated := {seed for seed in seeds if seeds.count(seed) > 1}:
        raise StudyError(f"{where}: two trials have seed {min(repeated)}; compare the trials of one suite only")
    for table in tables:
        if not table[["id", "frames"]].equals(first[["id", "frames"]]):
            raise StudyError(f"{where}: its seeds were scored on different sequences; score them again")
        if not np.isfinite(table["nats"]).all():
            raise StudyError(f"{where}: a score is not finite; leave that trial out")
    return _ModelScores(
        trial=trial,
        split=str(first["split"].iloc[0]),
        estimator=first["estimator"].iloc[0],
        num_samples=int(first["num_samples"].iloc[0]),
        ids=first["id"].to_numpy(dtype=object),
        frames=first["frames"].to_numpy(dtype=np.float64),
        nats=np.stack([table["nats"].to_numpy(dtype=np.float64) for table in tables]),
    )


def _pairs(
    models: dict[str, _ModelScores], claims: Sequence[tuple[str, str]]
) -> list[tuple[_ModelScores, _ModelScores]]:
    named = claims or list(combinations(models, 2))
    pairs = [(models[first], models[second]) for first, second in named if first in models and second in models]
    comparable = [pair for pair in pairs if pair[0].trial.measure == pair[1].trial.measure]
    if claims and len(comparable) < len(pairs):
        first, second = next(pair for pair in pairs if pair[0].trial.measure != pair[1].trial.measure)
        raise StudyError(
            f"claims: {first.where} is a {first.trial.measure}, {second.where} a {second.trial.measure}; "
            "claim pairs of one measure"
        )
    for first, second in comparable:
        if not (np.array_equal(first.ids, second.ids) and np.array_equal(first.frames, second.frames)):
            raise StudyError(f"{first.where} and {second.where} were scored on different sequences; score them again")
    return comparable


def _sign_flip(pairs: list[tuple[_ModelScores, _ModelScores]], comparisons: int) -> list[float | None]:
    # One sequence has no permutation to test. All pairs of a group share their random signs, so they are tested at
    # once.
    if not pairs or len(pairs[0][0].ids) < 2:
        return [None] * len(pairs)
    return sign_flip_p_values(np.stack([_paired(*pair) for pair in pairs]), comparisons).tolist()


def _paired(first: _ModelScores, second: _ModelScores) -> Array:
    """Differences of the seed-averaged scores, `[N]`."""
    return first.nats.mean(axis=0) - second.nats.mean(axis=0)


def _trained(first: _ModelScores, second: _ModelScores) -> list[Array]:
    return [score.nats for score in (first, second) if score.is_trained]


def _corrected(p_values: list[float | None]) -> list[float | None]:
    """Holm's correction of the known p-values; unknown ones stay unknown and are not counted."""
    known = iter(holm(np.array([p for p in p_values if p is not None])).tolist())
    return [None if p is None else next(known) for p in p_values]


def _compare(first: _ModelScores, second: _ModelScores, p: _PValues, comparisons: int) -> PairedDifference:
    trial, paired, trained = first.trial, _paired(first, second), _trained(first, second)
    per_frame = difference(paired, trained, first.frames)
    bits = None if trial.bits_scale is None else per_frame.scaled(1 / (trial.bits_scale[0] * math.log(2)))

    verdict: Verdict = "ahead" if first.nats.mean() > second.nats.mean() else "behind"
    if any(score.is_trained and len(score.nats) < LEAST_SEEDS for score in (first, second)):
        verdict = "not enough seeds"
    elif any(value is None or value >= LEVEL for value in (p.sequences_corrected, p.joint_corrected)):
        verdict = "not settled"

    return PairedDifference(
        corpus=trial.corpus,
        dataset=trial.dataset,
        kind=trial.kind,
        protocol=trial.protocol,
        split=first.split,
        measure=trial.measure,
        fingerprint=trial.fingerprint,
        first=_compared_model(first),
        second=_compared_model(second),
        sequences=len(first.ids),
        frames=int(first.frames.sum()),
        nats_per_sequence=difference(paired, trained),
        nats_per_frame=per_frame,
        bits_per_sample=bits,
        p_sequences=p.sequences,
        p_joint=p.joint,
        p_sequences_corrected=p.sequences_corrected,
        p_joint_corrected=p.joint_corrected,
        comparisons=comparisons,
        verdict=verdict,
        caution=_caution(first, second),
    )


def _compared_model(score: _ModelScores) -> ComparedModel:
    means = score.nats.mean(axis=1)
    return ComparedModel(
        model=score.trial.model,
        estimator=score.estimator,
        num_samples=score.num_samples,
        seeds=len(means),
        seed_std=float(means.std(ddof=1)) if len(means) > 1 else None,
        nats_per_sequence=float(means.mean()),
    )


def _caution(first: _ModelScores, second: _ModelScores) -> str | None:
    better, worse = (first, second) if first.nats.mean() >= second.nats.mean() else (second, first)
    if better.is_exact and worse.is_exact:
        return None
    if worse.is_exact:
        return f"The value of {better.trial.model} is a lower bound in expectation: its true lead is no smaller."
    if better.is_exact:
        return f"The value of {worse.trial.model} is only a lower bound: its true log-likelihood may be the higher one."
    return "Both values are lower bounds: their difference need not be that of the log-likelihoods."
