"""From a line of text to the paths of the pen while it is down: the geometry of handwriting, without time.

Within a letter, the pen stays down if the next stroke begins at the end of the last stroke, on the last stroke (the pen
retraces its own ink, as in `n` and `d`), or close by. Script writing also joins letters. The dots and crossbars of a
script word are written after the word, those of a printed letter with the letter.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from pipelines.randomness import keyed_generator
from pipelines.synthesis.glyphs import Letter, load_letters
from pipelines.synthesis.writers import Writer

__all__ = ["advance", "pen_paths"]

_Path = NDArray[np.float64]

# In font units.
_SAME_POINT = 2.0
_NEAR = 11.0
_LONGEST_JOIN = 13.0
_SPACING = 0.5


def advance(text: str, writer: Writer) -> float:
    """The width of `text` in tablet units, without unsteadiness."""
    widths = (writer.word_space if character == " " else _letter(character, writer).width for character in text)
    return sum(widths) * writer.size * writer.aspect


def pen_paths(text: str, writer: Writer, rng: np.random.Generator) -> list[tuple[bool, _Path]]:
    """The paths of one line, in the order of writing.

    Args:
        text: printable ASCII.
        writer: the writer.
        rng: generator of the differences between two writings of the same text.

    Returns:
        For each path, whether it begins a word, and its points, shape (points, 2), in tablet units from the left end of
        the baseline, y downward, about `_SPACING` font units apart.
    """
    paths: list[tuple[bool, _Path]] = []
    left = 0.0
    for word in text.split():
        strokes, width = _word(word, writer, rng)
        paths += [(index == 0, _place(stroke + np.array([left, 0.0]), writer)) for index, stroke in enumerate(strokes)]
        left += width + writer.word_space * rng.uniform(0.8, 1.3)
    wavelength, phase = rng.uniform(1500.0, 4000.0), rng.uniform(0.0, 2 * np.pi)
    for _, path in paths:
        wave = writer.line_wave * np.sin(2 * np.pi * path[:, 0] / wavelength + phase)
        path[:, 1] += writer.line_slope * path[:, 0] + wave
    return paths


def _word(word: str, writer: Writer, rng: np.random.Generator) -> tuple[list[_Path], float]:
    """The strokes of one word, in font units, and its width."""
    strokes: list[_Path] = []
    marks: list[_Path] = []
    left = 0.0
    previous = ""
    for character in word:
        letter = _letter(character, writer)
        body, own_marks = _instance(character, letter, left, writer, rng)
        body = _joined(body)
        both_script = all(one.isalpha() and _is_script(one, writer) for one in previous + character)
        joins = both_script and character.islower() and rng.random() < writer.joins
        if joins and strokes and _distance(strokes[-1][-1], body[0][0]) < _LONGEST_JOIN:
            body[0] = np.concatenate([strokes.pop(), body[0]])
        strokes += body
        if _is_script(character, writer):
            marks += own_marks
        else:
            strokes += own_marks
        left += letter.width * (1.0 + 0.1 * rng.normal(0, writer.unsteadiness))
        previous = character
    return strokes + marks, left


def _letter(character: str, writer: Writer) -> Letter:
    return load_letters(_font(character, writer))[character]


def _instance(
    character: str, letter: Letter, left: float, writer: Writer, rng: np.random.Generator
) -> tuple[list[_Path], list[_Path]]:
    """One writing of a letter: the font's shape, changed by the writer's habits and a little more at random."""
    own = keyed_generator("letter", writer.seed, writer.number, ord(character))
    height = 1.0 + 0.1 * (own.normal(0, writer.own_shape) + rng.normal(0, writer.unsteadiness))
    shift = rng.normal(0, writer.unsteadiness)

    def alter(stroke: _Path) -> _Path:
        bent = stroke + own.normal(0, writer.own_shape, stroke.shape) + rng.normal(0, writer.unsteadiness, stroke.shape)
        return bent * (1.0, height) + (left, shift)

    return [alter(stroke) for stroke in letter.body], [alter(stroke) for stroke in letter.marks]


def _joined(strokes: list[_Path]) -> list[_Path]:
    """Merge the strokes of a letter that the pen can write without being lifted."""
    merged = [strokes[0]]
    for stroke in strokes[1:]:
        last = merged[-1]
        fine = _resample(last)
        distances = np.hypot(*(fine - stroke[0]).T)
        nearest = int(distances.argmin())
        if _distance(last[-1], stroke[-1]) < min(_SAME_POINT, _distance(last[-1], stroke[0])):
            # The pen is at the stroke's end: write the stroke backwards.
            merged[-1] = np.concatenate([last, stroke[::-1]])
        elif distances[nearest] < _SAME_POINT:
            # The stroke begins on the last one's ink, which the pen retraces from its end.
            merged[-1] = np.concatenate([last, fine[nearest:-1][::-1], stroke])
        elif _distance(last[-1], stroke[0]) < _NEAR:
            merged[-1] = np.concatenate([last, stroke])
        else:
            merged.append(stroke)
    return merged


def _font(character: str, writer: Writer) -> str:
    return writer.capital_font if character.isupper() else writer.small_font


def _is_script(character: str, writer: Writer) -> bool:
    return _font(character, writer) == "scripts"


def _place(stroke: _Path, writer: Writer) -> _Path:
    """Round off the corners, slant, and scale to tablet units."""
    fine = gaussian_filter1d(_resample(stroke), writer.rounding / _SPACING, axis=0, mode="nearest")
    leaning = fine[:, 0] * writer.aspect - writer.slant * fine[:, 1]
    return np.stack([leaning, fine[:, 1]], axis=1) * writer.size


def _resample(path: _Path) -> _Path:
    """Equidistant points along the same polyline, `_SPACING` or a little less apart; at least two."""
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    places = np.linspace(0.0, lengths[-1], max(2, int(np.ceil(lengths[-1] / _SPACING)) + 1))
    return np.stack([np.interp(places, lengths, column) for column in path.T], axis=1)


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.hypot(*(a - b)))
