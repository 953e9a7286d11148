"""Products of a small batch with a weight matrix that does not change for many frames.

Inside a time loop every product is one of a few rows with a large matrix, and the same matrix is used at every frame. A
library that gets the plain matrix rearranges it for its kernels at every call, which on a CPU costs as much as the
arithmetic. Here a matrix is packed once a pass, in the precision of the products, and used for all frames. On CPUs that
oneDNN supports it is laid out in oneDNN's own blocks; elsewhere it is only cast.

`unchanging_weights` widens this from one pass to many, for code that goes frame by frame and knows that no weight
changes meanwhile.

Shapes: B rows, K inputs, N outputs; a weight is `[N, K]`.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["PackedWeight", "add_product", "pack", "packs", "product_dtype", "unchanging_weights"]

_WORTH_PACKING = 2**17
"""Elements of the smallest matrix whose products gain more by oneDNN's layout than its calls cost."""

_USES_TO_PAY = 8
"""Products after which packing a matrix has paid for itself."""

_PACKABLE = (torch.float32, torch.bfloat16)

_onednn: Any = torch.ops.mkldnn
"""oneDNN's operations, which have no type stubs."""

_packed: ContextVar[dict[tuple[int, torch.dtype], tuple[Tensor, "PackedWeight"]] | None] = ContextVar(
    "packed", default=None
)
"""The weights packed within `unchanging_weights`, each with its matrix, so that the matrix's id stays its own."""


class PackedWeight:
    """One weight matrix packed for products in one precision; it does not see later changes of the matrix."""

    def __init__(self, matrix: Tensor, dtype: torch.dtype, rows: int, uses: int) -> None:
        """Pack `matrix [N, K]`.

        Args:
            matrix: the weight; no gradient flows into it from here.
            dtype: the precision of the products.
            rows: B of the coming batches, which the layout is chosen for; other numbers work too.
            uses: at least how many products will be made.
        """
        self._matrix = matrix.detach().to(dtype)
        self._rows = rows
        self._in_blocks = (
            uses >= _USES_TO_PAY and matrix.numel() >= _WORTH_PACKING and matrix.device.type == "cpu" and packs(dtype)
        )
        self._forward = self._blocks(self._matrix) if self._in_blocks else None
        # Laid out at the first backward product: a pass without gradients never needs it.
        self._backward: Tensor | None = None

    def onto(self, base: Tensor, x: Tensor) -> Tensor:
        """Base + x W', `[B, N]`, summed in at least float32, from `x [B, K]` in the products' precision."""
        if self._matrix.dtype == torch.bfloat16:
            return base.float() + self.apply(x)
        if self._forward is not None:
            return _onednn._linear_pointwise.binary(x, base.contiguous(), self._forward, None, "add")
        return torch.addmm(base, x, self._matrix.t())

    def apply(self, x: Tensor, bias: Tensor | None = None, *, relu: bool = False) -> Tensor:
        """X W' + bias, or its positive part, `[B, N]`, from `x [B, K]`, all in the products' precision."""
        if self._forward is not None:
            activation = "relu" if relu else "none"
            return _onednn._linear_pointwise(x, self._forward, bias, activation, [], "")
        y = functional.linear(x, self._matrix, bias)
        return y.relu_() if relu else y

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient of x, g W, `[B, K]`, from that of `apply`'s output, `[B, N]`, in the products' precision."""
        if not self._in_blocks:
            return gradient @ self._matrix
        if self._backward is None:
            self._backward = self._blocks(self._matrix.t())
        return _onednn._linear_pointwise(gradient, self._backward, None, "none", [], "")

    def _blocks(self, matrix: Tensor) -> Tensor:
        return _onednn._reorder_linear_weight(matrix, self._rows)


def pack(matrix: Tensor, dtype: torch.dtype, rows: int, uses: int) -> PackedWeight:
    """The weight as `PackedWeight` packs it, or, within `unchanging_weights`, as it was packed before."""
    packed = _packed.get()
    if packed is None or matrix.device.type != "cpu":
        return PackedWeight(matrix, dtype, rows, uses)
    key = (id(matrix), dtype)
    if key not in packed:
        packed[key] = (matrix, PackedWeight(matrix, dtype, rows, max(uses, _USES_TO_PAY)))
    return packed[key][1]


def add_product(base: Tensor, x: Tensor, matrix: Tensor) -> Tensor:
    """`base [B, N]` + x W' with `x [B, K]`: differentiable, or, where gradients are off, with the packed weight."""
    if torch.is_grad_enabled():
        return torch.addmm(base, x, matrix.t())
    dtype = product_dtype(matrix)
    return pack(matrix, dtype, len(x), 1).onto(base, x.to(dtype))


@contextmanager
def unchanging_weights() -> Generator[None]:
    """Within this block no weight of any model changes, and each is packed once for all passes through it."""
    token = _packed.set({} if _packed.get() is None else _packed.get())
    try:
        yield
    finally:
        _packed.reset(token)


def product_dtype(like: Tensor) -> torch.dtype:
    """The precision of products with `like`: autocast's where that is on, its own otherwise."""
    device = like.device.type
    if torch.is_autocast_enabled(device) and like.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    return like.dtype


def packs(dtype: torch.dtype) -> bool:
    """Whether torch on this machine lays out weights of this type in oneDNN's blocks."""
    if dtype not in _PACKABLE or not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:
        return False
    if not (hasattr(_onednn, "_reorder_linear_weight") and hasattr(_onednn, "_linear_pointwise")):
        return False
    return dtype == torch.float32 or bool(_onednn._is_mkldnn_bf16_supported())
