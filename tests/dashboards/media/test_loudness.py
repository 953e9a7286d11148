"""Loudness is that of BS.1770, equal for all clips, and nothing is clipped."""

import numpy as np
import pytest

from dashboards.media.loudness import CEILING_DB, TARGET_LUFS, Levelled, Sound, equalise, measure, true_peak


def sine(hertz: float, amplitude: float, seconds: float = 1.0, rate: int = 48000, phase: float = 0.0) -> Sound:
    time = np.arange(round(seconds * rate)) / rate
    return Sound(amplitude * np.sin(2 * np.pi * hertz * time + phase), rate)


def test_a_full_scale_tone_measures_what_the_standard_says():
    # BS.1770: 0 dB FS at 997 Hz in one front channel reads -3.01 LKFS.
    level = measure(sine(997, 1.0, 5.0))
    assert level == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("gain_db", [-40, -20, -6, -0.5])
def test_scaling_a_sound_moves_its_loudness_by_as_much_whatever_its_peak(gain_db: float):
    full, scaled = measure(sine(4000, 1.0)), measure(sine(4000, 10 ** (gain_db / 20)))
    assert full is not None
    assert scaled == pytest.approx(full + gain_db, abs=0.02)


def test_a_true_peak_lies_between_samples_too():
    quarter = sine(12000, 1.0, rate=48000, phase=np.pi / 4)
    assert 20 * np.log10(np.abs(quarter.signal).max()) == pytest.approx(-3.01, abs=0.01)
    assert true_peak(quarter) == pytest.approx(0, abs=0.5)
    assert true_peak(Sound(np.zeros(100), 16000)) == -np.inf


def after(levelled: Levelled) -> float:
    level = measure(levelled.sound)
    assert level is not None
    assert level == pytest.approx(levelled.after, abs=0.05)
    return level


def test_all_that_can_be_levelled_has_one_loudness():
    sounds = [sine(300, 0.9), sine(1500, 0.01, 2.0), sine(3000, 0.2, rate=16000)]
    levels = [after(levelled) for levelled in equalise(sounds)]
    assert levels == pytest.approx([TARGET_LUFS] * 3, abs=0.05)


def test_one_peak_lowers_the_target_of_all_and_nothing_is_clipped():
    click = sine(1000, 0.001)
    click.signal[24000] = 0.9
    levelled = equalise([click, sine(1000, 0.3)])
    assert max(true_peak(level.sound) for level in levelled) == pytest.approx(CEILING_DB, abs=0.01)
    first, second = (level.after for level in levelled)
    assert first is not None
    assert first == pytest.approx(second)
    assert first < TARGET_LUFS - 3


def test_silence_and_short_clips_stay_unchanged_and_say_so():
    silent, short, empty = Sound(np.zeros(16000), 16000), sine(500, 0.5, 0.3), Sound(np.zeros(0), 16000)
    for sound, level in zip((silent, short, empty), equalise([silent, short, empty]), strict=True):
        assert level.sound is sound
        assert (level.before, level.gain_db, level.after) == (None, None, None)
    reasons = [level.reason for level in equalise([silent, short, empty])]
    assert reasons == ["silent (below −70 LUFS)", "shorter than 0.4 s", "shorter than 0.4 s"]


def test_a_short_click_at_full_scale_does_not_lower_what_is_levelled():
    short = Sound(np.ones(10), 16000)
    assert equalise([short, sine(1000, 0.1)])[1].after == pytest.approx(TARGET_LUFS)


def test_nothing_is_levelled_to_nothing():
    assert equalise([]) == []
