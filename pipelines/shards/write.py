"""The Parquet form of a corpus: one sequence a row, the signal as recorded.

Sound is int16 at the corpus rate, pen points are integer columns; framing and normalisation belong to the
protocol. Integers are stored as packed differences (DELTA_BINARY_PACKED), which any Parquet reader
undoes. Rows are sorted by length and cut into row groups of bounded bytes, so that a batch of similar
lengths lies close together and a reader's memory is bounded. The writer's memory is bounded too: it holds at most
`BUFFER_BYTES` of rows, and a shard beyond that is a series of sorted runs.

A row also carries what the index and the manifest are made of: the signal's digest, and the exact integer
moments of what a model sees of it.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.corpora.base import Kind, SourceItem
from pipelines.runtime.storage import Location
from pipelines.shards.moments import signal_moments
from pipelines.signals import Ink, Signal

__all__ = [
    "BUFFER_BYTES",
    "INDEX_FIELDS",
    "PLACE_FIELDS",
    "ROW_GROUP_BYTES",
    "SCHEMA_VERSION",
    "Row",
    "Written",
    "make_row",
    "read_signals",
    "shard_schema",
    "signal_columns",
    "signal_digest",
    "write_shard",
]

SCHEMA_VERSION = 2
ROW_GROUP_BYTES = 16 * 2**20
BUFFER_BYTES = 64 * 2**20
Row = dict[str, object]

INDEX_FIELDS = [
    pa.field("id", pa.string(), nullable=False),
    pa.field("speaker", pa.string()),
    pa.field("group", pa.string(), nullable=False),
    pa.field("transcript", pa.string()),
    pa.field("attributes", pa.string(), nullable=False),
    pa.field("split_by_sequence", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("source_sha256", pa.string(), nullable=False),
    pa.field("offset", pa.int64(), nullable=False),
    pa.field("length", pa.int64(), nullable=False),
    pa.field("digest", pa.string(), nullable=False),
    pa.field("moment_count", pa.int64(), nullable=False),
    pa.field("sums", pa.list_(pa.int64()), nullable=False),
    pa.field("sums_of_squares", pa.list_(pa.int64()), nullable=False),
]
PLACE_FIELDS = [
    pa.field("split", pa.string(), nullable=False),
    pa.field("shard", pa.string(), nullable=False),
    pa.field("row_group", pa.int32(), nullable=False),
    pa.field("row", pa.int32(), nullable=False),
]
_SIGNAL_FIELDS: Mapping[Kind, list[pa.Field]] = {
    "speech": [pa.field("pcm", pa.list_(pa.int16()), nullable=False)],
    "pen": [
        pa.field("x", pa.list_(pa.int32()), nullable=False),
        pa.field("y", pa.list_(pa.int32()), nullable=False),
        pa.field("pen_up", pa.list_(pa.bool_()), nullable=False),
        pa.field("time", pa.list_(pa.int64()), nullable=False),
    ],
}
_BYTES_PER_STEP: Mapping[Kind, int] = {"speech": 2, "pen": 17}


def signal_columns(kind: Kind) -> list[str]:
    """The names of the columns that hold the signal."""
    return [field.name for field in _SIGNAL_FIELDS[kind]]


def _columns(signal: Signal) -> dict[str, np.ndarray]:
    if isinstance(signal, Ink):
        return {"x": signal.x, "y": signal.y, "pen_up": signal.pen_up, "time": signal.time}
    return {"pcm": signal}


def shard_schema(kind: Kind) -> pa.Schema:
    """The columns of a shard."""
    return pa.schema([*INDEX_FIELDS, *_SIGNAL_FIELDS[kind]])


def signal_digest(signal: Signal) -> str:
    """SHA-256 of the signal's columns, little-endian, one after the other."""
    digest = hashlib.sha256()
    for column in _columns(signal).values():
        digest.update(np.ascontiguousarray(column, dtype=column.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def make_row(item: SourceItem, signal: Signal, source_sha256: str, part: int | None = None, offset: int = 0) -> Row:
    """The row of one sequence.

    Args:
        item: what the sequence is made of.
        signal: what was decoded.
        source_sha256: of the raw bytes.
        part: counts the parts of a recording that is cut into several; None for a whole one.
        offset: where the part begins in the recording, in samples.
    """
    moments = signal_moments(signal)
    return {
        "id": item.id if part is None else f"{item.id}#{part:05d}",
        "speaker": item.speaker,
        "group": item.group,
        "transcript": item.transcript if part is None else None,
        "attributes": json.dumps(dict(item.attributes), sort_keys=True, ensure_ascii=False),
        "split_by_sequence": item.split_by_sequence or item.split,
        "source": item.file.path,
        "source_sha256": source_sha256,
        "offset": offset,
        "length": len(signal),
        "digest": signal_digest(signal),
        "moment_count": moments.count,
        "sums": list(moments.sums),
        "sums_of_squares": list(moments.sums_of_squares),
        **_columns(signal),
    }


def write_shard(target: Location, kind: Kind, rows: Iterable[Row], metadata: Mapping[str, object]) -> "Written":
    """Write `rows` whole, sorted by length and id, in memory that does not depend on how many there are.

    Args:
        target: the shard's place.
        kind: which signal columns the rows have.
        rows: rows from `make_row`; none is allowed.
        metadata: JSON values kept in the file's key-value metadata, beside a hash of the rows' sources.

    Returns:
        What was written; its hash is taken on the way, not by reading it back.
    """
    schema = shard_schema(kind)
    schema = schema.with_metadata({key: json.dumps(value, sort_keys=True) for key, value in metadata.items()})
    count, sources = 0, hashlib.sha256()
    with (
        target.writing() as file,
        _Hashing(file) as stream,
        pq.ParquetWriter(stream, schema, **_storage(kind, schema)) as writer,
    ):
        for group in _sorted_row_groups(rows, _BYTES_PER_STEP[kind]):
            count += len(group)
            sources.update("".join(str(row["source_sha256"]) for row in group).encode())
            writer.write_table(_table(group, schema), row_group_size=len(group))
        writer.add_key_value_metadata({"source_sha256": json.dumps(sources.hexdigest())})
    return Written(count, stream.size, stream.digest.hexdigest())


@dataclass(frozen=True)
class Written:
    """What a shard's file is: its rows, its bytes and their SHA-256."""

    rows: int
    bytes: int
    sha256: str


class _Hashing(io.RawIOBase):
    """A file that hashes what it is given to write."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = 0
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, content: Any, /) -> int:  # noqa: ANN401 (whatever has a buffer)
        self.digest.update(content)
        self._file.write(content)
        self.size += len(content)
        return len(content)


def _storage(kind: Kind, schema: pa.Schema) -> dict[str, Any]:
    """How columns are written: differences of samples are packed so tightly that zstd finds nothing more in them."""
    leaves = {
        field.name: f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name for field in schema
    }
    signals = [field for field in _SIGNAL_FIELDS[kind] if _is_integer(field)]
    return {
        "use_dictionary": False,
        "column_encoding": {leaves[field.name]: "DELTA_BINARY_PACKED" for field in signals},
        "compression": {leaf: "none" if name == "pcm" else "zstd" for name, leaf in leaves.items()},
        "write_statistics": [leaf for name, leaf in leaves.items() if name not in signal_columns(kind)],
    }


def _table(rows: list[Row], schema: pa.Schema) -> pa.Table:
    signals = {field.name for fields in _SIGNAL_FIELDS.values() for field in fields}
    columns = [
        _lists([row[field.name] for row in rows], field.type)
        if field.name in signals
        else pa.array([row[field.name] for row in rows], type=field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _lists(parts: list, type_: pa.ListType) -> pa.ListArray:
    offsets = np.cumsum([0, *(len(part) for part in parts)], dtype=np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(np.concatenate(parts), type=type_.value_type), type=type_
    )


def _is_integer(field: pa.Field) -> bool:
    return isinstance(field.type, pa.ListType) and pa.types.is_integer(field.type.value_type)


def _sorted_row_groups(rows: Iterable[Row], bytes_per_step: int) -> Iterator[list[Row]]:
    for run in _by_bytes(rows, bytes_per_step, BUFFER_BYTES):
        run.sort(key=lambda row: (row["length"], row["id"]))
        yield from _by_bytes(run, bytes_per_step, ROW_GROUP_BYTES)


def _by_bytes(rows: Iterable[Row], bytes_per_step: int, limit: int) -> Iterator[list[Row]]:
    group: list[Row] = []
    size = 0
    for row in rows:
        row_bytes = int(str(row["length"])) * bytes_per_step
        if group and size + row_bytes > limit:
            yield group
            group, size = [], 0
        group.append(row)
        size += row_bytes
    if group:
        yield group


def read_signals(table: pa.Table, kind: Kind) -> list[Signal]:
    """The signals of a table read from a shard, in the order of its rows."""
    columns = {field.name: _split_lists(table.column(field.name)) for field in _SIGNAL_FIELDS[kind]}
    if kind == "speech":
        return list(columns["pcm"])
    return [Ink(*parts) for parts in zip(*(columns[name] for name in ("x", "y", "pen_up", "time")), strict=True)]


def _split_lists(column: pa.ChunkedArray) -> list[np.ndarray]:
    parts: list[np.ndarray] = []
    for chunk in column.chunks:
        values = chunk.values.to_numpy(zero_copy_only=False)
        offsets = chunk.offsets.to_numpy()
        parts += [values[start:end] for start, end in pairwise(offsets.tolist())]
    return parts
