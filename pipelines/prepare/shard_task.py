"""One shard's work: decode, verify and write the source items it was given.

A plain function of its task, so that Ray, a test or a loop can run it. Nothing here knows the cluster. A report is
kept beside the shard: it is the mark that the task is done.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field

from pipelines.corpora.base import Kind, Options, SourceItem
from pipelines.errors import RejectedSourceError
from pipelines.prepare.sources import decode_item
from pipelines.runtime.storage import Location
from pipelines.shards.write import SCHEMA_VERSION, Row, write_shard

__all__ = ["STATE_DIRECTORY", "Reject", "ShardReport", "ShardTask", "completed_report", "rows_of", "run_shard_task"]

STATE_DIRECTORY = ".state"
TRANSIENT_CODES = frozenset({"unreadable", "crashed", "timed_out"})
"""Rejects that say more of the moment than of the source: the next run tries their shards again."""

RowsOf = Callable[["ShardTask", SourceItem], Iterator[Row]]


@dataclass(frozen=True)
class ShardTask:
    """What one shard is made of.

    Attributes:
        raw: the raw root.
        out: the directory that the shard and its mark go to.
        name: the shard's file name.
        kind: `speech` or `pen`.
        sample_rate: Hz to decode to, None for pen.
        options: the adapter's.
        recipe: what, beside the items, decides the shard's content.
        items: the source items.
        source_seconds: how long one source item may take, before what its size adds.
    """

    raw: str
    out: str
    name: str
    kind: Kind
    sample_rate: int | None
    recipe: Mapping[str, object]
    items: tuple[SourceItem, ...]
    options: Options = field(default_factory=dict)
    source_seconds: float = 120.0

    @property
    def key(self) -> str:
        """Names the task: equal keys need no second run."""
        digest = hashlib.sha256(json.dumps(self.recipe, sort_keys=True).encode())
        for item in self.items:
            digest.update(repr(item).encode())
        return digest.hexdigest()

    def time_limit(self, item: SourceItem) -> float:
        """Seconds that `item` may take: two for each MiB on top of `source_seconds`."""
        return self.source_seconds + 2 * item.bytes / 2**20


@dataclass(frozen=True)
class Reject:
    """A source item that could not be used."""

    path: str
    id: str
    split: str
    code: str
    message: str


@dataclass(frozen=True)
class ShardReport:
    """What became of a task. Kept beside the shard, it is the mark that the task is done."""

    key: str
    name: str
    bytes: int
    sha256: str
    sequences: int
    rejects: tuple[Reject, ...]

    def to_json(self) -> str:
        """The mark's content."""
        return json.dumps(asdict(self), sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "ShardReport":
        """The inverse of `to_json`."""
        fields = json.loads(text)
        return cls(**(fields | {"rejects": tuple(Reject(**reject) for reject in fields["rejects"])}))


def _mark(out: str, name: str) -> Location:
    return Location(out) / STATE_DIRECTORY / f"{name}.json"


def completed_report(task: ShardTask) -> ShardReport | None:
    """The report of an earlier run of this very task, if its shard still lies there and it need not be tried again."""
    try:
        report = ShardReport.from_json(_mark(task.out, task.name).read_bytes().decode())
    except (FileNotFoundError, KeyError, TypeError, json.JSONDecodeError):
        return None
    found = (Location(task.out) / task.name).info()
    done = report.key == task.key and found.is_file and found.size == report.bytes
    return report if done and not any(reject.code in TRANSIENT_CODES for reject in report.rejects) else None


def rows_of(task: ShardTask, item: SourceItem) -> Iterator[Row]:
    """The rows of one of the task's items, decoded in this process; see `decode_item`."""
    return decode_item(Location(task.raw), item, task.sample_rate, task.options)


def run_shard_task(task: ShardTask, rows_of: RowsOf = rows_of) -> ShardReport:
    """Decode the task's items, write its shard and its mark.

    Items that cannot be used become rejects and never stop the run.

    Args:
        task: what to do.
        rows_of: how the rows of an item come about; it raises `RejectedSourceError` before the first of them or not
            at all.
    """
    rejects: list[Reject] = []
    shard = Location(task.out) / task.name
    metadata = {"schema_version": SCHEMA_VERSION, "recipe": task.recipe}
    written = write_shard(shard, task.kind, _usable_rows(task, rows_of, rejects), metadata)
    report = ShardReport(task.key, task.name, written.bytes, written.sha256, written.rows, tuple(rejects))
    _mark(task.out, task.name).write_bytes(report.to_json().encode())
    return report


def _usable_rows(task: ShardTask, rows_of: RowsOf, rejects: list[Reject]) -> Iterator[Row]:
    for item in task.items:
        try:
            yield from rows_of(task, item)
        except RejectedSourceError as error:
            rejects.append(Reject(item.file.path, item.id, item.split, error.code, error.message))
