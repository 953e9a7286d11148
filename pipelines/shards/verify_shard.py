"""One shard checked: its bytes against the manifest, its rows against its signals and the index.

Rows are read a row group at a time, so a shard of any size is checked in the memory of one.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.corpora.base import Kind
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import INDEX_NAME, ShardEntry
from pipelines.shards.moments import Moments, signal_moments
from pipelines.shards.problems import Findings
from pipelines.shards.write import INDEX_FIELDS, SCHEMA_VERSION, Row, read_signals, shard_schema, signal_digest
from pipelines.signals import Ink, Signal

__all__ = ["UNREADABLE", "ShardCheck", "Tally", "compare_schemas"]

UNREADABLE = (OSError, pa.ArrowException, ValueError)
"""What damaged Parquet raises: bytes, structure, text that is not UTF-8."""
_FIELDS = [field.name for field in INDEX_FIELDS]


@dataclass
class Tally:
    """What the rows of the shards add up to.

    Attributes:
        kind: `speech` or `pen`.
        whole: every row of every shard was read; sums over the corpus mean something only then.
        ids: of all sequences.
        digests: (split, id, digest) of each sequence.
        lengths: samples or points by split.
        moments: of the sequences that `split`, or `split_by_sequence`, puts into train, by that column's name.
    """

    kind: Kind
    whole: bool = True
    ids: set[str] = field(default_factory=set)
    digests: list[tuple[str, str, str]] = field(default_factory=list)
    lengths: Counter[str] = field(default_factory=Counter)
    moments: dict[str, Moments] = field(default_factory=dict)

    def add(self, row: Row, moments: Moments) -> None:
        """Count one row, which has its place beside the columns of a shard."""
        split = str(row["split"])
        self.ids.add(str(row["id"]))
        self.digests.append((split, str(row["id"]), str(row["digest"])))
        self.lengths[split] += int(str(row["length"]))
        for column in ("split", "split_by_sequence"):
            if row.get(column) == "train":
                parts = [moments, *([self.moments[column]] if column in self.moments else [])]
                self.moments[column] = Moments.total(parts, self.channels)

    @property
    def channels(self) -> int:
        """How many channels a moment has."""
        return 1 if self.kind == "speech" else 2


@dataclass(frozen=True)
class ShardCheck:
    """The check of one shard.

    Attributes:
        place: where it lies.
        entry: what the manifest says of it.
        split: that it belongs to.
        index: of all sequences; None where it cannot be read.
        tally: takes the shard's rows.
        findings: takes its problems.
    """

    place: Location
    entry: ShardEntry
    split: str
    index: pa.Table | None
    tally: Tally
    findings: Findings

    def run(self) -> None:
        """Check the shard; what cannot be read is one problem and makes the tally incomplete."""
        if not self.place.is_file():
            self.findings.add(self.entry.file, "file", f"{self.entry.bytes} bytes", "no such file")
            self.tally.whole = False
            return
        self._check_bytes()
        try:
            with self.place.open() as stream:
                self._check_content(pq.ParquetFile(stream))
        except UNREADABLE as error:
            self._unreadable("content", error)

    def _unreadable(self, what: str, error: BaseException) -> None:
        self.findings.add(self.entry.file, what, "readable Parquet", error)
        self.tally.whole = False

    def _check_bytes(self) -> None:
        size = self.place.info().size
        if size != self.entry.bytes:
            self.findings.add(self.entry.file, "bytes", self.entry.bytes, size)
        else:
            self.findings.compare(self.entry.file, "SHA-256", self.entry.sha256, self.place.sha256())

    def _check_content(self, file: pq.ParquetFile) -> None:
        stated = (file.metadata.metadata or {}).get(b"schema_version", b"none").decode()
        self.findings.compare(self.entry.file, "schema_version", str(SCHEMA_VERSION), stated)
        if not compare_schemas(self.entry.file, shard_schema(self.tally.kind), file.schema_arrow, self.findings):
            self.tally.whole = False
            return
        self.findings.compare(self.entry.file, "sequences", self.entry.sequences, file.metadata.num_rows)
        indexed = self._indexed()
        read = [self._check_group(file, group, indexed) for group in range(file.num_row_groups)]
        for id_ in indexed if all(read) else ():
            self.findings.add(
                f"{INDEX_NAME}: {id_}", "sequence", "none", f"a row for {self.entry.file}, which has none"
            )

    def _indexed(self) -> dict[str, list[Row]]:
        rows: dict[str, list[Row]] = defaultdict(list)
        if self.index is not None:
            for row in self.index.filter(pc.field("shard") == self.entry.file).to_pylist():
                rows[row["id"]].append(row)
        return rows

    def _check_group(self, file: pq.ParquetFile, group: int, indexed: dict[str, list[Row]]) -> bool:
        try:
            table = file.read_row_group(group)
            rows, signals = table.select(_FIELDS).to_pylist(), read_signals(table, self.tally.kind)
        except UNREADABLE as error:
            self._unreadable(f"row group {group}", error)
            return False
        for number, (row, signal) in enumerate(zip(rows, signals, strict=True)):
            place = {"split": self.split, "shard": self.entry.file, "row_group": group, "row": number}
            self._check_row(row | place, signal, indexed)
        return True

    def _check_row(self, row: Row, signal: Signal, indexed: dict[str, list[Row]]) -> None:
        where = f"{self.entry.file}: {row['id']}"
        if row["id"] in self.tally.ids:
            self.findings.add(where, "id", "no other sequence of this id", "another before it")
        for name, expected in _recomputed(signal).items():
            self.findings.compare(where, name, expected, row[name])
        if isinstance(signal, Ink):
            lengths = {len(column) for column in (signal.x, signal.y, signal.pen_up, signal.time)}
            self.findings.compare(where, "lengths of the columns", {len(signal)}, lengths)
        if self.index is not None:
            self._check_index(row, indexed)
        stated = _stated(row)
        self.tally.add(row, stated if len(stated.sums) == self.tally.channels else signal_moments(signal))

    def _check_index(self, row: Row, indexed: dict[str, list[Row]]) -> None:
        where = f"{INDEX_NAME}: {row['id']}"
        candidates = indexed.get(str(row["id"]), [])
        if not candidates:
            self.findings.add(where, "sequence", f"a row for {self.entry.file}", "none")
            return
        at = ("row_group", "row")
        entry = next((other for other in candidates if all(other[key] == row[key] for key in at)), candidates[0])
        for name in row:
            self.findings.compare(where, name, row[name], entry[name])
        candidates.remove(entry)
        if not candidates:
            del indexed[str(row["id"])]


def _recomputed(signal: Signal) -> Mapping[str, object]:
    moments = signal_moments(signal)
    return {
        "length": len(signal),
        "digest": signal_digest(signal),
        "moment_count": moments.count,
        "sums": list(moments.sums),
        "sums_of_squares": list(moments.sums_of_squares),
    }


def _stated(row: Row) -> Moments:
    fields = {"count": row["moment_count"], "sums": row["sums"], "sums_of_squares": row["sums_of_squares"]}
    return Moments.model_validate(fields)


def compare_schemas(where: str, expected: pa.Schema, found: pa.Schema, findings: Findings) -> bool:
    """Note how a file's columns differ from what they should be, and say whether they are equal."""
    if found.equals(expected):
        return True
    wanted, there = ([f"{column}" for column in schema] for schema in (expected, found))
    missing = [column for column in wanted if column not in there]
    strange = [column for column in there if column not in wanted]
    findings.add(where, "columns", ", ".join(missing) or wanted, ", ".join(strange) or there)
    return False
