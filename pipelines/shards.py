"""The Parquet form of a corpus: one sequence a row, the signal as recorded.

Sound is int16 at the corpus rate, pen points are integer columns; framing and normalisation belong to the
protocol. Integers are stored as packed differences (DELTA_BINARY_PACKED), which any Parquet reader
undoes. Rows are sorted by length and cut into row groups of bounded bytes, so that a batch of similar
lengths lies close together and a reader's memory is bounded.

A row also carries what the index and the manifest are made of: the signal's digest, and the exact integer
moments of what a model sees of it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.corpora.base import Kind, SourceItem
from pipelines.moments import signal_moments
from pipelines.signals import Ink, Signal
from pipelines.storage import Location

__all__ = [
    "INDEX_FIELDS",
    "PLACE_FIELDS",
    "ROW_GROUP_BYTES",
    "SCHEMA_VERSION",
    "Row",
    "make_row",
    "read_signals",
    "signal_columns",
    "write_shard",
]

SCHEMA_VERSION = 1
ROW_GROUP_BYTES = 16 * 2**20
Row = dict[str, object]

INDEX_FIELDS = [
    pa.field("id", pa.string(), nullable=False),
    pa.field("speaker", pa.string()),
    pa.field("group", pa.string(), nullable=False),
    pa.field("transcript", pa.string()),
    pa.field("source", pa.string(), nullable=False),
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


def make_row(item: SourceItem, signal: Signal) -> Row:
    """The row of one sequence. Its digest is the SHA-256 of the signal's columns, little-endian."""
    columns = _columns(signal)
    digest = hashlib.sha256()
    for column in columns.values():
        digest.update(column.astype(column.dtype.newbyteorder("<")).tobytes())
    moments = signal_moments(signal)
    return {
        "id": item.id,
        "speaker": item.speaker,
        "group": item.group,
        "transcript": item.transcript,
        "source": item.file.path,
        "length": len(signal),
        "digest": digest.hexdigest(),
        "moment_count": moments.count,
        "sums": list(moments.sums),
        "sums_of_squares": list(moments.sums_of_squares),
        **columns,
    }


def write_shard(target: Location, kind: Kind, rows: list[Row], metadata: Mapping[str, object]) -> None:
    """Write `rows` whole, sorted by length and id.

    Args:
        target: the shard's place.
        kind: which signal columns the rows have.
        rows: rows from `make_row`; none is allowed.
        metadata: JSON values kept in the file's key-value metadata.
    """
    rows = sorted(rows, key=lambda row: (row["length"], row["id"]))
    schema = pa.schema([*INDEX_FIELDS, *_SIGNAL_FIELDS[kind]])
    schema = schema.with_metadata({key: json.dumps(value, sort_keys=True) for key, value in metadata.items()})
    packed = {
        f"{field.name}.list.element": "DELTA_BINARY_PACKED" for field in _SIGNAL_FIELDS[kind] if _is_integer(field)
    }
    with (
        target.writing() as stream,
        pq.ParquetWriter(stream, schema, compression="zstd", use_dictionary=False, column_encoding=packed) as writer,
    ):
        for group in _row_groups(rows, _BYTES_PER_STEP[kind]):
            writer.write_table(pa.Table.from_pylist(group, schema=schema), row_group_size=len(group))


def _is_integer(field: pa.Field) -> bool:
    return isinstance(field.type, pa.ListType) and pa.types.is_integer(field.type.value_type)


def _row_groups(rows: list[Row], bytes_per_step: int) -> Iterator[list[Row]]:
    group: list[Row] = []
    size = 0
    for row in rows:
        row_bytes = int(str(row["length"])) * bytes_per_step
        if group and size + row_bytes > ROW_GROUP_BYTES:
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
