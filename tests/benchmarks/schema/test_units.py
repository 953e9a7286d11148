import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.errors import StudyError
from benchmarks.schema import units
from benchmarks.schema.base import Measure
from benchmarks.scoring import score

nats = st.floats(-1e7, 1e7)
sizes = st.integers(1, 4000)
stds = st.floats(1e-2, 4e4)
measures = st.sampled_from(["density", "mass"])


def mass_from_density(nats_per_frame: float, frame_size: int, std: float) -> float:
    """Nats per frame of the recorded integers, of a density of frames of `frame_size` integers divided by `std`."""
    return nats_per_frame - frame_size * math.log(std)


def nats_per_frame_from_bits(bits: float, scale: tuple[int, float]) -> float:
    frame_size, log_volume = scale
    return log_volume - bits * frame_size * math.log(2)


def test_timit_has_a_constant_of_1261_nats_a_frame() -> None:
    size, constant = units.bits_scale(200, 548.136, "density")
    assert size == 200
    assert constant == pytest.approx(1261.3, abs=0.05)


def test_a_uniform_mass_over_int16_costs_16_bits() -> None:
    scale = units.bits_scale(200, 548.136, "mass")
    assert units.bits_per_sample(-200 * math.log(65536), scale) == pytest.approx(16.0, rel=1e-14)


@pytest.mark.parametrize("std", [20.0, 548.136])
def test_a_density_of_normalised_frames_costs_the_entropy_of_the_integers_it_stands_for(std: float) -> None:
    """A quantised Gaussian's entropy, summed integer by integer, against the expected log-density of N(0, 1)."""
    edges = np.arange(-32768, 32769) - 0.5
    mass = np.diff(stats.norm(scale=std).cdf(edges))
    entropy = stats.entropy(mass[mass > 0], base=2)
    expected_nats = -200 * 0.5 * math.log(2 * math.pi * math.e)
    bits = units.bits_per_sample(expected_nats, units.bits_scale(200, std, "density"))
    assert bits == pytest.approx(entropy, abs=1e-3)


@given(nats, sizes, stds)
def test_a_density_and_the_mass_that_it_stands_for_cost_the_same_bits(value: float, size: int, std: float) -> None:
    as_mass = mass_from_density(value, size, std)
    of_density = units.bits_per_sample(value, units.bits_scale(size, std, "density"))
    of_mass = units.bits_per_sample(as_mass, units.bits_scale(size, std, "mass"))
    assert of_mass == pytest.approx(of_density, rel=1e-12, abs=1e-12)


@given(nats, sizes, stds, measures)
def test_bits_come_back_as_nats(value: float, size: int, std: float, measure: Measure) -> None:
    scale = units.bits_scale(size, std, measure)
    back = nats_per_frame_from_bits(units.bits_per_sample(value, scale), scale)
    assert back == pytest.approx(value, rel=1e-9, abs=1e-8)


@given(nats, st.integers(1, 10**7), st.integers(1, 10**5))
def test_nats_per_frame_come_back_as_nats_per_sequence(value: float, surplus: int, sequences: int) -> None:
    frames = sequences + surplus
    back = units.nats_per_frame(value, frames, sequences) * frames / sequences
    assert back == pytest.approx(value, rel=1e-12, abs=1e-12)


def test_means_over_sequences_and_over_frames_follow_from_one_total() -> None:
    per_sequence, lengths = np.array([100.0, -20.0, 7.0]), np.array([10, 3, 1])
    mean = units.nats_per_frame(float(per_sequence.mean()), int(lengths.sum()), len(lengths))
    assert mean == pytest.approx(per_sequence.sum() / 14)
    assert mean * 14 / 3 == pytest.approx(29.0)


def test_a_window_of_40_frames_is_40_times_a_frame() -> None:
    assert units.nats_per_frame(9223.0, 40) == pytest.approx(230.575)


def test_more_nats_are_fewer_bits_and_a_wider_std_more() -> None:
    low, high = (units.bits_per_sample(value, units.bits_scale(200, 500.0, "density")) for value in (10.0, 0.0))
    assert low < high < units.bits_per_sample(0.0, units.bits_scale(200, 1000.0, "density"))
    assert units.bits_per_sample(0.0, units.bits_scale(200, 1000.0, "density")) - high == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: units.nats_per_frame(1.0, 0, 1), "frames 0"),
        (lambda: units.nats_per_frame(1.0, 5, 0), "sequences 0"),
        (lambda: units.nats_per_frame(1.0, 2, 3), "frames 2: at least one for each of 3"),
        (lambda: units.nats_per_frame(1.0, -40, -1), "sequences -1"),
        (lambda: units.nats_per_frame(1.0, math.nan, 1), "frames nan"),  # type: ignore[arg-type]
        (lambda: units.nats_per_frame(1.0, math.inf, 1), "frames inf"),  # type: ignore[arg-type]
        (lambda: units.bits_scale(0, 1.0, "density"), "frame_size 0"),
        (lambda: units.bits_scale(2.5, 1.0, "mass"), "frame_size 2.5"),  # type: ignore[arg-type]
        (lambda: units.bits_scale(math.inf, 1.0, "mass"), "frame_size inf"),  # type: ignore[arg-type]
        (lambda: units.bits_scale(200, 0.0, "density"), "std 0.0"),
        (lambda: units.bits_scale(200, -3.0, "mass"), "std -3.0"),
        (lambda: units.bits_scale(200, math.nan, "density"), "std nan"),
        (lambda: units.bits_scale(200, 1.0, "bits"), "measure 'bits'"),  # type: ignore[arg-type]
        (lambda: units.bits_scale(200, math.inf, "density"), "std inf"),
        (lambda: units.bits_scale(-1, 1.0, "density"), "frame_size -1"),
    ],
)
def test_sizes_that_cannot_be_are_refused_in_one_line(call: object, words: str) -> None:
    with pytest.raises(StudyError) as caught:
        call()  # type: ignore[operator]
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_figure_that_is_not_finite_stays_so() -> None:
    scale = units.bits_scale(200, 500.0, "density")
    assert units.bits_per_sample(-math.inf, scale) == math.inf
    assert math.isnan(units.nats_per_frame(math.nan, 10))


def test_scoring_has_the_same_scale() -> None:
    assert score.bits_scale is units.bits_scale
