"""Excerpts of a corpus for its report: the beginnings of a few sequences, evenly spread over its ids."""

import json
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipelines.export.source import encode_flac
from pipelines.shards.read import ShardSet
from pipelines.signals import Ink

__all__ = ["EXCERPT_SECONDS", "Excerpt", "excerpts"]

EXCERPT_SECONDS = 2.5
_MOST = 4
_MOST_POINTS = 2000


@dataclass(frozen=True)
class Excerpt:
    """The beginning of a sequence: a FLAC file of at most 2.5 s, or the strokes of at most 2,000 points as JSON."""

    file: str
    kind: Literal["speech", "pen"]
    caption: str
    content: bytes


def excerpts(shards: ShardSet, split: str = "train", most: int = _MOST) -> list[Excerpt]:
    """Excerpts of `most` sequences of a split, or of all if it has fewer.

    Raises:
        InputError: a shard is missing or altered.
    """
    rows = np.flatnonzero((shards.index["split"] == split).to_numpy())
    places = np.unique(np.linspace(0, len(rows) - 1, most).astype(int)) if len(rows) else []
    return [_excerpt(shards, int(rows[place]), number) for number, place in enumerate(places)]


def _excerpt(shards: ShardSet, row: int, number: int) -> Excerpt:
    name, signal = str(shards.index["id"].iloc[row]), shards.signal(row)
    if isinstance(signal, Ink):
        part, whole = min(len(signal), _MOST_POINTS), len(signal)
        caption = f"{name}, {_extent(f'{part:,}', f'{whole:,}')} points"
        points = np.stack([signal.x[:part], signal.y[:part]], axis=1)
        ends = np.flatnonzero(signal.pen_up[:part]) + 1
        strokes = [stroke.tolist() for stroke in np.split(points, ends) if len(stroke)]
        content = json.dumps({"strokes": strokes}).encode()
        return Excerpt(f"excerpt-{number}.json", "pen", caption, content)
    rate = shards.manifest.sample_rate or 1
    pcm = signal[: round(EXCERPT_SECONDS * rate)]
    caption = f"{name}, {_extent(f'{len(pcm) / rate:.2f}', f'{len(signal) / rate:.2f}')} s"
    return Excerpt(f"excerpt-{number}.flac", "speech", caption, encode_flac(pcm, rate))


def _extent(part: str, whole: str) -> str:
    return whole if part == whole else f"the first {part} of {whole}"
