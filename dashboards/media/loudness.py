"""Scales clips to equal loudness, so that a listener does not mistake louder for better.

Loudness is that of ITU-R BS.1770 in LUFS, as torchaudio measures it. All clips of a corpus are scaled to one target.
If the true peak of a clip (BS.1770 annex 2: the peak at four times the sample rate) would exceed the ceiling, the
target is lowered for all of them: nothing is limited, compressed or clipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torchaudio.functional import loudness, resample

__all__ = ["CEILING_DB", "TARGET_LUFS", "Levelled", "Sound", "equalise", "measure", "true_peak"]

TARGET_LUFS = -23.0
"""The target of EBU R 128; lowered if a peak would exceed the ceiling."""
CEILING_DB = -1.0
"""Highest true peak in dB of full scale."""
BLOCK_SECONDS = 0.4
MEASURED_PEAK = 0.5
"""torchaudio clips its weighting filter, which gains up to 4 dB, at full scale; a signal with this peak stays below."""


@dataclass(frozen=True, eq=False)
class Sound:
    """A mono signal `[N]` in [-1, 1] and its rate in Hz."""

    signal: npt.NDArray[np.float64]
    rate: int

    @property
    def seconds(self) -> float:
        """The duration in s."""
        return len(self.signal) / self.rate


@dataclass(frozen=True, eq=False)
class Levelled:
    """A sound as it is played.

    Attributes:
        sound: the scaled sound.
        before: loudness before scaling in LUFS; None if it cannot be measured.
        gain_db: the gain; None if the sound was not scaled.
        reason: why the sound was not scaled; empty if it was.
    """

    sound: Sound
    before: float | None
    gain_db: float | None
    reason: str = ""

    @property
    def after(self) -> float | None:
        """Loudness after scaling in LUFS; None if it cannot be measured."""
        return None if self.before is None or self.gain_db is None else self.before + self.gain_db


def equalise(sounds: Sequence[Sound]) -> list[Levelled]:
    """Scale sounds to one loudness; a sound without a measurable loudness is left unchanged."""
    measured = [measure(sound) for sound in sounds]
    headroom = [
        level + CEILING_DB - true_peak(sound)
        for sound, level in zip(sounds, measured, strict=True)
        if level is not None
    ]
    # The highest loudness that all clips can reach without exceeding the ceiling.
    target = min([TARGET_LUFS, *headroom])
    levelled: list[Levelled] = []
    for sound, level in zip(sounds, measured, strict=True):
        if level is None:
            short = sound.seconds < BLOCK_SECONDS
            reason = f"shorter than {BLOCK_SECONDS:g} s" if short else "silent (below −70 LUFS)"
            levelled.append(Levelled(sound, None, None, reason))
        else:
            gain = target - level
            levelled.append(Levelled(Sound(sound.signal * 10 ** (gain / 20), sound.rate), level, gain))
    return levelled


def measure(sound: Sound) -> float | None:
    """Integrated loudness in LUFS; None for a sound that is silent or shorter than one block of 0.4 s."""
    if sound.seconds < BLOCK_SECONDS:
        return None
    peak = float(np.abs(sound.signal).max(initial=0.0))
    # Measure a quieter copy and add the difference back, because the filter clips at full scale.
    scale = min(1.0, MEASURED_PEAK / peak) if peak else 1.0
    level = float(loudness(torch.from_numpy(sound.signal * scale)[None], sound.rate))
    return level - 20 * float(np.log10(scale)) if np.isfinite(level) else None


def true_peak(sound: Sound) -> float:
    """The highest magnitude in dB of full scale, including peaks between samples."""
    if not sound.signal.any():
        return -np.inf
    # Resampling can lower a peak that is at a sample, so both maxima count.
    finer = resample(torch.from_numpy(sound.signal)[None], sound.rate, 4 * sound.rate)
    return 20 * float(np.log10(max(float(finer.abs().max()), float(np.abs(sound.signal).max()))))
