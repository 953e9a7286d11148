"""Invented speakers, each with an accent, a voice, a way of speaking and a room."""

import string
from collections import Counter
from dataclasses import dataclass

import numpy as np

from pipelines.randomness import keyed_generator

__all__ = ["ACCENTS", "PLAYBACK_RATES", "Speaker", "invent_speakers"]

ACCENTS = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-us-nyc", "en-029", "en-gb-x-gbcwmd")
"""The accents of English that espeak-ng has, one for each dialect region DR1 to DR8."""

_VARIANTS = {"F": ("f1", "f2", "f3", "f4", "f5"), "M": ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8")}

PLAYBACK_RATES = (21_000, 21_500, 22_000, 22_500, 23_000)
"""Rates in Hz that the engine's output, 22,050 Hz, is treated as having: a lower one sounds like a longer vocal tract.
All share a large divisor with 16 kHz, which keeps the resampling filter short."""


@dataclass(frozen=True)
class Speaker:
    """One invented speaker.

    Attributes:
        id: id in TIMIT's form: sex, three initials, and a digit that distinguishes equal initials.
        dialect: dialect region, 1 to 8.
        voice: the engine's voice and variant.
        words_per_minute: speed.
        pitch: the engine's pitch, 0 to 100.
        pitch_range: the engine's pitch range, 0 to 100.
        playback_rate: one of `PLAYBACK_RATES`.
        level: root mean square of the speech, in steps of the 16-bit scale.
        noise: standard deviation of the room's noise, in the same steps.
    """

    id: str
    dialect: int
    voice: str
    words_per_minute: int
    pitch: int
    pitch_range: int
    playback_rate: int
    level: float
    noise: float


def invent_speakers(count: int, seed: int) -> list[Speaker]:
    """Invent `count` speakers with unique ids, with the dialects in turn and both sexes in each.

    Levels and noise vary as in TIMIT: speech is about 500 steps of 32,768, the room about 2.5.
    """
    rng = keyed_generator("speakers", seed)
    letters = np.array(list(string.ascii_uppercase))
    seen: Counter[str] = Counter()
    speakers: list[Speaker] = []
    while len(speakers) < count:
        initials = "".join(rng.choice(letters, 3))
        if seen[initials] == 10:
            continue  # the one digit of an id is used up
        turn, accent = divmod(len(speakers), len(ACCENTS))
        sex = "FM"[(turn + accent) % 2]
        variant = _VARIANTS[sex][rng.integers(len(_VARIANTS[sex]))]
        speaker = Speaker(
            id=f"{sex}{initials}{seen[initials]}",
            dialect=accent + 1,
            voice=f"{ACCENTS[accent]}+{variant}",
            words_per_minute=int(rng.integers(140, 191)),
            pitch=int(rng.integers(35, 66)),
            pitch_range=int(rng.integers(30, 71)),
            playback_rate=PLAYBACK_RATES[rng.integers(len(PLAYBACK_RATES))],
            level=float(500 * np.exp(np.clip(rng.normal(0, 0.4), -1, 0.8))),
            noise=float(2.5 * np.exp(np.clip(rng.normal(0, 0.4), -0.6, 1.2))),
        )
        seen[initials] += 1
        speakers.append(speaker)
    return speakers
