"""How training scales with workers: measured on clusters of 1 to 4 nodes within this machine, predicted beyond.

    python -m benchmarks.speed.scaling --json scaling.json

Every node is Ray's own processes with one CPU, every worker Ray Train's, the gradients go through gloo on loopback.
Four workers on two cores would take turns anyhow, in an order that nobody controls: here they do so in order, each
computing while the others wait, so that a worker's time is what it would be on a machine of its own; what the same step
takes when all compute at once is measured beside it. The model of `scaling_model` is fitted without the largest cluster
and then has to predict it. The prediction for GPUs (`gpu_prediction`) takes rates of the hardware that are named on the
command line and is not measured at all. Needs Ray.
"""

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ray
import torch
from ray.cluster_utils import Cluster
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from benchmarks.speed.gpu_prediction import Rates, predicted
from benchmarks.speed.machine import describe_machine
from benchmarks.speed.result_files import positive, positive_int, write_json
from benchmarks.speed.scaling_model import Measured, fitted, gradient_bytes
from benchmarks.speed.workloads import SHAPES
from pipelines.runtime.messages import Board, open_board
from vrnn.models import ModelConfig, build_model
from vrnn.training.distributed import Group

__all__ = ["main"]

_WIDTHS = (128, 384, 768)
_FRAMES = 40
_STRONG_BATCH, _WEAK_BATCH = 48, 12
_NODES, _LEAST_SIZES = (1, 2, 3, 4), 3
_STEPS, _WARM = 12, 3


def config_of(width: int) -> ModelConfig:
    """The tiny VRNN of `workloads`, all its layers `width` wide."""
    layers = ("hidden", "phi_x", "phi_z", "encoder", "prior", "decoder")
    return replace(SHAPES["tiny"].config, **dict.fromkeys(layers, width))


@dataclass(frozen=True)
class _Case:
    """A width of the model, a kind of scaling, and the sequences of a worker."""

    width: int
    scaling: str
    batch: int


def _cases(nodes: int) -> list[_Case]:
    batches = {"strong": _STRONG_BATCH // nodes, "weak": _WEAK_BATCH}
    return [_Case(width, scaling, batch) for width in _WIDTHS for scaling, batch in batches.items()]


def measure(nodes: int, root: Path) -> list[Measured]:
    """All sizes and both ways of scaling, on the cluster that this process is connected to."""
    board, cases = open_board(), _cases(nodes)
    begun = time.time()
    TorchTrainer(
        _steps,
        train_loop_config={"cases": cases, "board": board},
        scaling_config=ScalingConfig(
            num_workers=nodes, resources_per_worker={"CPU": 1}, placement_strategy="STRICT_SPREAD"
        ),
        torch_config=TorchConfig(backend="gloo"),
        run_config=RunConfig(storage_path=str(root), name=f"nodes-{nodes}"),
    ).fit()
    first, *times = board.take()
    board.close()
    return [
        Measured(
            name=str(case.width),
            scaling=case.scaling,
            workers=nodes,
            frames=case.batch * _FRAMES,
            gradient_bytes=gradient_bytes(config_of(case.width)),
            compute_seconds=compute,
            sum_seconds=summing,
            shared_seconds=shared,
            start_seconds=first - begun,
        )
        for case, (compute, summing, shared) in zip(cases, times, strict=True)
    ]


def _steps(settings: dict[str, Any]) -> None:
    """In each worker: every case's medians over steps, of the slowest rank."""
    torch.set_num_threads(1)
    board: Board = settings["board"]
    group = Group.current()
    if group.leads:
        board.tell(time.time())
    for case in settings["cases"]:
        step = _Step(case, group)
        apart = [step.apart() for _ in range(_STEPS + _WARM)][_WARM:]
        shared = [step.shared() for _ in range(_STEPS + _WARM)][_WARM:]
        compute, summing = (statistics.median(part) for part in zip(*apart, strict=True))
        figures = torch.tensor([compute, summing, statistics.median(shared)], dtype=torch.float64)
        slowest = group.largest(figures).tolist()
        if group.leads:
            board.tell(tuple(slowest))


class _Step:
    """A training step of a rank without its optimiser, which every rank does whatever N is."""

    def __init__(self, case: _Case, group: Group) -> None:
        self._model = build_model(config_of(case.width), torch.Generator().manual_seed(0))
        self._group = group
        generator = torch.Generator().manual_seed(group.rank)
        self._x = torch.randn(_FRAMES, case.batch, self._model.config.frame_size, generator=generator)
        self._noise = torch.randn(_FRAMES, case.batch, self._model.latent_size, generator=generator)
        self._mask = torch.ones(_FRAMES, case.batch, dtype=torch.bool)

    def _compute(self) -> None:
        self._model.zero_grad()
        terms = self._model(self._x, self._mask, self._noise)
        (terms.kl - terms.log_emission).sum().backward()

    def apart(self) -> tuple[float, float]:
        """Seconds of computing, one rank after another, and of summing the gradients, all at once."""
        computed = 0.0
        for turn in range(self._group.size):
            self._group.barrier()
            if turn == self._group.rank:
                start = time.perf_counter()
                self._compute()
                computed = time.perf_counter() - start
        self._group.barrier()
        start = time.perf_counter()
        self._group.sum_gradients(self._model)
        return computed, time.perf_counter() - start

    def shared(self) -> float:
        """Seconds of a step where all ranks compute at once."""
        self._group.barrier()
        start = time.perf_counter()
        self._compute()
        self._group.sum_gradients(self._model)
        return time.perf_counter() - start


@contextmanager
def _cluster(nodes: int) -> Iterator[None]:
    """So many nodes of one CPU beside a head without any; Ray knows nothing of the cores there are."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, fit, predict, and write one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.scaling", description="See the module.")
    parser.add_argument("--gpu-flops", type=positive, default=50e12, help="of a GPU in training, not its peak")
    parser.add_argument("--gpu-frame", type=positive, default=200e-6, help="seconds of a frame of the time loop")
    parser.add_argument("--link", type=positive, default=50e9, help="bytes a second from a GPU to the next")
    parser.add_argument("--latency", type=positive, default=20e-6, help="seconds of a message between GPUs")
    parser.add_argument(
        "--nodes", type=positive_int, nargs="+", default=list(_NODES), help="of the clusters, three sizes or more"
    )
    parser.add_argument("--json", type=Path, help="write the object here instead of on stdout")
    options = parser.parse_args(arguments)
    if len(set(options.nodes)) < _LEAST_SIZES:
        parser.error("--nodes: the model is fitted to all clusters but the largest; name three sizes or more")
    cases: list[Measured] = []
    for count in options.nodes:
        with tempfile.TemporaryDirectory() as root, _cluster(count):
            found = measure(count, Path(root))
            sys.stderr.write("".join(f"{case}\n" for case in found))
            cases += found
    result = {
        "machine": describe_machine(("torch", "ray")),
        "cases": [asdict(case) for case in cases],
        "model": fitted(cases),
        "prediction": predicted(Rates(options.gpu_flops, options.gpu_frame, options.link, options.latency)),
    }
    write_json(result, options.json)


if __name__ == "__main__":
    main()
