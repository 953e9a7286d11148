"""Waveforms and drawings show what the files hold, on one scale."""

import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dashboards.errors import ReportError
from dashboards.media import INK_UNITS, LEAST_EXTENT, WAVE_COLUMNS, WAVE_HEIGHT, clips, drawings
from dashboards.record import Sample


def points(path: str) -> np.ndarray:
    return np.array([pair.split() for pair in re.findall(r"-?[\d.]+ -?[\d.]+", path)], float)


def speech(signal: np.ndarray, role: str = "real") -> Sample:
    buffer = io.BytesIO()
    soundfile.write(buffer, signal, 16000, format="FLAC", subtype="PCM_16")
    return Sample("s.flac", "speech", role, "caption", buffer.getvalue())


def pen(strokes: list[list[list[float]]]) -> Sample:
    return Sample("s.json", "pen", "real", "caption", json.dumps({"strokes": strokes}).encode())


def test_the_player_holds_the_file_byte_for_byte():
    sample = speech(np.zeros(1600))
    (clip,) = clips([sample])
    header, _, content = clip.url.partition(",")
    assert header == "data:audio/flac;base64"
    assert base64.b64decode(content) == sample.content
    assert clip.seconds == pytest.approx(0.1)


def test_a_single_click_is_never_lost_from_the_waveform():
    signal = np.zeros(32000)
    signal[20001], signal[9000] = 0.5, -0.5
    (clip,) = clips([speech(signal)])
    outline = points(clip.path)
    assert outline[:, 1].min() == pytest.approx(0, abs=0.1)
    assert outline[:, 1].max() == pytest.approx(WAVE_HEIGHT, abs=0.1)
    assert outline[outline[:, 1].argmin(), 0] / WAVE_COLUMNS == pytest.approx(20001 / 32000, abs=0.005)


def test_waveforms_share_amplitude_and_time():
    loud, quiet = clips([speech(np.full(8000, 0.8)), speech(np.full(2000, 0.2))])
    assert points(loud.path)[:, 1].min() == pytest.approx(0, abs=0.1)
    assert points(quiet.path)[:, 1].min() == pytest.approx(0.75 * WAVE_HEIGHT / 2, abs=0.1)
    assert (loud.share, quiet.share) == (1.0, 0.25)


@pytest.mark.parametrize("length", [1, 3, WAVE_COLUMNS, WAVE_COLUMNS + 1])
def test_a_clip_of_any_length_fits_its_box(length: int):
    (clip,) = clips([speech(np.linspace(-1, 1, length) * 0.9)])
    outline = points(clip.path)
    assert outline[:, 0].min() >= 0
    assert outline[:, 0].max() <= WAVE_COLUMNS


def test_the_end_of_the_recorded_beginning_lies_on_the_time_axis_of_its_clip():
    plain = speech(np.full(8000, 0.5), "continuation")
    continued, shorter = clips([replace(plain, prime=2000), replace(speech(np.full(4000, 0.5)), prime=2000)])
    assert (continued.prime, continued.prime_seconds) == (WAVE_COLUMNS / 4, 0.125)
    assert shorter.prime == WAVE_COLUMNS / 2
    assert clips([plain])[0].prime is None
    assert clips([replace(plain, prime=8000)])[0].prime is None


def test_what_is_not_audio_is_refused_by_name():
    with pytest.raises(ReportError, match=r"broken\.flac"):
        clips([Sample("broken.flac", "speech", "real", "", b"not audio")])


coordinate = st.floats(-1e4, 1e4, allow_nan=False)
trace = st.lists(st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=6), min_size=1, max_size=4)


@given(strokes=trace)
@example(strokes=[[(0.0, 0.0), (0.0, 2.2e-311)]])
@settings(deadline=None, max_examples=50)
def test_a_drawing_keeps_its_proportions_and_lies_in_its_box(strokes: list[list[tuple[float, float]]]):
    (drawing,) = drawings([pen([[list(point) for point in stroke] for stroke in strokes])])
    assert drawing.path.count("M") == len(strokes)
    drawn = points(drawing.path)
    assert drawn.min() >= 0
    assert (drawn <= [drawing.width + 0.1, drawing.height + 0.1]).all()
    source = np.array([p for stroke in strokes for p in (stroke if len(stroke) > 1 else stroke * 2)])
    extent = np.ptp(source, axis=0).max()
    scale = INK_UNITS / extent if extent >= LEAST_EXTENT else 1.0
    np.testing.assert_allclose(drawn - drawn.min(axis=0), (source - source.min(axis=0)) * scale, atol=0.21)


@given(strokes=trace, prime=st.integers(0, 30))
@settings(deadline=None, max_examples=50)
def test_the_recorded_beginning_of_a_drawing_and_the_rest_are_the_whole(
    strokes: list[list[tuple[float, float]]], prime: int
):
    sample = pen([[list(point) for point in stroke] for stroke in strokes])
    (whole,), (divided,) = drawings([sample]), drawings([replace(sample, prime=prime)])
    assert (divided.width, divided.height) == (whole.width, whole.height)
    ends = np.cumsum([len(stroke) for stroke in strokes])
    split = 0 < prime < ends[-1] and prime not in ends
    assert divided.prime_path.count("M") + divided.path.count("M") == len(strokes) + split
    assert (divided.mark is None) == (divided.prime_path == "") == (prime == 0)
    if divided.mark is None:
        assert divided.path == whole.path
    else:
        assert divided.mark == pytest.approx(points(divided.prime_path)[-1], abs=0.06)


def test_y_grows_downward_in_the_drawing_as_in_the_file():
    (drawing,) = drawings([pen([[[0, 0], [0, 10]]])])
    first, last = points(drawing.path)
    assert last[1] > first[1]


def test_drawings_share_one_size():
    large, small = drawings([pen([[[0, 0], [100, 0]]]), pen([[[5, 5], [30, 5]]])])
    assert np.ptp(points(small.path)[:, 0]) == pytest.approx(np.ptp(points(large.path)[:, 0]) / 4)


@pytest.mark.parametrize(
    "content", [b"{}", b"[", b'{"strokes": [[[1, NaN]]]}', b'{"strokes": [[1]]}', b'{"strokes": 3}']
)
def test_what_is_not_strokes_is_refused_by_name(content: bytes):
    with pytest.raises(ReportError, match=r"broken\.json"):
        drawings([Sample("broken.json", "pen", "real", "", content)])


@pytest.mark.parametrize("strokes", [[], [[]]])
def test_an_empty_drawing_is_drawn_empty(strokes: list):
    (drawing,) = drawings([pen(strokes)])
    assert drawing.path == ""
