"""What a machine can do at most, measured, and what a pass through a model asks of it, counted.

The peak is that of large square matrix products in the precision of the products, through the same torch: what a
perfect implementation would reach if it did nothing but the arithmetic.
"""

import statistics
import time
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from vrnn.models import SequenceModel

__all__ = ["brief_peak", "matmul_peak", "pass_operations", "peak_memory", "reset_peak_memory", "synchronise"]

_SIZES = {"cpu": (2048, 4096), "cuda": (8192,)}
_BRIEF_SIZES = {"cpu": 1024, "cuda": 4096}
_REPEATS = 5
_STATUS, _CLEAR, _RESET_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs"), "5"


@torch.no_grad()
def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second, a multiplication and an addition being two, of the fastest of a few sizes."""
    return max(_matmul_rate(size, device, dtype) for size in _SIZES[device.type])


@lru_cache(maxsize=8)
@torch.no_grad()
def brief_peak(device: torch.device, dtype: torch.dtype) -> float:
    """As `matmul_peak`, of one size that costs a fraction of a second; measured once a process."""
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
    return 2 * size**3 / statistics.median(seconds[1:])


def pass_operations(model: SequenceModel, frames: int, *, backward: bool) -> float:
    """Operations of the products with weights, over so many frames of all sequences: what no implementation can skip.

    A way back costs two such passes, one for the weights and one for what they were multiplied with, which the first
    layer, that reads the data, does without.
    """
    total = sum(parameter.numel() for parameter in model.parameters() if parameter.dim() > 1)
    if not backward:
        return 2.0 * frames * total
    reader = getattr(model, "phi_x", None)
    first = reader.first.weights[0].numel() if isinstance(reader, nn.Module) else 0  # type: ignore[union-attr]
    return 2.0 * frames * (3 * total - first)


def reset_peak_memory(device: torch.device) -> None:
    """Begin to watch anew how much memory is used at most."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR.exists():
        _CLEAR.write_text(_RESET_PEAK)


def peak_memory(device: torch.device) -> int | None:
    """Bytes in use at most since the last reset: of the device, or resident in this process; None where not known."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if not _STATUS.exists():
        return None
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
