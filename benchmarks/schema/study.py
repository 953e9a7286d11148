"""What a study is: its suite, the code that ran it, its protocols, its trials' keys, and the leak check of its data."""

from typing import ClassVar

from benchmarks.schema.base import File, Schema
from benchmarks.schema.leaks import LeakCheck
from benchmarks.schema.suite import Suite
from pipelines.batches.protocol import Protocol

__all__ = ["AppliedProtocol", "Code", "StudyDescription"]


class Code(Schema):
    """The code that produced a result.

    Attributes:
        commit: of its git checkout, else `VRNN_BENCH_COMMIT`, else `unknown`.
        clean: whether the checkout's files are those of the commit: `yes`, `no` or `unknown`.
        lock_sha256: of `requirements.lock`, or `unknown` where the code was installed without it.
    """

    commit: str
    clean: str
    lock_sha256: str


class AppliedProtocol(Protocol):
    """A protocol with the roles that it gives to a corpus's splits, in a sentence."""

    rule: str


class StudyDescription(File):
    """A study's own file.

    Attributes:
        code: that ran it last.
        protocols: by corpus and protocol: `timit/clean`.
        keys: of all that it scores, in the order of its table: corpus by corpus, codecs before trained models.
        warnings: of the leak checks, each with its corpus and protocol.
    """

    file_name: ClassVar[str] = "study.json"
    remedy: ClassVar[str] = "run the study again with this version"

    version: int = 1
    code: Code
    suite: Suite
    protocols: dict[str, AppliedProtocol]
    keys: tuple[str, ...]
    leaks: dict[str, LeakCheck]
    warnings: tuple[str, ...]
