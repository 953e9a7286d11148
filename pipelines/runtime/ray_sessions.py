"""Ray, started and used in one way.

Nothing calls home (usage statistics are off), no dashboard is opened, and a Ray that a caller has already
started is used as it is. What Ray has to say of dead workers, it prints on stdout, which belongs to results: it is
sent to stderr. A caller's handler of SIGTERM, which Ray replaces by its own, is put back.

Every shard is one Ray task, as many in flight as there are workers: memory follows the workers, not the corpus. A
task that ends with its worker or its node is run again with its sources isolated (see `pipelines.prepare.isolation`);
one that ends in a failure of the storage is run again after a pause. Both a bounded number of times.
"""

import contextlib
import errno
import logging
import math
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayTaskError, WorkerCrashedError

from pipelines.errors import InputError, PreparationError
from pipelines.prepare.isolation import run_guarded, run_isolated
from pipelines.prepare.shard_task import ShardReport, ShardTask

__all__ = ["LostTaskError", "RoomWatch", "ray_session", "run_on_ray"]

_HERE = "local"
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
"""Ray's workers are nice to everything else by default: on a shared machine they would hardly run."""

_log = logging.getLogger(__name__)

_ROOM_SECONDS = 90.0
_ATTEMPTS = 4
_PAUSE_SECONDS = 1.0
_FINAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR}
"""What another attempt would meet again: a full or read-only disk, a place that may not be written to."""


class LostTaskError(PreparationError):
    """A shard's workers kept dying, whatever its sources."""


@contextlib.contextmanager
def ray_session(workers: int, address: str | None = None, *, gpus: float = 0.0) -> Iterator[str | None]:
    """Have a Ray to work with: the running one, the cluster at `address`, or a fresh one of `workers` CPUs.

    Args:
        workers: cores of a fresh one.
        address: of a cluster.
        gpus: that must be had at once, or nothing can begin. A cluster may yet grow; this machine cannot.

    Yields:
        The address of its dashboard; None where it has none.

    Raises:
        InputError: no cluster answers at `address`, or this machine has too few GPUs.
        TimeoutError: a fresh one did not start in the time that Ray gives it.
    """
    if ray.is_initialized():
        yield None
        return
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with contextlib.redirect_stdout(sys.stderr):
        chosen = address or os.environ.get("RAY_ADDRESS") or _HERE
        dashboard = _connect(workers, chosen)
        try:
            if chosen == _HERE:
                _demand_gpus(gpus)
            yield dashboard
        finally:
            ray.shutdown()


def _connect(workers: int, chosen: str) -> str | None:
    """Connect to the cluster that is chosen, or start a Ray of our own, even where another one runs here."""
    size = {"num_cpus": workers, "include_dashboard": False} if chosen == _HERE else {}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        context = ray.init(address=chosen, log_to_driver=False, logging_level=logging.ERROR, **size)
    except (ConnectionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"no Ray cluster answers at {chosen}: {reason}; start one, or leave --address out") from error
    except Exception as error:
        # Ray has no name for a node that does not come up in time: it raises a bare Exception.
        if type(error) is not Exception:
            raise
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise TimeoutError(f"Ray did not start ({reason}); if this machine is busy, repeat the command") from error
    if callable(handler) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)
    return f"http://{context.dashboard_url}" if context.dashboard_url else None


def _demand_gpus(gpus: float) -> None:
    has = ray.cluster_resources().get("GPU", 0.0)
    if gpus > has:
        raise InputError(
            f"{gpus:g} GPUs are asked for at once and this machine has {has:g}; "
            "ask for fewer, or name a cluster with --address"
        )


class RoomWatch:
    """Says once, when nothing has begun for a while, what the cluster has left."""

    def __init__(self, what: str) -> None:
        """Watch over `what` is to begin."""
        self._what = what
        self._at = time.monotonic() + _ROOM_SECONDS

    def look(self, *, begun: bool) -> None:
        """Say so if it is time to."""
        if begun:
            self._at = math.inf
        elif time.monotonic() > self._at:
            free = {name: ray.available_resources().get(name, 0.0) for name in ("CPU", "GPU")}
            _log.warning("%s: waiting for room; the cluster has %s free", self._what, free)
            self._at = math.inf


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
