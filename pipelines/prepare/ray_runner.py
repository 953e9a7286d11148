"""Running shard tasks on Ray.

Each shard is one Ray task, and at most `workers` tasks are in flight: memory depends on the workers, not on the corpus.
A task whose worker or node dies runs again with its sources isolated (see `pipelines.prepare.isolation`). A task that
fails on the storage runs again after a pause. Both happen a bounded number of times.
"""

import errno
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayTaskError, WorkerCrashedError

from pipelines.errors import PreparationError
from pipelines.prepare.isolation import run_isolated, run_with_time_limit
from pipelines.prepare.shard_task import ShardReport, ShardTask
from pipelines.runtime.ray_sessions import ray_session

__all__ = ["LostTaskError", "run_on_ray"]

_MAX_ATTEMPTS = 4
_PAUSE_SECONDS = 1.0
# A full or read-only disk, or a place without permission: another attempt would fail in the same way.
_PERMANENT = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR}


class LostTaskError(PreparationError):
    """The workers of one shard died at every attempt, isolation or not."""


def run_on_ray(tasks: list[ShardTask], workers: int, address: str | None = None) -> Iterator[ShardReport]:
    """Run shard tasks as Ray tasks and yield their reports as they finish.

    Args:
        tasks: the tasks; if there are none, Ray is not started.
        workers: how many tasks run at once.
        address: address of a Ray cluster; see `ray_session`.

    Raises:
        LostTaskError: a shard's worker died at every attempt.
        OSError: the storage failed at every attempt, or with an error that no retry can fix.
    """
    if not tasks:
        return
    with ray_session(workers, address):
        yield from _run_bounded(tasks, workers)


@dataclass(frozen=True)
class _Attempt:
    task: ShardTask
    number: int = 1
    isolated: bool = False

    def next_after(self, error: Exception) -> "_Attempt":
        """The attempt that follows `error`.

        Raises:
            LostTaskError: the task's workers died too often.
            OSError: the storage failed too often, or no retry can fix the error.
        """
        if isinstance(error, RayTaskError):
            cause = error.cause
            if not isinstance(cause, OSError) or cause.errno in _PERMANENT or self.number == _MAX_ATTEMPTS:
                raise cause from None
            time.sleep(_PAUSE_SECONDS * 2**self.number)
            return _Attempt(self.task, self.number + 1, self.isolated)
        if self.number == _MAX_ATTEMPTS:
            reason = str(error).splitlines()[0]
            raise LostTaskError(f"{self.task.name}: its worker died {_MAX_ATTEMPTS} times ({reason})") from error
        return _Attempt(self.task, self.number + 1, isolated=True)


def _run_bounded(tasks: list[ShardTask], workers: int) -> Iterator[ShardReport]:
    # Ray's own retries are off: it would repeat a task without isolating its sources.
    in_worker, isolated = (ray.remote(num_cpus=1, max_retries=0)(run) for run in (run_with_time_limit, run_isolated))
    waiting = deque(_Attempt(task) for task in tasks)
    in_flight: dict[ray.ObjectRef, _Attempt] = {}
    try:
        while waiting or in_flight:
            while waiting and len(in_flight) < workers:
                attempt = waiting.popleft()
                run = isolated if attempt.isolated else in_worker
                in_flight[run.remote(attempt.task)] = attempt
            (finished,), _ = ray.wait(list(in_flight), num_returns=1)
            attempt = in_flight.pop(finished)
            try:
                yield ray.get(finished)
            except (RayTaskError, WorkerCrashedError, NodeDiedError, OutOfMemoryError) as error:
                waiting.appendleft(attempt.next_after(error))
    finally:
        for reference in in_flight:
            ray.cancel(reference)
