"""Products of a small batch with a weight matrix that stays as it is for many frames.

Inside a time loop every product is of a few rows with a large matrix, and the same matrix comes again at every frame.
A library that is handed the plain matrix rearranges it for its kernels at every call, which on a CPU costs as much as
the arithmetic. Here a matrix is made ready once a pass, in the precision of the products, and used for all frames: on
CPUs that oneDNN serves it is laid out in oneDNN's own blocks, elsewhere it is only cast.

`unchanging_weights` widens that from one pass to many, for code that goes frame by frame and knows that no weight
changes meanwhile.

Shapes: B rows, K inputs, N outputs; a weight is `[N, K]`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Weight", "made_ready", "product_dtype", "unchanging_weights"]

_WORTH_PACKING = 2**17
"""Elements of the smallest matrix whose products gain more by oneDNN's layout than its calls cost."""

_USES_TO_PAY = 8
"""Products after which laying a matrix out has paid for itself."""

_PACKABLE = (torch.float32, torch.bfloat16)

_ready: ContextVar[dict[tuple[int, torch.dtype], tuple[Tensor, "Weight"]] | None] = ContextVar("ready", default=None)


class Weight:
    """One weight matrix made ready for products in one precision; it does not see later changes of the matrix."""

    def __init__(self, matrix: Tensor, dtype: torch.dtype, rows: int, uses: int) -> None:
        """Make ready `matrix [N, K]`.

        Args:
            matrix: the weight; no gradient flows into it from here.
            dtype: of the products.
            rows: B, of the batches to come; others work too.
            uses: how many products are to come, at least.
        """
        self._matrix = matrix.detach().to(dtype)
        self._rows = rows
        self._pack = (
            uses >= _USES_TO_PAY and matrix.numel() >= _WORTH_PACKING and matrix.device.type == "cpu" and packs(dtype)
        )
        self._forward = self._packed(self._matrix) if self._pack else None
        self._backward: Tensor | None = None

    def onto(self, base: Tensor, x: Tensor) -> Tensor:
        """Base + x W', `[B, N]`, summed and given in at least float32, from `x [B, K]` in the products' precision."""
        if self._matrix.dtype == torch.bfloat16:
            return base.float() + self.apply(x)
        if self._forward is not None:
            return torch.ops.mkldnn._linear_pointwise.binary(x, base.contiguous(), self._forward, None, "add")
        return torch.addmm(base, x, self._matrix.t())

    def apply(self, x: Tensor, bias: Tensor | None = None, *, relu: bool = False) -> Tensor:
        """X W' + bias, or its positive part, `[B, N]`, from `x [B, K]`, all in the products' precision."""
        if self._forward is not None:
            activation = "relu" if relu else "none"
            return torch.ops.mkldnn._linear_pointwise(x, self._forward, bias, activation, [], "")
        y = functional.linear(x, self._matrix, bias)
        return y.relu_() if relu else y

    def back(self, gradient: Tensor) -> Tensor:
        """What `apply` hands back to x, g W: `[B, K]` from the gradient `[B, N]`, in the products' precision."""
        if not self._pack:
            return gradient @ self._matrix
        if self._backward is None:
            self._backward = self._packed(self._matrix.t())
        return torch.ops.mkldnn._linear_pointwise(gradient, self._backward, None, "none", [], "")

    def _packed(self, matrix: Tensor) -> Tensor:
        return torch.ops.mkldnn._reorder_linear_weight(matrix, self._rows)


def made_ready(matrix: Tensor, dtype: torch.dtype, rows: int, uses: int) -> Weight:
    """The weight made ready as `Weight` says, or as it was made ready before within `unchanging_weights`."""
    ready = _ready.get()
    if ready is None or matrix.device.type != "cpu":
        return Weight(matrix, dtype, rows, uses)
    key = (id(matrix), dtype)
    if key not in ready:
        ready[key] = (matrix, Weight(matrix, dtype, rows, max(uses, _USES_TO_PAY)))
    return ready[key][1]


@contextmanager
def unchanging_weights() -> Iterator[None]:
    """Within this block no weight of any model changes, and each is made ready once for all passes through it."""
    token = _ready.set({} if _ready.get() is None else _ready.get())
    try:
        yield
    finally:
        _ready.reset(token)


def product_dtype(like: Tensor) -> torch.dtype:
    """The precision of products with `like`: autocast's where that is on, its own otherwise."""
    device = like.device.type
    if torch.is_autocast_enabled(device) and like.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    return like.dtype


def packs(dtype: torch.dtype) -> bool:
    """Whether this machine's torch lays out weights of this type in oneDNN's blocks."""
    ops = torch.ops.mkldnn
    if dtype not in _PACKABLE or not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:
        return False
    if not (hasattr(ops, "_reorder_linear_weight") and hasattr(ops, "_linear_pointwise")):
        return False
    return dtype == torch.float32 or bool(ops._is_mkldnn_bf16_supported())
