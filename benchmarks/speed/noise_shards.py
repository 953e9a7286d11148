"""Shards of seeded noise, for timing what reads shards: nothing needs to be decoded for them."""

from collections.abc import Iterator

import numpy as np
import pyarrow.parquet as pq

from pipelines.corpora.base import SourceItem
from pipelines.randomness import keyed_generator
from pipelines.runtime.storage import FoundFile, Location
from pipelines.shards.columns import SCHEMA_VERSION, make_row
from pipelines.shards.index import content_fingerprint, read_index, split_entries, train_moments
from pipelines.shards.manifest import INDEX_NAME, Manifest, ShardEntry
from pipelines.shards.write import write_shard
from pipelines.signals import Ink, Kind, Signal

__all__ = ["make_shards"]

_FRAME_SAMPLES = 200
_PEN_STEP = 30
_STROKE_POINTS = 25


def make_shards(out: Location, kind: Kind, sequences: dict[str, int], frames: int) -> None:
    """Write shards and their manifest to `out`.

    Args:
        out: an empty directory.
        kind: kind of the signals.
        sequences: number of sequences in each split, `train` and `valid`.
        frames: number of frames of each sequence.
    """
    shards: list[ShardEntry] = []
    for split, count in sequences.items():
        name = f"{split}-00000-of-00001.parquet"
        written = write_shard(out / name, kind, _rows(kind, split, count, frames), {})
        shards.append(ShardEntry(file=name, bytes=written.bytes, sha256=written.sha256, sequences=written.rows))
    index = read_index([out / shard.file for shard in shards])
    with (out / INDEX_NAME).atomic_writer() as stream:
        pq.write_table(index, stream)
    rate = 16_000 if kind == "speech" else None
    Manifest(
        schema_version=SCHEMA_VERSION,
        corpus="noise",
        kind=kind,
        sample_rate=rate,
        options={},
        licence="none",
        url="none",
        split_rule="made so",
        fingerprint=content_fingerprint(kind, rate, index),
        splits=split_entries(sequences, shards, index),
        rejects={},
        train_moments=train_moments(kind, index, "split"),
        train_moments_by_sequence=train_moments(kind, index, "split_by_sequence"),
        index_sha256=(out / INDEX_NAME).sha256(),
        software={},
    ).save(out)


def _rows(kind: Kind, split: str, count: int, frames: int) -> Iterator[dict[str, object]]:
    for number in range(count):
        name = f"{split}/{number:06d}"
        item = SourceItem(id=name, file=FoundFile(name, 0, 0), split=split, speaker=None, group=name)  # type: ignore[arg-type]
        yield make_row(item, _signal(kind, name, frames), "")


def _signal(kind: Kind, name: str, frames: int) -> Signal:
    noise = keyed_generator("made shards", name)
    if kind == "speech":
        return noise.integers(-(2**12), 2**12, size=frames * _FRAME_SAMPLES, dtype=np.int16)
    points = frames + 1
    x, y = noise.integers(-_PEN_STEP, _PEN_STEP, size=(2, points), endpoint=True).cumsum(axis=1).astype(np.int32)
    return Ink(x, y, noise.random(points) < 1 / _STROKE_POINTS, np.arange(points))
