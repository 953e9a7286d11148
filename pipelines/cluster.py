"""Ray, started and used in one way.

Nothing calls home (usage statistics are off), no dashboard is opened, and a Ray that a caller has already
started is used as it is.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from pipelines.errors import InputError
from pipelines.shard_task import ShardReport, ShardTask, run_shard_task

__all__ = ["ray_session", "run_on_ray"]


@contextmanager
def ray_session(workers: int, address: str | None = None) -> Iterator[None]:
    """Have a Ray to work with: the running one, the cluster at `address`, or a fresh one of `workers` CPUs.

    Raises:
        InputError: no cluster answers at `address`.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    size = {} if address else {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **size)
    except (ConnectionError, ValueError) as error:
        raise InputError(f"no Ray cluster answers at {address}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def run_on_ray(tasks: list[ShardTask], workers: int, address: str | None = None) -> Iterator[ShardReport]:
    """Run shard tasks as Ray tasks with a bounded number in flight; yield the reports as they come.

    Args:
        tasks: what to run; without any, no Ray is started.
        workers: how many run at once.
        address: of a Ray cluster; see `ray_session`.
    """
    if not tasks:
        return
    with ray_session(workers, address):
        yield from _in_flight(tasks, workers)


def _in_flight(tasks: list[ShardTask], workers: int) -> Iterator[ShardReport]:
    remote = ray.remote(num_cpus=1, max_retries=3)(run_shard_task)
    waiting = iter(tasks)
    flying: list[ray.ObjectRef] = []
    try:
        while True:
            while len(flying) < workers and (task := next(waiting, None)):
                flying.append(remote.remote(task))
            if not flying:
                return
            ready, flying = ray.wait(flying, num_returns=1)
            yield ray.get(ready[0])
    finally:
        for reference in flying:
            ray.cancel(reference)
