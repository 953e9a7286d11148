import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipelines.decode.headers import sphere_header
from pipelines.errors import RejectedSourceError
from tests.pipelines.sound_files import decoded, encoded, sphere, tone


def rejection(content: bytes) -> str:
    with pytest.raises(RejectedSourceError) as caught:
        decoded(content)
    return caught.value.code


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(np.int16, st.integers(1, 500)))
def test_sixteen_bit_mono_at_the_rate_comes_out_bit_for_bit_from_any_container(samples: np.ndarray) -> None:
    for content in (sphere(samples), encoded(samples), encoded(samples, container="FLAC")):
        np.testing.assert_array_equal(decoded(content), samples)


@pytest.mark.parametrize(("field", "lie"), [("sample_count", 3999), ("sample_min", -1), ("sample_max", 12345)])
def test_a_sphere_header_that_contradicts_the_samples_is_rejected_by_the_wrong_field(field: str, lie: int) -> None:
    assert rejection(sphere(tone(), **{field: lie})) == field


def test_a_sphere_header_without_optional_extremes_is_accepted() -> None:
    samples = tone()
    np.testing.assert_array_equal(decoded(sphere(samples, sample_min=None, sample_max=None)), samples)


@pytest.mark.parametrize(("byte", "becomes"), [(b"\r", b"\n"), (b"\n", b"\r")])
def test_line_ending_conversion_is_found_even_if_length_and_extremes_match(byte: bytes, becomes: bytes) -> None:
    samples = tone(20000)
    content = sphere(samples)
    altered = content[:1024] + content[1024:].replace(byte, becomes)
    kept = np.frombuffer(altered[1024:], "<i2")
    assert len(kept) == len(samples)
    assert rejection(sphere(kept.astype(np.int16))) == "line_endings"
    assert rejection(encoded(kept.astype(np.int16))) == "line_endings"


def test_a_quiet_recording_with_few_byte_values_is_not_taken_for_damage() -> None:
    samples = np.where(np.arange(4000) % 7 < 3, 12, 15).astype(np.int16)
    np.testing.assert_array_equal(decoded(encoded(samples)), samples)


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "empty_file"), (b"not a sound file at all", "undecodable"), (encoded(tone())[:30], "undecodable")],
)
def test_a_file_without_sound_is_rejected_with_its_code(content: bytes, code: str) -> None:
    assert rejection(content) == code


def test_a_file_without_samples_is_rejected() -> None:
    assert rejection(encoded(np.zeros(0, dtype=np.int16))) == "no_samples"


def test_samples_that_are_not_finite_are_rejected() -> None:
    samples = np.array([0.0, np.nan, 0.5], dtype=np.float32)
    assert rejection(encoded(samples, subtype="FLOAT")) == "not_finite"


def test_channels_are_averaged() -> None:
    left, right = tone(hertz=200), tone(hertz=300)
    mono = decoded(encoded(np.stack([left, right], axis=1)))
    np.testing.assert_allclose(mono, (left.astype(float) + right) / 2, atol=0.51)


def test_resampling_keeps_a_tone_in_the_pass_band_and_removes_one_beyond_the_new_nyquist() -> None:
    rate, count = 48000, 48000
    inside = decoded(encoded(_sine(1000.0, rate, count), rate))[2000:-2000].astype(float)
    expected = _sine(1000.0, 16000, 16000)[2000:-2000]
    assert np.abs(inside - expected).max() < 30
    beyond = decoded(encoded(_sine(9500.0, rate, count), rate))[2000:-2000].astype(float)
    assert np.sqrt(np.mean(beyond**2)) < 10000 / np.sqrt(2) * 1e-2


def _sine(hertz: float, rate: int, count: int) -> np.ndarray:
    return np.rint(10000 * np.sin(2 * np.pi * hertz * np.arange(count) / rate)).astype(np.int16)


@pytest.mark.parametrize(
    "content", [b"NIST_1A\n   1024\nsample_count -i 3\n", b"NIST_1A\n   1024\nsample_count\nend_head\n"]
)
def test_a_malformed_sphere_header_is_rejected(content: bytes) -> None:
    with pytest.raises(RejectedSourceError) as caught:
        sphere_header(content)
    assert caught.value.code == "sphere_header"
