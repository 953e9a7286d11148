"""The training loop under Ray Train.

Without workers the loop runs in this process (Ray Train's local mode, which starts no Ray); with N of them, N processes
share each batch. Checkpoints are the loop's own, in the trial's directory, which every node must reach.

A run whose workers die, lose their node or run out of memory is started again from its last checkpoint: for as long as
it gets on, or, after running out of memory, with half as many sequences at once, down to one.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import asdict, dataclass
from typing import Any

from ray.exceptions import OutOfMemoryError, RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError, WorkerGroupError, get_context
from ray.train.torch import TorchConfig, TorchTrainer

from pipelines.errors import InputError
from pipelines.runtime.messages import Board, open_board
from pipelines.runtime.ray_sessions import RoomWatch, ray_session
from pipelines.runtime.storage import Location
from vrnn.device.memory import is_out_of_memory, keep_freed_memory, release_memory
from vrnn.errors import ModelError
from vrnn.training.checkpointing import Keeper, Saving
from vrnn.training.checkpoints import BEST, EpochRecord, TrainingState
from vrnn.training.errors import CheckpointError, RunFailedError
from vrnn.training.journal import Journal, journal
from vrnn.training.loop import TrainResult, train
from vrnn.training.resources import Resources
from vrnn.training.spec import TrialSpec
from vrnn.training.stopping import Stop

__all__ = ["train_with_ray"]

_log = logging.getLogger(__name__)

_RAY_DIRECTORY = ".ray"
_LOOK_SECONDS = 0.2
_STOP_SECONDS = 60.0
_RESIZE_SECONDS = 10.0
_BEGUN = "begun"

OnEpoch = Callable[[EpochRecord], None]


def train_with_ray(
    spec: TrialSpec,
    out: Location,
    resources: Resources | None = None,
    *,
    address: str | None = None,
    on_epoch: OnEpoch = lambda record: None,
    saving: Saving | None = None,
    stop: Callable[[], bool] | None = None,
) -> TrainResult:
    """Run `train` under Ray Train until it ends or is stopped, whatever happens to its workers.

    Args:
        spec: the trial.
        out: where checkpoints go.
        resources: that the run takes.
        address: of a Ray cluster; None starts or uses a local one where workers are asked for.
        on_epoch: called after each epoch.
        saving: how the run is saved.
        stop: whether to save the run and end it unfinished, asked all the time.

    Raises:
        InputError, CheckpointError: as `train`, also where a worker met it; or there is no such GPU.
        RunFailedError: the workers failed too often without getting on.
    """
    resources, saving, stop = resources or Resources(), saving or Saving(), stop or Stop()
    way = _distributed if resources.most_workers else _local

    def attempt(given: Resources) -> TrainResult:
        return way(spec, out, given, on_epoch, saving, stop)

    if not resources.most_workers:
        resources.demand_here()
        return _insisting(spec, out, resources, attempt)
    cores = math.ceil(resources.most_workers * resources.cpus_per_worker)
    with ray_session(cores, address, gpus=resources.least_gpus):
        return _insisting(spec, out, resources, attempt)


def _saved_state(out: Location) -> TrainingState:
    last = Keeper(out, Saving()).newest()
    return last.state if last is not None else TrainingState()


def _insisting(
    spec: TrialSpec, out: Location, resources: Resources, attempt: Callable[[Resources], TrainResult]
) -> TrainResult:
    """Attempt until one succeeds, or more than `max_failures` in a row got nowhere.

    Want of memory is not counted: it ends by itself, at one sequence at once.
    """
    failures, reached = 0, _saved_state(out).step
    while True:
        try:
            return attempt(resources)
        except (TrainingFailedError, RuntimeError, MemoryError) as error:
            trouble = _judged(error)
        step = _saved_state(out).step
        failures = (0 if step > reached else failures) + (not trouble.memory)
        reached = step
        if failures > resources.max_failures:
            raise RunFailedError(f"{out}: given up after {failures} failures at step {step}, the last: {trouble.what}")
        if trouble.memory or failures > 1:
            release_memory()
            resources = _with_less(resources, spec.optimisation.batch_size, out, trouble)
        _log.warning("%s: %s; going on from step %d", out, trouble.what, step)


@dataclass(frozen=True)
class _Trouble:
    """What ended an attempt that another may mend: too little memory, or a worker that died of whatever."""

    what: str
    memory: bool


def _judged(error: Exception) -> _Trouble:
    """What to make of the end of an attempt.

    Raises:
        Exception: `error`, or what a worker met, where no other attempt would mend it.
    """
    met = list(error.worker_failures.values()) if isinstance(error, WorkerGroupError) else [error]
    causes = [
        cause
        for failure in met
        for cause in (failure, getattr(failure, "cause", None), failure.__cause__, failure.__context__)
    ]
    for cause in causes:
        if isinstance(cause, InputError | CheckpointError | ModelError):
            raise cause from error
    memory = any(isinstance(c, OutOfMemoryError) or (c is not None and is_out_of_memory(c)) for c in causes)
    if not memory and not isinstance(error, TrainingFailedError):
        raise error
    lines = (line.strip() for c in causes if c is not None for line in str(c).splitlines() if line.strip())
    return _Trouble("out of memory" if memory else next(lines, type(error).__name__), memory)


def _with_less(resources: Resources, batch_size: int, out: Location, trouble: _Trouble) -> Resources:
    """Half as many sequences at once; a second death in a row may be the kernel's answer to too little memory."""
    if trouble.memory and resources.sequences_at_once(batch_size) == 1:
        raise RunFailedError(
            f"{out}: out of memory with one sequence at once; use --truncate-frames, --held-frames or a smaller --size"
        )
    return resources.halved(batch_size)


def _local(
    spec: TrialSpec,
    out: Location,
    resources: Resources,
    on_epoch: OnEpoch,
    saving: Saving,
    stop: Callable[[], bool],
) -> TrainResult:
    results: list[TrainResult] = []

    def worker() -> None:
        with journal(out, 0) as book:
            results.append(train(spec, out, _noting(book, on_epoch), saving, resources.micro_batch, stop))

    TorchTrainer(worker, scaling_config=ScalingConfig(num_workers=0), run_config=_run_config(out)).fit()
    return results[0]


def _distributed(
    spec: TrialSpec,
    out: Location,
    resources: Resources,
    on_epoch: OnEpoch,
    saving: Saving,
    stop: Callable[[], bool],
) -> TrainResult:
    board = open_board()
    trainer = TorchTrainer(
        _worker,
        train_loop_config={
            "spec": spec.model_copy(update={"shards": Location(spec.shards).absolute.uri}).model_dump_json(),
            "out": out.absolute.uri,
            "saving": asdict(saving),
            "micro_batch": resources.micro_batch,
            "board": board,
        },
        scaling_config=_scaling(resources),
        torch_config=TorchConfig(backend="nccl" if resources.gpus_per_worker >= 1 else "gloo"),
        run_config=_run_config(out),
    )
    try:
        _attend(_in_thread(trainer.fit), board, on_epoch, stop)
    finally:
        board.close()
    state = _saved_state(out)
    return TrainResult(out / BEST if state.best_epoch else None, state)


def _scaling(resources: Resources) -> ScalingConfig:
    return ScalingConfig(
        num_workers=resources.elastic or resources.workers,
        use_gpu=resources.gpus_per_worker > 0,
        resources_per_worker=resources.per_worker,
        elastic_resize_monitor_interval_s=_RESIZE_SECONDS,
    )


def _run_config(out: Location) -> RunConfig:
    """Failures are not left to Ray Train, which would repeat what no repetition mends."""
    root = out.absolute / _RAY_DIRECTORY
    return RunConfig(storage_path=root.uri, name="train", failure_config=FailureConfig(max_failures=0))


def _in_thread(work: Callable[[], object]) -> "Future[object]":
    """Ray Train takes over Ctrl-C where it runs in the main thread."""
    future: Future[object] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except (TrainingFailedError, RayError) as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="fit").start()
    return future


def _attend(run: "Future[object]", board: Board, on_epoch: OnEpoch, stop: Callable[[], bool]) -> None:
    """Pass on what the workers tell until the run ends, or was stopped before its workers had begun."""
    begun, stop_at, room = False, math.inf, RoomWatch("workers")
    while True:
        ended = bool(wait([run], timeout=_LOOK_SECONDS).done)
        for news in board.take():
            begun = True
            if isinstance(news, EpochRecord):
                on_epoch(news)
        if ended:
            run.result()
            return
        room.look(begun=begun)
        if stop() and stop_at == math.inf:
            board.stop()
            stop_at = time.monotonic() + _STOP_SECONDS
        if (stop_at < math.inf and not begun) or time.monotonic() > stop_at:
            return


def _worker(config: dict[str, Any]) -> None:
    keep_freed_memory()
    board: Board = config["board"]
    leads = get_context().get_world_rank() == 0

    def tell(news: object) -> None:
        if leads:
            board.tell(news)

    spec, out = TrialSpec.model_validate_json(config["spec"]), Location(config["out"])
    with board.listening() as stop, journal(out, get_context().get_world_rank()) as book:
        tell(_BEGUN)
        train(spec, out, _noting(book, tell), Saving(**config["saving"]), config["micro_batch"], stop.is_set)


def _noting(book: Journal, on_epoch: OnEpoch) -> OnEpoch:
    def note(record: EpochRecord) -> None:
        book.note(
            f"epoch {record.epoch}, step {record.step}: train {record.train_nats_per_frame:.6g}, "
            f"valid {record.valid_nats_per_frame:.6g} nats per frame, {record.frames_per_second:,.0f} frames/s"
        )
        on_epoch(record)

    return note
