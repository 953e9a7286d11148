"""The precision of a run: of its parameters, and of its products.

`float32` and `float64` are what they say. `tf32` is float32 whose factors GPUs round to 10 bits of mantissa; on a CPU
it is float32. `bfloat16` keeps the parameters, and with them the optimiser and the checkpoint, in float32, and makes
the products in bfloat16 through autocast: weights and what they are multiplied with are rounded to 8 bits of mantissa,
and so is each product; states, sums of products, latents, likelihoods, divergences and the sums over frames are in
float32 or above. A score in bfloat16 is the bound of the network so rounded, not an
approximate bound of another.
"""

from contextlib import AbstractContextManager
from typing import Literal, TypeAlias

import torch

__all__ = ["Precision", "allow_tf32", "arithmetic", "parameter_dtype", "product_dtype"]

Precision: TypeAlias = Literal["float32", "tf32", "bfloat16", "float64"]


def parameter_dtype(precision: Precision) -> torch.dtype:
    """What the parameters and the frames are kept in."""
    return torch.float64 if precision == "float64" else torch.float32


def product_dtype(precision: Precision) -> torch.dtype:
    """What the factors of the products are in."""
    return torch.bfloat16 if precision == "bfloat16" else parameter_dtype(precision)


def arithmetic(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """A block within which a model's products are made in `precision`; the way back follows the way forward."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def allow_tf32(precision: Precision) -> None:
    """Let this process's float32 products on GPUs be rounded as `tf32` says, or, for any other precision, not."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
