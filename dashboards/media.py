"""Samples as things that a page can hold: audio players, waveforms and pen drawings.

Waveforms of one corpus share one scale of amplitude and of time, and drawings of one corpus one size of ink, so that a
generated whisper does not look like speech, nor a dot like a word.
"""

import base64
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile

from dashboards.errors import ReportError
from dashboards.record import Sample

__all__ = ["Clip", "Drawing", "clips", "drawings"]

WAVE_COLUMNS = 240
WAVE_HEIGHT = 60
INK_UNITS = 1000.0
LEAST_EXTENT = 1e-6
"""Pen units; less than this is a point, which no scale makes larger."""
INK_MARGIN = 0.03

Strokes = list[list[tuple[float, float]]]


@dataclass(frozen=True)
class Clip:
    """An utterance.

    Attributes:
        url: a data URL of the FLAC file.
        path: SVG path of the envelope in a box of `WAVE_COLUMNS` by `WAVE_HEIGHT`.
        seconds: duration.
        share: duration as a fraction of the longest clip's, for drawing all on one time scale.
        prime: where in the box the recorded beginning ends; None where there is none.
        prime_seconds: its duration.
    """

    caption: str
    role: str
    url: str
    path: str
    seconds: float
    share: float
    prime: float | None = None
    prime_seconds: float = 0.0


@dataclass(frozen=True)
class Drawing:
    """A pen trace.

    Attributes:
        path: SVG path of the strokes, y downward; of those after the recorded beginning, where there is one.
        prime_path: of the recorded beginning.
        mark: where it ends; None where there is none.
        width: of the drawing's box, in units of which the largest drawing of the corpus measures `INK_UNITS`.
        height: of the same box.
    """

    caption: str
    role: str
    path: str
    width: float
    height: float
    prime_path: str = ""
    mark: tuple[float, float] | None = None


def clips(samples: Sequence[Sample]) -> list[Clip]:
    """The spoken samples, in order, scaled by the loudest and the longest of them.

    Raises:
        ReportError: a file cannot be decoded.
    """
    decoded = [(sample, *_decode(sample)) for sample in samples if sample.kind == "speech"]
    peak = max((float(np.abs(signal).max(initial=0.0)) for _, signal, _ in decoded), default=0.0) or 1.0
    longest = max((len(signal) / rate for _, signal, rate in decoded), default=0.0) or 1.0
    return [
        Clip(
            caption=sample.caption,
            role=sample.role,
            url="data:audio/flac;base64," + base64.b64encode(sample.content).decode(),
            path=_envelope(signal / peak),
            seconds=len(signal) / rate,
            share=len(signal) / rate / longest,
            prime=round(WAVE_COLUMNS * sample.prime / len(signal), 1) if 0 < sample.prime < len(signal) else None,
            prime_seconds=sample.prime / rate,
        )
        for sample, signal, rate in decoded
    ]


def _decode(sample: Sample) -> tuple[np.ndarray, int]:
    """The first channel, as float64 in [-1, 1], and its rate in Hz."""
    try:
        signal, rate = soundfile.read(io.BytesIO(sample.content), dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ReportError(f"sample {sample.file!r} cannot be decoded ({error}): generate it again") from error
    return signal[:, 0], rate


def _envelope(signal: np.ndarray) -> str:
    """A closed outline of the highest and lowest value of each column, so that no peak is lost."""
    if not signal.size:
        return ""
    columns = np.array_split(signal, min(WAVE_COLUMNS, signal.size))
    step = WAVE_COLUMNS / len(columns)
    middle = WAVE_HEIGHT / 2
    upper = [f"{(i + 0.5) * step:.1f} {middle - c.max() * middle:.1f}" for i, c in enumerate(columns)]
    lower = [f"{(i + 0.5) * step:.1f} {middle - c.min() * middle:.1f}" for i, c in enumerate(columns)]
    return "M" + "L".join(upper + lower[::-1]) + "Z"


def drawings(samples: Sequence[Sample]) -> list[Drawing]:
    """The pen samples, in order, all at one scale.

    Raises:
        ReportError: a file is not strokes of finite points.
    """
    traces = [(sample, _strokes(sample)) for sample in samples if sample.kind == "pen"]
    extent = max((max(_size(strokes)) for _, strokes in traces), default=0.0)
    scale = INK_UNITS / extent if extent >= LEAST_EXTENT else 1.0
    return [_drawing(sample, strokes, scale) for sample, strokes in traces]


def _strokes(sample: Sample) -> Strokes:
    try:
        strokes = [[(float(x), float(y)) for x, y in stroke] for stroke in json.loads(sample.content)["strokes"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ReportError(f"sample {sample.file!r} is not pen strokes ({error!r}): generate it again") from error
    if not all(math.isfinite(value) for stroke in strokes for point in stroke for value in point):
        raise ReportError(f"sample {sample.file!r} has a point that is not finite: generate it again")
    return [stroke for stroke in strokes if stroke]


def _corners(strokes: Strokes) -> tuple[float, float, float, float]:
    points = [point for stroke in strokes for point in stroke] or [(0.0, 0.0)]
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _size(strokes: Strokes) -> tuple[float, float]:
    left, top, right, bottom = _corners(strokes)
    return right - left, bottom - top


def _drawing(sample: Sample, strokes: Strokes, scale: float) -> Drawing:
    left, top, _, _ = _corners(strokes)
    width, height = _size(strokes)
    margin = INK_MARGIN * INK_UNITS
    placed = [[((x - left) * scale + margin, (y - top) * scale + margin) for x, y in s] for s in strokes]
    given, made = _divided(placed, sample.prime)
    return Drawing(
        caption=sample.caption,
        role=sample.role,
        path="".join(map(_stroke_path, made)),
        width=round(width * scale + 2 * margin, 1),
        height=round(height * scale + 2 * margin, 1),
        prime_path="".join(map(_stroke_path, given)),
        mark=(round(given[-1][-1][0], 1), round(given[-1][-1][1], 1)) if given else None,
    )


def _divided(strokes: Strokes, first: int) -> tuple[Strokes, Strokes]:
    """The strokes of the first so many points and of the others; one that goes on is in both, joined at a point."""
    before: Strokes = []
    after: Strokes = []
    for stroke in strokes:
        if first > 0:
            before.append(stroke[:first])
        if first < len(stroke):
            after.append(stroke[max(first - 1, 0) :])
        first -= len(stroke)
    return before, after


def _stroke_path(stroke: Sequence[tuple[float, float]]) -> str:
    """A polyline; a lone point ends where it starts, which a round cap draws as a dot."""
    points = stroke if len(stroke) > 1 else [stroke[0], stroke[0]]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
