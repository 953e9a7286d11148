"""What the model of `scaling_model` says of 8 to 512 GPUs, given rates of the hardware: predictions, not measurements.

On a GPU the fixed part of a step is what a time loop of T frames costs however few sequences there are, T times the
latency of a frame's kernels forwards and backwards. It is why sharing one batch among ever more GPUs ceases to pay long
before the network is full.
"""

from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.speed.scaling_model import ComputeModel, RingModel, gradient_bytes
from benchmarks.speed.workloads import SHAPES
from vrnn.device.peak import pass_operations
from vrnn.models import build_model

__all__ = ["Rates", "predicted"]

_GPUS = (1, 8, 16, 32, 64, 128, 256, 512)
_SIZES = ("iam_ondb", "timit", "blizzard")
_WEAK_SEQUENCES, _STRONG_SEQUENCES = 64, 512


@dataclass(frozen=True)
class Rates:
    """What is assumed of the hardware.

    Attributes:
        flops: operations a second of a GPU in training, not its peak.
        frame_seconds: of one frame of the time loop, forwards and backwards, for however few sequences.
        link: bytes a second from a GPU to the next.
        latency: seconds of a message between two.
    """

    flops: float
    frame_seconds: float
    link: float
    latency: float


def predicted(rates: Rates) -> list[dict[str, Any]]:
    """Per size of the paper and number of GPUs: weak scaling with 64 sequences a GPU, strong with 512 in all.

    Efficiency is the time of a step on one GPU over N times (strong), or once (weak), that on N.
    """
    return [_row(name, gpus, rates) for name in _SIZES for gpus in _GPUS]


def _row(name: str, gpus: int, rates: Rates) -> dict[str, Any]:
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
