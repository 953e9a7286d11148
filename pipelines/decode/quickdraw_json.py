"""One Quick, Draw! drawing: a JSON object whose `drawing` is a list of strokes.

A stroke is `[[x...], [y...]]` in the simplified form and `[[x...], [y...], [t...]]` in the raw form, with t in
milliseconds since the first point. y grows downward. A number in JSON may have an exponent that would need all memory
to write out, so fractions and exponents are read as `Decimal` and checked before use.
"""

import json
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import numpy as np

from pipelines.decode.points import Number, make_ink, shorten, to_centiseconds, to_coordinates
from pipelines.errors import RejectedSourceError
from pipelines.signals import Ink

__all__ = ["read_drawing"]

_SIMPLIFIED, _RAW = 2, 3


def read_drawing(content: bytes, scale: int) -> Ink:
    """Read one drawing; the simplified form has no times, so they are set to 0.

    Raises:
        RejectedSourceError: it is not JSON, or its strokes have another shape or unusable numbers.
    """
    strokes = _strokes(_parse(content))
    widths = {len(stroke) for stroke in strokes}
    if len(widths) > 1:
        raise RejectedSourceError("bad_point", "some strokes have times and some have none")
    lengths = [len(stroke[0]) for stroke in strokes]
    x, y = (to_coordinates(_channel(strokes, index), "xy"[index], scale) for index in (0, 1))
    timed = widths == {_RAW}
    time = to_centiseconds(_channel(strokes, 2), 1000) if timed else np.zeros(len(x), dtype=np.int64)
    return make_ink(x, y, time, lengths)


def _parse(content: bytes) -> object:
    try:
        return json.loads(content, parse_float=_decimal, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise RejectedSourceError("malformed_json", "not the JSON of a drawing: nested too deeply") from error
    except ValueError as error:
        raise RejectedSourceError("malformed_json", f"not JSON: {error}") from error


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{shorten(text)} is not a usable number") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _strokes(document: object) -> list[list[list[Any]]]:
    drawing = document.get("drawing") if isinstance(document, dict) else None
    if not isinstance(drawing, list):
        raise RejectedSourceError("bad_point", "the object has no list called drawing")
    for number, stroke in enumerate(drawing, start=1):
        well_formed = isinstance(stroke, list) and len(stroke) in {_SIMPLIFIED, _RAW}
        if not well_formed or not all(isinstance(one, list) and len(one) == len(stroke[0]) for one in stroke):
            shapes = "[[x...], [y...]] or [[x...], [y...], [t...]] of equal lengths"
            raise RejectedSourceError("bad_point", f"stroke {number} is not {shapes}")
    return drawing


def _channel(strokes: list[list[list[Any]]], index: int) -> list[Number]:
    values = [value for stroke in strokes for value in stroke[index]]
    for value in values:
        # By exact type: bool is a subclass of int.
        if type(value) is not int and type(value) is not Decimal:
            raise RejectedSourceError("bad_point", f"a value is a {type(value).__name__}, not a number")
    return values
