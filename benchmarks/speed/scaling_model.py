"""How long a training step takes on N workers: a model of it, fitted to measurements and used beyond them.

A step computes on its share of the batch and then sums the gradients over the ranks, one after the other:

    step(N) = c0 + c1 F  +  2 (N - 1) l  +  2 (N - 1) / N  g / b

with F frames a worker, c0 what a pass through the time loop costs whatever the batch, g bytes of gradients, and a
latency l and a bandwidth b of the ring that sums them (Patarasuk and Yuan 2009: each rank sends and receives
2 (N - 1) / N of the gradients, in 2 (N - 1) messages).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls

from vrnn.models import ModelConfig, build_model

__all__ = ["ComputeModel", "Measured", "RingModel", "fitted", "gradient_bytes"]


@dataclass(frozen=True)
class Measured:
    """One case, measured; seconds are medians over steps.

    Attributes:
        name: of the model's size.
        scaling: `strong`, the global batch being the same for all N, or `weak`, a worker's share being so.
        workers: N.
        frames: of a worker, F.
        gradient_bytes: g.
        compute_seconds: of the slowest rank, each having the machine to itself while it computes.
        sum_seconds: of the gradients, once all ranks are there.
        shared_seconds: of a whole step where all ranks compute at once, on however many cores the machine has.
        start_seconds: from asking for the workers to their first line.
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
        """Of N workers that have a machine each."""
        return self.compute_seconds + self.sum_seconds


@dataclass(frozen=True)
class ComputeModel:
    """c0 and c1 of one size of the model, on one kind of machine."""

    fixed: float
    per_frame: float

    @classmethod
    def fit(cls, cases: Sequence[Measured]) -> "ComputeModel":
        """Least squares of relative errors, neither part negative."""
        rows = np.array([[1.0, case.frames] for case in cases])
        seconds = np.array([case.compute_seconds for case in cases])
        fixed, per_frame = nnls(rows / seconds[:, None], np.ones(len(cases)))[0]
        return cls(float(fixed), float(per_frame))

    def seconds(self, frames: float) -> float:
        """Of a worker with so many frames."""
        return self.fixed + self.per_frame * frames


@dataclass(frozen=True)
class RingModel:
    """l, in seconds, and 1 / b, in seconds a byte."""

    latency: float
    per_byte: float

    @classmethod
    def fit(cls, cases: Sequence[Measured]) -> "RingModel":
        """Least squares of relative errors over cases of more than one worker, neither part negative."""
        several = [case for case in cases if case.workers > 1]
        rows = np.array([_ring_terms(case.workers, case.gradient_bytes) for case in several])
        seconds = np.array([case.sum_seconds for case in several])
        latency, per_byte = nnls(rows / seconds[:, None], np.ones(len(several)))[0]
        return cls(float(latency), float(per_byte))

    def seconds(self, workers: int, gradient_bytes: float) -> float:
        """To sum the gradients; none where there is one worker."""
        latency, per_byte = _ring_terms(workers, gradient_bytes)
        return self.latency * latency + self.per_byte * per_byte


def _ring_terms(workers: int, gradient_bytes: float) -> tuple[float, float]:
    return 2.0 * (workers - 1), 2.0 * (workers - 1) / workers * gradient_bytes


def gradient_bytes(config: ModelConfig) -> int:
    """What a step sums over the ranks, in float32."""
    with torch.device("meta"):
        model = build_model(config, torch.Generator())
    return 4 * sum(parameter.numel() for parameter in model.parameters())


def fitted(cases: Sequence[Measured]) -> dict[str, Any]:
    """The model without the largest cluster, and how far off it is there."""
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
