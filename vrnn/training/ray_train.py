"""Training with workers, under Ray Train: N processes run the same training loop and share each batch.

Checkpoints are the loop's own, in the trial's directory, which every node must reach. A run whose workers die, lose
their node or run out of memory is started again from its last checkpoint (`vrnn.training.retries`).
"""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import asdict
from typing import Any

from ray.exceptions import OutOfMemoryError, RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError, WorkerGroupError, get_context
from ray.train.torch import TorchConfig, TorchTrainer

from pipelines.errors import InputError
from pipelines.runtime.messages import Channel, open_channel
from pipelines.runtime.ray_sessions import CapacityWatch, ray_session
from pipelines.runtime.storage import Location
from vrnn.device.memory import is_out_of_memory, keep_freed_memory
from vrnn.errors import CheckpointError, ModelError
from vrnn.training.checkpoints import BEST, CheckpointPolicy
from vrnn.training.epoch_metrics import EpochRecord
from vrnn.training.journal import journal
from vrnn.training.loop import OnEpoch, TrainResult, never, train
from vrnn.training.resources import Resources
from vrnn.training.retries import Failure, RunRetries, causes_of, saved_state
from vrnn.training.spec import TrialSpec

__all__ = ["train_with_ray"]

_RAY_DIRECTORY = ".ray"
_POLL_SECONDS = 0.2
_STOP_SECONDS = 60.0
_RESIZE_SECONDS = 10.0
_STARTED = "started"


def train_with_ray(
    spec: TrialSpec,
    out: Location,
    resources: Resources,
    *,
    address: str | None = None,
    on_epoch: OnEpoch = lambda record: None,
    policy: CheckpointPolicy | None = None,
    stop: Callable[[], bool] = never,
) -> TrainResult:
    """Run `train` in workers until it ends, is stopped, or has failed too often.

    Args:
        spec: the trial.
        out: where checkpoints go.
        resources: the workers, and what each of them takes.
        address: address of a Ray cluster; None uses the running Ray or starts a local one.
        on_epoch: called after each epoch.
        policy: when checkpoints are written.
        stop: asked all the time; once it is true, the run is saved and ends unfinished.

    Raises:
        InputError, CheckpointError: as `train`, also where a worker raised it; or there is no such GPU.
        RunFailedError: the workers failed too often without progress.
    """
    cores = math.ceil(resources.most_workers * resources.cpus_per_worker)
    with ray_session(cores, address, gpus=resources.least_gpus):
        retries = RunRetries(spec, out, resources)
        while True:
            try:
                _run_workers(spec, out, retries.resources, on_epoch, policy or CheckpointPolicy(), stop)
                state = saved_state(out)
                return TrainResult(out / BEST if state.best_epoch else None, state)
            except (TrainingFailedError, RuntimeError, MemoryError) as error:
                failure = _failure_of(error)
            retries.prepare_next(failure)


def _failure_of(error: Exception) -> Failure:
    """What ended an attempt.

    Raises:
        Exception: `error`, or what a worker raised, where every other attempt would end alike.
    """
    raised = list(error.worker_failures.values()) if isinstance(error, WorkerGroupError) else [error]
    causes = [cause for failure in raised for cause in causes_of(failure)]
    for cause in causes:
        if isinstance(cause, InputError | CheckpointError | ModelError):
            raise cause from error
    if any(isinstance(cause, OutOfMemoryError) or is_out_of_memory(cause) for cause in causes):
        return Failure("out of memory", out_of_memory=True)
    if not isinstance(error, TrainingFailedError):
        raise error
    lines = (line.strip() for cause in causes for line in str(cause).splitlines() if line.strip())
    return Failure(next(lines, type(error).__name__), out_of_memory=False)


def _run_workers(
    spec: TrialSpec,
    out: Location,
    resources: Resources,
    on_epoch: OnEpoch,
    policy: CheckpointPolicy,
    stop: Callable[[], bool],
) -> None:
    """Start the workers, pass on their events, and wait for their end."""
    channel = open_channel()
    trainer = TorchTrainer(
        _worker,
        train_loop_config={
            "spec": spec.model_copy(update={"shards": Location(spec.shards).absolute.uri}).model_dump_json(),
            "out": out.absolute.uri,
            "policy": asdict(policy),
            "micro_batch": resources.micro_batch,
            "channel": channel,
        },
        scaling_config=ScalingConfig(
            num_workers=resources.elastic or resources.workers,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=resources.per_worker,
            elastic_resize_monitor_interval_s=_RESIZE_SECONDS,
        ),
        torch_config=TorchConfig(backend="nccl" if resources.gpus_per_worker >= 1 else "gloo"),
        # Ray Train must not retry by itself: it would repeat what fails every time, with the same memory.
        run_config=RunConfig(
            storage_path=(out.absolute / _RAY_DIRECTORY).uri,
            name="train",
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    try:
        _wait_for_workers(_in_thread(trainer.fit), channel, on_epoch, stop)
    finally:
        channel.close()


def _in_thread(call: Callable[[], object]) -> "Future[object]":
    # Ray Train replaces the handler of Ctrl-C where it runs in the main thread.
    future: Future[object] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except (TrainingFailedError, RayError) as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="fit").start()
    return future


def _wait_for_workers(run: "Future[object]", channel: Channel, on_epoch: OnEpoch, stop: Callable[[], bool]) -> None:
    """Pass on the workers' epochs until the run ends, or is stopped before its workers have started."""
    started, deadline, capacity = False, math.inf, CapacityWatch("workers")
    while True:
        ended = bool(wait([run], timeout=_POLL_SECONDS).done)
        for message in channel.receive():
            started = True
            if isinstance(message, EpochRecord):
                on_epoch(message)
        if ended:
            run.result()
            return
        capacity.check(started=started)
        if stop() and deadline == math.inf:
            channel.request_stop()
            deadline = time.monotonic() + _STOP_SECONDS
        # Workers that have not started have nothing to save.
        if (deadline < math.inf and not started) or time.monotonic() > deadline:
            return


def _worker(config: dict[str, Any]) -> None:
    """What Ray Train runs in each worker."""
    keep_freed_memory()
    channel: Channel = config["channel"]
    rank = get_context().get_world_rank()

    def send(message: object) -> None:
        if rank == 0:
            channel.send(message)

    spec, out = TrialSpec.model_validate_json(config["spec"]), Location(config["out"])
    with channel.watch_for_stop() as stop, journal(out, rank) as log:
        send(_STARTED)
        policy = CheckpointPolicy(**config["policy"])
        train(spec, out, log.with_epochs(send), policy, config["micro_batch"], stop.is_set)
