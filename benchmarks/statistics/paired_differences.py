"""Which of two models is ahead, by how much, and whether other sequences or other seeds could turn that round.

Two models are scored on the same sequences, so that what is compared is their difference sequence by sequence: most of
what makes scores vary, a sequence's length and noise, is common to both and cancels. Seeds are not paired: one model's
seed 3 has nothing in common with another's.

Two questions are kept apart. Do these trained models differ on such sequences? (The interval over sequences and a
sign-flip permutation test.) Do the models differ when both are trained anew? (The joint interval and its test, over
sequences and seeds.) A model is called ahead only where both tests say so after Holm's correction for all comparisons
of the list. `benchmarks.statistics.resampling` has the methods, docs/statistics.md how they are calibrated.

Every difference is positive where the first model is the better one: more nats, fewer bits.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.errors import StudyError
from benchmarks.statistics.resampling import LEVEL, Array, Gap, gap, holm, joint_p_value, sign_flip_p_values
from benchmarks.statistics.table import Scored

__all__ = ["LEAST_SEEDS", "Difference", "Gap", "Side", "Verdict", "check_claims", "compare_pairs"]

Verdict = Literal["ahead", "behind", "not settled", "not enough seeds"]

LEAST_SEEDS = 3
"""Of a trained model, for a verdict: two leave one degree of freedom, and up to 12.7 standard errors to each side."""

_TIGHTNESS = {"exact": 2, "code": 2, "iwae": 1, "fivo": 1, "elbo": 0}


@dataclass(frozen=True)
class Side:
    """One of the two models.

    Attributes:
        model: by name.
        estimator: of the figure that stands for it, its tightest.
        num_samples: K of that estimator.
        seeds: of training; 1 for a lossless coder.
        seed_std: standard deviation over seeds of nats per sequence; None with one seed.
        nats_per_sequence: mean over seeds and sequences.
    """

    model: str
    estimator: str
    num_samples: int
    seeds: int
    seed_std: float | None
    nats_per_sequence: float


@dataclass(frozen=True)
class Difference:
    """One comparison.

    Attributes:
        corpus, dataset, kind, protocol, split, measure, fingerprint: of what, as in
            `benchmarks.statistics.table.Scored`.
        first: the model that `verdict` is about.
        second: what it is compared with.
        sequences: that both were scored on.
        frames: in all of them.
        nats_per_sequence: mean difference of a sequence.
        nats_per_frame: difference of the totals over the frames of all sequences.
        bits_per_sample: that the first model saves; None for pen.
        p_sequences: sign-flip permutation test over sequences; None with one sequence.
        p_joint: test over sequences and seeds; None where there is no joint interval.
        p_sequences_corrected, p_joint_corrected: Holm's, over all comparisons of the list.
        comparisons: how many these are.
        verdict: on the first model.
        caution: what the estimators leave open; None where both are exact.
    """

    corpus: str
    dataset: str
    kind: str
    protocol: str
    split: str
    measure: str
    fingerprint: str
    first: Side
    second: Side
    sequences: int
    frames: int
    nats_per_sequence: Gap
    nats_per_frame: Gap
    bits_per_sample: Gap | None
    p_sequences: float | None
    p_joint: float | None
    p_sequences_corrected: float | None
    p_joint_corrected: float | None
    comparisons: int
    verdict: Verdict
    caution: str | None


@dataclass(frozen=True)
class _Figure:
    """What stands for a model: nats `[S, N]` by seed and sequence, frames `[N]`, ids `[N]` in ascending order."""

    trial: Scored
    split: str
    estimator: str
    num_samples: int
    ids: npt.NDArray[np.object_]
    frames: Array
    nats: Array

    @property
    def where(self) -> str:
        return f"{self.trial.corpus}/{self.trial.protocol}/{self.trial.model}"

    @property
    def preference(self) -> tuple[int, int, int, float]:
        """What all seeds have comes first, then what is tighter, then the higher of two bounds of equal K."""
        return len(self.nats), _TIGHTNESS[self.estimator], self.num_samples, float(self.nats.mean())

    @property
    def is_exact(self) -> bool:
        return self.estimator in ("exact", "code")

    @property
    def is_trained(self) -> bool:
        return self.estimator != "code"


@dataclass(frozen=True)
class _Tests:
    sequences: float | None
    joint: float | None
    sequences_corrected: float | None
    joint_corrected: float | None


def compare_pairs(trials: Iterable[Scored], claims: Sequence[tuple[str, str]] = ()) -> list[Difference]:
    """Every pair of models of one measure that were scored on the same corpus, protocol, content and split.

    Args:
        trials: scores, one a corpus, protocol, model and seed.
        claims: the pairs that the study named before it ran; the fewer they are, the less they are corrected. Empty
            for all pairs, each in order of appearance. A claim has no row where a model of it was not scored.

    Raises:
        StudyError: a pair is claimed twice or of one model, or is of two measures; a seed appears twice; sequences are
            not the same, or a score is not finite.
    """
    check_claims(claims)
    groups = [_pairs(models, claims) for models in _tightest(trials)]
    comparisons = sum(map(len, groups))
    pairs = [pair for group in groups for pair in group]
    sequences = [p for group in groups for p in _permuted(group, comparisons)]
    joint = [joint_p_value(_paired(*pair), _trained(*pair)) for pair in pairs]
    tests = map(_Tests, sequences, joint, _corrected(sequences), _corrected(joint))
    return [_difference(*pair, test, comparisons) for pair, test in zip(pairs, tests, strict=True)]


def check_claims(claims: Sequence[tuple[str, str]]) -> None:
    """See that every claim is of two models, and each pair claimed once.

    Raises:
        StudyError: one is not.
    """
    seen: set[frozenset[str]] = set()
    for first, second in claims:
        pair = frozenset((first, second))
        if len(pair) == 1:
            raise StudyError(f"claims: {first} is compared with itself; name two models")
        if pair in seen:
            raise StudyError(f"claims: {first} and {second} are compared twice; leave one of them out")
        seen.add(pair)


def _tightest(trials: Iterable[Scored]) -> Iterator[dict[str, _Figure]]:
    """For each corpus, protocol, content and split, the figure of each model, all in order of appearance."""
    found: dict[tuple[str, ...], dict[str, dict[object, list[tuple[Scored, pd.DataFrame]]]]] = {}
    for trial in trials:
        for (split, *estimator), table in trial.scores.groupby(["split", "estimator", "num_samples"], sort=False):
            group = found.setdefault((trial.corpus, trial.protocol, trial.fingerprint, str(split)), {})
            group.setdefault(trial.model, {}).setdefault(tuple(estimator), []).append((trial, table))
    for group in found.values():
        figures = {model: [_figure(members) for members in tables.values()] for model, tables in group.items()}
        yield {model: max(candidates, key=lambda figure: figure.preference) for model, candidates in figures.items()}


def _figure(members: list[tuple[Scored, pd.DataFrame]]) -> _Figure:
    """Several seeds of one model by one estimator."""
    tables = [table.sort_values("id", ignore_index=True) for _, table in members]
    (trial, _), table = members[0], tables[0]
    _check_seeds(members, tables)
    return _Figure(
        trial=trial,
        split=str(table["split"].iloc[0]),
        estimator=str(table["estimator"].iloc[0]),
        num_samples=int(table["num_samples"].iloc[0]),
        ids=table["id"].to_numpy(dtype=object),
        frames=table["frames"].to_numpy(dtype=np.float64),
        nats=np.stack([other["nats"].to_numpy(dtype=np.float64) for other in tables]),
    )


def _check_seeds(members: list[tuple[Scored, pd.DataFrame]], tables: list[pd.DataFrame]) -> None:
    trial, seeds = members[0][0], [member.seed for member, _ in members]
    where = f"{trial.corpus}/{trial.protocol}/{trial.model}"
    if doubled := {seed for seed in seeds if seeds.count(seed) > 1}:
        raise StudyError(f"{where}: two trials have seed {min(doubled)}; compare the trials of one suite only")
    for table in tables:
        if not table[["id", "frames"]].equals(tables[0][["id", "frames"]]):
            raise StudyError(f"{where}: its seeds were scored on different sequences; score them anew")
        if not np.isfinite(table["nats"]).all():
            raise StudyError(f"{where}: a score is not finite; leave that trial out")


def _pairs(models: dict[str, _Figure], claims: Sequence[tuple[str, str]]) -> list[tuple[_Figure, _Figure]]:
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
            raise StudyError(f"{first.where} and {second.where} were scored on different sequences; score them anew")
    return comparable


def _permuted(pairs: list[tuple[_Figure, _Figure]], comparisons: int) -> list[float | None]:
    if not pairs or len(pairs[0][0].ids) < 2:
        return [None] * len(pairs)
    return sign_flip_p_values(np.stack([_paired(*pair) for pair in pairs]), comparisons).tolist()


def _paired(first: _Figure, second: _Figure) -> Array:
    """Differences of the seed-averaged scores, `[N]`."""
    return first.nats.mean(axis=0) - second.nats.mean(axis=0)


def _trained(first: _Figure, second: _Figure) -> list[Array]:
    return [figure.nats for figure in (first, second) if figure.is_trained]


def _corrected(p_values: list[float | None]) -> list[float | None]:
    known = iter(holm(np.array([p for p in p_values if p is not None])).tolist())
    return [None if p is None else next(known) for p in p_values]


def _difference(first: _Figure, second: _Figure, tests: _Tests, comparisons: int) -> Difference:
    trial, paired, trained = first.trial, _paired(first, second), _trained(first, second)
    per_frame = gap(paired, trained, first.frames)
    bits = None if trial.bits_scale is None else per_frame.scaled(1 / (trial.bits_scale[0] * math.log(2)))
    return Difference(
        corpus=trial.corpus,
        dataset=trial.dataset,
        kind=trial.kind,
        protocol=trial.protocol,
        split=first.split,
        measure=trial.measure,
        fingerprint=trial.fingerprint,
        first=_side(first),
        second=_side(second),
        sequences=len(first.ids),
        frames=int(first.frames.sum()),
        nats_per_sequence=gap(paired, trained),
        nats_per_frame=per_frame,
        bits_per_sample=bits,
        p_sequences=tests.sequences,
        p_joint=tests.joint,
        p_sequences_corrected=tests.sequences_corrected,
        p_joint_corrected=tests.joint_corrected,
        comparisons=comparisons,
        verdict=_verdict(first, second, tests),
        caution=_caution(first, second),
    )


def _side(figure: _Figure) -> Side:
    means = figure.nats.mean(axis=1)
    std = float(means.std(ddof=1)) if len(means) > 1 else None
    return Side(figure.trial.model, figure.estimator, figure.num_samples, len(means), std, float(means.mean()))


def _verdict(first: _Figure, second: _Figure, tests: _Tests) -> Verdict:
    if any(figure.is_trained and len(figure.nats) < LEAST_SEEDS for figure in (first, second)):
        return "not enough seeds"
    corrected = (tests.sequences_corrected, tests.joint_corrected)
    if any(p is None or p >= LEVEL for p in corrected):
        return "not settled"
    return "ahead" if first.nats.mean() > second.nats.mean() else "behind"


def _caution(first: _Figure, second: _Figure) -> str | None:
    better, worse = (first, second) if first.nats.mean() >= second.nats.mean() else (second, first)
    if better.is_exact and worse.is_exact:
        return None
    if worse.is_exact:
        return f"{better.trial.model}'s figure is a lower bound in expectation: its true lead is no smaller."
    if better.is_exact:
        return f"{worse.trial.model}'s figure is only a lower bound: its true log-likelihood may be the higher one."
    return "Both figures are lower bounds: their difference need not be that of the log-likelihoods."
