"""The precision of a run: of its parameters, and of its products.

`tf32` is float32 whose factors GPUs round to 10 bits of mantissa; on a CPU it is float32. `bfloat16` keeps the
parameters, and with them the optimiser and the checkpoint, in float32, and makes the products in bfloat16 through
autocast: weights, their inputs and each product are rounded to 8 bits of mantissa. States, sums of products, latents,
likelihoods, divergences and sums over frames are in float32 or above. A score in bfloat16 is a bound for the rounded
network, not an approximate bound for the network in float32.
"""

from contextlib import AbstractContextManager
from typing import Literal, TypeAlias

import torch

__all__ = ["Precision", "allow_tf32", "arithmetic", "parameter_dtype", "product_dtype"]

Precision: TypeAlias = Literal["float32", "tf32", "bfloat16", "float64"]


def parameter_dtype(precision: Precision) -> torch.dtype:
    """The type of the parameters and the frames."""
    return torch.float64 if precision == "float64" else torch.float32


def product_dtype(precision: Precision) -> torch.dtype:
    """The type of the factors of products."""
    return torch.bfloat16 if precision == "bfloat16" else parameter_dtype(precision)


def arithmetic(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """A block in which a model's products are made in `precision`; the backward pass uses the same precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def allow_tf32(precision: Precision) -> None:
    """Round the factors of this process's float32 products on GPUs for `tf32`, and for no other precision."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
