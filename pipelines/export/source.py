"""What a format is, and its input: the sequences of one split, shard by shard, in the order of the rows.

One row group is in memory at a time.
"""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote

import numpy as np
import pyarrow.parquet as pq
import soundfile

from pipelines.runtime.storage import Location
from pipelines.shards.columns import INDEX_FIELDS, Row, read_signals
from pipelines.shards.read import ShardSet
from pipelines.signals import Kind, Signal

__all__ = ["Format", "Progress", "Sequence", "SplitSource", "describe", "encode_flac", "file_key"]

Progress = Callable[[int, int], None]
_COLUMNS = [field.name for field in INDEX_FIELDS]
_INTERNAL = ("moment_count", "sums", "sums_of_squares")
"""Columns that only the shards themselves need."""


@dataclass(frozen=True)
class Sequence:
    """One sequence: its signal, and its other columns."""

    row: Row
    signal: Signal

    @property
    def id(self) -> str:
        """The id, unique in the corpus."""
        return str(self.row["id"])

    @property
    def pcm(self) -> np.ndarray:
        """The samples, int16 `[N]`; speech only."""
        assert isinstance(self.signal, np.ndarray), "ink has no samples"
        return self.signal


@dataclass
class SplitSource:
    """The sequences of one split.

    Attributes:
        shards: the shards.
        split: the name of the split.
        on_sequence: called after each sequence with the number of sequences so far.
        done: the number of sequences so far.
    """

    shards: ShardSet
    split: str
    on_sequence: Callable[[int], None]
    done: int = field(default=0)

    @property
    def files(self) -> list[str]:
        """The names of the split's shards."""
        return [shard.file for shard in self.shards.manifest.splits[self.split].shards]

    @property
    def sample_rate(self) -> int:
        """The rate in Hz; speech only."""
        rate = self.shards.manifest.sample_rate
        assert rate is not None, "pen has no sample rate"
        return rate

    def sequences(self, file: str) -> Iterator[Sequence]:
        """The sequences of one shard, read one row group at a time."""
        with (self.shards.location / file).open() as stream:
            parquet = pq.ParquetFile(stream)
            for group in range(parquet.num_row_groups):
                table = parquet.read_row_group(group)
                rows = table.select(_COLUMNS).to_pylist()
                for row, signal in zip(rows, read_signals(table, self.shards.manifest.kind), strict=True):
                    yield Sequence(row, signal)
                    self.done += 1
                    self.on_sequence(self.done)


class Format(Protocol):
    """A format to export to.

    Attributes:
        name: the name that users type.
        kinds: the kinds of signals that it supports.
    """

    name: str
    kinds: tuple[Kind, ...]

    def write(self, source: SplitSource, out: Location) -> None:
        """Write one split below `out/SPLIT`."""
        ...

    def finish(self, shards: ShardSet, out: Location, splits: list[str]) -> None:
        """Write the files that describe all `splits` in `out`."""
        ...


def encode_flac(pcm: np.ndarray, sample_rate: int) -> bytes:
    """A FLAC file that decodes to exactly these samples.

    Args:
        pcm: samples, int16 `[N]`.
        sample_rate: rate in Hz.
    """
    stream = io.BytesIO()
    soundfile.write(stream, pcm, sample_rate, format="FLAC", subtype="PCM_16")
    return stream.getvalue()


def file_key(id_: str) -> str:
    """A file name for an id, without dots or separators; different ids get different names."""
    return quote(id_, safe="").replace(".", "%2E").replace("~", "%7E")


def describe(source: SplitSource, sequence: Sequence) -> dict[str, object]:
    """A sequence's columns as JSON values, with split and rate; the attributes become an object."""
    row = {name: value for name, value in sequence.row.items() if name not in _INTERNAL}
    if isinstance(attributes := row.get("attributes"), str):
        row["attributes"] = json.loads(attributes)
    return row | {"split": source.split, "sample_rate": source.shards.manifest.sample_rate}
