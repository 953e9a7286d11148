"""Every form of sound and every false header: files built byte by byte, and the odd files of other libraries' tests."""

import csv
import io
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.decode.audio import decode_audio
from pipelines.errors import RejectedSourceError
from tests.pipelines.sound_files import decoded, encoded, tone


def rejection(content: bytes) -> str:
    with pytest.raises(RejectedSourceError) as caught:
        decoded(content)
    return caught.value.code


def wave(channels: int = 1, rate: int = 16000, bits: int = 16, data: bytes = b"", stated: int | None = None) -> bytes:
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    size = len(data) if stated is None else stated
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", min(4 + len(body) + size - len(data), 2**32 - 1)) + body


SAMPLES = tone().astype("<i2")


def test_a_length_beyond_the_end_of_the_file_is_a_truncation() -> None:
    data = SAMPLES.tobytes()
    np.testing.assert_array_equal(decoded(wave(data=data)), SAMPLES)
    assert rejection(wave(data=data, stated=len(data) + 2)) == "truncated"
    assert rejection(wave(data=data)[:-100]) == "truncated"
    aiff = encoded(SAMPLES, container="AIFF")
    assert rejection(aiff[:-1000]) == "truncated"


def test_a_length_that_the_writer_left_open_states_nothing() -> None:
    np.testing.assert_array_equal(decoded(wave(data=SAMPLES.tobytes(), stated=0xFFFFFFFF)), SAMPLES)


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
@pytest.mark.parametrize(("container", "subtype"), [("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("MP3", "MPEG_LAYER_III")])
def test_compressed_sound_that_was_cut_is_rejected(container: str, subtype: str, cut: float) -> None:
    content = encoded(tone(80000), container=container, subtype=subtype)
    assert rejection(content[: int(cut * len(content))]) in {"truncated", "undecodable", "md5"}
    assert len(decoded(content)) >= 80000


def test_a_flac_file_that_decodes_to_other_samples_than_it_states_is_rejected() -> None:
    content = bytearray(encoded(SAMPLES, container="FLAC"))
    content[30] ^= 1
    assert rejection(bytes(content)) == "md5"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (wave(channels=0, data=SAMPLES.tobytes()), "zero_channels"),
        (wave(rate=0, data=SAMPLES.tobytes()), "sample_rate"),
        (wave(rate=1_092_676, data=SAMPLES.tobytes()), "sample_rate"),
        (wave(rate=7, data=SAMPLES.tobytes()), "sample_rate"),
        (wave(channels=200, data=bytes(4000)), "channels"),
        (encoded(np.array([0.0, math.inf]), subtype="DOUBLE"), "not_finite"),
        (b"ID3" + bytes(30), "undecodable"),
        (b"RIFF\xff\xff\xff\xffWAVE", "undecodable"),
    ],
)
def test_absurd_forms_are_rejected_by_their_code(content: bytes, code: str) -> None:
    assert rejection(content) == code


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_header_gives_sound_or_a_rejection(data: st.DataObject) -> None:
    base = data.draw(st.sampled_from([encoded(tone(600), container=name) for name in ("WAV", "AIFF", "FLAC")]))
    content = bytearray(base)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 90))] = data.draw(st.integers(0, 255))
    outcome = _outcome(bytes(content))
    assert outcome
    assert "\n" not in outcome


@pytest.mark.parametrize(
    ("container", "subtype", "lost"),
    [
        ("WAV", "PCM_U8", 255),
        ("AIFF", "PCM_S8", 255),
        ("WAV", "PCM_24", 0),
        ("WAV", "PCM_32", 0),
        ("FLAC", "PCM_24", 0),
        ("WAV", "FLOAT", 0),
        ("WAV", "DOUBLE", 0),
        ("W64", "PCM_16", 0),
        ("RF64", "PCM_16", 0),
        ("CAF", "PCM_16", 0),
        ("AU", "PCM_16", 0),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_every_width_and_container_gives_the_mean_of_its_channels(
    container: str, subtype: str, lost: int, channels: int
) -> None:
    parts = np.stack([tone(hertz=200.0 + 50 * n) for n in range(channels)], axis=1)
    values = parts / 32768 if subtype in {"FLOAT", "DOUBLE"} else parts
    content = encoded(values, container=container, subtype=subtype)
    np.testing.assert_allclose(decoded(content), parts.mean(axis=1), atol=lost + 0.51)


@pytest.mark.parametrize(("subtype", "code"), [("ALAW", "alaw"), ("ULAW", "ulaw")])
def test_the_companding_laws_are_expanded_by_the_standard(subtype: str, code: str) -> None:
    samples = tone()
    content = encoded(samples, subtype=subtype)
    codes = np.frombuffer(content[content.index(b"data") + 8 :], dtype=np.uint8)[: len(samples)]
    expand = {"alaw": _alaw, "ulaw": _ulaw}[code]
    np.testing.assert_array_equal(decoded(content), [expand(int(value)) for value in codes])


def _ulaw(value: int) -> int:
    """ITU-T G.711: the mu-law expansion, on the 16-bit scale."""
    value = ~value & 0xFF
    magnitude = (((value & 0x0F) << 3) + 0x84) << (value >> 4 & 7)
    return 0x84 - magnitude if value & 0x80 else magnitude - 0x84


def _alaw(value: int) -> int:
    """ITU-T G.711: the A-law expansion, on the 16-bit scale."""
    value ^= 0x55
    exponent, magnitude = value >> 4 & 7, (value & 0x0F) << 4
    magnitude = magnitude + 8 if exponent == 0 else (magnitude + 0x108) << (exponent - 1)
    return magnitude if value & 0x80 else -magnitude


def sine(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return 20000 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def as_float(values: np.ndarray, rate: int) -> bytes:
    return encoded(values / 32768, rate, subtype="DOUBLE")


@pytest.mark.parametrize("rate", [8000, 8298, 11025, 22050, 24000, 32000, 44099, 44100, 48000, 88200, 96000])
def test_the_pass_band_keeps_amplitude_and_phase(rate: int) -> None:
    """To 0.01 dB, and half a step of rounding, up to 0.85 of the lower Nyquist frequency."""
    for share in (0.05, 0.5, 0.85):
        hertz = share * min(rate, 16000) / 2
        result = decoded(as_float(sine(hertz, rate), rate))
        assert abs(len(result) - 16000) <= 1
        inside = slice(1500, -1500)
        error = (result - sine(hertz, 16000)[: len(result)])[inside]
        allowed = (10 ** (0.01 / 20) - 1) * 20000 / math.sqrt(2) + 0.5
        assert np.sqrt(np.mean(error**2)) < allowed, f"{hertz} Hz from {rate} Hz"


@pytest.mark.parametrize("rate", [22050, 24000, 32000, 44100, 48000, 88200, 96000])
def test_the_stop_band_is_silent(rate: int) -> None:
    """Beyond 1.07 times the new Nyquist frequency nothing is left but the rounding to 16 bits: below -90 dB."""
    for hertz in (8560.0, 0.98 * rate / 2):
        result = decoded(as_float(sine(hertz, rate), rate))[1500:-1500]
        assert np.sqrt(np.mean(result.astype(float) ** 2)) < 20000 / math.sqrt(2) * 10 ** (-90 / 20)


def test_resampling_in_blocks_equals_resampling_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    content = as_float(sine(700.0, 44100) + sine(2900.0, 44100), 44100)
    whole = decoded(content)
    monkeypatch.setattr("pipelines.decode.audio._BLOCK_VALUES", 1000)
    assert len(list(decode_audio(io.BytesIO(content), 16000))) > 40
    np.testing.assert_array_equal(decoded(content), whole)


def test_resampling_agrees_with_another_implementation() -> None:
    import torch
    from torchaudio.functional import resample

    samples = np.random.default_rng(0).normal(scale=0.1, size=48000)
    smooth = np.convolve(samples, np.hanning(25) / 12, mode="same")
    theirs = resample(torch.from_numpy(smooth), 48000, 16000, lowpass_filter_width=128).numpy() * 32768
    ours = decoded(encoded(smooth, 48000, subtype="DOUBLE"))
    assert np.abs(ours - theirs)[500:-500].max() < 3.0


def test_every_odd_file_gives_sound_or_a_rejection(real_corpora: Path) -> None:
    root = real_corpora / "oddbox"
    with (root / "MANIFEST.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    outcomes = {row["path"]: _outcome((root / row["path"]).read_bytes()) for row in rows}
    assert len(outcomes) == 221
    assert all(outcomes.values())
    refused = {row["path"] for row in rows if row["libsndfile_error"]}
    kept = {path for path, outcome in outcomes.items() if outcome == "kept"}
    assert kept & refused <= {"claxon/non_subset.flac"}
    failures = {path: outcome for path, outcome in outcomes.items() if outcome != "kept" and path not in refused}
    assert failures["pocketsphinx/awful.wav"] == "sample_rate"
    assert failures["flac-faulty/03 - wrong bit depth.flac"] == "md5"
    assert failures["scipy/test-44100Hz-le-1ch-4bytes-early-eof.wav"] == "truncated"
    assert len(failures) <= 13


def _outcome(content: bytes) -> str:
    try:
        samples = decoded(content)
    except RejectedSourceError as error:
        return error.code if error.message else ""
    return "kept" if len(samples) and samples.dtype == np.int16 else ""


def test_real_flac_of_every_kind_passes_its_md5(real_corpora: Path) -> None:
    root = real_corpora / "single_speaker"
    for path in [*sorted((root / "flac16k").glob("*.flac"))[:40], *sorted((root / "orig48k_stereo").glob("*.flac"))]:
        information = soundfile.info(path)
        seconds = information.frames / information.samplerate
        assert len(decoded(path.read_bytes())) == pytest.approx(16000 * seconds, abs=1)
