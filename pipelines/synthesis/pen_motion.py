"""The movement of a hand along a path: speed, sampling and tremor.

A hand slows down in bends: its speed is proportional to the curvature to the power -1/3 (Lacquaniti, Terzuolo &
Viviani, "The law relating the kinematic and figural aspects of drawing movements", Acta Psychologica 1983). Its
acceleration is bounded along the path and across it, so every stroke starts and ends slowly, and nothing jumps.

Like IAM-OnDB's, the tablet takes a sample every 15 ms and states times in centiseconds, so time is counted in samples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from pipelines.synthesis.writers import Writer

__all__ = ["MAX_ACCELERATION", "SAMPLE_SECONDS", "Stroke", "write_paths"]

SAMPLE_SECONDS = 0.015
MAX_ACCELERATION = 60_000.0
"""The bound along the path, and the bound across it, in tablet units per second squared."""

# In tablet units: a bend of this radius or less slows the hand down.
_BEND_RADIUS = 300.0
_SLOWEST = 0.04


@dataclass(frozen=True)
class Stroke:
    """The points that the tablet records between pen down and pen up.

    Attributes:
        first_sample: time of the first point, in samples of `SAMPLE_SECONDS`; there is one point for each sample.
        points: positions in integer tablet units, shape (points, 2).
    """

    first_sample: int
    points: NDArray[np.int64]


def write_paths(
    paths: list[tuple[bool, NDArray[np.float64]]], writer: Writer, rng: np.random.Generator
) -> list[Stroke]:
    """Move the pen along the paths of a line, and lift it in between; the line begins at sample 0.

    Args:
        paths: for each path, whether it begins a word, and its finely spaced points, shape (points, 2).
        writer: the writer.
        rng: generator of tremor and hesitation.
    """
    strokes: list[Stroke] = []
    clock = 0
    for index, (starts_word, path) in enumerate(paths):
        if index:
            # The pen is lifted, moved to the start of the path and put down again.
            distance = float(np.hypot(*(path[0] - strokes[-1].points[-1])))
            seconds = 0.05 + distance / writer.speed + rng.exponential(0.04)
            if starts_word:
                seconds += rng.exponential(writer.hesitation)
            clock += round(seconds / SAMPLE_SECONDS)
        points = _sampled(path, writer, rng)
        strokes.append(Stroke(clock, points))
        clock += len(points)
    return strokes


def _sampled(path: NDArray[np.float64], writer: Writer, rng: np.random.Generator) -> NDArray[np.int64]:
    """The points of one stroke: shape (samples, 2)."""
    steps = np.hypot(*np.diff(path, axis=0).T)
    speed = _speed(path, steps, writer.speed)
    times = np.concatenate([[0.0], np.cumsum(2 * steps / (speed[1:] + speed[:-1]))])
    # Stretched to a whole number of samples, so that the stroke's last point is sampled too.
    count = int(np.ceil(times[-1] / SAMPLE_SECONDS)) + 1
    ticks = np.linspace(0.0, times[-1], count)
    points = np.stack([np.interp(ticks, times, column) for column in path.T], axis=1)
    tremor = gaussian_filter1d(rng.normal(size=(count, 2)), 2.0, axis=0, mode="nearest") * 2 * np.sqrt(2.0)
    return np.rint(points + writer.tremor * tremor).astype(np.int64)


def _speed(path: NDArray[np.float64], steps: NDArray[np.float64], fastest: float) -> NDArray[np.float64]:
    """Speed at each point of a path, shape (points,), in units per second."""
    curvature = _curvature(path, steps)
    wanted = fastest * (1 + (curvature * _BEND_RADIUS) ** 2) ** (-1 / 6)
    square = np.minimum(wanted**2, MAX_ACCELERATION / np.maximum(curvature, 1e-9))
    square[[0, -1]] = 0.0
    # v^2 changes by at most 2 a ds: take the largest such profile below the wanted one, forwards and backwards.
    slack = 2 * MAX_ACCELERATION * np.concatenate([[0.0], np.cumsum(steps)])
    square = np.minimum.accumulate(square - slack) + slack
    square = np.minimum.accumulate((square + slack)[::-1])[::-1] - slack
    return np.sqrt(np.maximum(square, (_SLOWEST * fastest) ** 2))


def _curvature(path: NDArray[np.float64], steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Absolute curvature at each point, shape (points,), from the turn between neighbouring steps."""
    if len(path) < 3:
        return np.zeros(len(path))
    heading = np.arctan2(*np.diff(path, axis=0).T[::-1])
    turn = np.abs((np.diff(heading) + np.pi) % (2 * np.pi) - np.pi)
    return np.pad(turn / np.maximum((steps[1:] + steps[:-1]) / 2, 1e-6), 1, mode="edge")
