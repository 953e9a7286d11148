"""Audits: what a reported score consists of, and whether it measures a model or the quantisation of its data.

A density of recorded integers has no upper limit. Where a recording repeats a value (silence, a resting pen), a
narrower distribution always scores higher, until the floor under its standard deviation decides the score. Four things
are measured, on the same frames, noise and weights as the score:

- coverage: what the protocol leaves out of the split;
- parts: what constant and near-silent frames contribute, found from the recorded integers, not from dequantised ones;
- floors: the same weights with other floors under the emission's standard deviation; those of latents stay as they are.
  A Gaussian whose standard deviation is at least 0.4 quantisation steps has no density above 1 per integer, so half a
  step is the floor at which samples that are independent given the state can gain nothing from quantisation;
- below zero: frames whose code length is negative. On the scale of the integers a density stands for a probability, and
  -log of a probability is never below 0: nats gained there are no code for anything.

Under dequantisation (Theis et al. 2016) a frame may fall below zero by chance of its noise u, but not often: with
E_u[p(x + u)] = P(x) <= 1, Markov's inequality gives P(log p(x + u) > a) <= exp(-a), hence E[max(log p(x + u), 0)] <= 1
nat per frame. More than that is a fault. A mass has nothing below zero. Silence and floors do not mislead in either
case: what a quiet frame can gain is limited there, and that it is cheap to code is true. They are measured, without a
warning.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmarks.audit.audit_warnings import warnings_of
from benchmarks.schema.audit import Audit, BelowZero, Coverage, FloorScore, FramePart, PartName
from benchmarks.scoring.evaluation import ScoreRequest, evaluation_mode, fit_to_memory, frame_nats, load_for_scoring
from benchmarks.scoring.score import measure_of, scored_sequences
from pipelines.batches.frames import Batch, FrameSource
from pipelines.batches.protocol import Framing, Protocol, frame_count
from pipelines.shards.read import ShardSet
from pipelines.signals import Ink, Signal
from vrnn.device.precision import Precision
from vrnn.models import SequenceModel
from vrnn.nn.heads import MixtureHead, PenHead
from vrnn.training import Checkpoint

__all__ = ["audit", "emission_floor", "quietness"]

_PARTS: tuple[PartName, ...] = ("constant", "near_silent", "other")
_NEAR_SILENT_SAMPLES, _NEAR_SILENT_OFFSET = 2, 1
_FACTORS = (1.0, 10.0, 100.0)
_HALF_STEP = 0.5


@dataclass
class _Sums:
    """What is added up over all frames, in float64.

    Attributes:
        floors: of the terms under each floor.
        counts: of the frames of each part.
        nats: of the terms of each part, under the model's own floor.
        size: of absolute terms.
        below_frames: with a negative code length.
        below_nats: beyond a code length of 0.
        not_finite: terms.
    """

    floors: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(_PARTS), np.int64))
    nats: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(_PARTS)))
    size: float = 0.0
    below_frames: int = 0
    below_nats: float = 0.0
    not_finite: int = 0

    def add(self, terms: npt.NDArray[np.float64], parts: npt.NDArray[np.int64], code_zero: float) -> None:
        """Add frames' terms `[N]` and parts `[N]`; a term above `code_zero` has a negative code length."""
        self.counts += np.bincount(parts, minlength=len(_PARTS))
        self.nats += np.bincount(parts, weights=terms, minlength=len(_PARTS))
        self.size += float(np.abs(terms).sum())
        beyond = np.maximum(terms - code_zero, 0.0)
        self.below_frames += int(np.count_nonzero(beyond))
        self.below_nats += float(beyond.sum())
        self.not_finite += int(np.count_nonzero(~np.isfinite(terms)))


def audit(
    checkpoint: Checkpoint,
    shards: ShardSet,
    *,
    split: str | None = None,
    batch_size: int = 32,
    seed: int = 0,
    precision: Precision = "float32",
) -> Audit:
    """Audit what `benchmarks.scoring.score.score` gives by `exact`, or by the first repetition of `elbo`.

    It costs a pass over the split for each floor, and as much memory as a score.

    Args:
        checkpoint: the trained model.
        shards: that it was trained on.
        split: None for the one that the trial reports.
        batch_size: sequences at once; it changes no value.
        seed: of the latent noise, as the score's.
        precision: of the model's arithmetic, as the score's.

    Raises:
        StudyError: the shards are of another corpus or content, or have no such split.
    """
    config, framing = checkpoint.spec.model, checkpoint.framing
    estimator: Literal["exact", "elbo"] = "elbo" if config.latent else "exact"
    request = ScoreRequest(split or checkpoint.report_split, estimator, 1, batch_size, seed, precision, repeats=1)
    source = scored_sequences(checkpoint, shards, request)
    positions = {name: position for position, name in enumerate(source.ids)}
    floors = [factor * config.sigma_floor for factor in _FACTORS] + [_HALF_STEP / min(framing.std)]
    sums = _Sums(np.zeros(len(floors)))
    with load_for_scoring(checkpoint, source, request) as (model, batches), evaluation_mode(model, request):
        for batch in fit_to_memory(model, batches, request):
            parts = _parts_of(batch, source, positions, framing)
            for number, floor in enumerate(floors):
                with emission_floor(model, floor):
                    of_frames = frame_nats(model, batch, request)
                terms = of_frames[batch.mask].cpu().numpy()  # of the real frames, `[N]`
                sums.floors[number] += terms.sum()
                if number == 0:
                    sums.add(terms, parts, _code_zero(framing))
    coverage = _coverage(shards, source, framing.protocol, request.split)
    found = _conclude(checkpoint, request, estimator, sums, floors, coverage)
    return found.model_copy(update={"warnings": tuple(warnings_of(found))})


@contextmanager
def emission_floor(model: SequenceModel, floor: float) -> Iterator[None]:
    """Within this block the emission's spreads have another floor; prior and posterior of a latent keep theirs."""
    heads = [part for part in model.emission.modules() if isinstance(part, MixtureHead | PenHead)]
    own = [head.sigma_floor for head in heads]
    for head in heads:
        head.sigma_floor = floor
    try:
        yield
    finally:
        for head, value in zip(heads, own, strict=True):
            head.sigma_floor = value


def quietness(signal: Signal, count: int, frame_size: int) -> npt.NDArray[np.int64]:
    """Which of `constant` (0), `near_silent` (1) and `other` (2) each of a signal's `count` frames is, `[count]`."""
    if isinstance(signal, Ink):
        extent, limit = np.maximum(np.abs(np.diff(signal.x)), np.abs(np.diff(signal.y))), _NEAR_SILENT_OFFSET
    else:
        samples = signal[: count * frame_size].astype(np.int64).reshape(count, frame_size)
        extent, limit = np.ptp(samples, axis=1), _NEAR_SILENT_SAMPLES
    return np.where(extent == 0, 0, np.where(extent <= limit, 1, 2))


def _parts_of(
    batch: Batch, source: FrameSource, positions: Mapping[str, int], framing: Framing
) -> npt.NDArray[np.int64]:
    """The part of each real frame of the batch, in the order of its terms, `[N]`."""
    mask = batch.mask.cpu().numpy()
    parts = np.zeros(mask.shape, dtype=np.int64)
    for column, (name, length) in enumerate(zip(batch.ids, batch.lengths.tolist(), strict=True)):
        signal = source.signal(positions[name])
        parts[:length, column] = quietness(signal, length, framing.protocol.frame_size)
    return parts[mask]


def _code_zero(framing: Framing) -> float:
    """The term of a frame whose density on the scale of the recorded integers is 1: its code length is 0."""
    repeats = framing.protocol.frame_size if framing.protocol.kind == "speech" else 1
    return repeats * math.fsum(math.log(std) for std in framing.std)


def _coverage(shards: ShardSet, source: FrameSource, protocol: Protocol, split: str) -> Coverage:
    in_split = np.flatnonzero(shards.index[protocol.split_column].to_numpy(dtype=object) == split)
    lengths = shards.index["length"].to_numpy(dtype=np.int64)[in_split]
    values = lengths if protocol.kind == "speech" else np.maximum(lengths - 1, 0)
    size = protocol.frame_size if protocol.kind == "speech" else 1
    frames = np.array([frame_count(protocol, int(length)) for length in lengths], dtype=np.int64)
    scored = np.bincount(source.rows, weights=source.lengths, minlength=len(shards.index)).astype(np.int64)[in_split]
    kept = scored > 0
    return Coverage(
        sequences=len(in_split),
        sequences_left_out=int(np.count_nonzero(~kept)),
        values=int(values.sum()),
        values_scored=int(scored.sum()) * size,
        values_in_tails=int((values - frames * size)[kept].sum()),
        values_in_windows=int((frames - scored)[kept].sum()) * size,
        values_in_sequences=int(values[~kept].sum()),
        frames=int(frames.sum()),
        frames_scored=int(scored.sum()),
        share_left_out=1 - int(scored.sum()) * size / int(values.sum()),
    )


def _conclude(
    checkpoint: Checkpoint,
    request: ScoreRequest,
    estimator: Literal["exact", "elbo"],
    sums: _Sums,
    floors: Sequence[float],
    coverage: Coverage,
) -> Audit:
    config, framing, frames = checkpoint.spec.model, checkpoint.framing, coverage.frames_scored
    assert int(sums.counts.sum()) == frames, "a frame was left out or audited twice"
    scores, measure = (sums.floors / frames).tolist(), measure_of(config)
    return Audit(
        model=config.name,
        protocol=framing.protocol.name,
        split=request.split,
        estimator=estimator,
        measure=measure,
        seed=request.seed,
        nats_per_frame=scores[0],
        mean_size=sums.size / frames,
        not_finite=sums.not_finite,
        coverage=coverage,
        parts=_parts(sums, frames),
        floors=tuple(
            FloorScore(
                sigma_floor=floor, steps=floor * min(framing.std), nats_per_frame=score, change=score - scores[0]
            )
            for floor, score in zip(floors, scores, strict=True)
        ),
        below_zero=None if measure == "mass" else _below_zero(sums, frames, framing),
    )


def _parts(sums: _Sums, frames: int) -> tuple[FramePart, ...]:
    total, signs = float(sums.nats.sum()), {math.copysign(1, nats) for nats in sums.nats if nats}
    comparable = len(signs) == 1 and math.isfinite(total)
    return tuple(
        FramePart(
            name=name,
            frames=count,
            share_of_frames=count / frames,
            nats=nats,
            nats_per_frame=nats / count if count else None,
            share_of_nats=abs(nats) / abs(total) if comparable else None,
        )
        for name, count, nats in zip(_PARTS, sums.counts.tolist(), sums.nats.tolist(), strict=True)
    )


def _below_zero(sums: _Sums, frames: int, framing: Framing) -> BelowZero:
    score, beyond = float(sums.floors[0]) / frames, sums.below_nats / frames
    return BelowZero(
        frames=sums.below_frames,
        share_of_frames=sums.below_frames / frames,
        nats=sums.below_nats,
        nats_per_frame=beyond,
        capped_nats_per_frame=score - beyond,
        code_nats_per_frame=_code_zero(framing) - score,
        dequantised=framing.protocol.dequantise,
    )
