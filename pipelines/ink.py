"""From the bytes of an ink file to integer pen points.

The reader is `defusedxml`: entities, DTDs and external references in an untrusted file are refused, never
expanded. Points keep what was recorded: integer coordinates with y growing downward, the time stamp, and
whether the pen leaves the board after the point. Repeated points, one-point strokes and jumps are in the real
data and stay.
"""

from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
import numpy as np
from defusedxml import DefusedXmlException

from pipelines.errors import RejectedSourceError
from pipelines.signals import Ink

__all__ = ["decode_ink"]

_COORDINATE_LIMIT = 2**24
_CENTISECONDS = 100


def decode_ink(content: bytes) -> Ink:
    """Read a `WhiteboardCaptureSession` (IAM-OnDB's line format).

    Raises:
        RejectedSourceError: the file is not well-formed XML, uses what is refused, or holds no usable points.
    """
    if not content:
        raise RejectedSourceError("empty_file", "the file holds no bytes")
    strokes = [list(stroke.iter("Point")) for stroke in _parse(content).iter("Stroke")]
    points = [point for stroke in strokes for point in stroke]
    if not points:
        raise RejectedSourceError("no_points", "the file holds no <Stroke> with a <Point>")
    pen_up = np.zeros(len(points), dtype=np.bool_)
    ends = np.cumsum([len(stroke) for stroke in strokes if stroke]) - 1
    pen_up[ends] = True
    x, y = (np.array([_coordinate(point, axis) for point in points], dtype=np.int32) for axis in ("x", "y"))
    return Ink(x, y, pen_up, np.array([_centiseconds(point) for point in points], dtype=np.int64))


def _parse(content: bytes) -> Element:
    try:
        root = defusedxml.ElementTree.fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise RejectedSourceError("hostile_xml", f"refused: {type(error).__name__}: {error}") from error
    except (ParseError, ValueError, LookupError) as error:
        raise RejectedSourceError("malformed_xml", f"not well-formed XML: {error}") from error
    if root.tag != "WhiteboardCaptureSession":
        raise RejectedSourceError("wrong_root", f"the root is <{root.tag}>, not <WhiteboardCaptureSession>")
    return root


def _attribute(point: Element, name: str) -> str:
    value = point.get(name)
    if value is None:
        raise RejectedSourceError("bad_point", f"a <Point> has no attribute {name}")
    return value


def _coordinate(point: Element, axis: str) -> int:
    text = _attribute(point, axis)
    try:
        value = int(text)
    except ValueError as error:
        raise RejectedSourceError("bad_point", f"{axis}={text!r} is not an integer") from error
    if abs(value) > _COORDINATE_LIMIT:
        raise RejectedSourceError("bad_point", f"{axis}={text} lies beyond {_COORDINATE_LIMIT}")
    return value


def _centiseconds(point: Element) -> int:
    text = _attribute(point, "time")
    try:
        return round(float(text) * _CENTISECONDS)
    except (ValueError, OverflowError) as error:
        raise RejectedSourceError("bad_point", f"time={text!r} is not a number of seconds") from error
