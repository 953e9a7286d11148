"""Spectrograms put a tone where it is, on one scale for all."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from dashboards.media.loudness import Sound
from dashboards.media.spectrograms import (
    BANDS,
    LEVELS,
    Spectrogram,
    frequency_ticks,
    palette_bar,
    spectrograms,
    ticks,
)


def tone(hertz: float, amplitude: float = 0.5, seconds: float = 0.5) -> Sound:
    return Sound(amplitude * np.sin(2 * np.pi * hertz * np.arange(round(16000 * seconds)) / 16000), 16000)


def levels(url: str) -> np.ndarray:
    """Levels by row from the top, 0 to `LEVELS` - 1."""
    header, _, content = url.partition(",")
    assert header == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    assert image.mode == "P"
    return np.asarray(image)


def one(sound: Sound) -> Spectrogram:
    (picture,) = spectrograms([sound])
    return picture


@pytest.mark.parametrize("hertz", [500, 1000, 2000, 4000])
def test_a_tone_lies_next_to_its_tick(hertz: int):
    picture = levels(one(tone(hertz)).url)
    assert picture.shape[0] == BANDS
    row = picture[:, 10:-10].mean(axis=1).argmax()
    label = f"{hertz // 1000}k" if hertz >= 1000 else str(hertz)
    (at,) = (tick.at for tick in frequency_ticks(8000) if tick.label == label)
    assert 1 - (row + 0.5) / BANDS == pytest.approx(at, abs=1 / BANDS)


def test_a_click_lies_where_it_is_in_time():
    signal = np.zeros(16000)
    signal[4000] = 0.9
    picture = one(Sound(signal, 16000))
    drawn = levels(picture.url).mean(axis=0)
    assert (picture.length, picture.columns) == (100.0, 101)
    assert np.flatnonzero(drawn > drawn.max() / 2).mean() == pytest.approx(25, abs=0.5)


def test_one_colour_is_one_level_in_all_pictures():
    loud, quiet = (levels(picture.url) for picture in spectrograms([tone(1000), tone(1000, 0.05)]))
    assert loud.max() == LEVELS - 1
    assert loud.max() - quiet.max() == pytest.approx(20 / 80 * (LEVELS - 1), abs=1)
    assert levels(one(tone(1000, 0.05)).url).max() == LEVELS - 1


@pytest.mark.parametrize(
    ("hertz", "band"),
    [(60, "0 to 125 Hz"), (300, "250 to 500 Hz"), (7000, "4000 to 8000 Hz"), (1400, "1000 to 2000 Hz")],
)
def test_the_dominant_octave_is_named_with_its_share(hertz: int, band: str):
    picture = one(tone(hertz))
    assert picture.band == band
    assert picture.share > 0.9


def test_half_of_the_energy_is_given_as_half():
    both = Sound(tone(300).signal + tone(3000).signal, 16000)
    assert one(both).share == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("length", [0, 1, 100])
def test_silence_of_any_length_has_a_picture_and_no_band(length: int):
    picture = one(Sound(np.zeros(length), 16000))
    assert not levels(picture.url).any()
    assert (picture.band, picture.share) == ("", 0.0)


def test_no_sounds_have_no_pictures():
    assert spectrograms([]) == []


def test_the_palette_grows_lighter_from_left_to_right():
    image = Image.open(io.BytesIO(base64.b64decode(palette_bar().partition(",")[2])))
    assert image.size == (LEVELS, 1)
    grey = np.asarray(image.convert("L"))[0].astype(int)
    assert (np.diff(grey) >= 0).all()
    assert grey[-1] - grey[0] > 150


@pytest.mark.parametrize(
    ("extent", "unit", "labels"),
    [
        (2.5, "s", ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5 s"]),
        (0.3, "s", ["0.00", "0.05", "0.10", "0.15", "0.20", "0.25", "0.30 s"]),
        (615, "", ["0", "200", "400", "600"]),
        (1, "", ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
    ],
)
def test_ticks_are_round_numbers_within_the_axis(extent: float, unit: str, labels: list[str]):
    marks = ticks(extent, unit)
    assert [mark.label for mark in marks] == labels
    assert all(mark.at * extent == pytest.approx(float(mark.label.split()[0])) for mark in marks)
    assert all(0 <= mark.at <= 1 + 1e-9 for mark in marks)


def test_frequencies_beyond_the_axis_have_no_tick():
    assert [tick.label for tick in frequency_ticks(4000)] == ["0", "500", "1k", "2k", "4k"]
    assert frequency_ticks(4000)[-1].at == 1
