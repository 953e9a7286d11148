"""Pen offsets become strokes, and strokes pictures: alike in both axes, at one scale, the same every time."""

import io
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.errors import NotFiniteError
from benchmarks.samples.drawing import svg_to_png, to_strokes, to_svg, units_per_point

SVG = "{http://www.w3.org/2000/svg}"


def offsets(count: int, seed: int, lifts: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(0, 20, (count, 2)), rng.random((count, 1)) < lifts], axis=1)


def groups(svg: str) -> dict[str, list[np.ndarray]]:
    """The points of every path, by colour."""
    found: dict[str, list[np.ndarray]] = {}
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        for path in group.findall(f"{SVG}path"):
            pairs = re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.attrib["d"])
            found.setdefault(group.attrib["stroke"], []).append(np.array(pairs, dtype=float))
    return found


@given(count=st.integers(1, 60), seed=st.integers(0, 99), lifts=st.sampled_from([0.0, 0.2, 1.0]))
@settings(deadline=None, max_examples=60)
def test_a_stroke_ends_at_every_lift_and_no_point_is_lost(count: int, seed: int, lifts: float):
    pen = offsets(count, seed, lifts)
    strokes = to_strokes(pen)
    assert len(strokes) == int(pen[:, 2].sum()) + (pen[-1, 2] == 0)
    points = np.concatenate(strokes)
    np.testing.assert_allclose(np.diff(points, axis=0), pen[:, :2], atol=1e-9)
    assert points[0].tolist() == [0, 0]


@given(count=st.integers(1, 60), seed=st.integers(0, 99), prime=st.integers(0, 61))
@settings(deadline=None, max_examples=60)
def test_the_picture_has_every_stroke_in_its_proportions(count: int, seed: int, prime: int):
    pen = offsets(count, seed)
    strokes = to_strokes(pen)
    scale = units_per_point([strokes])
    drawn = groups(to_svg(strokes, scale, prime_points=prime))
    paths = [path for colour in drawn.values() for path in colour]
    ends = np.cumsum([len(stroke) for stroke in strokes])
    split = 0 < prime < ends[-1] and prime not in ends
    assert len(paths) == len(strokes) + split
    assert len(drawn) == 1 + (0 < prime < ends[-1])
    extent = np.ptp(np.concatenate(paths), axis=0)
    np.testing.assert_allclose(extent, np.ptp(np.concatenate(strokes), axis=0) * scale, atol=0.11)
    assert extent.max() == pytest.approx(1000, abs=0.11)


def test_y_grows_downward():
    drawn = groups(to_svg(to_strokes(np.array([[0.0, 10.0, 0.0]])), 1.0))
    ((first, last),) = next(iter(drawn.values()))
    assert last[1] - first[1] == 10


def test_the_prime_has_its_own_colour_and_meets_the_rest_in_one_point():
    strokes = to_strokes(np.array([[10.0, 0.0, 0.0]] * 9))
    given_part, drawn_part = groups(to_svg(strokes, 1.0, prime_points=4)).values()
    assert len(given_part[0]) == 4
    assert len(drawn_part[0]) == 7
    np.testing.assert_array_equal(given_part[0][-1], drawn_part[0][0])


def test_drawings_that_are_made_together_share_one_scale():
    large, small = to_strokes(np.array([[100.0, 0.0, 0.0]])), to_strokes(np.array([[0.0, 25.0, 0.0]]))
    scale = units_per_point([large, small])
    sizes = [np.ptp(next(iter(groups(to_svg(each, scale)).values()))[0]) for each in (large, small)]
    assert sizes[0] / sizes[1] == pytest.approx(4, rel=0.01)


def test_the_pen_is_round_and_nothing_reaches_the_edge():
    svg = to_svg(to_strokes(offsets(50, 3)), 2.0)
    root = ElementTree.fromstring(svg)
    pen = root.find(f"{SVG}g")
    assert pen is not None
    assert pen.attrib["stroke-linecap"] == pen.attrib["stroke-linejoin"] == "round"
    pixels = np.asarray(Image.open(io.BytesIO(svg_to_png(svg))).convert("L"))
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()
    assert pixels.min() < 60


def test_a_single_point_is_a_dot():
    pixels = np.asarray(Image.open(io.BytesIO(svg_to_png(to_svg([np.zeros((1, 2))], 1.0)))).convert("L"))
    dark = np.argwhere(pixels < 128)
    assert len(dark)
    assert np.ptp(dark, axis=0).max() <= 3


def test_the_same_strokes_give_the_same_bytes_and_a_picture_of_the_stated_size():
    svgs = [to_svg(to_strokes(offsets(80, 5)), 1.5, title="a") for _ in range(2)]
    pngs = [svg_to_png(svg) for svg in svgs]
    assert svgs[0] == svgs[1]
    assert pngs[0] == pngs[1]
    root = ElementTree.fromstring(svgs[0])
    width, height = Image.open(io.BytesIO(pngs[0])).size
    assert width == pytest.approx(float(root.attrib["width"]), abs=1)
    assert height == pytest.approx(float(root.attrib["height"]), abs=1)


def test_a_title_may_contain_anything():
    svg = to_svg(to_strokes(offsets(3, 0)), 1.0, title="<&\"'>\x00\x1b end")
    title = ElementTree.fromstring(svg).find(f"{SVG}title")
    assert title is not None
    assert title.text == "<&\"'> end"
    svg_to_png(svg)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_non_finite_values_are_refused(value: float):
    pen = offsets(10, 0)
    pen[4, 1] = value
    with pytest.raises(NotFiniteError, match="1 of 10 pen offsets"):
        to_strokes(pen)
