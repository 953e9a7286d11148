"""A model of the time of a training step on N workers, fitted to measurements and used to predict beyond them.

A step computes on its share of the batch and then sums the gradients over the ranks:

    step(N) = c0 + c1 F  +  2 (N - 1) l  +  2 (N - 1) / N  g / b

with F frames per worker, c0 the cost of a pass through the time loop whatever the batch, g bytes of gradients, and
latency l and bandwidth b of the ring that sums them (Patarasuk and Yuan 2009: each rank sends and receives
2 (N - 1) / N of the gradients, in 2 (N - 1) messages).

On a GPU, c0 is T times the latency of one frame's kernels, forward and backward, for a loop of T frames. This is
why sharing one batch among more and more GPUs stops paying long before the network is saturated.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls

from benchmarks.speed.workloads import SHAPES
from vrnn.device.peak import pass_operations
from vrnn.models import ModelConfig, build_model

__all__ = ["ComputeModel", "Measured", "Rates", "RingModel", "fitted", "gradient_bytes", "predicted"]

_GPUS = (1, 8, 16, 32, 64, 128, 256, 512)
_SIZES = ("iam_ondb", "timit", "blizzard")
_WEAK_SEQUENCES, _STRONG_SEQUENCES = 64, 512


@dataclass(frozen=True)
class Measured:
    """One measured case; seconds are medians over steps.

    Attributes:
        name: size of the model.
        scaling: `strong` with the same global batch for all N, or `weak` with the same batch per worker.
        workers: N.
        frames: F, frames per worker.
        gradient_bytes: g.
        compute_seconds: of the slowest rank, while each has the machine to itself.
        sum_seconds: time to sum the gradients once all ranks are ready.
        shared_seconds: time of a whole step when all ranks compute at once on the cores of this machine.
        start_seconds: from the request for workers to their first line.
    """

    name: str
    scaling: str
    workers: int
    frames: int
    gradient_bytes: int
    compute_seconds: float
    sum_seconds: float
    shared_seconds: float
    start_seconds: float

    @property
    def step_seconds(self) -> float:
        """Time of a step of N workers with a machine each."""
        return self.compute_seconds + self.sum_seconds


@dataclass(frozen=True)
class ComputeModel:
    """c0 and c1 of one model size on one kind of machine."""

    fixed: float
    per_frame: float

    @classmethod
    def fit(cls, cases: Sequence[Measured]) -> "ComputeModel":
        """Least squares of relative errors, with both parts non-negative."""
        rows = np.array([[1.0, case.frames] for case in cases])
        seconds = np.array([case.compute_seconds for case in cases])
        fixed, per_frame = nnls(rows / seconds[:, None], np.ones(len(cases)))[0]
        return cls(float(fixed), float(per_frame))

    def seconds(self, frames: float) -> float:
        """Time of a worker with this many frames."""
        return self.fixed + self.per_frame * frames


@dataclass(frozen=True)
class RingModel:
    """l, in seconds, and 1 / b, in seconds per byte."""

    latency: float
    per_byte: float

    @classmethod
    def fit(cls, cases: Sequence[Measured]) -> "RingModel":
        """Least squares of relative errors over cases of more than one worker, with both parts non-negative."""
        several = [case for case in cases if case.workers > 1]
        rows = np.array([_ring_terms(case.workers, case.gradient_bytes) for case in several])
        seconds = np.array([case.sum_seconds for case in several])
        latency, per_byte = nnls(rows / seconds[:, None], np.ones(len(several)))[0]
        return cls(float(latency), float(per_byte))

    def seconds(self, workers: int, gradient_bytes: float) -> float:
        """Time to sum the gradients; 0 for one worker."""
        latency, per_byte = _ring_terms(workers, gradient_bytes)
        return self.latency * latency + self.per_byte * per_byte


def _ring_terms(workers: int, gradient_bytes: float) -> tuple[float, float]:
    return 2.0 * (workers - 1), 2.0 * (workers - 1) / workers * gradient_bytes


def gradient_bytes(config: ModelConfig) -> int:
    """Bytes that a step sums over the ranks, in float32."""
    with torch.device("meta"):
        model = build_model(config, torch.Generator())
    return 4 * sum(parameter.numel() for parameter in model.parameters())


def fitted(cases: Sequence[Measured]) -> dict[str, Any]:
    """The model, fitted without the largest cluster, and its error there."""
    most = max(case.workers for case in cases)
    known, held_out = ([c for c in cases if (c.workers == most) == out] for out in (False, True))
    ring = RingModel.fit(known)
    compute = {
        name: ComputeModel.fit([c for c in known if c.name == name]) for name in sorted({case.name for case in cases})
    }
    checks = []
    for case in held_out:
        step = compute[case.name].seconds(case.frames) + ring.seconds(most, case.gradient_bytes)
        checks.append(
            {
                "name": case.name,
                "scaling": case.scaling,
                "workers": most,
                "measured_seconds": case.step_seconds,
                "predicted_seconds": step,
                "relative_error": step / case.step_seconds - 1,
            }
        )
    return {
        "latency_seconds": ring.latency,
        "bytes_per_second": 1 / ring.per_byte if ring.per_byte else None,
        "compute": {name: asdict(model) for name, model in compute.items()},
        "held_out": checks,
    }


@dataclass(frozen=True)
class Rates:
    """Assumed rates of the hardware.

    Attributes:
        flops: operations per second of a GPU in training, not its peak.
        frame_seconds: time of one frame of the time loop, forward and backward, with few sequences.
        link: bytes per second between neighbouring GPUs.
        latency: seconds per message between two GPUs.
    """

    flops: float
    frame_seconds: float
    link: float
    latency: float


def predicted(rates: Rates) -> list[dict[str, Any]]:
    """Predictions, not measurements, for 1 to 512 GPUs and each size of the paper.

    Weak scaling has 64 sequences per GPU, strong scaling 512 in total. Efficiency is the time of a step on one GPU,
    divided by N times (strong) or once (weak) the time on N.
    """
    return [_prediction(name, gpus, rates) for name in _SIZES for gpus in _GPUS]


def _prediction(name: str, gpus: int, rates: Rates) -> dict[str, Any]:
    shape = SHAPES[name]
    with torch.device("meta"):
        model = build_model(shape.config, torch.Generator())
    operations = pass_operations(model, shape.frames, backward=True)
    compute = ComputeModel(shape.frames * rates.frame_seconds, operations / shape.frames / rates.flops)
    ring = RingModel(rates.latency, 1 / rates.link).seconds(gpus, gradient_bytes(shape.config))

    def step(sequences: float) -> float:
        return compute.seconds(shape.frames * sequences)

    weak, strong = step(_WEAK_SEQUENCES) + ring, step(_STRONG_SEQUENCES / gpus) + ring
    return {
        "name": name,
        "gpus": gpus,
        "gradient_bytes": gradient_bytes(shape.config),
        "sum_seconds": ring,
        "weak_step_seconds": weak,
        "weak_efficiency": step(_WEAK_SEQUENCES) / weak,
        "strong_step_seconds": strong,
        "strong_efficiency": step(_STRONG_SEQUENCES) / gpus / strong,
    }
