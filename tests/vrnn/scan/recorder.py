"""A recorder for CPUs that obeys the rules of a CUDA graph: it knows kernels and addresses, and no Python.

It writes down every operation on tensors as it is dispatched, and playing runs the same operations on the same tensors
again. A tensor that was made while recording keeps its place, and takes the new values; whatever Python computed is
frozen. So code that would go wrong in a CUDA graph, by reading a value or by leaving a place, goes wrong here.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

T = TypeVar("T")


class _Tape(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            raise RuntimeError("a value was read while recording")
        result = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, result))
        return result


class EagerRecorder:
    """See the module."""

    recordings = 0

    def record(self, function: Callable[[], T], *, warm_up: bool) -> tuple[T, Callable[[], None]]:
        if warm_up:
            function()
        with _Tape() as tape:
            result = function()
        type(self).recordings += 1

        def play() -> None:
            for func, args, kwargs, before in tape.calls:
                _play(func, args, kwargs, before)

        return result, play


def _play(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], before: Any) -> None:
    given = {
        tensor.untyped_storage().data_ptr() for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)
    }
    made = [tensor for tensor in tree_leaves(before) if isinstance(tensor, Tensor)]
    shares = any(tensor.untyped_storage().data_ptr() in given for tensor in made if tensor.numel())
    if shares and not func._schema.is_mutable:
        return  # a view: it shows what its base holds
    with torch.no_grad():
        after = [tensor for tensor in tree_leaves(func(*args, **kwargs)) if isinstance(tensor, Tensor)]
        if not func._schema.is_mutable:
            for place, value in zip(made, after, strict=True):
                place.copy_(value)
