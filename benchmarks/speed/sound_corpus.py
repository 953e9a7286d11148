"""Sound files to decode, of seeded noise, in the three formats of the speech corpora.

MP3 at 44.1 kHz (audiobooks), stereo WAV at 48 kHz (studio recordings), SPHERE at 16 kHz (TIMIT). The noise has a
voice's spectrum, syllables and pauses, so that a codec has as much work as with speech. Encoding MP3 takes ten times as
long as decoding it, so a corpus repeats a few different files many times: the timed code does not depend on content.
"""

import io
from dataclasses import dataclass
from itertools import chain, cycle
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import soundfile
from scipy.signal import lfilter

from pipelines.synthesis.sphere import encode_sphere

__all__ = ["FORMS", "Form", "SoundCorpus", "write_sound_corpus"]

Form = Literal["mp3", "wav", "sphere"]
FORMS: tuple[Form, ...] = get_args(Form)

_RATES = {"mp3": 44_100, "wav": 48_000, "sphere": 16_000}
_SUFFIXES = {"mp3": "mp3", "wav": "wav", "sphere": "sph"}
_SHORT_SECONDS = (10.0, 60.0)
_SHORT_FILES = 12
_LONG_PART = 0.02
_LONG_SECONDS = 600.0
_RESONANCE = (1.0, -1.6, 0.75)
_SYLLABLES_A_SECOND = 3.0


@dataclass(frozen=True)
class SoundCorpus:
    """Files of one format in `root`, with their total length and size."""

    form: Form
    root: Path
    seconds: float
    bytes: int


def write_sound_corpus(root: Path, form: Form, seconds: float, seed: int = 0) -> SoundCorpus:
    """Write about `seconds` of sound: most of it in files of 10 to 60 s, and 8 % in four long ones.

    Args:
        root: a new directory.
        form: format of the files.
        seconds: in total; if it is small, the files are shorter.
        seed: of the noise and the lengths.
    """
    random = np.random.default_rng(seed)
    root.mkdir(parents=True)
    low, high = (min(limit, seconds * limit / 240) for limit in _SHORT_SECONDS)
    kinds = [_encoded(form, float(random.uniform(low, high)), random) for _ in range(_SHORT_FILES)]
    long = _encoded(form, min(_LONG_SECONDS, _LONG_PART * seconds), random)
    total, size = 0.0, 0
    for number, (content, length) in enumerate(chain([long] * 4, cycle(kinds))):
        (root / f"{number:05d}.{_SUFFIXES[form]}").write_bytes(content)
        total, size = total + length, size + len(content)
        if total >= seconds:
            break
    return SoundCorpus(form, root, total, size)


def _encoded(form: Form, seconds: float, random: np.random.Generator) -> tuple[bytes, float]:
    """The content of a file, and its length in seconds."""
    rate, channels = _RATES[form], 2 if form == "wav" else 1
    # Noise through a resonance, with the loudness of syllables: `[N, channels]`.
    noise = np.asarray(lfilter([1.0], _RESONANCE, random.normal(size=(int(seconds * rate), channels)), axis=0))
    loudness = np.clip(np.sin(2 * np.pi * _SYLLABLES_A_SECOND * np.arange(len(noise)) / rate), 0.02, 1.0)
    voiced = noise * loudness[:, None]
    samples = np.clip(np.rint(voiced * (2000 / voiced.std())), -32768, 32767).astype(np.int16)
    if form == "sphere":
        return encode_sphere(samples[:, 0], rate, "cjf0_sa1"), len(samples) / rate
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=form.upper(), subtype=None if form == "mp3" else "PCM_16")
    return buffer.getvalue(), len(samples) / rate
