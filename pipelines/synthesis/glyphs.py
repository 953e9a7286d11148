"""Letters as pen strokes, from the Hershey fonts (A. V. Hershey, US National Bureau of Standards, 1967).

The fonts were drawn for pen plotters: a letter is a few centre lines, not an outline, so it can be written with a pen.
Units are the fonts' own: capitals are 21 high, small letters 14 (print) or 9 (script). y grows downward from the
baseline, x to the right from the letter's left edge.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import InputError

__all__ = ["Letter", "load_letters"]

_BASELINE = 9


@dataclass(frozen=True)
class Letter:
    """One letter.

    Attributes:
        body: strokes in writing order, each of shape (points, 2).
        marks: dots and crossbars, which many writers add after the word.
        width: distance from the left edge to the left edge of the next letter.
    """

    body: tuple[NDArray[np.float64], ...]
    marks: tuple[NDArray[np.float64], ...]
    width: float


@cache
def load_letters(font: str) -> Mapping[str, Letter]:
    """The printable ASCII letters of a Hershey font, such as `scripts` or `futural`.

    Raises:
        InputError: the `demo` extra is not installed.
    """
    try:
        hershey = importlib.import_module("HersheyFonts").HersheyFonts()
    except ImportError:
        raise InputError("built-in handwriting needs Hershey-Fonts: pip install 'vrnn-bench[demo]'") from None
    hershey.load_default_font(font)
    letters: dict[str, Letter] = {}
    for character, glyph in hershey.all_glyphs.items():
        origin = (glyph.left_offset, _BASELINE)
        strokes = [np.array(list(stroke), dtype=np.float64) - origin for stroke in glyph.strokes]
        # Dots and crossbars are the flat strokes of these letters.
        is_mark = [character in "fijt" and np.ptp(stroke[:, 1]) <= 2 for stroke in strokes]
        body, marks = (tuple(s for s, mark in zip(strokes, is_mark, strict=True) if mark == kind) for kind in (0, 1))
        letters[character] = Letter(body, marks, float(glyph.char_width))
    return letters
