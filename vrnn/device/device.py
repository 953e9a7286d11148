"""The device that models compute on, and the path that a time loop takes there."""

from collections.abc import Callable

import torch

from vrnn.device.precision import Precision, parameter_dtype
from vrnn.scan.cells import fused_for
from vrnn.scan.cuda_graphs import CudaGraphs, bucketed, chosen_recorder
from vrnn.scan.packed_weights import packs

__all__ = ["computing_device", "describe_path", "padded_frames"]


def computing_device() -> torch.device:
    """This process's GPU if torch sees one, else the CPU; with its number, which is valid in every thread."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def padded_frames(device: torch.device) -> Callable[[int], int]:
    """The rule for padding a batch: to few different lengths where time loops are recorded, else to its longest."""
    return bucketed if device.type == "cuda" else int


def describe_path(device: torch.device, precision: Precision) -> dict[str, str]:
    """How the loop runs, how products and elementwise work are computed, and how plain LSTMs are read.

    A measured speed means little without it.
    """
    dtype = torch.bfloat16 if precision == "bfloat16" else parameter_dtype(precision)
    on_gpu = device.type == "cuda"
    recorded = on_gpu and chosen_recorder() is CudaGraphs
    packed = not on_gpu and packs(dtype)
    library = on_gpu and torch.backends.cudnn.is_available() and dtype != torch.float64
    return {
        "loop": "CUDA graph" if recorded else "frame by frame",
        "products": f"{precision}, " + ("oneDNN blocks for large weights" if packed else "plain matrices"),
        "elementwise": "Triton" if fused_for(device) else "torch",
        "plain LSTM": "cuDNN" if library else "the same loop",
    }
