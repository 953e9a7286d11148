"""The common result of all ink formats: integer points, strokes that end with a lifted pen, time in centiseconds.

Coordinates are kept as recorded and never rounded. Decimal ones are multiplied by an integer that the user chooses, and
a file is rejected if a product is not an integer. Numbers come as `int` or `Decimal`, so decimal fractions are exact.
"""

from collections.abc import Sequence
from decimal import Context, Decimal, Inexact

import numpy as np
import numpy.typing as npt

from pipelines.errors import RejectedSourceError
from pipelines.signals import Ink

__all__ = ["COORDINATE_LIMIT", "Number", "make_ink", "shorten", "to_centiseconds", "to_coordinates"]

Number = int | Decimal

COORDINATE_LIMIT = 2**24
_COORDINATE_DIGITS = 8
_TIME_DIGITS = 16
_SHOWN_CHARACTERS = 40
_EXACT = Context(prec=60, traps=[Inexact])


def make_ink(
    x: npt.NDArray[np.int32], y: npt.NDArray[np.int32], time: npt.NDArray[np.int64], lengths: Sequence[int]
) -> Ink:
    """The ink made of consecutive strokes.

    Args:
        x: `[N]`.
        y: `[N]`.
        time: `[N]`, in hundredths of a second.
        lengths: number of points in each stroke, N in total; a stroke without points is left out.

    Raises:
        RejectedSourceError: there are no points.
    """
    if not len(x):
        raise RejectedSourceError("no_points", "the file holds no stroke with a point")
    pen_up = np.zeros(len(x), dtype=np.bool_)
    pen_up[np.cumsum([length for length in lengths if length]) - 1] = True
    return Ink(x, y, pen_up, time)


def to_coordinates(values: Sequence[Number], axis: str, scale: int) -> npt.NDArray[np.int32]:
    """`values` times `scale`, `[N]`.

    Raises:
        RejectedSourceError: a product is not an integer, or is too large.
    """
    largest = COORDINATE_LIMIT // scale
    # Plain integers within the limit, the usual case, need no exact arithmetic.
    if all(type(value) is int and -largest <= value <= largest for value in values):
        return (np.array(values, dtype=np.int64) * scale).astype(np.int32)
    return np.array([_to_coordinate(value, axis, scale) for value in values], dtype=np.int32)


def _to_coordinate(value: Number, axis: str, scale: int) -> int:
    shown = f"{axis}={shorten(value)}"
    if _digits(value) > _COORDINATE_DIGITS or abs(value * scale) > COORDINATE_LIMIT:
        raise RejectedSourceError("bad_point", f"{shown} times {scale} is beyond {COORDINATE_LIMIT}")
    try:
        return int(_EXACT.to_integral_exact(_EXACT.multiply(value, scale)))
    except Inexact as error:
        advice = "multiply coordinates with --option scale=N"
        raise RejectedSourceError("fractional", f"{shown} times {scale} is not an integer; {advice}") from error


def to_centiseconds(values: Sequence[Number], per_second: int) -> npt.NDArray[np.int64]:
    """Convert times from units of 1 / `per_second` to hundredths of a second, `[N]`, rounded half to even.

    Raises:
        RejectedSourceError: a time is too large.
    """
    if any(_digits(value) > _TIME_DIGITS for value in values):
        raise RejectedSourceError("bad_point", f"a time has more than {_TIME_DIGITS} digits")
    hundredths = (round(Decimal(value) * 100 / per_second) for value in values)
    return np.fromiter(hundredths, dtype=np.int64, count=len(values))


def _digits(value: Number) -> int:
    """The approximate number of digits before the point, without arithmetic on an exponent from a hostile file."""
    return value.adjusted() + 1 if isinstance(value, Decimal) else (value.bit_length() * 3 + 9) // 10


def shorten(value: object) -> str:
    """The value as text that is short enough for a message."""
    text = str(value) if not isinstance(value, int) or value.bit_length() < 999 else "an integer of many digits"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
