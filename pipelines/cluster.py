"""Ray, started and used in one way.

Nothing calls home (usage statistics are off), no dashboard is opened, and a Ray that a caller has already
started is used as it is. What Ray has to say of dead workers, it prints on stdout, which belongs to results: it is
sent to stderr.

Every shard is one Ray task, as many in flight as there are workers: memory follows the workers, not the corpus. A
task that ends with its worker or its node is run again with its sources isolated (see `pipelines.isolation`); one that
ends in a failure of the storage is run again after a pause. Both a bounded number of times.
"""

import contextlib
import errno
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayTaskError, WorkerCrashedError

from pipelines.errors import InputError, PreparationError
from pipelines.isolation import run_guarded, run_isolated
from pipelines.shard_task import ShardReport, ShardTask

__all__ = ["LostTaskError", "ray_session", "run_on_ray"]

_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
"""Ray's workers are nice to everything else by default: on a shared machine they would hardly run."""

_ATTEMPTS = 4
_PAUSE_SECONDS = 1.0
_FINAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR}
"""What another attempt would meet again: a full or read-only disk, a place that may not be written to."""


class LostTaskError(PreparationError):
    """A shard's workers kept dying, whatever its sources."""


@contextlib.contextmanager
def ray_session(workers: int, address: str | None = None) -> Iterator[None]:
    """Have a Ray to work with: the running one, the cluster at `address`, or a fresh one of `workers` CPUs.

    Raises:
        InputError: no cluster answers at `address`.
    """
    if ray.is_initialized():
        yield
        return
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with contextlib.redirect_stdout(sys.stderr):
        _connect(workers, address)
        try:
            yield
        finally:
            ray.shutdown()


def _connect(workers: int, address: str | None) -> None:
    """Connect to `address`, else to `RAY_ADDRESS`, else to a Ray of our own, even where another one runs here."""
    chosen = address or os.environ.get("RAY_ADDRESS") or "local"
    size = {"num_cpus": workers, "include_dashboard": False} if chosen == "local" else {}
    try:
        ray.init(address=chosen, log_to_driver=False, logging_level=logging.ERROR, **size)
    except (ConnectionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"no Ray cluster answers at {chosen}: {reason}; start one, or leave --address out") from error


def run_on_ray(tasks: list[ShardTask], workers: int, address: str | None = None) -> Iterator[ShardReport]:
    """Run shard tasks as Ray tasks with a bounded number in flight; yield the reports as they come.

    Args:
        tasks: what to run; without any, no Ray is started.
        workers: how many run at once.
        address: of a Ray cluster; see `ray_session`.

    Raises:
        LostTaskError: a shard's worker died at every attempt.
        OSError: the storage failed at every attempt, or in a way that no attempt mends.
    """
    if not tasks:
        return
    with ray_session(workers, address):
        yield from _in_flight(tasks, workers)


@dataclass(frozen=True)
class _Attempt:
    task: ShardTask
    number: int = 1
    isolated: bool = False

    def after(self, error: Exception) -> "_Attempt":
        """The next attempt.

        Raises:
            LostTaskError: there have been enough after dead workers.
            OSError: there have been enough after failures of the storage, or no attempt would mend it.
        """
        if isinstance(error, RayTaskError):
            cause = error.cause
            if not isinstance(cause, OSError) or cause.errno in _FINAL or self.number == _ATTEMPTS:
                raise cause from None
            time.sleep(_PAUSE_SECONDS * 2**self.number)
            return _Attempt(self.task, self.number + 1, self.isolated)
        if self.number == _ATTEMPTS:
            reason = str(error).splitlines()[0]
            raise LostTaskError(f"{self.task.name}: its worker died {_ATTEMPTS} times ({reason})") from error
        return _Attempt(self.task, self.number + 1, isolated=True)


def _in_flight(tasks: list[ShardTask], workers: int) -> Iterator[ShardReport]:
    guarded, isolated = (ray.remote(num_cpus=1, max_retries=0)(run) for run in (run_guarded, run_isolated))
    waiting = deque(_Attempt(task) for task in tasks)
    flying: dict[ray.ObjectRef, _Attempt] = {}
    try:
        while waiting or flying:
            while waiting and len(flying) < workers:
                attempt = waiting.popleft()
                run = isolated if attempt.isolated else guarded
                flying[run.remote(attempt.task)] = attempt
            (ready,), _ = ray.wait(list(flying), num_returns=1)
            attempt = flying.pop(ready)
            try:
                yield ray.get(ready)
            except (RayTaskError, WorkerCrashedError, NodeDiedError, OutOfMemoryError) as error:
                waiting.appendleft(attempt.after(error))
    finally:
        for reference in flying:
            ray.cancel(reference)
