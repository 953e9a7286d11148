"""How training scales with workers: measured on clusters of 1 to 4 nodes on this machine, and predicted beyond.

    python -m benchmarks.speed.scaling --json scaling.json

Each node is a set of Ray processes with one CPU, each worker is Ray Train's, and gradients are summed by gloo over
loopback. Four workers on two cores would take turns in a random order. Here they take turns in order, each computing
while the others wait, so that the time of a worker is the time it would take on a machine of its own. The time of the
same step when all compute at once is measured too. The model of `scaling_model` is fitted without the largest cluster
and then predicts it. Its prediction for GPUs uses rates given on the command line and is not measured. Needs Ray.
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

from benchmarks.speed.reporting import describe_machine, positive, positive_int, write_json
from benchmarks.speed.scaling_model import Measured, Rates, fitted, gradient_bytes, predicted
from benchmarks.speed.workloads import SHAPES
from pipelines.runtime.messages import Channel, open_channel
from vrnn.models import ModelConfig, build_model
from vrnn.training.distributed import Group

__all__ = ["main"]

_ABOUT = "Measure how training scales with workers on this machine, and predict it for GPUs; see docs/cluster.md."
_WIDTHS = (128, 384, 768)
_FRAMES = 40
_STRONG_BATCH, _WEAK_BATCH = 48, 12
_NODES, _LEAST_SIZES = (1, 2, 3, 4), 3
_STEPS, _WARM = 12, 3


def config_of(width: int) -> ModelConfig:
    """The tiny VRNN of `workloads` with all layers of width `width`."""
    layers = ("hidden", "phi_x", "phi_z", "encoder", "prior", "decoder")
    return replace(SHAPES["tiny"].config, **dict.fromkeys(layers, width))


@dataclass(frozen=True)
class _Case:
    """A width of the model, a kind of scaling, and the number of sequences per worker."""

    width: int
    scaling: str
    batch: int


def measure(nodes: int, root: Path) -> list[Measured]:
    """Measure all widths and both kinds of scaling on the cluster that this process is connected to."""
    batches = {"strong": _STRONG_BATCH // nodes, "weak": _WEAK_BATCH}
    cases = [_Case(width, scaling, batch) for width in _WIDTHS for scaling, batch in batches.items()]
    channel, begun = open_channel(), time.time()
    TorchTrainer(
        _steps,
        train_loop_config={"cases": cases, "channel": channel},
        scaling_config=ScalingConfig(
            num_workers=nodes, resources_per_worker={"CPU": 1}, placement_strategy="STRICT_SPREAD"
        ),
        torch_config=TorchConfig(backend="gloo"),
        run_config=RunConfig(storage_path=str(root), name=f"nodes-{nodes}"),
    ).fit()
    first, *times = channel.receive()
    channel.close()
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
    """In each worker: send the medians over steps of each case, of the slowest rank."""
    torch.set_num_threads(1)
    channel: Channel = settings["channel"]
    group = Group.current()
    if group.leads:
        channel.send(time.time())
    for case in settings["cases"]:
        step = _Step(case, group)
        apart = [step.apart() for _ in range(_STEPS + _WARM)][_WARM:]
        shared = [step.shared() for _ in range(_STEPS + _WARM)][_WARM:]
        compute, summing = (statistics.median(part) for part in zip(*apart, strict=True))
        medians = torch.tensor([compute, summing, statistics.median(shared)], dtype=torch.float64)
        slowest = group.largest(medians).tolist()
        if group.leads:
            channel.send(tuple(slowest))


class _Step:
    """A training step of one rank, without the optimiser, whose cost does not depend on N."""

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
        """Seconds of computing, one rank after another, and of summing the gradients, all ranks at once."""
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
        """Seconds of a step in which all ranks compute at once."""
        self._group.barrier()
        start = time.perf_counter()
        self._compute()
        self._group.sum_gradients(self._model)
        return time.perf_counter() - start


@contextmanager
def _cluster(nodes: int) -> Iterator[None]:
    """A Ray cluster of nodes with one CPU each and a head with none, whatever the cores of this machine."""
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
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.scaling", description=_ABOUT)
    parser.add_argument("--gpu-flops", type=positive, default=50e12, help="operations per second of a GPU in training")
    parser.add_argument("--gpu-frame", type=positive, default=200e-6, help="seconds per frame of the time loop")
    parser.add_argument("--link", type=positive, default=50e9, help="bytes per second between neighbouring GPUs")
    parser.add_argument("--latency", type=positive, default=20e-6, help="seconds per message between GPUs")
    parser.add_argument(
        "--nodes", type=positive_int, nargs="+", default=list(_NODES), help="sizes of the clusters, three or more"
    )
    parser.add_argument("--json", type=Path, help="write the result to this file instead of stdout")
    options = parser.parse_args(arguments)
    if len(set(options.nodes)) < _LEAST_SIZES:
        parser.error("--nodes: the model is fitted to all clusters but the largest; give three sizes or more")
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
