"""Writing a shard: rows sorted by length, in row groups of bounded bytes.

Sorting by length keeps the sequences of one batch close together, and bounded row groups bound a reader's memory. The
writer's memory is bounded too: it holds at most `BUFFER_BYTES` of rows, and a larger shard is a series of sorted runs.
Integers are stored as packed differences (DELTA_BINARY_PACKED), which every Parquet reader can decode.
"""

# The stubs of pyarrow are partial.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.runtime.storage import Location
from pipelines.shards.columns import Row, shard_schema, signal_columns
from pipelines.signals import Kind

__all__ = ["BUFFER_BYTES", "ROW_GROUP_BYTES", "WrittenShard", "groups_by_bytes", "write_shard"]

Item = TypeVar("Item")
ROW_GROUP_BYTES = 16 * 2**20
BUFFER_BYTES = 64 * 2**20
_BYTES_PER_STEP: Mapping[Kind, int] = {"speech": 2, "pen": 17}


@dataclass(frozen=True)
class WrittenShard:
    """The rows, the bytes and the SHA-256 of a shard's file."""

    rows: int
    bytes: int
    sha256: str


def write_shard(target: Location, kind: Kind, rows: Iterable[Row], metadata: Mapping[str, object]) -> WrittenShard:
    """Write `rows`, sorted by length and id, in memory that does not depend on their number.

    Args:
        target: the shard's file; it appears once it is complete.
        kind: the kind of the rows' signals.
        rows: rows from `make_row`; there may be none.
        metadata: JSON values for the file's key-value metadata; a hash of the rows' sources is added.

    Returns:
        The file's size and hash, which are computed while writing.
    """
    schema = shard_schema(kind)
    entries: dict[bytes | str, bytes | str] = {k: json.dumps(v, sort_keys=True) for k, v in metadata.items()}
    schema = schema.with_metadata(entries)
    count, sources = 0, hashlib.sha256()
    with (
        target.atomic_writer() as file,
        _HashingFile(file) as stream,
        pq.ParquetWriter(cast(IO[bytes], stream), schema, **_storage_options(kind, schema)) as writer,
    ):
        for group in _sorted_row_groups(rows, kind):
            count += len(group)
            sources.update("".join(str(row["source_sha256"]) for row in group).encode())
            writer.write_table(_table(group, kind, schema), row_group_size=len(group))
        writer.add_key_value_metadata({"source_sha256": json.dumps(sources.hexdigest())})
    return WrittenShard(count, stream.size, stream.digest.hexdigest())


class _HashingFile(io.RawIOBase):
    """A file that counts and hashes the bytes that are written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = 0
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, content: Any, /) -> int:  # noqa: ANN401 (anything with a buffer)
        self.digest.update(content)
        self._file.write(content)
        self.size += len(content)
        return len(content)


def _storage_options(kind: Kind, schema: pa.Schema) -> dict[str, Any]:
    types: dict[str, Any] = {name: schema.field(name).type for name in schema.names}
    leaves = {name: f"{name}.list.element" if pa.types.is_list(type_) else name for name, type_ in types.items()}
    integers = [name for name in signal_columns(kind) if pa.types.is_integer(types[name].value_type)]
    return {
        "use_dictionary": False,
        "column_encoding": {leaves[name]: "DELTA_BINARY_PACKED" for name in integers},
        # Packed differences of samples are so dense that zstd cannot shrink them further.
        "compression": {leaf: "none" if name == "pcm" else "zstd" for name, leaf in leaves.items()},
        "write_statistics": [leaf for name, leaf in leaves.items() if name not in signal_columns(kind)],
    }


def _table(rows: list[Row], kind: Kind, schema: pa.Schema) -> pa.Table:
    columns: list[Any] = []
    for name in schema.names:
        values, type_ = [cast(Any, row[name]) for row in rows], cast(Any, schema.field(name).type)
        if name in signal_columns(kind):
            # Built from flat values and offsets: `pa.array` of a list of arrays would convert value by value.
            offsets: Any = pa.array(np.cumsum([0, *(len(value) for value in values)], dtype=np.int32))
            flat: Any = pa.array(np.concatenate(values), type=type_.value_type)
            columns.append(pa.ListArray.from_arrays(offsets, flat, type=type_))
        else:
            columns.append(pa.array(values, type=type_))
    return pa.Table.from_arrays(columns, schema=schema)


def _sorted_row_groups(rows: Iterable[Row], kind: Kind) -> Iterator[list[Row]]:
    def row_bytes(row: Row) -> int:
        return int(str(row["length"])) * _BYTES_PER_STEP[kind]

    for run in groups_by_bytes(rows, row_bytes, BUFFER_BYTES):
        run.sort(key=lambda row: (row["length"], row["id"]))
        yield from groups_by_bytes(run, row_bytes, ROW_GROUP_BYTES)


def groups_by_bytes(items: Iterable[Item], bytes_of: Callable[[Item], int], limit: int) -> Iterator[list[Item]]:
    """Cut `items`, in their order, into groups of at most `limit` bytes; a larger item is a group of its own."""
    group: list[Item] = []
    size = 0
    for item in items:
        if group and size + bytes_of(item) > limit:
            yield group
            group, size = [], 0
        group.append(item)
        size += bytes_of(item)
    if group:
        yield group
