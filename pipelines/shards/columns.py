"""The columns of a shard: one sequence a row, with its signal as recorded.

Sound is int16 at the corpus's rate, pen points are integers; framing and normalisation belong to the protocol. A row
also carries what the index and the manifest are made of: the signal's digest and its exact integer moments.
"""

import hashlib
import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pyarrow as pa

from pipelines.corpora.base import SourceItem
from pipelines.shards.moments import signal_moments
from pipelines.signals import Ink, Kind, Signal

__all__ = [
    "INDEX_FIELDS",
    "INDEX_SCHEMA",
    "SCHEMA_VERSION",
    "Row",
    "column_values",
    "make_row",
    "read_signals",
    "shard_schema",
    "signal_columns",
    "signal_digest",
]

SCHEMA_VERSION = 2
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
"""The columns that shards and index share."""
_PLACE_FIELDS = [
    pa.field("split", pa.string(), nullable=False),
    pa.field("shard", pa.string(), nullable=False),
    pa.field("row_group", pa.int32(), nullable=False),
    pa.field("row", pa.int32(), nullable=False),
]
INDEX_SCHEMA = pa.schema([*INDEX_FIELDS, *_PLACE_FIELDS])
_SIGNAL_FIELDS: Mapping[Kind, "list[pa.Field[Any]]"] = {
    "speech": [pa.field("pcm", pa.list_(pa.int16()), nullable=False)],
    "pen": [
        pa.field("x", pa.list_(pa.int32()), nullable=False),
        pa.field("y", pa.list_(pa.int32()), nullable=False),
        pa.field("pen_up", pa.list_(pa.bool_()), nullable=False),
        pa.field("time", pa.list_(pa.int64()), nullable=False),
    ],
}


def signal_columns(kind: Kind) -> list[str]:
    """The names of the columns that hold the signal."""
    return [field.name for field in _SIGNAL_FIELDS[kind]]


def shard_schema(kind: Kind) -> pa.Schema:
    """The columns of a shard."""
    return pa.schema([*INDEX_FIELDS, *_SIGNAL_FIELDS[kind]])


def _signal_values(signal: Signal) -> dict[str, np.ndarray]:
    if isinstance(signal, Ink):
        return {"x": signal.x, "y": signal.y, "pen_up": signal.pen_up, "time": signal.time}
    return {"pcm": signal}


def signal_digest(signal: Signal) -> str:
    """SHA-256 of the signal's columns, little-endian, one after the other."""
    digest = hashlib.sha256()
    for values in _signal_values(signal).values():
        digest.update(np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def make_row(item: SourceItem, signal: Signal, source_sha256: str, part: int | None = None, offset: int = 0) -> Row:
    """The row of one sequence.

    Args:
        item: the source item.
        signal: the decoded signal.
        source_sha256: SHA-256 of the raw bytes.
        part: number of the part if a recording is cut into several; None for a whole recording.
        offset: where the part begins in the recording, in samples.
    """
    moments = signal_moments(signal)
    return {
        "id": item.id if part is None else f"{item.id}#{part:05d}",
        "speaker": item.speaker,
        "group": item.group,
        # A transcript belongs to the whole recording, not to a part of it.
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
        **_signal_values(signal),
    }


def read_signals(table: pa.Table, kind: Kind) -> list[Signal]:
    """The signals of a table that was read from a shard, in the order of its rows."""
    columns = {name: _split_lists(table.column(name)) for name in signal_columns(kind)}
    if kind == "speech":
        return list(columns["pcm"])
    return [Ink(*parts) for parts in zip(*(columns[name] for name in ("x", "y", "pen_up", "time")), strict=True)]


def _split_lists(column: "pa.ChunkedArray[Any]") -> list[np.ndarray]:
    # Slices of the flat values are views: nothing is copied for each row.
    parts: list[np.ndarray] = []
    for chunk in cast(list[Any], column.chunks):
        values = chunk.values.to_numpy(zero_copy_only=False)
        parts += [values[start:end] for start, end in pairwise(chunk.offsets.to_numpy().tolist())]
    return parts


def column_values(table: pa.Table, name: str) -> list[Any]:
    """The values of one column as Python objects."""
    return cast(list[Any], table.column(name).to_pylist())
