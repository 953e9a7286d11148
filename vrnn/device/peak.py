"""The peak rate of a machine, measured, and the operations and memory of a pass through a model.

The peak is that of large square matrix products in the precision of the products, through the same torch. A perfect
implementation that did nothing but the arithmetic would reach it.
"""

import statistics
import time
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from vrnn.nn.mlp import MLP

__all__ = ["brief_peak", "matmul_peak", "pass_operations", "peak_memory", "reset_peak_memory", "synchronise"]

_SIZES = {"cpu": (2048, 4096), "cuda": (8192,)}
_BRIEF_SIZES = {"cpu": 1024, "cuda": 4096}
_REPEATS = 5
_STATUS, _CLEAR, _RESET_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs"), "5"


@torch.no_grad()
def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of the fastest of a few sizes; a multiplication and an addition are two operations."""
    return max(_matmul_rate(size, device, dtype) for size in _SIZES[device.type])


@lru_cache(maxsize=8)
@torch.no_grad()
def brief_peak(device: torch.device, dtype: torch.dtype) -> float:
    """`matmul_peak` from one size that takes a fraction of a second; measured once a process."""
    return _matmul_rate(_BRIEF_SIZES[device.type], device, dtype)


def _matmul_rate(size: int, device: torch.device, dtype: torch.dtype) -> float:
    left, right, out = (torch.ones(size, size, device=device, dtype=dtype) for _ in range(3))
    seconds: list[float] = []
    for _ in range(_REPEATS + 1):
        synchronise(device)
        start = time.perf_counter()
        torch.mm(left, right, out=out)
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    # The first product pays for start-up.
    return 2 * size**3 / statistics.median(seconds[1:])


def pass_operations(model: nn.Module, frames: int, *, backward: bool) -> float:
    """Operations of the products with weights over so many frames of all sequences, which no implementation can skip.

    A backward pass costs as much as two forward passes: one for the gradients of the weights and one for those of their
    inputs. The first layer, which reads the data, needs only the former.
    """
    total = sum(parameter.numel() for parameter in model.parameters() if parameter.dim() > 1)
    if not backward:
        return 2.0 * frames * total
    reader = getattr(model, "phi_x", None)
    first = reader.first.weights[0].numel() if isinstance(reader, MLP) else 0
    return 2.0 * frames * (3 * total - first)


def reset_peak_memory(device: torch.device) -> None:
    """Restart the measurement of peak memory."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR.exists():
        _CLEAR.write_text(_RESET_PEAK)


def peak_memory(device: torch.device) -> int | None:
    """Peak bytes since the last reset: of the device, or resident in this process; None where unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if not _STATUS.exists():
        return None
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished all work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
