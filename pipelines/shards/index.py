"""The index of a set of shards, and the parts of the manifest that are computed from it.

The index is read back from the shards themselves, so it describes what was really written.
"""

# The stubs of pyarrow are partial.
# pyright: reportUnknownMemberType=false

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.runtime.storage import Location
from pipelines.shards.columns import INDEX_FIELDS, INDEX_SCHEMA, column_values
from pipelines.shards.manifest import ShardEntry, SplitEntry, fingerprint
from pipelines.shards.moments import Moments
from pipelines.signals import Kind

__all__ = ["READERS", "content_fingerprint", "read_index", "split_entries", "train_moments"]

READERS = 16
"""Shards that are read at once: reading them is mostly waiting."""


def read_index(shards: Sequence[Location]) -> pa.Table:
    """One row for each sequence, with its description and its place, sorted by split and id."""

    def read(shard: Location) -> pa.Table:
        return shard.retry(lambda: _shard_index(shard))

    with ThreadPoolExecutor(READERS) as pool:
        parts = list(pool.map(read, shards))
    return pa.concat_tables([INDEX_SCHEMA.empty_table(), *parts]).sort_by([("split", "ascending"), ("id", "ascending")])


def _shard_index(shard: Location) -> pa.Table:
    name = shard.path.rpartition("/")[2]
    with shard.open() as stream:
        file = pq.ParquetFile(stream)
        parts = [_row_group_index(name, file, group) for group in range(file.num_row_groups)]
    return pa.concat_tables([INDEX_SCHEMA.empty_table(), *parts])


def _row_group_index(shard: str, file: pq.ParquetFile, group: int) -> pa.Table:
    part = file.read_row_group(group, columns=[field.name for field in INDEX_FIELDS], use_threads=False)
    rows = part.num_rows
    # A shard's name begins with its split: `train-00000-of-00012.parquet`.
    place = [[shard.partition("-")[0]] * rows, [shard] * rows, [group] * rows, list(range(rows))]
    columns = [*part.columns, *(pa.array(column) for column in place)]
    return pa.Table.from_arrays(columns, names=INDEX_SCHEMA.names).cast(INDEX_SCHEMA)


def content_fingerprint(kind: Kind, sample_rate: int | None, index: pa.Table) -> str:
    """The fingerprint of the sequences in `index`."""
    return fingerprint(
        kind, sample_rate, zip(*(column_values(index, name) for name in ("split", "id", "digest")), strict=True)
    )


def train_moments(kind: Kind, index: pa.Table, split_column: str) -> Moments:
    """The exact moments of the sequences whose `split_column` is train."""
    channels = 1 if kind == "speech" else 2
    rows = index.filter(pa.array([split == "train" for split in column_values(index, split_column)], pa.bool_()))

    def channel_sums(name: str) -> tuple[int, ...]:
        # Python integers: the sums of a large corpus exceed 64 bits.
        values: list[int] = list(chain.from_iterable(column_values(rows, name)))
        return tuple(sum(values[channel::channels]) for channel in range(channels))

    return Moments(
        count=sum(column_values(rows, "moment_count")),
        sums=channel_sums("sums"),
        sums_of_squares=channel_sums("sums_of_squares"),
    )


def split_entries(splits: Iterable[str], shards: Sequence[ShardEntry], index: pa.Table) -> dict[str, SplitEntry]:
    """The manifest's entry for each split that has shards."""
    lengths: Counter[str] = Counter()
    for split, length in zip(column_values(index, "split"), column_values(index, "length"), strict=True):
        lengths[split] += length
    entries: dict[str, SplitEntry] = {}
    for split in splits:
        own = tuple(shard for shard in shards if shard.file.startswith(f"{split}-"))
        if own:
            count = sum(shard.sequences for shard in own)
            entries[split] = SplitEntry(sequences=count, length=lengths[split], shards=own)
    return entries
