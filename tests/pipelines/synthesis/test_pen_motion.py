import dataclasses
import string

import numpy as np
import pytest

from pipelines.synthesis.glyphs import load_letters
from pipelines.synthesis.lettering import advance, pen_paths
from pipelines.synthesis.pen_motion import SAMPLE_SECONDS, write_paths
from pipelines.synthesis.writers import Writer, invent_writer

STEADY = {
    "size": 10.0,
    "aspect": 1.0,
    "slant": 0.0,
    "own_shape": 0.0,
    "unsteadiness": 0.0,
    "rounding": 0.1,
    "line_slope": 0.0,
    "line_wave": 0.0,
    "tremor": 0.0,
    "speed": 2000.0,
}


def steady_writer(font: str, **changes: float) -> Writer:
    fonts = {"small_font": font, "capital_font": font}
    return dataclasses.replace(invent_writer(0, 0), **(STEADY | fonts | changes))


def circle(radius: float) -> np.ndarray:
    angle = np.linspace(0, 6 * np.pi, 3000)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def cruising_speed(path: np.ndarray) -> float:
    """Units per second in the middle of a stroke."""
    [stroke] = write_paths([(True, path)], steady_writer("futural"), np.random.default_rng(0))
    middle = stroke.points[len(stroke.points) // 3 : 2 * len(stroke.points) // 3]
    return float(np.hypot(*np.diff(middle, axis=0).T).mean()) / SAMPLE_SECONDS


@pytest.mark.parametrize("font", ["scripts", "futural"])
@pytest.mark.parametrize("character", string.ascii_letters + ".,'?")
def test_every_point_of_a_letter_is_written(font, character):
    # No stroke is lost in reordering, reversing and joining: the font's own points are the oracle.
    written = np.concatenate([path for _, path in pen_paths(character, steady_writer(font), np.random.default_rng(0))])
    letter = load_letters(font)[character]
    for stroke in letter.body + letter.marks:
        for point in stroke:
            assert np.hypot(*(written / 10 - point).T).min() < 0.3


def test_a_script_word_is_joined_and_its_dots_come_last():
    def lifts(joins: float) -> list[np.ndarray]:
        writer = steady_writer("scripts", joins=joins)
        return [path for _, path in pen_paths("minim", writer, np.random.default_rng(0))]

    joined, apart = lifts(1.0), lifts(0.0)
    assert len(joined) == 3
    assert len(apart) == 7
    for paths in (joined, apart):
        assert all(dot[:, 1].max() < -90 and np.ptp(dot, axis=0).max() < 40 for dot in paths[-2:])
    assert np.ptp(joined[0][:, 0]) > 400


def test_a_printed_word_is_not_joined_and_n_needs_no_lift():
    paths = pen_paths("nun", steady_writer("futural", joins=1.0), np.random.default_rng(0))
    assert [starts for starts, _ in paths] == [True, False, False]


def test_paths_have_no_gaps_and_words_go_rightward():
    paths = pen_paths("Two lazy foxes", invent_writer(3, 1), np.random.default_rng(0))
    assert max(np.hypot(*np.diff(path, axis=0).T).max() for _, path in paths) < 60
    assert sum(starts for starts, _ in paths) == 3
    left_ends = [path[:, 0].min() for starts, path in paths if starts]
    assert left_ends == sorted(left_ends)


def test_advance_is_about_the_width_that_is_written():
    writer = steady_writer("futural")
    text = "the quick fox and the lazy dog"
    ink = np.concatenate([path for _, path in pen_paths(text, writer, np.random.default_rng(0))])
    assert np.ptp(ink[:, 0]) == pytest.approx(advance(text, writer), rel=0.1)


def test_the_same_letters_of_one_writer_resemble_each_other_more_than_anothers():
    def outline(number: int, seed: int) -> np.ndarray:
        shape = {"own_shape": 0.8, "unsteadiness": 0.2}
        writer = dataclasses.replace(steady_writer("futural", **shape), number=number)
        [(_, path)] = pen_paths("s", writer, np.random.default_rng(seed))
        path = path[np.linspace(0, len(path) - 1, 50).astype(int)]
        return path - path.mean(axis=0)

    own = np.mean([np.abs(outline(n, 1) - outline(n, 2)).mean() for n in range(12)])
    others = np.mean([np.abs(outline(n, 1) - outline(n + 1, 2)).mean() for n in range(12)])
    assert own < 0.7 * others


def test_speed_follows_the_curvature_to_the_power_of_minus_a_third():
    # v = V (1 + (R / r)^2)^(-1/6), far from the ends.
    for radius in (40.0, 80.0, 400.0):
        expected = 2000.0 * (1 + (300.0 / radius) ** 2) ** (-1 / 6)
        assert cruising_speed(circle(radius)) == pytest.approx(expected, rel=0.03)


def test_a_straight_line_is_written_at_full_speed_and_begins_and_ends_slowly():
    line = np.stack([np.linspace(0, 4000, 2000), np.zeros(2000)], axis=1)
    assert cruising_speed(line) == pytest.approx(2000.0, rel=0.01)
    [stroke] = write_paths([(True, line)], steady_writer("futural"), np.random.default_rng(0))
    steps = np.diff(stroke.points[:, 0])
    assert steps[0] < 12
    assert steps[-1] < 12
    np.testing.assert_allclose(steps, steps[::-1], atol=2)
    assert stroke.points[0].tolist() == [0, 0]
    assert stroke.points[-1].tolist() == [4000, 0]


def test_a_lift_takes_time_and_a_longer_distance_takes_longer():
    def gap(distance: float) -> float:
        here = np.stack([np.linspace(0, 50, 20), np.zeros(20)], axis=1)
        there = here + np.array([50 + distance, 0])
        gaps = []
        for seed in range(20):
            first, second = write_paths(
                [(True, here), (False, there)], steady_writer("futural"), np.random.default_rng(seed)
            )
            gaps.append((second.first_sample - first.first_sample - len(first.points)) * SAMPLE_SECONDS)
        assert min(gaps) > 0.02
        return float(np.mean(gaps))

    assert gap(2000) - gap(0) == pytest.approx(1.0, abs=0.02)


def test_a_single_dot_gives_at_least_one_point():
    dot = np.full((2, 2), 7.0)
    [stroke] = write_paths([(True, dot)], steady_writer("futural"), np.random.default_rng(0))
    assert stroke.points.tolist() == [[7, 7]]
