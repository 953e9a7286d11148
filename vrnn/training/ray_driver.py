"""The training loop under Ray Train V2.

With no workers (local mode) the loop runs in this process, at once; with N it runs in N worker processes that
share each batch. Checkpoints are the loop's own, in the trial's directory, which every worker must reach.
"""

import os
from collections.abc import Callable

import ray.train
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.train.v2.api.exceptions import WorkerGroupError

from pipelines.cluster import ray_session
from pipelines.errors import InputError
from pipelines.storage import Location
from vrnn.memory import keep_freed_memory
from vrnn.training.checkpoints import BEST, LAST, EpochRecord, load_checkpoint
from vrnn.training.errors import CheckpointError
from vrnn.training.loop import TrainResult, train
from vrnn.training.spec import TrialSpec

__all__ = ["train_with_ray"]

_RAY_DIRECTORY = ".ray"


def train_with_ray(
    spec: TrialSpec,
    out: Location,
    *,
    workers: int = 0,
    address: str | None = None,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> TrainResult:
    """Run `train` under Ray Train.

    Args:
        spec: the trial.
        out: the trial's directory.
        workers: processes to share each batch; 0 runs the loop in this process.
        address: of a Ray cluster; None starts or uses a local one where workers are asked for.
        on_epoch: called after each epoch in local mode only; workers report to Ray.

    Raises:
        InputError, CheckpointError: as `train`, also where a worker met it.
    """
    if not workers:
        return _local(spec, out, on_epoch)
    with ray_session(workers, address):
        _distributed(spec, out, workers)
    last = load_checkpoint(out / LAST)
    return TrainResult(out / BEST if last.state.best_epoch else None, last.state)


def _local(spec: TrialSpec, out: Location, on_epoch: Callable[[EpochRecord], None]) -> TrainResult:
    results: list[TrainResult] = []

    def worker() -> None:
        results.append(train(spec, out, on_epoch))

    TorchTrainer(worker, scaling_config=ScalingConfig(num_workers=0), run_config=_run_config(out)).fit()
    return results[0]


def _distributed(spec: TrialSpec, out: Location, workers: int) -> None:
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"spec": spec.model_dump_json(), "out": out.uri if not out.is_local else out.path},
        scaling_config=ScalingConfig(num_workers=workers),
        run_config=_run_config(out),
    )
    try:
        trainer.fit()
    except WorkerGroupError as error:
        for failure in error.worker_failures.values():
            for cause in (failure, getattr(failure, "cause", None), failure.__cause__):
                if isinstance(cause, InputError | CheckpointError):
                    raise cause from error
        raise


def _run_config(out: Location) -> RunConfig:
    root = (out / _RAY_DIRECTORY).uri if not out.is_local else (out / _RAY_DIRECTORY).path
    return RunConfig(storage_path=root, name="train")


def _worker(config: dict[str, str]) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    keep_freed_memory()
    spec = TrialSpec.model_validate_json(config["spec"])
    train(spec, Location(config["out"]), lambda record: ray.train.report({"epoch": record.epoch}))
