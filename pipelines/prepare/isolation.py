"""Protection against sources that crash the process that decodes them, or that never end.

A source is first decoded in the worker itself, under an alarm whose default action ends the whole process: a C library
in an endless loop cannot be stopped in any other way. After a worker has died, its shard runs again with its sources
decoded in a child process, under the same alarm. If the child dies, the source at hand is the culprit, and it alone is
rejected.

The child reads pickled requests on stdin and writes pickled rows on stdout. It serves the items of its shard one by
one, ends when its parent ends, and is replaced when it dies.
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
from pipelines.prepare.shard_task import ShardReport, ShardTask, decode_rows, run_shard_task
from pipelines.shards.columns import Row

__all__ = ["run_isolated", "run_with_time_limit"]

_END = None


def run_with_time_limit(task: ShardTask) -> ShardReport:
    """Run a task in this process, which the alarm ends if a source exceeds its time limit."""
    return run_shard_task(task, _rows_in_time)


def run_isolated(task: ShardTask) -> ShardReport:
    """Run a task with its sources decoded in a child process; a source that ends the child is rejected."""
    with _Child(task) as child:
        return run_shard_task(task, lambda _, item: child.decode_rows(item))


def _rows_in_time(task: ShardTask, item: SourceItem) -> Iterator[Row]:
    rows = decode_rows(task, item)
    # All decoding happens before the first row: the limit covers decoding, not the writing of the shard.
    signal.setitimer(signal.ITIMER_REAL, task.time_limit(item))
    try:
        first = next(rows, None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if first is not None:
        yield first
        yield from rows


class _Child:
    """A decoding process that starts when it is first needed and ends with the block."""

    def __init__(self, task: ShardTask) -> None:
        self._task = replace(task, items=())
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "_Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def decode_rows(self, item: SourceItem) -> Iterator[Row]:
        """The rows of one item.

        Raises:
            RejectedSourceError: the child rejected the item, died of it, or exceeded its time limit.
        """
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            _send(process.stdin, item)
            while (row := pickle.load(process.stdout)) is not _END:  # noqa: S301 (our own child)
                if isinstance(row, Exception):
                    raise row
                yield row
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            status = self._end()
            if status == -signal.SIGALRM:
                reason = f"decoding took more than {self._task.time_limit(item):.0f} s, twice"
                raise RejectedSourceError("timed_out", reason) from error
            raise RejectedSourceError("crashed", f"decoding ended the process, twice (status {status})") from error

    def _start(self) -> "subprocess.Popen[bytes]":
        # The child must find this package where this process found it.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
        command = [sys.executable, "-m", "pipelines.prepare.isolation"]
        self._process = process = subprocess.Popen(  # noqa: S603 (this very module)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        assert process.stdin is not None
        _send(process.stdin, self._task)
        return process

    def _end(self) -> int:
        """End the child and return its exit status; a child that has already died keeps its own status."""
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
            for row in _rows_in_time(task, item):
                _send(replies, row)
        except (RejectedSourceError, OSError) as error:
            _send(replies, error)
        else:
            _send(replies, _END)


if __name__ == "__main__":
    # Replies have the real stdout to themselves: what a C library prints goes to stderr.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _serve(sys.stdin.buffer, answers)
