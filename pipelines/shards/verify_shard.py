"""The check of one shard: its bytes against the manifest, its rows against its signals and the index.

Rows are read one row group at a time, so the memory does not depend on the size of the shard.
"""

# The stubs of pyarrow are partial.
# pyright: reportUnknownMemberType=false

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.runtime.storage import Location
from pipelines.shards.columns import INDEX_FIELDS, SCHEMA_VERSION, Row, read_signals, shard_schema, signal_digest
from pipelines.shards.manifest import INDEX_NAME, ShardEntry
from pipelines.shards.moments import Moments, signal_moments
from pipelines.signals import Ink, Kind, Signal

__all__ = ["PROBLEM_LIMIT", "UNREADABLE", "Problems", "ShardCheck", "Totals", "compare_schemas"]

PROBLEM_LIMIT = 100
UNREADABLE = (OSError, pa.ArrowException, ValueError)
"""What damaged Parquet raises, by its bytes, its structure, or text that is not UTF-8."""
_VALUE_LIMIT = 200
_FIELDS = [field.name for field in INDEX_FIELDS]


@dataclass
class Problems:
    """The problems that a check found, in the order in which it found them.

    Attributes:
        lines: the first `PROBLEM_LIMIT` of them, one line each.
        count: the number of all problems.
    """

    lines: list[str] = field(default_factory=list[str])
    count: int = 0

    def add(self, where: str, what: str, expected: object, found: object) -> None:
        """Add a problem.

        Args:
            where: the file, and the id if it concerns one sequence.
            what: what was checked.
            expected: the value that it should have.
            found: the value that it has.
        """
        self.count += 1
        if len(self.lines) < PROBLEM_LIMIT:
            self.lines.append(f"{where}: {what}: expected {_shown(expected)}, found {_shown(found)}")

    def compare(self, where: str, what: str, expected: object, found: object) -> None:
        """Add a problem if the two values differ."""
        if expected != found:
            self.add(where, what, expected, found)


def _shown(value: object) -> str:
    text = " ".join(str(value).split()) or "nothing"
    return text if len(text) <= _VALUE_LIMIT else f"{text[: _VALUE_LIMIT - 3]}..."


@dataclass
class Totals:
    """Sums over the rows of all shards.

    Attributes:
        kind: `speech` or `pen`.
        complete: whether every row of every shard was read; otherwise the sums mean nothing.
        ids: the ids of all sequences.
        digests: (split, id, digest) of each sequence.
        lengths: samples or points by split.
        moments: moments of the training sequences, by the column that assigns the split.
    """

    kind: Kind
    complete: bool = True
    ids: set[str] = field(default_factory=set[str])
    digests: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    lengths: Counter[str] = field(default_factory=Counter[str])
    moments: dict[str, Moments] = field(default_factory=dict[str, Moments])

    def add(self, row: Row, moments: Moments) -> None:
        """Add one row, which has the columns of the index."""
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
        """The number of channels that have moments."""
        return 1 if self.kind == "speech" else 2


@dataclass(frozen=True)
class ShardCheck:
    """The check of one shard.

    Attributes:
        place: the shard's file.
        entry: its entry in the manifest.
        split: the split that lists it.
        index: the index of all sequences; None if it cannot be read.
        totals: sums to which the shard's rows are added.
        problems: list to which the shard's problems are added.
    """

    place: Location
    entry: ShardEntry
    split: str
    index: pa.Table | None
    totals: Totals
    problems: Problems

    def run(self) -> None:
        """Check the shard; a part that cannot be read is one problem and makes the totals incomplete."""
        if not self.place.is_file():
            self.problems.add(self.entry.file, "file", f"{self.entry.bytes} bytes", "no such file")
            self.totals.complete = False
            return
        size = self.place.info().size
        if size != self.entry.bytes:
            self.problems.add(self.entry.file, "bytes", self.entry.bytes, size)
        else:
            self.problems.compare(self.entry.file, "SHA-256", self.entry.sha256, self.place.sha256())
        try:
            with self.place.open() as stream:
                self._check_content(pq.ParquetFile(stream))
        except UNREADABLE as error:
            self._add_unreadable("content", error)

    def _add_unreadable(self, what: str, error: BaseException) -> None:
        self.problems.add(self.entry.file, what, "readable Parquet", error)
        self.totals.complete = False

    def _check_content(self, file: pq.ParquetFile) -> None:
        stated = (file.metadata.metadata or {}).get(b"schema_version", b"none").decode()
        self.problems.compare(self.entry.file, "schema_version", str(SCHEMA_VERSION), stated)
        if not compare_schemas(self.entry.file, shard_schema(self.totals.kind), file.schema_arrow, self.problems):
            self.totals.complete = False
            return
        self.problems.compare(self.entry.file, "sequences", self.entry.sequences, file.metadata.num_rows)
        indexed: dict[str, list[Row]] = defaultdict(list)
        if self.index is not None:
            for row in self.index.filter(pc.field("shard") == self.entry.file).to_pylist():
                indexed[row["id"]].append(row)
        read = [self._check_row_group(file, group, indexed) for group in range(file.num_row_groups)]
        # Checked rows are removed from `indexed`: what is left has no row in the shard.
        for id_ in indexed if all(read) else ():
            self.problems.add(
                f"{INDEX_NAME}: {id_}", "sequence", "none", f"a row for {self.entry.file}, which has none"
            )

    def _check_row_group(self, file: pq.ParquetFile, group: int, indexed: dict[str, list[Row]]) -> bool:
        try:
            table = file.read_row_group(group)
            rows, signals = table.select(_FIELDS).to_pylist(), read_signals(table, self.totals.kind)
        except UNREADABLE as error:
            self._add_unreadable(f"row group {group}", error)
            return False
        for number, (row, signal) in enumerate(zip(rows, signals, strict=True)):
            place: Row = {"split": self.split, "shard": self.entry.file, "row_group": group, "row": number}
            self._check_row(row | place, signal, indexed)
        return True

    def _check_row(self, row: Row, signal: Signal, indexed: dict[str, list[Row]]) -> None:
        where = f"{self.entry.file}: {row['id']}"
        if row["id"] in self.totals.ids:
            self.problems.add(where, "id", "no other sequence of this id", "another before it")
        moments = signal_moments(signal)
        recomputed: Row = {
            "length": len(signal),
            "digest": signal_digest(signal),
            "moment_count": moments.count,
            "sums": list(moments.sums),
            "sums_of_squares": list(moments.sums_of_squares),
        }
        for name, expected in recomputed.items():
            self.problems.compare(where, name, expected, row[name])
        if isinstance(signal, Ink):
            lengths = {len(column) for column in (signal.x, signal.y, signal.pen_up, signal.time)}
            self.problems.compare(where, "lengths of the columns", {len(signal)}, lengths)
        if self.index is not None:
            self._check_index(row, indexed)
        fields = {"count": row["moment_count"], "sums": row["sums"], "sums_of_squares": row["sums_of_squares"]}
        stated = Moments.model_validate(fields)
        self.totals.add(row, stated if len(stated.sums) == self.totals.channels else moments)

    def _check_index(self, row: Row, indexed: dict[str, list[Row]]) -> None:
        where = f"{INDEX_NAME}: {row['id']}"
        candidates = indexed.get(str(row["id"]), [])
        if not candidates:
            self.problems.add(where, "sequence", f"a row for {self.entry.file}", "none")
            return
        # With a duplicate id, the index row at the same place is the one to compare.
        place = ("row_group", "row")
        entry = next((other for other in candidates if all(other[key] == row[key] for key in place)), candidates[0])
        for name in row:
            self.problems.compare(where, name, row[name], entry[name])
        candidates.remove(entry)
        if not candidates:
            del indexed[str(row["id"])]


def compare_schemas(where: str, expected: pa.Schema, found: pa.Schema, problems: Problems) -> bool:
    """Whether a file has the expected columns; if not, a problem lists the differences."""
    if found.equals(expected):
        return True
    wanted, present = ([str(column) for column in cast(Iterable[object], schema)] for schema in (expected, found))
    missing = [column for column in wanted if column not in present]
    unknown = [column for column in present if column not in wanted]
    problems.add(where, "columns", ", ".join(missing) or wanted, ", ".join(unknown) or present)
    return False
