"""Sounds in their containers: FLAC is exact, OGG small, both the same for the same sound."""

import io
import time

import numpy as np
import soundfile

from dashboards.media.loudness import Sound
from dashboards.media.sound_files import Container, encode


def tone(seconds: float = 2.5) -> Sound:
    phase = np.arange(int(16000 * seconds)) / 16000 * 2 * np.pi
    noise = np.random.default_rng(0).normal(size=phase.size) * 0.01
    return Sound(0.3 * np.sin(220 * phase) + 0.1 * np.sin(1700 * phase) + noise, 16000)


def test_flac_keeps_every_sample_of_16_bits():
    sound = tone()
    read, rate = soundfile.read(io.BytesIO(encode(sound, "flac")), dtype="int16")
    assert rate == 16000
    np.testing.assert_array_equal(read, np.rint(sound.signal * 2**15))


def test_ogg_is_decoded_to_nearly_the_same_and_is_much_smaller():
    sound = tone()
    content = encode(sound, "ogg")
    read, rate = soundfile.read(io.BytesIO(content))
    assert (rate, len(read)) == (16000, len(sound.signal))
    assert np.std(read - sound.signal) < 0.1 * np.std(sound.signal)
    assert len(content) < len(encode(sound, "flac")) / 3


def test_the_same_sound_gives_the_same_bytes():
    containers: tuple[Container, ...] = ("flac", "ogg")
    first = [encode(tone(), container) for container in containers]
    time.sleep(1.1)
    assert [encode(tone(), container) for container in containers] == first
