"""The work on one shard: decode, verify and write its source items.

`run_shard_task` is a plain function of its task, so Ray, a test or a loop can run it; nothing here knows the cluster.
The report is kept as a file: it is the marker that the task is complete.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field

from pipelines.corpora.base import Options, SourceItem
from pipelines.errors import RejectedSourceError
from pipelines.prepare.source_rows import decode_item
from pipelines.runtime.storage import STATE_DIRECTORY, Location
from pipelines.shards.columns import SCHEMA_VERSION, Row
from pipelines.shards.write import write_shard
from pipelines.signals import Kind

__all__ = ["Reject", "ShardReport", "ShardTask", "completed_report", "decode_rows", "marker_name", "run_shard_task"]

TRANSIENT_CODES = frozenset({"unreadable", "crashed", "timed_out"})
"""Rejects that may come from the machine rather than from the source: the next run repeats their shards."""

DecodeRows = Callable[["ShardTask", SourceItem], Iterator[Row]]


@dataclass(frozen=True)
class ShardTask:
    """The inputs of one shard.

    Attributes:
        raw: the raw root.
        out: the directory for the shard and its marker.
        name: the shard's file name.
        kind: `speech` or `pen`.
        sample_rate: rate to decode to, in Hz; None for pen.
        recipe: everything that decides the shard's content, apart from the items.
        items: the source items.
        options: the adapter's options.
        source_seconds: how long decoding one item may take, before the allowance for its size.
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
        """Identifies the task: a shard with an equal key need not be written again."""
        digest = hashlib.sha256(json.dumps(self.recipe, sort_keys=True).encode())
        for item in self.items:
            # The repr holds the file's size and time, so a changed file changes the key.
            digest.update(repr(item).encode())
        return digest.hexdigest()

    def time_limit(self, item: SourceItem) -> float:
        """Seconds that decoding `item` may take: `source_seconds`, and two for each MiB."""
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
    """The result of a task; its file is the marker that the task is complete."""

    key: str
    name: str
    bytes: int
    sha256: str
    sequences: int
    rejects: tuple[Reject, ...]

    def to_json(self) -> str:
        """The marker's content."""
        return json.dumps(asdict(self), sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "ShardReport":
        """The inverse of `to_json`."""
        fields = json.loads(text)
        return cls(**(fields | {"rejects": tuple(Reject(**reject) for reject in fields["rejects"])}))


def marker_name(shard: str) -> str:
    """The path of a shard's marker, relative to the directory of the shards."""
    return f"{STATE_DIRECTORY}/{shard}.json"


def completed_report(task: ShardTask) -> ShardReport | None:
    """The report of an earlier run of the same task; None if its shard is not there or must be written again."""
    try:
        report = ShardReport.from_json((Location(task.out) / marker_name(task.name)).read_bytes().decode())
    except (FileNotFoundError, KeyError, TypeError, json.JSONDecodeError):
        return None
    found = (Location(task.out) / task.name).info()
    done = report.key == task.key and found.is_file and found.size == report.bytes
    return report if done and not any(reject.code in TRANSIENT_CODES for reject in report.rejects) else None


def decode_rows(task: ShardTask, item: SourceItem) -> Iterator[Row]:
    """The rows of one of the task's items, decoded in this process; see `decode_item`."""
    return decode_item(Location(task.raw), item, task.sample_rate, task.options)


def run_shard_task(task: ShardTask, decode_rows: DecodeRows = decode_rows) -> ShardReport:
    """Decode the task's items and write its shard and marker; items that cannot be used become rejects.

    Args:
        task: the task.
        decode_rows: decodes one item; if it raises `RejectedSourceError`, it does so before it yields a row.
    """
    rejects: list[Reject] = []

    def usable_rows() -> Iterator[Row]:
        for item in task.items:
            try:
                yield from decode_rows(task, item)
            except RejectedSourceError as error:
                rejects.append(Reject(item.file.path, item.id, item.split, error.code, error.message))

    out = Location(task.out)
    metadata = {"schema_version": SCHEMA_VERSION, "recipe": task.recipe}
    written = write_shard(out / task.name, task.kind, usable_rows(), metadata)
    report = ShardReport(task.key, task.name, written.bytes, written.sha256, written.rows, tuple(rejects))
    (out / marker_name(task.name)).write_bytes(report.to_json().encode())
    return report
