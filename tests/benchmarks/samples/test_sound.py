"""A waveform becomes a file that neither clicks nor clips, and is otherwise itself."""

import io
import math

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.errors import FailedError, NotFiniteError
from benchmarks.samples.sound import FADE_SAMPLES, SAMPLE_RATE, Container, encode, to_sound

LOWEST, HIGHEST = -32768, 32767
heights = st.one_of(st.floats(-40000, 40000), st.floats(-1e30, 1e30), st.integers(LOWEST, HIGHEST).map(float))
waves = arrays(np.float64, st.integers(1, 3 * FADE_SAMPLES), elements=heights)


def inner(wave: np.ndarray) -> np.ndarray:
    """The samples between the fades."""
    return wave[FADE_SAMPLES : len(wave) - FADE_SAMPLES]


@given(wave=waves)
@settings(deadline=None, max_examples=200)
def test_nothing_is_clipped_the_length_is_kept_and_both_ends_are_zero(wave: np.ndarray):
    sound = to_sound(wave)
    assert sound.pcm.dtype == np.int16
    assert len(sound.pcm) == len(wave)
    assert sound.pcm[0] == sound.pcm[-1] == 0
    at_limit = (sound.pcm == LOWEST) | (sound.pcm == HIGHEST)
    within = (np.rint(wave) > LOWEST) & (np.rint(wave) < HIGHEST)
    assert not (at_limit & within).any()
    assert sound.gain_db <= 0
    if np.abs(wave).max() <= HIGHEST:
        assert sound.gain_db == 0


@given(wave=waves)
@settings(deadline=None, max_examples=200)
def test_between_the_fades_every_sample_is_scaled_by_the_stated_gain(wave: np.ndarray):
    sound = to_sound(wave)
    np.testing.assert_allclose(inner(sound.pcm), inner(wave) * 10 ** (sound.gain_db / 20), atol=0.5001, rtol=1e-9)


@given(wave=waves)
@settings(deadline=None, max_examples=50)
def test_the_same_wave_gives_the_same_bytes(wave: np.ndarray):
    for container in ("wav", "flac"):
        first, second = (encode(to_sound(wave.copy()).pcm, container) for _ in range(2))
        assert first == second


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sine_beyond_full_scale_stays_a_sine_one_decibel_below_it(sign: int):
    sine = sign * 50000 * np.sin(np.arange(4000) * 2 * np.pi / 160)
    sound = to_sound(sine)
    peak = np.abs(sound.pcm.astype(float)).max() / 2**15
    assert 20 * math.log10(peak) == pytest.approx(-1, abs=0.001)
    np.testing.assert_allclose(inner(sound.pcm) / sound.pcm.max(), inner(sine) / np.abs(sine).max(), atol=1e-4)


def test_a_quiet_recording_keeps_its_level_and_its_integers():
    quiet = np.random.default_rng(0).integers(-40, 41, 2000)
    sound = to_sound(quiet.astype(np.float64))
    np.testing.assert_array_equal(inner(sound.pcm), inner(quiet))
    assert sound.gain_db == 0


def test_integers_at_full_scale_are_no_reason_to_scale():
    square = np.tile([LOWEST] * 100 + [HIGHEST] * 100, 5).astype(np.float64)
    sound = to_sound(square)
    assert sound.gain_db == 0
    np.testing.assert_array_equal(inner(sound.pcm), inner(square))


def test_the_fade_rises_without_a_step():
    faded = to_sound(np.full(1000, 10000.0)).pcm.astype(int)
    rise = faded[: FADE_SAMPLES + 1]
    assert (np.diff(rise) >= 0).all()
    assert np.diff(rise).max() <= 10000 * math.pi / 2 / FADE_SAMPLES + 1
    np.testing.assert_array_equal(faded, faded[::-1])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_values_are_refused(value: float):
    wave = np.zeros(500)
    wave[7] = value
    with pytest.raises(NotFiniteError, match="1 of 500 samples") as caught:
        to_sound(wave)
    assert isinstance(caught.value, FailedError)


@pytest.mark.parametrize("container", ["wav", "flac"])
def test_both_containers_hold_the_samples_at_16_khz(container: Container):
    pcm = np.random.default_rng(1).integers(LOWEST, HIGHEST + 1, 5000).astype(np.int16)
    content = io.BytesIO(encode(pcm, container))
    info = soundfile.info(content)
    assert (info.samplerate, info.channels, info.subtype, info.format) == (SAMPLE_RATE, 1, "PCM_16", container.upper())
    content.seek(0)
    np.testing.assert_array_equal(soundfile.read(content, dtype="int16")[0], pcm)
