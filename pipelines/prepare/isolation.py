"""Sources that kill the process that decodes them, or never end.

At first a source is decoded in the worker itself, under an alarm whose default action ends the whole process: a C
library in a loop can be stopped in no other way. When a worker has died, its shard is worked on again with every source
decoded in a child process, under the same alarm; the child that dies tells which source it was, and that source alone
is rejected.

The child reads pickled requests on stdin and writes pickled rows on stdout; it serves its shard's items one after the
other, ends when its parent does, and is replaced when it dies.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import IO

from pipelines.corpora.base import SourceItem
from pipelines.errors import RejectedSourceError
from pipelines.prepare.shard_task import ShardReport, ShardTask, rows_of, run_shard_task
from pipelines.shards.write import Row

__all__ = ["run_guarded", "run_isolated"]

_END = None


def run_guarded(task: ShardTask) -> ShardReport:
    """Run a task in this process, which the alarm ends when a source outlasts its limit."""
    return run_shard_task(task, _guarded_rows)


def _guarded_rows(task: ShardTask, item: SourceItem) -> Iterator[Row]:
    """The rows of an item, whose first comes after all the decoding: the limit is on that, not on the writing."""
    rows = rows_of(task, item)
    with _alarm(task.time_limit(item)):
        first = next(rows, None)
    if first is not None:
        yield first
        yield from rows


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def run_isolated(task: ShardTask) -> ShardReport:
    """Run a task with every source decoded in a child process; those that end it are rejected."""
    with _Child(task) as child:
        return run_shard_task(task, lambda _, item: child.rows_of(item))


class _Child:
    """A process that decodes, started when it is needed and ended with the block."""

    def __init__(self, task: ShardTask) -> None:
        self._task = replace(task, items=())
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "_Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def rows_of(self, item: SourceItem) -> Iterator[Row]:
        """The rows of one item.

        Raises:
            RejectedSourceError: the child rejected it, died of it, or outlasted its limit.
        """
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            _send(process.stdin, item)
            while (row := pickle.load(process.stdout)) is not _END:  # noqa: S301 (our own child)
                if isinstance(row, Exception):
                    raise row
                yield row
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            raise self._rejection(item, self._end()) from error

    def _rejection(self, item: SourceItem, status: int) -> RejectedSourceError:
        if status == -signal.SIGALRM:
            limit = self._task.time_limit(item)
            return RejectedSourceError("timed_out", f"decoding it took more than {limit:.0f} s, twice")
        return RejectedSourceError("crashed", f"decoding it ended the process, twice (status {status})")

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
            command = [sys.executable, "-m", "pipelines.prepare.isolation"]
            self._process = subprocess.Popen(  # noqa: S603 (this very module)
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
            )
            assert self._process.stdin is not None
            _send(self._process.stdin, self._task)
        return self._process

    def _end(self) -> int:
        """End the child; a child that is dead already keeps the status it died with."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        try:
            return process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _send(stream: IO[bytes], value: object) -> None:
    pickle.dump(value, stream)
    stream.flush()


def _serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    task = pickle.load(requests)  # noqa: S301 (from our own parent)
    while True:
        try:
            item = pickle.load(requests)  # noqa: S301
        except EOFError:
            return
        try:
            for row in _guarded_rows(task, item):
                _send(replies, row)
        except (RejectedSourceError, OSError) as error:
            _send(replies, error)
        else:
            _send(replies, _END)


if __name__ == "__main__":
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _serve(sys.stdin.buffer, answers)
