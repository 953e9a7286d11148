"""What an audit of a score found; `benchmarks.audit` says how it is measured and what is worth a warning.

Sums of log terms have an arbitrary zero (the scale of normalisation). A share of them means something only where all
parts have the same sign, so counts, sums and means are given with it.
"""

import math
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator

from benchmarks.schema.base import Count, File, Measure, Schema, Share

__all__ = ["Audit", "BelowZero", "Coverage", "FloorScore", "FramePart", "PartName"]

PartName = Literal["constant", "near_silent", "other"]


FiniteOrNone = Annotated[
    float | None,
    BeforeValidator(lambda value: None if isinstance(value, float) and not math.isfinite(value) else value),
]
"""None stands for a value that is not finite, or that does not exist."""


class Coverage(Schema):
    """How much of the split is scored. A value is an audio sample, or a pen's offset from one point to the next.

    Attributes:
        sequences_left_out: those without a frame or a window.
        values_scored: scored ones among them.
        values_in_tails: left out at the end of a scored sequence, less than a frame.
        values_in_windows: left out at the end of a scored sequence, less than a window.
        values_in_sequences: left out with whole sequences.
        frames_scored: scored ones among them.
        share_left_out: of the values.
    """

    sequences: Count
    sequences_left_out: Count
    values: Count
    values_scored: Count
    values_in_tails: Count
    values_in_windows: Count
    values_in_sequences: Count
    frames: Count
    frames_scored: Count
    share_left_out: Share


class FramePart(Schema):
    """One kind of frames.

    Attributes:
        name: `constant`: all samples are one integer, or the pen's offset is (0, 0). `near_silent`: the samples'
            peak-to-peak is at most 2 integers, or the offset at most 1 on each axis. `other`: the rest.
        nats: the sum of their terms; None where it is not finite.
        nats_per_frame: their mean; None where there are none, or it is not finite.
        share_of_nats: of the total; None where the parts differ in sign, or the total is not finite.
    """

    name: PartName
    frames: Count
    share_of_frames: Share
    nats: FiniteOrNone
    nats_per_frame: FiniteOrNone
    share_of_nats: FiniteOrNone


class FloorScore(Schema):
    """The score of the same weights with another floor under the emission's standard deviation.

    Attributes:
        sigma_floor: in units of the normalised frame; the first of an audit is the model's own.
        steps: the floor in quantisation steps, on the pen's axis with the smaller standard deviation.
        nats_per_frame: the score; None where it is not finite.
        change: from the score with the model's own floor; None where it is not finite.
    """

    sigma_floor: float
    steps: float
    nats_per_frame: FiniteOrNone
    change: FiniteOrNone


class BelowZero(Schema):
    """Frames whose density on the scale of the recorded integers is above 1: their code length is negative.

    A pen's frame is its offset and its pen state together, and a latent's frame has paid its KL; both only make a code
    longer.

    Attributes:
        nats: gained beyond a code length of 0.
        nats_per_frame: the same over all frames.
        capped_nats_per_frame: the score if each of them had a code length of 0.
        code_nats_per_frame: the mean code length of all frames, these included.
        dequantised: whether noise was added to the integers, which makes a little of this chance.
    """

    frames: Count
    share_of_frames: Share
    nats: FiniteOrNone
    nats_per_frame: FiniteOrNone
    capped_nats_per_frame: FiniteOrNone
    code_nats_per_frame: FiniteOrNone
    dequantised: bool


class Audit(File):
    """The audit of one trial's score.

    Attributes:
        estimator: `exact`, or the first repetition of `elbo`.
        seed: of the latent noise.
        nats_per_frame: the score for the same noise; None where it is not finite.
        mean_size: mean absolute term of a frame, which changes are compared with.
        not_finite: frames without a finite term.
        floors: scores under other floors, the model's own floor first.
        below_zero: negative code lengths; None for a mass.
    """

    file_name: ClassVar[str] = "audit.json"
    remedy: ClassVar[str] = "run the study again"

    version: int = 1
    model: str
    protocol: str
    split: str
    estimator: Literal["exact", "elbo"]
    measure: Measure
    seed: int
    nats_per_frame: FiniteOrNone
    mean_size: FiniteOrNone
    not_finite: Count
    coverage: Coverage
    parts: tuple[FramePart, ...]
    floors: tuple[FloorScore, ...]
    below_zero: BelowZero | None
    warnings: tuple[str, ...] = ()
