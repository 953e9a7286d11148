"""Between the units of a log-likelihood: nats per sequence, nats per frame, bits per sample.

Nats per sequence depend on how long sequences are, nats per frame on how long a frame is and on what it is divided by.
Bits per sample, the code length of an int16 sample, are the unit that a density of normalised frames, a mass (the
probability of the recorded integers) and a lossless codec have in common.

With D samples a frame, each divided by the standard deviation s, the log-probability of a frame's integers is

    log p(frame) - D ln s     of a density of normalised frames, whose value at an integer stands for a bin of width 1
    log p(frame)              of a mass

and bits per sample are minus this over D ln 2. A value that is not finite stays so; an impossible size is refused.
"""

import math
from typing import get_args

from benchmarks.errors import StudyError
from benchmarks.schema.base import Measure

__all__ = ["bits_per_sample", "bits_scale", "nats_per_frame"]


def nats_per_frame(nats_per_sequence: float, frames: int, sequences: int = 1) -> float:
    """The mean over all frames, of a mean over sequences.

    Args:
        nats_per_sequence: the mean over `sequences`.
        frames: of all sequences together.
        sequences: how many.

    Raises:
        StudyError: there is no sequence, or a sequence without a frame.
    """
    if not sequences >= 1:
        raise StudyError(f"sequences {sequences}: at least 1 is needed")
    if not sequences <= frames < math.inf:
        raise StudyError(f"frames {frames}: at least one for each of {sequences} sequences is needed")
    return nats_per_sequence * sequences / frames


def bits_scale(frame_size: int, std: float, measure: Measure) -> tuple[int, float]:
    """(D, c) such that the code length of an int16 sample is (c - nats per frame) / (D ln 2) bits.

    Args:
        frame_size: D, samples a frame.
        std: what samples were divided by, in units of int16.
        measure: c is D ln std for a `density` of normalised frames, 0 for a `mass`.

    Raises:
        StudyError: a value is out of range.
    """
    if measure not in get_args(Measure):
        raise StudyError(f"measure {measure!r}: density or mass is needed")
    if not (1 <= frame_size < math.inf and frame_size == int(frame_size)):
        raise StudyError(f"frame_size {frame_size}: a positive whole number of samples is needed")
    if not (math.isfinite(std) and std > 0):
        raise StudyError(f"std {std}: a positive number is needed, in units of int16")
    return frame_size, frame_size * math.log(std) if measure == "density" else 0.0


def bits_per_sample(nats_per_frame: float, scale: tuple[int, float]) -> float:
    """Code length of an int16 sample, of nats per frame; `scale` is of `bits_scale`."""
    frame_size, log_volume = scale
    return (log_volume - nats_per_frame) / (frame_size * math.log(2))
