"""`manifest.json`: what a set of shards holds, and the fingerprint that identifies its content.

The manifest is written last: a set of shards without one is unfinished. It holds no times and no host names, so the
same raw files and the same software give the same manifest on every machine.
"""

import hashlib
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.corpora.base import Options
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from pipelines.shards.moments import Moments
from pipelines.signals import Kind

__all__ = ["INDEX_NAME", "MANIFEST_NAME", "REJECTS_NAME", "Manifest", "ShardEntry", "SplitEntry", "fingerprint"]

MANIFEST_NAME = "manifest.json"
INDEX_NAME = "index.parquet"
REJECTS_NAME = "rejects.parquet"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShardEntry(_Frozen):
    """One shard: its file name, size, SHA-256 and number of sequences."""

    file: str
    bytes: int
    sha256: str
    sequences: int


class SplitEntry(_Frozen):
    """One split: the number of its sequences, the number of samples or pen points, and its shards."""

    sequences: int
    length: int
    shards: tuple[ShardEntry, ...]


class Manifest(_Frozen):
    """What a set of shards holds.

    Attributes:
        schema_version: version of the shards' columns.
        corpus: the adapter's name.
        kind: `speech` or `pen`.
        sample_rate: rate in Hz; None for pen.
        options: the adapter's options.
        licence: licence of the raw corpus, as its publisher states it.
        url: where the raw corpus comes from.
        split_rule: how the splits were made, in words.
        fingerprint: SHA-256 of the content; see `fingerprint`.
        splits: the splits by name.
        rejects: the number of rejected source items by code.
        train_moments: exact moments of the training split.
        train_moments_by_sequence: exact moments of the training part of the split by sequence.
        index_sha256: SHA-256 of `index.parquet`.
        software: versions of the software that decoded and wrote.
    """

    schema_version: int
    corpus: str
    kind: Kind
    sample_rate: int | None
    options: Options
    licence: str
    url: str
    split_rule: str
    fingerprint: str
    splits: dict[str, SplitEntry]
    rejects: dict[str, int]
    train_moments: Moments
    train_moments_by_sequence: Moments
    index_sha256: str
    software: dict[str, str]

    @classmethod
    def load(cls, shards: Location) -> "Manifest":
        """Read the manifest of a set of shards.

        Raises:
            InputError: there is none, it is damaged, or it has another version.
        """
        try:
            content = (shards / MANIFEST_NAME).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise InputError(
                f"{shards}: holds no {MANIFEST_NAME}, so it is not a finished set of shards; "
                f"make one with: vrnn-bench prepare CORPUS --raw PATH --out {shards}"
            ) from error
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise InputError(
                f"{shards / MANIFEST_NAME}: damaged or of another version ({error.error_count()} fields); "
                "run prepare again"
            ) from error

    def save(self, shards: Location) -> None:
        """Write the manifest of a set of shards."""
        (shards / MANIFEST_NAME).write_bytes((self.model_dump_json(indent=2) + "\n").encode())


def fingerprint(kind: Kind, sample_rate: int | None, rows: Iterable[tuple[str, str, str]]) -> str:
    """SHA-256 over kind, rate and the sorted (split, id, digest) of every sequence.

    It does not depend on how the sequences are cut into shards or on where they came from.
    """
    digest = hashlib.sha256(f"{kind}\0{sample_rate}\n".encode())
    for row in sorted(rows):
        digest.update(("\0".join(row) + "\n").encode())
    return digest.hexdigest()
