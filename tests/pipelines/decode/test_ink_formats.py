import contextlib
import json
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.decode.ink import decode_ink
from pipelines.errors import RejectedSourceError

COORDINATES = st.integers(-9000, 9000)
STROKES = st.lists(st.lists(st.tuples(COORDINATES, COORDINATES, st.integers(0, 10**9)), max_size=6), max_size=5)


def inkml(body: str, head: str = "") -> bytes:
    return f'<?xml version="1.0"?><ink xmlns="http://www.w3.org/2003/InkML">{head}{body}</ink>'.encode()


def trace_format(*channels: str) -> str:
    return f"<traceFormat>{''.join(f'<channel {channel}/>' for channel in channels)}</traceFormat>"


def points(content: bytes, scale: int = 1) -> list[tuple[int, int]]:
    ink = decode_ink(content, scale)
    return list(zip(ink.x.tolist(), ink.y.tolist(), strict=True))


def rejection(content: bytes, scale: int = 1) -> RejectedSourceError:
    with pytest.raises(RejectedSourceError) as caught:
        decode_ink(content, scale)
    return caught.value


@settings(max_examples=40, deadline=None)
@given(STROKES.filter(any))
def test_every_point_of_inkml_is_kept_with_its_time_and_the_pen_lifts_at_the_end_of_each_trace(
    strokes: list[list[tuple[int, int, int]]],
) -> None:
    traces = "".join(f"<trace>{', '.join(f'{x} {y} {t}' for x, y, t in stroke)}</trace>" for stroke in strokes)
    ink = decode_ink(inkml(traces, trace_format('name="X"', 'name="Y"', 'name="T" units="ms"')))
    flat = [point for stroke in strokes for point in stroke]
    assert ink.x.tolist() == [x for x, _, _ in flat]
    assert ink.y.tolist() == [y for _, y, _ in flat]
    assert ink.time.tolist() == [round(Decimal(t) / 10) for _, _, t in flat]
    ends = np.cumsum([len(stroke) for stroke in strokes if stroke]) - 1
    np.testing.assert_array_equal(np.flatnonzero(ink.pen_up), ends)


def test_channels_come_in_any_order_and_others_are_ignored() -> None:
    head = trace_format('name="F"', 'name="T" units="s"', 'name="Y"', 'name="B" type="boolean"', 'name="X"')
    ink = decode_ink(inkml("<trace>7 0.126 2 T 1, * 1.5 4 ? 3</trace>", head))
    assert (ink.x.tolist(), ink.y.tolist(), ink.time.tolist()) == ([1, 3], [2, 4], [13, 150])


def test_intermittent_channels_may_be_left_out_of_a_point() -> None:
    extra = '<intermittentChannels><channel name="S"/></intermittentChannels>'
    head = f'<traceFormat><channel name="X"/><channel name="Y"/>{extra}</traceFormat>'
    assert points(inkml("<trace>1 2 T, 3 4, 5 6 F</trace>", head)) == [(1, 2), (3, 4), (5, 6)]


def test_differences_give_the_positions_of_the_recommendations_example() -> None:
    head = (
        '<traceFormat><channel name="X"/><channel name="Y"/><intermittentChannels>'
        '<channel name="S" type="boolean"/><channel name="B" type="boolean"/></intermittentChannels></traceFormat>'
    )
    trace = "1125 18432,'23'43,\"7\"-8,3-5,7 -3,6 2,6 8,3 6 T,2 4*T,3 6,3-6 F F"
    x = [1125, 1148, 1178, 1211, 1251, 1297, 1349, 1404, 1461, 1521, 1584]
    y = [18432, 18475, 18510, 18540, 18567, 18596, 18633, 18676, 18723, 18776, 18823]
    assert points(inkml(f"<trace>{trace}</trace>".replace('"', "&quot;"), head)) == list(zip(x, y, strict=True))


@settings(max_examples=60, deadline=None)
@given(st.lists(COORDINATES, min_size=1, max_size=8), st.data())
def test_positions_are_the_same_however_they_are_encoded(values: list[int], data: st.DataObject) -> None:
    velocity, encoded = 0, [str(values[0])]
    for previous, value in pairwise(values):
        order = data.draw(st.sampled_from("!'\""))
        difference = value - previous
        encoded.append(order + str({"!": value, "'": difference, '"': difference - velocity}[order]))
        velocity = difference
    assert points(inkml(f"<trace>{','.join(f'{v} 0' for v in encoded)}</trace>")) == [(value, 0) for value in values]


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        ("1-2", [(1, -2)]),
        ("#1F -#a,", [(31, -10)]),
        ("\n 1.5.5 , - 2 1e1 ", [(150, 50), (-200, 1000)]),
        ("1 2,'3 !4,5 6", [(100, 200), (400, 400), (900, 600)]),
        ("0.29 1.1", [(29, 110)]),
    ],
)
def test_numbers_are_read_by_the_grammar(trace: str, expected: list[tuple[int, int]]) -> None:
    scale = 100 if expected[0] not in {(1, -2), (31, -10)} else 1
    assert points(inkml(f"<trace>{trace}</trace>"), scale) == expected


def test_hovering_and_definitions_are_left_out_and_groups_are_entered() -> None:
    head = "<definitions><trace>9 9</trace></definitions>"
    body = (
        '<traceGroup><trace>1 1</trace><traceGroup><trace type="penUp">8 8</trace>'
        '<trace type="penDown"><!-- -->2 2</trace></traceGroup></traceGroup><trace> </trace><trace>3 3</trace>'
    )
    assert points(inkml(body, head)) == [(1, 1), (2, 2), (3, 3)]
    assert points(inkml(body, head).replace(b' xmlns="http://www.w3.org/2003/InkML"', b"")) == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize(
    ("body", "head", "code"),
    [
        ("", "", "no_points"),
        ("<trace/>", "", "no_points"),
        ("<trace>1</trace>", "", "bad_point"),
        ("<trace>1 2,,3 4</trace>", "", "bad_point"),
        ("<trace>1 two</trace>", "", "bad_point"),
        ("<trace>1 *</trace>", "", "bad_point"),
        ("<trace>'1 2</trace>", "", "bad_point"),
        ("<trace>1 1e999</trace>", "", "bad_point"),
        ("<trace>1 99999999</trace>", "", "bad_point"),
        ("<trace>1 1e99999</trace>", "", "bad_point"),
        ("<trace>1 ٣</trace>", "", "bad_point"),
        ("<trace>1 2.5</trace>", "", "fractional"),
        ("<trace>1 1e-999</trace>", "", "fractional"),
        (f"<trace>1 2.{'0' * 300}1</trace>", "", "fractional"),
        ("<trace>1 2</trace>", trace_format('name="X"', 'name="T"'), "bad_point"),
        ("<trace>1 2</trace>", trace_format('name="X"', 'name="X"', 'name="Y"'), "bad_point"),
        ("<trace>1 2 3</trace>", trace_format('name="X"', 'name="Y"', 'name="T" units="week"'), "bad_point"),
        ("<trace>1 2 1e99</trace>", trace_format('name="X"', 'name="Y"', 'name="T"'), "bad_point"),
        ('<trace continuation="begin">1 2</trace>', "", "unsupported_ink"),
        ("<trace>1 2</trace>", trace_format('name="X"', 'name="Y"') + trace_format('name="Y"'), "unsupported_ink"),
    ],
)
def test_inkml_that_cannot_be_read_without_guessing_is_rejected(body: str, head: str, code: str) -> None:
    assert rejection(inkml(body, head)).code == code


def test_inkml_with_a_document_type_is_hostile() -> None:
    content = inkml("<trace>1 2</trace>").replace(b"?><ink", b'?><!DOCTYPE ink SYSTEM "http://host/ink.dtd"><ink')
    assert rejection(content).code == "hostile_xml"


def test_a_trace_of_blanks_and_signs_takes_linear_time() -> None:
    for filler in ("!" + " " * 300_000, "1" * 300_000, "1 " + " " * 300_000 + "T", "- " * 150_000):
        assert rejection(inkml(f"<trace>{filler} x</trace>")).code == "bad_point"


def test_fractional_coordinates_name_the_option_that_helps() -> None:
    error = rejection(inkml("<trace>1.25 2</trace>"), 2)
    assert error.code == "fractional"
    assert "X=1.25 times 2" in error.message
    assert "--option scale=N" in error.message
    assert points(inkml("<trace>1.25 2</trace>"), 4) == [(5, 8)]


def drawing(strokes: object, **fields: object) -> bytes:
    return json.dumps({"word": "cat", "drawing": strokes} | fields).encode()


def test_a_simplified_drawing_has_zeros_for_times() -> None:
    ink = decode_ink(drawing([[[1, 2], [3, 4]], [[], []], [[5], [-6]]]))
    assert (ink.x.tolist(), ink.y.tolist(), ink.time.tolist()) == ([1, 2, 5], [3, 4, -6], [0, 0, 0])
    assert ink.pen_up.tolist() == [False, True, True]


def test_a_raw_drawing_has_its_milliseconds_as_hundredths_of_a_second() -> None:
    ink = decode_ink(b"\xef\xbb\xbf \n" + drawing([[[1.5, 2], [3, 4.25], [0, 16]], [[5], [6], [1234.9]]]), 4)
    assert (ink.x.tolist(), ink.y.tolist(), ink.time.tolist()) == ([6, 8, 20], [12, 17, 24], [0, 2, 123])


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "malformed_json"),
        (b'{"drawing": [[[NaN], [1]]]}', "malformed_json"),
        (b'{"drawing": [[[1], [-Infinity]]]}', "malformed_json"),
        (b'{"drawing": [[[1], [%s]]]}' % (b"9" * 5000), "malformed_json"),
        (b'{"drawing": [[[1], [1e99999999999999999999]]]}', "malformed_json"),
        (b'{"drawing": %s}' % (b"[" * 100_000), "malformed_json"),
        (b'{"drawing": "\xff"}', "malformed_json"),
        (b'{"drawing": [[[1], [1e999999999]]]}', "bad_point"),
        (b"{}", "bad_point"),
        (b"[1, 2]", "bad_point"),
        (drawing({}), "bad_point"),
        (drawing([[[1, 2], [3]]]), "bad_point"),
        (drawing([[[1], [2], [3], [4]]]), "bad_point"),
        (drawing([[[1]]]), "bad_point"),
        (drawing([[1, 2]]), "bad_point"),
        (drawing([[[True], [1]]]), "bad_point"),
        (drawing([[["1"], [1]]]), "bad_point"),
        (drawing([[[None], [[[]]]]]), "bad_point"),
        (drawing([[[2**40], [1]]]), "bad_point"),
        (drawing([[[1], [1]], [[1], [1], [1]]]), "bad_point"),
        (drawing([[[1], [1], [10**30]]]), "bad_point"),
        (drawing([[[1.5], [1]]]), "fractional"),
        (drawing([[[1], [1e-300]]]), "fractional"),
        (drawing([]), "no_points"),
        (drawing([[[], []]]), "no_points"),
    ],
)
def test_a_malformed_drawing_is_rejected_with_its_code(content: bytes, code: str) -> None:
    assert rejection(content).code == code


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"", b"{", b"<ink>", b"<ink><trace>", b'{"drawing": [[']))
def test_arbitrary_bytes_are_ink_or_a_reject_and_nothing_else(content: bytes, start: bytes) -> None:
    with contextlib.suppress(RejectedSourceError):
        assert len(decode_ink(start + content))
