import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import RejectedSourceError
from pipelines.ink import decode_ink

Strokes = list[list[tuple[int, int, int]]]
POINTS = st.tuples(st.integers(-9000, 9000), st.integers(-9000, 9000), st.integers(0, 10**9))
STROKES = st.lists(st.lists(POINTS, min_size=1, max_size=6), min_size=1, max_size=5)


def document(strokes: Strokes, head: str = "") -> bytes:
    body = "".join(
        "<Stroke>" + "".join(f'<Point x="{x}" y="{y}" time="{t // 100}.{t % 100:02d}"/>' for x, y, t in s) + "</Stroke>"
        for s in strokes
    )
    xml = f'<?xml version="1.0" encoding="ISO-8859-1"?>{head}<WhiteboardCaptureSession><StrokeSet>{body}</StrokeSet>'
    return (xml + "</WhiteboardCaptureSession>").encode("latin-1")


def rejection(content: bytes) -> str:
    with pytest.raises(RejectedSourceError) as caught:
        decode_ink(content)
    return caught.value.code


@settings(max_examples=40, deadline=None)
@given(STROKES)
def test_every_point_is_kept_with_its_time_and_the_pen_lifts_at_the_end_of_each_stroke(strokes: Strokes) -> None:
    ink = decode_ink(document(strokes))
    points = [point for stroke in strokes for point in stroke]
    np.testing.assert_array_equal(np.stack([ink.x, ink.y, ink.time], axis=1), points)
    ends = np.cumsum([len(stroke) for stroke in strokes]) - 1
    np.testing.assert_array_equal(np.flatnonzero(ink.pen_up), ends)


def test_entities_and_external_references_are_refused() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;&b;">]>'
    outside = '<!DOCTYPE a SYSTEM "file:///etc/passwd">'
    for head in (bomb, outside):
        assert rejection(document([[(1, 2, 3)]], head)) == "hostile_xml"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"<WhiteboardCaptureSession>", "malformed_xml"),
        (b"<other/>", "wrong_root"),
        (b"<WhiteboardCaptureSession/>", "no_points"),
        (document([[(1, 2, 3)]]).replace(b'x="1"', b'x="1.5"'), "bad_point"),
        (document([[(1, 2, 3)]]).replace(b'x="1"', b'x="99999999999"'), "bad_point"),
        (document([[(1, 2, 3)]]).replace(b'x="1" ', b""), "bad_point"),
        (document([[(1, 2, 3)]]).replace(b'time="0.03"', b'time="nan"'), "bad_point"),
    ],
)
def test_what_is_not_usable_ink_is_rejected_with_its_code(content: bytes, code: str) -> None:
    assert rejection(content) == code
