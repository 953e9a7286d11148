"""Samples as things that a page can hold: audio players, waveforms, spectrograms and pen drawings.

Clips of one corpus are played at one loudness, and their waveforms share one scale of amplitude and of time; drawings
of one corpus share one size of ink, so that a dot does not look like a word.
"""

import base64
import hashlib
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile

from dashboards.errors import ReportError
from dashboards.media.loudness import Levelled, Sound, equalise
from dashboards.media.sound_files import Container, encode
from dashboards.media.spectrograms import Spectrogram, spectrograms
from dashboards.report.study_record import Sample
from dashboards.text import typeset

__all__ = ["WAVE_BOX", "Clip", "Drawing", "clips", "digest", "drawings"]

WAVE_COLUMNS = 240
WAVE_HEIGHT = 60
WAVE_BOX = f"0 0 {WAVE_COLUMNS} {WAVE_HEIGHT}"
INK_UNITS = 1000.0
LEAST_EXTENT = 1e-6
"""Pen units; less than this is a point, which no scale makes larger."""
INK_MARGIN = 0.03

Strokes = list[list[tuple[float, float]]]


@dataclass(frozen=True)
class Clip:
    """An utterance.

    Attributes:
        digest: of the file's content, which tells it from others of its source.
        url: a data URL of the FLAC or OGG file, at the corpus's common loudness.
        path: SVG path of the envelope of what is played in a box of `WAVE_COLUMNS` by `WAVE_HEIGHT`.
        spectrogram: of what is played.
        seconds: duration.
        rate: in Hz.
        share: duration as a fraction of the longest clip's, for drawing all on one time scale.
        before: loudness of the file in LUFS; None where it has none.
        gain: by how much it was scaled, or why it was not, in words.
        after: loudness of what is played in LUFS; None where it has none.
        prime: where in the box the recorded beginning ends; None where there is none.
        prime_seconds: its duration.
    """

    digest: str
    caption: str
    role: str
    url: str
    path: str
    spectrogram: Spectrogram
    seconds: float
    rate: int
    share: float
    before: float | None
    gain: str
    after: float | None
    prime: float | None = None
    prime_seconds: float = 0.0

    @property
    def seen(self) -> str:
        """What the waveform and the spectrogram show, in figures."""
        level = f"at {typeset(self.after, '.1f')} LUFS" if self.after is not None else "not levelled"
        picture = self.spectrogram
        energy = f"{picture.share:.0%} of the energy lies at {picture.band}" if picture.band else "silence"
        return f"{self.seconds:.2f} s {level}; {energy}"


@dataclass(frozen=True)
class Drawing:
    """A pen trace.

    Attributes:
        path: SVG path of the strokes, y downward; of those after the recorded beginning, where there is one.
        points: how many the two paths hold, so many steps a replay has.
        strokes: how many times the pen touches the paper.
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
    points: int
    strokes: int
    prime_path: str = ""
    mark: tuple[float, float] | None = None


def clips(samples: Sequence[Sample], container: Container = "flac") -> list[Clip]:
    """The spoken samples, in order, at one loudness, drawn on the scale of the highest and the longest of them.

    Args:
        samples: of one corpus; drawings among them are left out.
        container: FLAC, which keeps every sample, or OGG Vorbis, a fifth of its size.

    Raises:
        ReportError: a file cannot be decoded.
    """
    spoken = [sample for sample in samples if sample.kind == "speech"]
    levelled = equalise([_decode(sample) for sample in spoken])
    pictures = spectrograms([level.sound for level in levelled])
    peak = max((float(np.abs(level.sound.signal).max(initial=0.0)) for level in levelled), default=0.0) or 1.0
    longest = max((level.sound.seconds for level in levelled), default=0.0) or 1.0
    return [
        _clip(sample, level, picture, peak, longest, container)
        for sample, level, picture in zip(spoken, levelled, pictures, strict=True)
    ]


def _clip(
    sample: Sample, level: Levelled, picture: Spectrogram, peak: float, longest: float, container: Container
) -> Clip:
    sound, length = level.sound, len(level.sound.signal)
    as_it_was = level.gain_db is None and container == "flac"
    content = sample.content if as_it_was else encode(sound, container)
    return Clip(
        digest=digest(sample),
        caption=sample.caption,
        role=sample.role,
        url=f"data:audio/{container};base64," + base64.b64encode(content).decode(),
        path=_envelope(sound.signal / peak),
        spectrogram=picture,
        seconds=sound.seconds,
        rate=sound.rate,
        share=sound.seconds / longest,
        before=level.before,
        gain=f"{typeset(level.gain_db, '+.1f')} dB to equal loudness"
        if level.gain_db is not None
        else f"{level.left}: left as it is",
        after=level.after,
        prime=round(WAVE_COLUMNS * sample.prime / length, 1) if 0 < sample.prime < length else None,
        prime_seconds=sample.prime / sound.rate,
    )


def digest(sample: Sample) -> str:
    """Tells samples of different content apart."""
    return hashlib.sha256(sample.content).hexdigest()[:16]


def _decode(sample: Sample) -> Sound:
    """The first channel."""
    try:
        signal, rate = soundfile.read(io.BytesIO(sample.content), dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ReportError(f"sample {sample.file!r} cannot be decoded ({error}): generate it again") from error
    return Sound(np.array(signal[:, 0], dtype=np.float64), rate)


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
        points=sum(map(len, strokes)),
        strokes=len(strokes),
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
