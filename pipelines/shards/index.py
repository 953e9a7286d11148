"""The index of a set of shards, and what the manifest says of its content, read back from the shards themselves."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.corpora.base import Kind
from pipelines.prepare.shard_task import ShardReport
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import ShardEntry, SplitEntry, fingerprint
from pipelines.shards.moments import Moments
from pipelines.shards.write import INDEX_FIELDS, PLACE_FIELDS

__all__ = ["READERS", "content_fingerprint", "read_index", "split_entries", "train_moments"]

READERS = 16
"""Shards that are looked at together: reading them is mostly waiting."""

_SCHEMA = pa.schema([*INDEX_FIELDS, *PLACE_FIELDS])


def read_index(shards: Sequence[Location]) -> pa.Table:
    """Every sequence's description and place, in the order of split and id."""
    with ThreadPoolExecutor(READERS) as pool:
        parts = list(pool.map(lambda shard: shard.patiently(lambda: _shard_index(shard)), shards))
    return pa.concat_tables([_SCHEMA.empty_table(), *parts]).sort_by([("split", "ascending"), ("id", "ascending")])


def _shard_index(shard: Location) -> pa.Table:
    name = shard.path.rpartition("/")[2]
    with shard.open() as stream:
        file = pq.ParquetFile(stream)
        parts = [_group_index(name, file, group) for group in range(file.num_row_groups)]
    return pa.concat_tables([_SCHEMA.empty_table(), *parts])


def _group_index(shard: str, file: pq.ParquetFile, group: int) -> pa.Table:
    part = file.read_row_group(group, columns=[field.name for field in INDEX_FIELDS], use_threads=False)
    rows = part.num_rows
    place = [[shard.partition("-")[0]] * rows, [shard] * rows, [group] * rows, list(range(rows))]
    columns = [*part.columns, *(pa.array(column) for column in place)]
    return pa.Table.from_arrays(columns, names=_SCHEMA.names).cast(_SCHEMA)


def content_fingerprint(kind: Kind, sample_rate: int | None, index: pa.Table) -> str:
    """The fingerprint of the sequences in `index`."""
    rows = zip(*(index.column(name).to_pylist() for name in ("split", "id", "digest")), strict=True)
    return fingerprint(kind, sample_rate, rows)


def train_moments(kind: Kind, index: pa.Table, split_column: str) -> Moments:
    """The exact moments of the sequences whose `split_column` is train."""
    channels = 1 if kind == "speech" else 2
    rows = index.filter(pa.array([split == "train" for split in index.column(split_column).to_pylist()], pa.bool_()))
    return Moments(
        count=sum(rows.column("moment_count").to_pylist()),
        sums=_channel_sums(rows.column("sums"), channels),
        sums_of_squares=_channel_sums(rows.column("sums_of_squares"), channels),
    )


def _channel_sums(column: pa.ChunkedArray, channels: int) -> tuple[int, ...]:
    values = list(chain.from_iterable(column.to_pylist()))
    return tuple(sum(values[channel::channels]) for channel in range(channels))


def split_entries(splits: Iterable[str], reports: Sequence[ShardReport], index: pa.Table) -> Mapping[str, SplitEntry]:
    """What each split holds and in which shards."""
    lengths: Counter[str] = Counter()
    for split, length in zip(index.column("split").to_pylist(), index.column("length").to_pylist(), strict=True):
        lengths[split] += length
    entries: dict[str, SplitEntry] = {}
    for split in splits:
        shards = tuple(_entry(report) for report in reports if report.name.startswith(f"{split}-"))
        if shards:
            count = sum(shard.sequences for shard in shards)
            entries[split] = SplitEntry(sequences=count, length=lengths[split], shards=shards)
    return entries


def _entry(report: ShardReport) -> ShardEntry:
    return ShardEntry(file=report.name, bytes=report.bytes, sha256=report.sha256, sequences=report.sequences)
