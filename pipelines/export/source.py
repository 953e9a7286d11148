"""What a format is, and what it is given: the sequences of one split, shard by shard, in the order they lie in.

Memory holds one row group, however large the corpus.
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
_INNER = ("moment_count", "sums", "sums_of_squares")
"""Columns that serve the shards themselves."""


@dataclass(frozen=True)
class Sequence:
    """One sequence: its columns beside the signal, and the signal."""

    row: Row
    signal: Signal

    @property
    def id(self) -> str:
        """Its name, unique in the corpus."""
        return str(self.row["id"])

    @property
    def pcm(self) -> np.ndarray:
        """Its samples, int16 `[N]`; speech only."""
        assert isinstance(self.signal, np.ndarray), "a format of sound was given ink"
        return self.signal


@dataclass
class SplitSource:
    """The sequences of one split.

    Attributes:
        shards: what it is a split of.
        split: its name.
        on_sequence: called with how many sequences were passed on.
        done: how many were.
    """

    shards: ShardSet
    split: str
    on_sequence: Callable[[int], None]
    done: int = field(default=0)

    @property
    def files(self) -> list[str]:
        """The names of its shards."""
        return [shard.file for shard in self.shards.manifest.splits[self.split].shards]

    @property
    def sample_rate(self) -> int:
        """Hz; speech only."""
        rate = self.shards.manifest.sample_rate
        assert rate is not None, "pen has no sample rate"
        return rate

    def sequences(self, file: str) -> Iterator[Sequence]:
        """The sequences of one of its shards, a row group read at a time."""
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
    """A form to export to.

    Attributes:
        name: what users type.
        kinds: of signals that it holds.
    """

    name: str
    kinds: tuple[Kind, ...]

    def write(self, source: SplitSource, out: Location) -> None:
        """Write one split below `out/SPLIT`."""
        ...

    def finish(self, shards: ShardSet, out: Location, splits: list[str]) -> None:
        """Write what concerns all `splits` that `out` holds by now."""
        ...


def encode_flac(pcm: np.ndarray, sample_rate: int) -> bytes:
    """A FLAC file that decodes to these very samples.

    Args:
        pcm: int16 `[N]`.
        sample_rate: Hz.
    """
    stream = io.BytesIO()
    soundfile.write(stream, pcm, sample_rate, format="FLAC", subtype="PCM_16")
    return stream.getvalue()


def file_key(id_: str) -> str:
    """A file name without dots or separators for an id; different ids have different names."""
    return quote(id_, safe="").replace(".", "%2E").replace("~", "%7E")


def describe(source: SplitSource, sequence: Sequence) -> dict[str, object]:
    """A sequence's columns as JSON values, with its split and its rate; attributes become an object."""
    row = {name: value for name, value in sequence.row.items() if name not in _INNER}
    if isinstance(attributes := row.get("attributes"), str):
        row["attributes"] = json.loads(attributes)
    return row | {"split": source.split, "sample_rate": source.shards.manifest.sample_rate}
