"""From a waveform in units of int16 to a sound file that neither clicks nor clips.

The signal is faded in and out over a few milliseconds, since a file that starts or ends away from zero clicks. If its
peak exceeds full scale, all of it is scaled down, since clipping would distort it. The list of samples records both. A
quiet signal stays quiet: loudness is part of what a model has learned, and normalising it would hide that.
"""

import io
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import soundfile

from benchmarks.errors import NotFiniteError

__all__ = ["FADE_SAMPLES", "SAMPLE_RATE", "Container", "Sound", "encode", "to_sound"]

Container = Literal["wav", "flac"]

SAMPLE_RATE = 16000
FADE_SAMPLES = 80
"""5 ms, half a period of a cosine."""
_LOWEST, _HIGHEST = -(2**15), 2**15 - 1
_SCALED_PEAK = 10 ** (-1 / 20) * 2**15
"""1 dB below full scale: the peak of a signal that was scaled down."""


@dataclass(frozen=True, eq=False)
class Sound:
    """A waveform as it is written.

    Attributes:
        pcm: int16, `[N]`.
        gain_db: gain that was applied: 0, or negative where the signal would have exceeded full scale.
    """

    pcm: npt.NDArray[np.int16]
    gain_db: float


def to_sound(wave: npt.NDArray[np.float64]) -> Sound:
    """Fade a waveform `[N]` in units of int16, scale it down if it exceeds full scale, and round it.

    Raises:
        NotFiniteError: it has values that are not finite.
    """
    if broken := int((~np.isfinite(wave)).sum()):
        raise NotFiniteError(f"{broken} of {len(wave)} samples are not finite")
    # A window that rises from 0 at the first sample and falls to 0 at the last, in half periods of a cosine.
    steps = min(FADE_SAMPLES, (len(wave) + 1) // 2)  # a short file is faded over its halves
    rise = 0.5 - 0.5 * np.cos(np.pi * np.arange(steps) / FADE_SAMPLES)
    window = np.ones(len(wave))
    window[:steps] = rise
    window[len(wave) - steps :] = rise[::-1]
    faded, gain = wave * window, 1.0
    if faded.max(initial=0.0) > _HIGHEST or faded.min(initial=0.0) < _LOWEST:
        gain = _SCALED_PEAK / float(np.abs(faded).max())
    return Sound(np.rint(faded * gain).astype(np.int16), 20 * math.log10(gain))


def encode(pcm: npt.NDArray[np.int16], container: Container) -> bytes:
    """The bytes of a mono file at 16 kHz; both containers hold the same samples."""
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, SAMPLE_RATE, format=container.upper(), subtype="PCM_16")
    return buffer.getvalue()
