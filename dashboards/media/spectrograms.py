"""Mel spectrograms as small pictures, and the ticks of their axes.

Levels are in dB below the loudest point of all clips that are shown together, so a colour means the same level in every
picture. The palette is viridis: its lightness rises evenly, so it is readable with any colour vision and in grey.
"""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from matplotlib import colormaps
from PIL import Image
from torchaudio.transforms import MelScale
from torchaudio.transforms import Spectrogram as Transform

from dashboards.media.loudness import Sound

__all__ = ["RANGE_DB", "Spectrogram", "Tick", "frequency_ticks", "palette_bar", "spectrograms", "ticks"]

RANGE_DB = 80.0
BANDS = 48
LEVELS = 64
OCTAVES = (0, 125, 250, 500, 1000, 2000, 4000, 8000, 16000)
MOST_TICKS = 6


@dataclass(frozen=True)
class Tick:
    """A tick: its position as a fraction of the axis, and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Spectrogram:
    """The spectrogram of a clip.

    Attributes:
        url: data URL of a PNG: time to the right, one row per mel band, the highest on top.
        columns: width of the picture; column k is centred on hop k.
        length: duration of the clip in hops.
        band: the octave with the most energy, such as "250 to 500 Hz"; empty for silence.
        share: share of the energy in that octave, between 0 and 1.
    """

    url: str
    columns: int
    length: float
    band: str
    share: float


def spectrograms(sounds: Sequence[Sound]) -> list[Spectrogram]:
    """The spectrograms of sounds on one scale of level and frequency (up to half of the lowest sample rate)."""
    highest = min((sound.rate for sound in sounds), default=0) / 2
    powers = [_power(sound) for sound in sounds]
    mels = [
        MelScale(BANDS, sound.rate, f_max=highest, n_stft=power.shape[0])(power).double().numpy()
        for power, sound in zip(powers, sounds, strict=True)
    ]
    loudest = max((float(mel.max()) for mel in mels), default=0.0) or 1.0
    return [
        Spectrogram(
            _picture(10 * np.log10(np.maximum(mel / loudest, 1e-30))),
            mel.shape[1],
            max(len(sound.signal), 1) / _hop(sound.rate),
            *_dominant(power, sound.rate),
        )
        for sound, power, mel in zip(sounds, powers, mels, strict=True)
    ]


def _hop(rate: int) -> int:
    """10 ms in samples."""
    return max(1, round(0.01 * rate))


def _power(sound: Sound) -> torch.Tensor:
    """Power `[frequencies, hops]`; the signal is padded with zeros at both ends."""
    transform = Transform(
        # At least one bin per 16 Hz, fine enough for the lowest mel bands, and a power of two for speed.
        n_fft=2 ** math.ceil(math.log2(sound.rate / 16)),
        # 25 ms in samples.
        win_length=round(0.025 * sound.rate),
        hop_length=_hop(sound.rate),
        pad_mode="constant",
    )
    return transform(torch.from_numpy(sound.signal if sound.signal.size else np.zeros(1)).float())


def _dominant(power: torch.Tensor, rate: int) -> tuple[str, float]:
    """The octave with the most energy and its share of the energy."""
    energy = power.double().sum(dim=1).numpy()
    frequencies = np.linspace(0, rate / 2, len(energy))
    octaves, _ = np.histogram(frequencies, bins=[*OCTAVES, np.inf], weights=energy)
    if octaves.sum() == 0:
        return "", 0.0
    strongest = int(octaves.argmax())
    low, high = OCTAVES[strongest], min([*OCTAVES, math.inf][strongest + 1], rate / 2)
    return f"{low} to {high:.0f} Hz", float(octaves[strongest] / octaves.sum())


def _picture(decibels: npt.NDArray[np.float64]) -> str:
    """Levels from -`RANGE_DB` to 0 dB as a data URL; lower levels are clipped."""
    height = np.clip(1 + decibels / RANGE_DB, 0, 1)
    # A palette image with few levels is smaller than a true-colour image.
    image = Image.fromarray(np.rint(height * (LEVELS - 1)).astype(np.uint8)[::-1])
    image.putpalette(np.rint(255 * colormaps["viridis"](np.linspace(0, 1, LEVELS))[:, :3]).astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def palette_bar() -> str:
    """The palette from the lowest level (left) to the highest, as a data URL."""
    return _picture(np.linspace(-RANGE_DB, 0, LEVELS)[None])


def frequency_ticks(highest: float) -> list[Tick]:
    """Ticks of the mel axis from 0 to `highest` Hz, from the bottom."""
    return [
        Tick(_to_mel(frequency) / _to_mel(highest), f"{frequency // 1000}k" if frequency >= 1000 else str(frequency))
        for frequency in (0, 500, 1000, 2000, 4000, 8000, 16000)
        if frequency <= highest
    ]


def _to_mel(frequency: float) -> float:
    """The HTK formula, which torchaudio's `MelScale` uses."""
    return 2595 * math.log10(1 + frequency / 700)


def ticks(extent: float, unit: str = "") -> list[Tick]:
    """At most `MOST_TICKS` steps of 1, 2 or 5 times a power of ten from 0 to `extent`; the last label has the unit."""
    power = 10 ** math.floor(math.log10(extent / MOST_TICKS))
    # The smallest round step that needs no more than MOST_TICKS.
    step = next(factor * power for factor in (1, 2, 5, 10) if extent / (factor * power) <= MOST_TICKS)
    values = [i * step for i in range(math.floor(extent / step + 1e-9) + 1)]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    labels = [f"{value:.{decimals}f}" for value in values]
    labels[-1] = f"{labels[-1]} {unit}".strip()
    return [Tick(value / extent, label) for value, label in zip(values, labels, strict=True)]
