"""IAM-OnDB's line format: a `WhiteboardCaptureSession` of `Stroke` elements with `Point x y time`.

There are two readers with the same result. Files from the corpus's own recorder are canonical: their elements and
attributes come in one order, and their numbers are plain. A regular expression that accepts nothing else recognises
them, and their numbers are converted in bulk, five times as fast as through elements. The XML parser reads all other
files, and rejects malformed and hostile ones, which are never canonical.

The time is `round(float(text) * 100)`. For at most 12 digits and exactly two decimals, this equals the digits without
the point, since the two roundings of the float change the product by less than 1/2.
"""

import re
from collections.abc import Mapping

import numpy as np

from pipelines.decode.points import COORDINATE_LIMIT, make_ink, shorten, to_coordinates
from pipelines.errors import RejectedSourceError
from pipelines.signals import Ink

__all__ = ["WhiteboardReader", "read_canonical"]

_LAST_TIME = 2**63 - 1

_GAP = rb"[ \t\r\n]*+"
_TIME = rb'"[0-9]{1,12}\.[0-9]{2}"'
_COORDINATE = rb'"-?[0-9]{1,8}"'
_POINT = rb"<Point x=" + _COORDINATE + rb" y=" + _COORDINATE + rb" time=" + _TIME + rb"/>"
_TIMES = rb" start_time=" + _TIME + rb" end_time=" + _TIME
_CORNER = rb"<(?:Diagonally|Vertically|Horizontally)OppositeCoords x=" + _COORDINATE + rb" y=" + _COORDINATE + rb"/>"
_DESCRIPTION = (
    rb"<WhiteboardDescription>(?:" + _GAP + rb'(?:<SensorLocation corner="[a-z_]+"/>|' + _CORNER + rb"))*+"
    rb"" + _GAP + rb"</WhiteboardDescription>"
)
_OPENING = re.compile(
    rb'(?:<\?xml version="1\.0" encoding="(?:ISO-8859-1|UTF-8)"\?>)?' + _GAP + rb"<WhiteboardCaptureSession>"
    rb"" + _GAP + rb"(?:" + _DESCRIPTION + rb")?" + _GAP + rb"<StrokeSet>"
)
_STROKE = re.compile(
    _GAP + rb'<Stroke(?: colour="[a-z]+")?(?:' + _TIMES + rb")?>((?:" + _GAP + _POINT + rb")++)" + _GAP + rb"</Stroke>"
)
_CLOSING = re.compile(_GAP + rb"</StrokeSet>" + _GAP + rb"</WhiteboardCaptureSession>" + _GAP)
_QUOTES_TO_SPACES = bytes.maketrans(b'"', b" ")
_NOT_OF_NUMBERS = bytes(set(range(256)) - set(b'0123456789-"'))


def read_canonical(content: bytes, scale: int) -> Ink | None:
    """The ink of a canonical file; None for any other file, valid or not."""
    strokes = _canonical_strokes(content)
    if not strokes:
        return None
    numbers = b"".join(strokes).translate(_QUOTES_TO_SPACES, _NOT_OF_NUMBERS)
    x, y, time = np.fromstring(numbers, dtype=np.int64, sep=" ").reshape(-1, 3).T
    if max(np.abs(x).max(), np.abs(y).max()) > COORDINATE_LIMIT // scale:
        return None  # the slow reader rejects it with a message
    lengths = [stroke.count(b"<") for stroke in strokes]
    return make_ink((x * scale).astype(np.int32), (y * scale).astype(np.int32), time.copy(), lengths)


def _canonical_strokes(content: bytes) -> list[bytes]:
    """The bytes of each stroke's points; empty if the file is not canonical."""
    opening = _OPENING.match(content)
    if opening is None:
        return []
    strokes, position = [], opening.end()
    while stroke := _STROKE.match(content, position):
        strokes.append(stroke[1])
        position = stroke.end()
    return strokes if _CLOSING.fullmatch(content, position) else []


class WhiteboardReader:
    """Collects the attributes of points from any well-formed file."""

    ROOT = "WhiteboardCaptureSession"

    def __init__(self) -> None:
        self._points: list[Mapping[str, str]] = []
        self._lengths: list[int] = []
        self._in_stroke = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Handle the start of a stroke or a point; other elements are ignored."""
        if name == "Stroke":
            if self._in_stroke:
                raise RejectedSourceError("bad_point", "a <Stroke> is inside another <Stroke>")
            self._in_stroke = True
            self._lengths.append(0)
        elif name == "Point" and self._in_stroke:
            self._points.append(attributes)
            self._lengths[-1] += 1

    def end(self, name: str) -> None:
        """Handle the end of a stroke."""
        self._in_stroke = self._in_stroke and name != "Stroke"

    def text(self, text: str) -> None:
        """Ignore text: this format has none."""

    def ink(self, scale: int) -> Ink:
        """The collected points.

        Raises:
            RejectedSourceError: there are none, or a point lacks a usable number.
        """
        x, y = (to_coordinates([_coordinate(point, axis) for point in self._points], axis, scale) for axis in "xy")
        times = np.array([_centiseconds(_attribute(point, "time")) for point in self._points], dtype=np.int64)
        return make_ink(x, y, times, self._lengths)


def _attribute(point: Mapping[str, str], name: str) -> str:
    value = point.get(name)
    if value is None:
        raise RejectedSourceError("bad_point", f"a <Point> has no attribute {name}")
    return value


def _coordinate(point: Mapping[str, str], axis: str) -> int:
    text = _attribute(point, axis)
    try:
        return int(text)
    except ValueError as error:
        raise RejectedSourceError("bad_point", f"{axis}={shorten(text)!r} is not an integer") from error


def _centiseconds(text: str) -> int:
    try:
        value = round(float(text) * 100)
    except (ValueError, OverflowError) as error:
        raise RejectedSourceError("bad_point", f"time={shorten(text)!r} is not a number of seconds") from error
    if abs(value) > _LAST_TIME:
        raise RejectedSourceError("bad_point", f"time={shorten(text)} is beyond {_LAST_TIME} hundredths of a second")
    return value
