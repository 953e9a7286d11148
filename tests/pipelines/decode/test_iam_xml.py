from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.decode.iam_xml import WhiteboardReader, read_canonical
from pipelines.decode.ink import decode_ink
from pipelines.decode.xml_reader import read_xml
from pipelines.errors import RejectedSourceError
from pipelines.signals import Ink

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


ODD = st.sampled_from(
    [
        ('x="', 'x="-'),
        ('x="', "x='"),
        ("<Point x", "<Point  x"),
        ("/>", "></Point>"),
        ('time="', 'time="9'),
        (".", ".0"),
        (".", ""),
        ("<Stroke>", '<Stroke colour="black" start_time="1.25" end_time="12.50">'),
        ("<Stroke>", "<Stroke><!-- a comment -->"),
        ("<Stroke>", '\r\n\t<Stroke colour="a" colour="b">'),
        ("</Stroke>", "\n </Stroke>\n"),
        ("</StrokeSet>", "<Stroke/></StrokeSet>"),
        ("ISO-8859-1", "UTF-8"),
        ("ISO-8859-1", "no-such-encoding"),
        (
            "<StrokeSet>",
            '<WhiteboardDescription><SensorLocation corner="top_left"/></WhiteboardDescription><StrokeSet>',
        ),
        ("</WhiteboardCaptureSession>", "</WhiteboardCaptureSession>\n\x00"),
        ("</WhiteboardCaptureSession>", ""),
        ("<WhiteboardCaptureSession>", '<WhiteboardCaptureSession xmlns="urn:other">'),
    ]
)


def by_tree(content: bytes) -> list[tuple[int, int, int, bool]]:
    """The obvious implementation, with a tree."""
    points: list[tuple[int, int, int, bool]] = []
    for stroke in ElementTree.fromstring(content).iter("Stroke"):
        found = [(int(p.attrib["x"]), int(p.attrib["y"]), round(float(p.attrib["time"]) * 100)) for p in stroke]
        points += [(*point, index == len(found)) for index, point in enumerate(found, start=1)]
    return points


def rows(ink: Ink) -> list[tuple[int, int, int, bool]]:
    return list(zip(ink.x.tolist(), ink.y.tolist(), ink.time.tolist(), ink.pen_up.tolist(), strict=True))


@settings(max_examples=150, deadline=None)
@given(STROKES, st.lists(st.tuples(ODD, st.integers(0, 3)), max_size=3))
def test_the_canonical_path_and_the_parser_agree_on_canonical_files(
    strokes: Strokes, changes: list[tuple[tuple[str, str], int]]
) -> None:
    text = document(strokes).decode()
    for (old, new), count in changes:
        text = text.replace(old, new, count)
    content = text.encode()
    if (fast := read_canonical(content, 1)) is not None:
        slow = read_xml(content, {WhiteboardReader.ROOT: WhiteboardReader}).ink(1)
        assert rows(fast) == rows(slow) == by_tree(content)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**12 - 1), st.integers(0, 99))
def test_a_canonical_time_is_what_rounding_its_float_gives(seconds: int, hundredths: int) -> None:
    content = document([[(1, 2, 0)]]).replace(b'"0.00"', f'"{seconds}.{hundredths:02d}"'.encode())
    fast = read_canonical(content, 1)
    assert fast is not None
    assert fast.time.tolist() == [seconds * 100 + hundredths] == [round(float(f"{seconds}.{hundredths:02d}") * 100)]


def test_the_canonical_path_reads_the_recorders_files_and_no_hostile_ones() -> None:
    assert read_canonical(document([[(-1, 2, 3)]]), 1) is not None
    assert read_canonical(document([[(1, 2, 3)]], "<!DOCTYPE a>"), 1) is None
    assert read_canonical(document([[(1, 2, 3)]]).replace(b'x="1"', b'x="1" x="1"'), 1) is None


@pytest.mark.parametrize("name", ["timit", "a&b"])
def test_an_undeclared_entity_is_not_expanded(name: str) -> None:
    assert rejection(document([[(1, 2, 3)]]).replace(b'x="1"', f'x="&{name};"'.encode())) == "malformed_xml"


def test_depth_and_long_attributes_need_no_stack_and_no_long_message() -> None:
    depth = 200_000
    deep = b"<a>" * depth + b"</a>" * depth
    root = b"<WhiteboardCaptureSession>%s</WhiteboardCaptureSession>"
    assert rejection(root % deep) == "no_points"
    assert rejection(deep) == "wrong_root"
    assert rejection(b"<ink>%s</ink>" % deep) == "no_points"
    with pytest.raises(RejectedSourceError) as caught:
        decode_ink(document([[(1, 2, 3)]]).replace(b'x="1"', b'x="%s"' % (b"9" * 2_000_000)))
    assert caught.value.code == "bad_point"
    assert len(caught.value.message) < 200


def test_a_million_points_in_one_stroke_are_read() -> None:
    point = b'<Point x="1" y="2" time="0.03"/>\n'
    content = document([[(1, 2, 3)]]).replace(point.strip(), point * 1_000_000)
    ink = decode_ink(content)
    assert len(ink) == 1_000_000
    assert np.flatnonzero(ink.pen_up).tolist() == [999_999]


def test_coordinates_are_multiplied_by_the_scale_and_stay_within_the_limit() -> None:
    for content in (document([[(-7, 9, 3)]]), document([[(-7, 9, 3)]]).replace(b"/>", b" />")):
        assert rows(decode_ink(content, 100)) == [(-700, 900, 3, True)]
        with pytest.raises(RejectedSourceError, match="beyond"):
            decode_ink(content, 2**23)


def test_a_time_beyond_64_bits_and_a_stroke_within_a_stroke_are_rejected() -> None:
    assert rejection(document([[(1, 2, 3)]]).replace(b'"0.03"', b'"1e300"')) == "bad_point"
    assert rejection(document([[(1, 2, 3)]]).replace(b"<Stroke>", b"<Stroke><Stroke/>")) == "bad_point"
