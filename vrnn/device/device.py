"""Where models compute, and which of its ways a time loop takes there: a speed without it says little."""

from collections.abc import Callable

import torch

from vrnn.device.precision import Precision, parameter_dtype
from vrnn.scan.cells import fused_for
from vrnn.scan.cuda_graphs import CudaGraphs, bucketed, recorder_choice
from vrnn.scan.packed_weights import packs

__all__ = ["computing_device", "describe_path", "padded_frames"]


def computing_device() -> torch.device:
    """This process's GPU if torch sees one, else the CPU; by its number, which holds in every thread."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def padded_frames(device: torch.device) -> Callable[[int], int]:
    """How many frames a batch should be padded to: few lengths where time loops are recorded, else no more frames."""
    return bucketed if device.type == "cuda" else int


def describe_path(device: torch.device, precision: Precision) -> dict[str, str]:
    """How the loop is run, its products made, its elementwise work done, and plain LSTMs read."""
    dtype = torch.bfloat16 if precision == "bfloat16" else parameter_dtype(precision)
    on_gpu = device.type == "cuda"
    recorded = on_gpu and recorder_choice() is CudaGraphs
    packed = not on_gpu and packs(dtype)
    library = on_gpu and torch.backends.cudnn.is_available() and dtype != torch.float64
    return {
        "loop": "CUDA graph" if recorded else "frame by frame",
        "products": f"{precision}, " + ("oneDNN blocks for large weights" if packed else "plain matrices"),
        "elementwise": "Triton" if fused_for(device) else "torch",
        "plain LSTM": "cuDNN" if library else "the same loop",
    }
