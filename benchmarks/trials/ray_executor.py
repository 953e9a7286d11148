"""Runs a study's trials on Ray, several at once.

A pool of workers runs them. Each worker is a process that runs one trial after another, so that starting it, importing
torch and finding a GPU are paid once and not for every small trial. A worker holds the resources of one trial; where
trials have workers of their own, it holds none and only drives Ray Train.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, OutOfMemoryError, RayActorError, RayTaskError

from benchmarks.errors import FailedError
from benchmarks.schema.trial import Outcome
from benchmarks.trials.events import (
    EpochFinished,
    Executor,
    OnTrialEvent,
    ScoringStarted,
    TrialFailed,
    TrialFinished,
    TrialRetried,
    TrialStarted,
    TrialStopped,
)
from benchmarks.trials.local_executor import failure_reason
from benchmarks.trials.task import TrialTask
from benchmarks.trials.trial import run_trial
from pipelines.runtime.messages import Channel, open_channel
from pipelines.runtime.ray_sessions import CapacityWatch
from vrnn.device.memory import keep_freed_memory
from vrnn.training.resources import Resources
from vrnn.training.retries import RetryPolicy
from vrnn.training.stopping import Stop

__all__ = ["run_on_ray_workers"]

_POLL_SECONDS = 0.2
_STOP_SECONDS = 60.0
_DEATHS = (RayActorError, ActorDiedError, ActorUnavailableError, OutOfMemoryError)


class TrialWorker:
    """The Ray actor of a worker."""

    def __init__(self, channel: Channel) -> None:
        keep_freed_memory()
        self._channel = channel

    def ready(self) -> None:
        """Return once the process has started."""

    def run(self, task: TrialTask) -> Outcome | None:
        """Run a trial and send its events to the driver."""
        with self._channel.watch_for_stop() as stop:
            return run_trial(task, self._channel.send, stop.is_set)


@dataclass
class _Worker:
    """A worker as the driver sees it.

    Attributes:
        actor: the handle of its `TrialWorker`.
        call: the result of its call in progress: `ready`, or `run` where it has a task.
        task: the trial that it runs; None while it starts.
        scoring: whether that trial is being scored.
    """

    actor: Any
    call: Any
    task: TrialTask | None = None
    scoring: bool = False


class _WorkerPool:
    """The workers of a study, and the tasks that wait for one."""

    def __init__(self, tasks: Sequence[TrialTask], size: int, on_event: OnTrialEvent) -> None:
        self._channel = open_channel()
        self._waiting = deque(tasks)
        self._on_event = on_event
        self._policies = {
            task.identity: RetryPolicy(task.resources, task.spec.optimisation.batch_size) for task in tasks
        }
        self._failed_starts = 0
        self._capacity = CapacityWatch("trials")
        self._workers = [self._new_worker(tasks[0].resources) for _ in range(min(size, len(tasks)))]

    def run(self, stop: Callable[[], bool]) -> None:
        """Run all tasks, or stop once the running ones have saved their progress.

        Raises:
            FailedError: no worker can be started.
        """
        deadline = None
        while self._workers:
            calls = [worker.call for worker in self._workers]
            returned, _ = ray.wait(calls, num_returns=len(calls), timeout=_POLL_SECONDS)
            # A worker sends its events before its call returns: publish them before the event that ends the trial.
            self._publish_events()
            self._capacity.check(started=any(worker.task is not None for worker in self._workers))
            if deadline is None and stop():
                self._waiting.clear()
                self._channel.request_stop()
                deadline = time.monotonic() + _STOP_SECONDS
            for worker in [worker for worker in self._workers if worker.call in returned]:
                self._workers.remove(worker)
                self._after_call(worker)
            if deadline is not None:
                self._kill_idle(everyone=time.monotonic() > deadline)

    def close(self) -> None:
        """End all processes that are left."""
        for worker in self._workers:
            ray.kill(worker.actor)
        self._channel.close()

    def _new_worker(self, resources: Resources) -> _Worker:
        needs = resources.per_worker if not resources.most_workers else {"CPU": 0.0}
        # Ray must not restart an actor by itself: it would run the same trial with the same memory again.
        options = {"num_cpus": needs["CPU"], "num_gpus": needs.get("GPU", 0.0), "max_restarts": 0}
        actor: Any = ray.remote(TrialWorker).options(**options).remote(self._channel)
        return _Worker(actor, actor.ready.remote())

    def _publish_events(self) -> None:
        for event in self._channel.receive():
            for worker in self._workers:
                if worker.task is not None and worker.task.identity == event.task.identity:
                    worker.scoring = isinstance(event, ScoringStarted)
                    if isinstance(event, EpochFinished):
                        self._policies[event.task.identity].made_progress()
                    self._on_event(event)

    def _after_call(self, worker: _Worker) -> None:
        """Publish how a worker's call ended, and give the worker its next task; replace it where it died."""
        try:
            outcome: Any = ray.get(worker.call)
        except RayTaskError as error:
            if worker.task is None:
                raise
            self._on_event(TrialFailed(worker.task, failure_reason(error.cause)))
        except _DEATHS as error:
            if worker.task is None:
                self._after_failed_start(error)
            else:
                self._after_death(worker.task, out_of_memory=isinstance(error, OutOfMemoryError))
            return
        else:
            if worker.task is not None:
                ended = TrialStopped(worker.task) if outcome is None else TrialFinished(worker.task, outcome)
                self._on_event(ended)
        if not self._waiting:
            ray.kill(worker.actor)
            return
        task = self._waiting.popleft()
        self._on_event(TrialStarted(task))
        self._workers.append(_Worker(worker.actor, worker.actor.run.remote(task), task))

    def _after_death(self, task: TrialTask, *, out_of_memory: bool) -> None:
        """Retry the task of a worker that died, first of all that wait, and replace the worker."""
        policy = self._policies[task.identity]
        reason = "out of memory" if out_of_memory else "its process died"
        if policy.retries_after(out_of_memory=out_of_memory):
            self._on_event(TrialRetried(task, reason))
            self._waiting.appendleft(replace(task, resources=policy.resources))
        else:
            self._on_event(TrialFailed(task, f"{reason}, {policy.failures} times without progress"))
        # The process is lost, alone or with its node. Workers that are starting take a waiting task each.
        starting = sum(worker.task is None for worker in self._workers)
        if len(self._waiting) > starting:
            self._workers.append(self._new_worker(task.resources))

    def _after_failed_start(self, error: Exception) -> None:
        """Replace a worker that died before it ran anything: no trial is to blame, so it is counted for the pool."""
        self._failed_starts += 1
        if not self._waiting:
            return
        resources = self._waiting[0].resources
        if self._failed_starts > resources.max_failures:
            raise FailedError(
                f"{self._failed_starts} processes died before they ran any trial: {failure_reason(error)}"
            )
        self._workers.append(self._new_worker(resources))

    def _kill_idle(self, *, everyone: bool) -> None:
        """After a stop, end the workers that have nothing to save: those that start, and those that score."""
        for worker in list(self._workers):
            # Scores are written at the end and all at once; what is killed is computed again in the next run.
            if everyone or worker.task is None or worker.scoring:
                self._workers.remove(worker)
                ray.kill(worker.actor)
                if worker.task is not None:
                    self._on_event(TrialStopped(worker.task))


def run_on_ray_workers(count: int) -> Executor:
    """An executor on the Ray that this process is connected to.

    Args:
        count: trials at once; all take the same resources.
    """

    def run(tasks: Sequence[TrialTask], on_event: OnTrialEvent, stop: Stop) -> None:
        if not tasks:
            return
        pool = _WorkerPool(tasks, count, on_event)
        try:
            pool.run(stop)
        finally:
            pool.close()

    return run
