"""Waveforms and drawings show what the files contain, on one scale."""

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

from benchmarks.schema.samples import SampleRole
from dashboards.errors import ReportError
from dashboards.media.players import INK_UNITS, LEAST_EXTENT, WAVE_COLUMNS, WAVE_HEIGHT, Sample, clips, drawings


def points(path: str) -> np.ndarray:
    return np.array([pair.split() for pair in re.findall(r"-?[\d.]+ -?[\d.]+", path)], float)


def speech(signal: np.ndarray, role: SampleRole = "real") -> Sample:
    buffer = io.BytesIO()
    soundfile.write(buffer, signal, 16000, format="FLAC", subtype="PCM_16")
    return Sample("s.flac", "speech", role, "caption", buffer.getvalue())


def pen(strokes: list[list[list[float]]]) -> Sample:
    return Sample("s.json", "pen", "real", "caption", json.dumps({"strokes": strokes}).encode())


def tone(seconds: float, amplitude: float, hertz: float = 1000) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(16000 * seconds)) / 16000)


def played(url: str) -> np.ndarray:
    header, _, content = url.partition(",")
    assert header == "data:audio/flac;base64"
    signal, rate = soundfile.read(io.BytesIO(base64.b64decode(content)), dtype="int16")
    assert rate == 16000
    return signal


def test_what_cannot_be_levelled_is_played_byte_for_byte_and_says_why():
    short, silent = speech(tone(0.39, 0.5)), speech(np.zeros(16000))
    for sample, why in ((short, "shorter than 0.4 s"), (silent, "silent (below −70 LUFS)")):
        (clip,) = clips([sample])
        assert base64.b64decode(clip.url.partition(",")[2]) == sample.content
        assert clip.gain == f"{why}: not scaled"
        assert (clip.before, clip.after) == (None, None)


def test_what_is_played_is_the_file_scaled_by_the_given_gain():
    loud, quiet = clips([speech(tone(1.0, 0.5)), speech(tone(1.0, 0.05))])
    assert loud.gain == "−13.9 dB to equal loudness"
    assert quiet.gain == "+6.1 dB to equal loudness"
    difference = played(loud.url).astype(int) - played(quiet.url)
    assert np.abs(played(loud.url)).max() > 3000
    assert np.abs(difference).max() <= 5


def test_a_lowered_target_leaves_no_clip_clipped():
    click = tone(1.0, 0.003)
    click[8000] = 0.9
    for clip in clips([speech(click), speech(tone(1.0, 0.5))]):
        assert np.abs(played(clip.url).astype(int)).max() < 2**15 - 1
        assert "dB to equal loudness" in clip.gain


def test_the_values_of_a_clip_are_in_its_description():
    (clip,) = clips([speech(tone(1.0, 0.5, 1400))])
    assert clip.description == "1.00 s at −23.0 LUFS; 100% of the energy is at 1000 to 2000 Hz"
    assert clips([speech(np.zeros(1600))])[0].description == "0.10 s not scaled; silence"


def test_a_single_click_is_never_lost_from_the_waveform():
    signal = np.zeros(32000)
    signal[20001], signal[9000] = 0.5, -0.5
    (clip,) = clips([speech(signal)])
    outline = points(clip.path)
    assert outline[:, 1].min() == pytest.approx(0, abs=0.1)
    assert outline[:, 1].max() == pytest.approx(WAVE_HEIGHT, abs=0.1)
    assert outline[outline[:, 1].argmin(), 0] / WAVE_COLUMNS == pytest.approx(20001 / 32000, abs=0.005)


def test_waveforms_share_amplitude_and_time_as_they_are_played():
    loud, soft, short = clips([speech(tone(1.0, 0.8)), speech(tone(0.5, 0.2)), speech(tone(0.25, 0.02))])
    heights = [WAVE_HEIGHT / 2 - points(clip.path)[:, 1].min() for clip in (loud, soft, short)]
    assert heights[:2] == pytest.approx([30, 30], abs=1.0)
    assert heights[2] == pytest.approx(30 * 0.02 / 0.1, rel=0.05)
    assert (loud.share, soft.share, short.share) == (1.0, 0.5, 0.25)


@pytest.mark.parametrize("length", [1, 3, WAVE_COLUMNS, WAVE_COLUMNS + 1])
def test_a_clip_of_any_length_fits_its_box(length: int):
    (clip,) = clips([speech(np.linspace(-1, 1, length) * 0.9)])
    outline = points(clip.path)
    assert outline[:, 0].min() >= 0
    assert outline[:, 0].max() <= WAVE_COLUMNS


def test_the_end_of_the_recorded_beginning_is_a_time_within_its_clip():
    plain = speech(np.full(8000, 0.5), "continuation")
    continued, shorter = clips(
        [replace(plain, prime_steps=2000), replace(speech(np.full(4000, 0.5)), prime_steps=2000)]
    )
    assert (continued.prime_seconds, shorter.prime_seconds) == (0.125, 0.125)
    assert clips([plain])[0].prime_seconds is None
    assert clips([replace(plain, prime_steps=8000)])[0].prime_seconds is None


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
    (whole,), (divided,) = drawings([sample]), drawings([replace(sample, prime_steps=prime)])
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
    assert (drawing.path, drawing.points, drawing.strokes) == ("", 0, 0)


def test_points_and_strokes_are_counted_with_the_recorded_beginning():
    sample = pen([[[0, 0], [1, 1], [2, 0]], [[5, 5]]])
    for prime in (0, 2):
        (drawing,) = drawings([replace(sample, prime_steps=prime)])
        assert (drawing.points, drawing.strokes) == (4, 2)
