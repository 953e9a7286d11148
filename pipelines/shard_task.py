"""One shard's work: decode, verify and write the source items it was given.

A plain function of its task, so that Ray, a test or a loop can run it. Nothing here knows the cluster.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pipelines.audio import decode_audio
from pipelines.corpora.base import Kind, SourceItem
from pipelines.errors import RejectedSourceError
from pipelines.ink import decode_ink
from pipelines.shards import SCHEMA_VERSION, Row, make_row, write_shard
from pipelines.signals import Signal
from pipelines.storage import Location

__all__ = ["STATE_DIRECTORY", "Reject", "ShardReport", "ShardTask", "completed_report", "run_shard_task"]

STATE_DIRECTORY = ".state"


@dataclass(frozen=True)
class ShardTask:
    """What one shard is made of.

    Attributes:
        raw: the raw root.
        out: where the shards go.
        name: the shard's file name.
        kind: `speech` or `pen`.
        sample_rate: Hz to decode to, None for pen.
        recipe: what, beside the items, decides the shard's content.
        items: the source items.
    """

    raw: str
    out: str
    name: str
    kind: Kind
    sample_rate: int | None
    recipe: Mapping[str, object]
    items: tuple[SourceItem, ...]

    @property
    def key(self) -> str:
        """Names the task: equal keys need no second run."""
        content = {"recipe": self.recipe, "items": [asdict(item) for item in self.items]}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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
    """The report of an earlier run of this very task, if its shard still lies there, else None."""
    try:
        report = ShardReport.from_json(_mark(task.out, task.name).read_bytes().decode())
    except (FileNotFoundError, KeyError, TypeError, json.JSONDecodeError):
        return None
    found = (Location(task.out) / task.name).info()
    return report if report.key == task.key and found.is_file and found.size == report.bytes else None


def run_shard_task(task: ShardTask) -> ShardReport:
    """Decode the task's items, write its shard and its mark.

    Items that cannot be used become rejects and never stop the run.
    """
    rows: list[Row] = []
    rejects: list[Reject] = []
    sources = hashlib.sha256()
    for item in task.items:
        try:
            content = _read(task, item)
            sources.update(hashlib.sha256(content).digest())
            rows.append(make_row(item, _decode(task, content)))
        except RejectedSourceError as error:
            rejects.append(Reject(item.file.path, item.id, item.split, error.code, error.message))
    shard = Location(task.out) / task.name
    metadata = {"schema_version": SCHEMA_VERSION, "recipe": task.recipe, "source_sha256": sources.hexdigest()}
    write_shard(shard, task.kind, rows, metadata)
    size = shard.info().size or 0
    report = ShardReport(task.key, task.name, size, shard.sha256(), len(rows), tuple(rejects))
    _mark(task.out, task.name).write_bytes(report.to_json().encode())
    return report


def _read(task: ShardTask, item: SourceItem) -> bytes:
    try:
        return (Location(task.raw) / item.file.path).read_bytes()
    except OSError as error:
        raise RejectedSourceError("unreadable", f"cannot be read: {error.strerror or type(error).__name__}") from error


def _decode(task: ShardTask, content: bytes) -> Signal:
    if task.sample_rate is None:
        return decode_ink(content)
    return decode_audio(content, task.sample_rate)
