"""Samples in the form that a page shows: audio players with waveform and spectrogram, and pen drawings.

The clips of one corpus are played at one loudness, and their waveforms share one scale of amplitude and time. The
drawings of one corpus share one scale, so that a dot does not look like a word.
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

from benchmarks.schema.base import Kind
from benchmarks.schema.samples import SampleRole
from dashboards.errors import ReportError
from dashboards.media.loudness import Levelled, Sound, equalise
from dashboards.media.sound_files import Container, encode
from dashboards.media.spectrograms import Spectrogram, spectrograms
from dashboards.text import typeset

__all__ = ["ROLES", "WAVE_BOX", "Clip", "Drawing", "Sample", "clips", "digest", "drawings"]

ROLES: dict[SampleRole, str] = {
    "real": "Real",
    "reconstruction": "Reconstruction",
    "continuation": "Continuation",
    "generated": "Generated",
}
"""The name of each role on a page."""
WAVE_COLUMNS = 240
WAVE_HEIGHT = 60
WAVE_BOX = f"0 0 {WAVE_COLUMNS} {WAVE_HEIGHT}"
INK_UNITS = 1000.0
LEAST_EXTENT = 1e-6
"""In pen units; a smaller drawing is a point, which is not enlarged."""

Strokes = list[list[tuple[float, float]]]


@dataclass(frozen=True)
class Sample:
    """One utterance or drawing.

    Attributes:
        content: the file: FLAC for speech, strokes as JSON for pen.
        prime_steps: number of recorded samples or points at the beginning of a continuation.
    """

    file: str
    kind: Kind
    role: SampleRole
    caption: str
    content: bytes
    prime_steps: int = 0


@dataclass(frozen=True)
class Clip:
    """An utterance as it is shown and played.

    Attributes:
        digest: hash of the file's content.
        url: data URL of the FLAC or OGG file at the corpus's common loudness.
        path: SVG path of the envelope in a box of `WAVE_COLUMNS` by `WAVE_HEIGHT`.
        seconds: duration.
        rate: sample rate in Hz.
        share: duration as a fraction of the longest clip's.
        before: loudness of the file in LUFS; None if it cannot be measured.
        gain: the gain, or why the clip was not scaled, in words.
        after: loudness as played in LUFS; None if it cannot be measured.
        prime_seconds: duration of the recorded beginning; None if there is none.
    """

    digest: str
    caption: str
    role: SampleRole
    url: str
    path: str
    spectrogram: Spectrogram
    seconds: float
    rate: int
    share: float
    before: float | None
    gain: str
    after: float | None
    prime_seconds: float | None = None

    @property
    def description(self) -> str:
        """What the waveform and the spectrogram show, in words."""
        level = f"at {typeset(self.after, '.1f')} LUFS" if self.after is not None else "not scaled"
        picture = self.spectrogram
        energy = f"{picture.share:.0%} of the energy is at {picture.band}" if picture.band else "silence"
        return f"{self.seconds:.2f} s {level}; {energy}"


@dataclass(frozen=True)
class Drawing:
    """A pen trace as it is shown.

    Attributes:
        path: SVG path of the strokes, y downward; without the recorded beginning, if there is one.
        width: width of the SVG box; the largest drawing of the corpus is `INK_UNITS` wide or high.
        height: height of the SVG box.
        points: number of points in both paths, which are the steps of a replay.
        strokes: number of strokes.
        prime_path: SVG path of the recorded beginning.
        mark: where the recorded beginning ends; None if there is none.
    """

    caption: str
    role: SampleRole
    path: str
    width: float
    height: float
    points: int
    strokes: int
    prime_path: str = ""
    mark: tuple[float, float] | None = None


def clips(samples: Sequence[Sample], container: Container = "flac") -> list[Clip]:
    """The speech samples of one corpus as clips at one loudness, on one scale of amplitude and time.

    Raises:
        ReportError: a file cannot be decoded.
    """
    spoken = [sample for sample in samples if sample.kind == "speech"]
    # Everything below is relative to the group: loudness, peak amplitude, longest duration.
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
    # An unscaled FLAC file is embedded byte for byte.
    unchanged = level.gain_db is None and container == "flac"
    content = sample.content if unchanged else encode(sound, container)
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
        else f"{level.reason}: not scaled",
        after=level.after,
        prime_seconds=sample.prime_steps / sound.rate if 0 < sample.prime_steps < length else None,
    )


def digest(sample: Sample) -> str:
    """A hash of the sample's content."""
    return hashlib.sha256(sample.content).hexdigest()[:16]


def _decode(sample: Sample) -> Sound:
    try:
        signal, rate = soundfile.read(io.BytesIO(sample.content), dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ReportError(f"sample {sample.file!r} cannot be decoded ({error}): generate it again") from error
    return Sound(np.array(signal[:, 0], dtype=np.float64), rate)


def _envelope(signal: np.ndarray) -> str:
    """A closed outline through the highest and lowest value of each column, so that no peak is lost."""
    if not signal.size:
        return ""
    columns = np.array_split(signal, min(WAVE_COLUMNS, signal.size))
    step = WAVE_COLUMNS / len(columns)
    middle = WAVE_HEIGHT / 2
    upper = [f"{(i + 0.5) * step:.1f} {middle - c.max() * middle:.1f}" for i, c in enumerate(columns)]
    lower = [f"{(i + 0.5) * step:.1f} {middle - c.min() * middle:.1f}" for i, c in enumerate(columns)]
    return "M" + "L".join(upper + lower[::-1]) + "Z"


def drawings(samples: Sequence[Sample]) -> list[Drawing]:
    """The pen samples as drawings, all at one scale.

    Raises:
        ReportError: a file does not contain strokes of finite points.
    """
    traces = [(sample, _strokes(sample)) for sample in samples if sample.kind == "pen"]
    # One scale for the whole corpus, from its largest drawing.
    extent = max((max(_box(strokes)[2:]) for _, strokes in traces), default=0.0)
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


def _box(strokes: Strokes) -> tuple[float, float, float, float]:
    """Left and top edge, width and height."""
    points = [point for stroke in strokes for point in stroke] or [(0.0, 0.0)]
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _drawing(sample: Sample, strokes: Strokes, scale: float) -> Drawing:
    left, top, width, height = _box(strokes)
    margin = 0.03 * INK_UNITS
    placed = [[((x - left) * scale + margin, (y - top) * scale + margin) for x, y in s] for s in strokes]
    recorded, generated = _split(placed, sample.prime_steps)
    return Drawing(
        caption=sample.caption,
        role=sample.role,
        path="".join(map(_stroke_path, generated)),
        width=round(width * scale + 2 * margin, 1),
        height=round(height * scale + 2 * margin, 1),
        points=sum(map(len, strokes)),
        strokes=len(strokes),
        prime_path="".join(map(_stroke_path, recorded)),
        mark=(round(recorded[-1][-1][0], 1), round(recorded[-1][-1][1], 1)) if recorded else None,
    )


def _split(strokes: Strokes, first: int) -> tuple[Strokes, Strokes]:
    """The strokes of the `first` points and those of the others; both parts of a cut stroke contain its last point."""
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
    """A polyline. A single point is written twice, because a round line cap draws that as a dot."""
    points = stroke if len(stroke) > 1 else [stroke[0], stroke[0]]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
