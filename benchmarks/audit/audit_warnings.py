"""What an audit found, and what a reader must be warned of; `benchmarks.audit.audit` says how it is measured and why.

Sums of terms have an arbitrary zero (the scale of normalisation), so that a share means something only where all parts
have one sign; counts, sums and means are given with it.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from benchmarks.schema.units import Measure

__all__ = ["Audit", "BelowZero", "Coverage", "Floor", "Part", "PartName", "warnings_of"]

PartName = Literal["constant", "near_silent", "other"]

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


def warnings_of(found: Audit) -> Iterator[str]:
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
