"""Clips at equal loudness, so that the louder one is not taken for the better one.

Loudness is ITU-R BS.1770's, in LUFS, as torchaudio measures it. All clips that are heard beside each other are scaled
to one loudness. Where a clip's true peak (BS.1770 annex 2: of the signal at four times its rate) would pass the
ceiling, the common target is lowered for all of them: nothing is limited, compressed or clipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torchaudio.functional import loudness, resample

__all__ = ["CEILING_DB", "TARGET_LUFS", "Levelled", "Sound", "equalise", "measure", "true_peak"]

TARGET_LUFS = -23.0
"""EBU R 128's; lower where a peak asks for it."""
CEILING_DB = -1.0
"""dB of full scale that no true peak exceeds."""
BLOCK_SECONDS = 0.4
OVERSAMPLING = 4
MEASURED_PEAK = 0.5
"""torchaudio clamps its weighting filter, which gains 4 dB, at full scale; a signal of this peak stays below."""


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
        sound: scaled by `gain_db`.
        before: its loudness as it was, in LUFS; None where it has none.
        gain_db: by which it was scaled; None where it was left as it is.
        left: why it was left as it is; empty where it was not.
    """

    sound: Sound
    before: float | None
    gain_db: float | None
    left: str = ""

    @property
    def after(self) -> float | None:
        """Its loudness as it is played, in LUFS."""
        return None if self.before is None or self.gain_db is None else self.before + self.gain_db


def equalise(sounds: Sequence[Sound]) -> list[Levelled]:
    """Scale sounds to one loudness, in order; what has no measurable loudness stays as it is, and says why."""
    measured = [measure(sound) for sound in sounds]
    headroom = [
        level + CEILING_DB - true_peak(sound)
        for sound, level in zip(sounds, measured, strict=True)
        if level is not None
    ]
    target = min([TARGET_LUFS, *headroom])
    return [_levelled(sound, level, target) for sound, level in zip(sounds, measured, strict=True)]


def _levelled(sound: Sound, level: float | None, target: float) -> Levelled:
    if level is None:
        short = sound.seconds < BLOCK_SECONDS
        left = f"shorter than {BLOCK_SECONDS:g} s" if short else "silent (below −70 LUFS)"
        return Levelled(sound, None, None, left)
    gain = target - level
    return Levelled(Sound(sound.signal * 10 ** (gain / 20), sound.rate), level, gain)


def measure(sound: Sound) -> float | None:
    """Integrated loudness in LUFS; None for what is silent or shorter than one block of 0.4 s."""
    if sound.seconds < BLOCK_SECONDS:
        return None
    peak = float(np.abs(sound.signal).max(initial=0.0))
    scale = min(1.0, MEASURED_PEAK / peak) if peak else 1.0
    level = float(loudness(torch.from_numpy(sound.signal * scale)[None], sound.rate))
    return level - 20 * float(np.log10(scale)) if np.isfinite(level) else None


def true_peak(sound: Sound) -> float:
    """The highest magnitude between samples too, in dB of full scale."""
    if not sound.signal.any():
        return -np.inf
    finer = resample(torch.from_numpy(sound.signal)[None], sound.rate, OVERSAMPLING * sound.rate)
    return 20 * float(np.log10(max(float(finer.abs().max()), float(np.abs(sound.signal).max()))))
