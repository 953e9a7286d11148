"""Audits: what a reported figure is made of, and whether it measures a model or the quantisation of its data.

A density of recorded integers has no upper limit. Where a recording repeats a value (silence, a pen that rests), a
narrower spread always scores higher, until the floor under it decides the figure. Four things are measured, on the very
frames, noise and weights that are scored:

- coverage: what the protocol leaves out of the split;
- parts: what constant and near-silent frames add, told by the recorded integers and not by their dequantised values;
- floors: the same weights under other floors of the emission's spread; those of latents stay as they are. A Gaussian
  whose standard deviation is at least 0.4 quantisation steps has no density above 1 an integer, so that half a step is
  the floor at which samples that are independent given the state can gain nothing from quantisation;
- below zero: frames whose code length is negative. On the scale of the integers a density stands for a probability, and
  -log of a probability is never below 0: nats gained there are no code for anything.

Under dequantisation (Theis et al. 2016) a frame may fall below zero by a fluke of its noise u, but not often: with
E_u[p(x + u)] = P(x) <= 1, Markov's inequality gives P(log p(x + u) > a) <= exp(-a), hence E[max(log p(x + u), 0)] <= 1
nat a frame. More than that is a fault. A mass has nothing below zero. Nor do silence and floors mislead in either: what
a quiet frame can gain has a limit there, and that it is cheap to code is true. So they are measured, and not warned of.

Sums of terms have an arbitrary zero (the scale of normalisation), so that a share means something only where all parts
have one sign; counts, sums and means are given with it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from benchmarks.scoring import ScoreRequest, evaluating, frame_nats, measure_of, pieces, scored_batches, source_of
from benchmarks.units import Measure
from pipelines.batches import Batch, FrameSource
from pipelines.protocol import Framing, Protocol, frame_count
from pipelines.shard_set import ShardSet
from pipelines.signals import Ink, Signal
from vrnn.heads import MixtureHead, PenHead
from vrnn.models import SequenceModel
from vrnn.precision import Precision
from vrnn.training import Checkpoint

__all__ = ["Audit", "BelowZero", "Coverage", "Floor", "Part", "audit", "emission_floor", "quietness"]

PartName = Literal["constant", "near_silent", "other"]

_PARTS: tuple[PartName, ...] = ("constant", "near_silent", "other")
_NEAR_SILENT_SAMPLES, _NEAR_SILENT_OFFSET = 2, 1
_FACTORS = (1.0, 10.0, 100.0)
_HALF_STEP = 0.5
_NOTABLE = 0.01
_FLUKE_NATS = 1.0


@dataclass(frozen=True)
class Coverage:
    """What of the split is scored; a value is an audio sample, or a pen's offset from one point to the next.

    Attributes:
        sequences: in the split.
        sequences_left_out: those without a frame or a window.
        values: recorded.
        values_scored: of them.
        values_in_tails: left out since they end a scored sequence in less than a frame.
        values_in_windows: left out since they end a scored sequence in less than a window.
        values_in_sequences: left out with whole sequences.
        frames: whole ones that the split's signals have.
        frames_scored: of them.
        share_left_out: of the values.
    """

    sequences: int
    sequences_left_out: int
    values: int
    values_scored: int
    values_in_tails: int
    values_in_windows: int
    values_in_sequences: int
    frames: int
    frames_scored: int
    share_left_out: float


@dataclass(frozen=True)
class Part:
    """One kind of frames.

    Attributes:
        name: `constant`: all samples are one integer, or the pen's offset is (0, 0). `near_silent`: not so, but the
            samples' peak-to-peak is at most 2 integers, or the offset at most 1 on each axis. `other`: the rest.
        frames: how many.
        share_of_frames: of all.
        nats: the sum of their terms.
        nats_per_frame: the mean; None where there are none.
        share_of_nats: of the total; None where the parts differ in sign, or there is no total.
    """

    name: PartName
    frames: int
    share_of_frames: float
    nats: float
    nats_per_frame: float | None
    share_of_nats: float | None


@dataclass(frozen=True)
class Floor:
    """The figure of the same weights with another floor under the spread of the emission.

    Attributes:
        sigma_floor: in units of the normalised frame; the first of an audit is the model's own.
        steps: the same in quantisation steps; on the pen's axis with the smaller standard deviation.
        nats_per_frame: the figure.
        change: against the model's own floor.
    """

    sigma_floor: float
    steps: float
    nats_per_frame: float
    change: float


@dataclass(frozen=True)
class BelowZero:
    """Frames whose density on the scale of the recorded integers is above 1: their code length is negative.

    A pen's frame is its offset and its pen together, and a latent's frame has paid its KL: both only make it longer.

    Attributes:
        frames: how many.
        share_of_frames: of all.
        nats: what they gain beyond a code length of 0.
        nats_per_frame: the same over all frames.
        capped_nats_per_frame: the figure, had each of them a code length of 0.
        code_nats_per_frame: the mean code length of all frames, such frames included.
        dequantised: whether noise was added, which makes a little of this a fluke.
    """

    frames: int
    share_of_frames: float
    nats: float
    nats_per_frame: float
    capped_nats_per_frame: float
    code_nats_per_frame: float
    dequantised: bool


@dataclass(frozen=True)
class Audit:
    """What was found; JSON values throughout.

    Attributes:
        model: by name.
        protocol: by name.
        split: of the shards.
        estimator: `exact`, or `elbo` in its first repetition.
        measure: `density` or `mass`.
        seed: of the latent noise.
        nats_per_frame: the figure: what scoring gives for the same noise.
        mean_size: mean absolute term of a frame, the size that changes are held against.
        not_finite: frames whose term is no finite number.
        coverage: what of the split is scored.
        parts: constant, near-silent and other frames.
        floors: the figure under other floors, the model's own first.
        below_zero: negative code lengths; None for a mass.
        warnings: one line each; empty where nothing is wrong.
    """

    model: str
    protocol: str
    split: str
    estimator: Literal["exact", "elbo"]
    measure: Measure
    seed: int
    nats_per_frame: float
    mean_size: float
    not_finite: int
    coverage: Coverage
    parts: tuple[Part, ...]
    floors: tuple[Floor, ...]
    below_zero: BelowZero | None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON values; None for what is no finite number."""
        return asdict(self, dict_factory=_finite)


def _finite(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in pairs}


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
    """Audit what `benchmarks.scoring.score` gives by `exact`, or by the first repetition of `elbo`.

    It costs a pass over the split for each floor, and as much memory as a score.

    Args:
        checkpoint: the trained model.
        shards: that it was trained on.
        split: None for the one that the trial reports.
        batch_size: sequences at once; it changes no figure.
        seed: of the latent noise, as the score's.
        precision: of the model's arithmetic, as the score's.

    Raises:
        StudyError: the shards are of another corpus or content, or have no such split.
    """
    config, framing = checkpoint.spec.architecture, checkpoint.framing
    estimator: Literal["exact", "elbo"] = "elbo" if config.latent else "exact"
    request = ScoreRequest(split or checkpoint.report_split, estimator, 1, batch_size, seed, precision, repeats=1)
    source = source_of(checkpoint, shards, request)
    positions = {name: position for position, name in enumerate(source.ids)}
    floors = [factor * config.sigma_floor for factor in _FACTORS] + [_HALF_STEP / min(framing.std)]
    sums = _Sums(np.zeros(len(floors)))
    with scored_batches(checkpoint, source, request) as (model, batches), evaluating(model, request):
        for piece in pieces(model, batches, request):
            parts = _parts_of(piece, source, positions, framing)
            for number, terms in enumerate(_under_floors(model, piece, floors, request)):
                sums.floors[number] += terms.sum()
                if number == 0:
                    sums.add(terms, parts, _code_zero(framing))
    coverage = _coverage(shards, source, framing.protocol, request.split)
    found = _concluded(checkpoint, request, estimator, sums, floors, coverage)
    return replace(found, warnings=tuple(_warnings(found)))


def _under_floors(
    model: SequenceModel, batch: Batch, floors: Sequence[float], request: ScoreRequest
) -> Iterator[npt.NDArray[np.float64]]:
    """The terms of the batch's real frames, frame by frame, `[N]`, under each floor in turn."""
    for floor in floors:
        with emission_floor(model, floor):
            terms = frame_nats(model, batch, request)
        yield terms[batch.mask].cpu().numpy()


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


def _concluded(
    checkpoint: Checkpoint,
    request: ScoreRequest,
    estimator: Literal["exact", "elbo"],
    sums: _Sums,
    floors: Sequence[float],
    coverage: Coverage,
) -> Audit:
    config, framing, frames = checkpoint.spec.architecture, checkpoint.framing, coverage.frames_scored
    assert int(sums.counts.sum()) == frames, "a frame was left out or audited twice"
    figures, measure = (sums.floors / frames).tolist(), measure_of(config)
    return Audit(
        model=config.name,
        protocol=framing.protocol.name,
        split=request.split,
        estimator=estimator,
        measure=measure,
        seed=request.seed,
        nats_per_frame=figures[0],
        mean_size=sums.size / frames,
        not_finite=sums.not_finite,
        coverage=coverage,
        parts=_parts(sums, frames),
        floors=tuple(
            Floor(floor, floor * min(framing.std), figure, figure - figures[0])
            for floor, figure in zip(floors, figures, strict=True)
        ),
        below_zero=None if measure == "mass" else _below_zero(sums, frames, framing),
    )


def _parts(sums: _Sums, frames: int) -> tuple[Part, ...]:
    total, signs = float(sums.nats.sum()), {math.copysign(1, nats) for nats in sums.nats if nats}
    comparable = len(signs) == 1 and math.isfinite(total)
    return tuple(
        Part(
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
    figure, beyond = float(sums.floors[0]) / frames, sums.below_nats / frames
    return BelowZero(
        frames=sums.below_frames,
        share_of_frames=sums.below_frames / frames,
        nats=sums.below_nats,
        nats_per_frame=beyond,
        capped_nats_per_frame=figure - beyond,
        code_nats_per_frame=_code_zero(framing) - figure,
        dequantised=framing.protocol.dequantise,
    )


def _warnings(found: Audit) -> Iterator[str]:
    """What a reader must know; whether silence and floors decide a figure is asked of densities on integers alone."""
    yield from _coverage_warnings(found)
    if found.not_finite:
        yield f"{found.not_finite:,} of {found.coverage.frames_scored:,} frames have no finite score, and so no figure"
    elif found.below_zero is not None:
        yield from _below_zero_warnings(found, found.below_zero)
        if not found.below_zero.dequantised:
            yield from _silence_warnings(found)
            yield from _floor_warnings(found)


def _coverage_warnings(found: Audit) -> Iterator[str]:
    coverage = found.coverage
    if coverage.sequences_left_out or coverage.share_left_out > _NOTABLE:
        yield (
            f"protocol {found.protocol} leaves {coverage.share_left_out:.1%} of split {found.split} unscored, "
            f"{coverage.sequences_left_out:,} of {coverage.sequences:,} sequences whole: another protocol's figure is "
            "of other data"
        )


def _below_zero_warnings(found: Audit, below: BelowZero) -> Iterator[str]:
    what = f"{below.share_of_frames:.1%} of frames have a density above 1 on the scale of the recorded integers"
    if below.dequantised:
        if below.nats_per_frame > _FLUKE_NATS:
            yield (
                f"{what} and gain {below.nats_per_frame:.3f} nats a frame by it, where independent noise allows 1: "
                "noise and model are not independent"
            )
    elif below.share_of_frames > _NOTABLE or below.nats_per_frame > _NOTABLE * found.mean_size:
        yield (
            f"{what}, which no code can reach: quantisation gives {below.nats_per_frame:.3f} nats a frame at least, "
            f"without which the figure is {below.capped_nats_per_frame:.3f}, not {found.nats_per_frame:.3f}; "
            "compare under protocol clean"
        )


def _silence_warnings(found: Audit) -> Iterator[str]:
    other = found.parts[-1].nats_per_frame
    if other is None:
        yield "every frame is constant or near-silent: the figure is of silence alone"
    elif found.nats_per_frame - other > _NOTABLE * found.mean_size:
        quiet = 1 - found.parts[-1].share_of_frames
        yield (
            f"constant and near-silent frames, {quiet:.1%} of all, lift the figure from {other:.3f} to "
            f"{found.nats_per_frame:.3f} nats a frame: it tells how narrow a model is where nothing moves"
        )


def _floor_warnings(found: Audit) -> Iterator[str]:
    own, half_step = found.floors[0], found.floors[-1]
    if half_step.sigma_floor > own.sigma_floor and half_step.change < -_NOTABLE * found.mean_size:
        yield (
            f"sigma's floor moves the figure: at {own.sigma_floor:.2g} ({own.steps:.2g} quantisation steps) it is "
            f"{own.nats_per_frame:.3f} nats a frame, at {half_step.sigma_floor:.2g} (half a step) the same weights "
            f"have {half_step.nats_per_frame:.3f}: compare at one floor alone"
        )
