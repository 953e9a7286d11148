"""Reading shards: the whole index, and the signals one by one. Each shard is verified before its first use.

Signals are read one row group at a time, and a bounded number of bytes of decoded row groups is cached. A pass over
sequences of similar length therefore reads each row group about once, whatever the size of the corpus.
"""

# The stubs of pyarrow are partial.
# pyright: reportUnknownMemberType=false

import threading
from collections import OrderedDict

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from pipelines.shards.columns import read_signals, signal_columns
from pipelines.shards.manifest import INDEX_NAME, REJECTS_NAME, Manifest
from pipelines.signals import Signal

__all__ = ["ShardSet"]

_CACHE_BYTES = 2 * 2**30


class ShardSet:
    """A finished set of shards.

    Attributes:
        location: the directory of the shards.
        manifest: the manifest.
        index: one row for each sequence (the columns of `index.parquet`), sorted by split and id.
    """

    def __init__(self, location: Location, cache_bytes: int = _CACHE_BYTES) -> None:
        """Open the shards at `location`, with a cache of at most `cache_bytes` of decoded signals.

        Raises:
            InputError: there is no finished set of shards, or its index does not match its manifest.
        """
        self.location = location
        self.manifest = Manifest.load(location)
        self.index = self._read_index()
        self._entries = {shard.file: shard for split in self.manifest.splits.values() for shard in split.shards}
        self._files: dict[str, pq.ParquetFile] = {}
        self._cache: OrderedDict[tuple[str, int], tuple[list[Signal], int]] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._places = [self.index[name].to_numpy() for name in ("shard", "row_group", "row")]
        self._lock = threading.Lock()

    def _read_index(self) -> pd.DataFrame:
        place = self.location / INDEX_NAME
        if not place.is_file() or place.sha256() != self.manifest.index_sha256:
            raise InputError(f"{place}: missing, or its checksum differs from the manifest's; run prepare again")
        with place.open() as stream:
            return pq.read_table(stream).to_pandas()

    def rejects(self) -> pd.DataFrame:
        """The rejected source items: path, id, split, code, message.

        Raises:
            InputError: the list of rejects is missing or cannot be read.
        """
        place = self.location / REJECTS_NAME
        if not place.is_file():
            raise InputError(f"{place}: missing; run prepare again")
        try:
            with place.open() as stream:
                return pq.read_table(stream).to_pandas()
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{place}: cannot be read ({error}); run prepare again") from error

    def verify(self) -> None:
        """Compare the checksum of every shard with the manifest.

        Raises:
            InputError: a shard is missing or altered.
        """
        for name in self._entries:
            self._verify_shard(name)

    def _verify_shard(self, name: str) -> None:
        place = self.location / name
        if not place.is_file():
            raise InputError(f"{place}: missing, though the manifest lists it; run prepare again")
        if place.sha256() != self._entries[name].sha256:
            raise InputError(f"{place}: its checksum differs from the manifest's; delete it and run prepare again")

    def signal(self, row: int) -> Signal:
        """The signal of the sequence at position `row` of the index; safe to call from several threads.

        Raises:
            InputError: its shard is missing or altered.
        """
        shard, group, place = (column[row] for column in self._places)
        with self._lock:
            return self._row_group(str(shard), int(group))[int(place)]

    def _row_group(self, shard: str, group: int) -> list[Signal]:
        key = (shard, group)
        if key not in self._cache:
            table = self._file(shard).read_row_group(group, columns=signal_columns(self.manifest.kind))
            self._cache[key] = (read_signals(table, self.manifest.kind), table.nbytes)
            # The row group at hand stays in the cache even if it alone exceeds the limit.
            while len(self._cache) > 1 and sum(size for _, size in self._cache.values()) > self._cache_bytes:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key][0]

    def _file(self, shard: str) -> pq.ParquetFile:
        if shard not in self._files:
            self._verify_shard(shard)
            self._files[shard] = pq.ParquetFile((self.location / shard).open())
        return self._files[shard]
