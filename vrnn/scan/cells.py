"""The elementwise work of a step and its derivatives, in torch's own operations or, on GPUs, in Triton kernels.

`vrnn.scan.triton_cells` has that of an LSTM as one kernel for the forward pass and one for the backward pass. It is
used for tensors on a GPU where Triton, which comes with torch's builds for GPUs, is installed.

Shapes: B sequences, H hidden units, Z latent size.
"""

import functools
import importlib
import importlib.util
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["fused_for", "gaussian_backward", "lstm_backward", "lstm_forward", "spread"]

_aten: Any = torch.ops.aten
_SOFTPLUS_LINEAR_FROM = 20


@functools.cache
def fused_for(device: torch.device) -> ModuleType | None:
    """The module with the kernels for an LSTM's elementwise work on a device; None where torch's operations do it."""
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return None
    return importlib.import_module("vrnn.scan.triton_cells")


def lstm_forward(gates: Tensor, c_before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """An LSTM's step from its gates before their nonlinearities, which are applied to them in place.

    Args:
        gates: `[B, 4H]`, input, forget, output, candidate; afterwards their values.
        c_before: the cell before the step, `[B, H]`.

    Returns:
        h = o * tanh(c), c = f * c_before + i * g, and tanh(c), each `[B, H]`.
    """
    if fused := fused_for(gates.device):
        return fused.lstm_forward(gates, c_before)
    hidden = c_before.shape[-1]
    gates[:, : 3 * hidden].sigmoid_()
    gates[:, 3 * hidden :].tanh_()
    i, f, o, g = gates.chunk(4, -1)
    c = (f * c_before).addcmul_(i, g)
    tanh_c = c.tanh()
    return o * tanh_c, c, tanh_c


def lstm_backward(gates: Tensor, c_before: Tensor, tanh_c: Tensor, dh: Tensor, dc: Tensor, out: Tensor) -> Tensor:
    """The backward pass of `lstm_forward`.

    Args:
        gates: their values after the nonlinearities, `[B, 4H]`.
        c_before: `[B, H]`.
        tanh_c: `[B, H]`.
        dh: gradient of h, `[B, H]`.
        dc: gradient of c from later steps, `[B, H]`; overwritten.
        out: `[B, 4H]`, of any precision; it takes the gradient of the gates before their nonlinearities.

    Returns:
        The gradient of c_before, `[B, H]`, in the memory of `dc`.
    """
    if fused := fused_for(gates.device):
        return fused.lstm_backward(gates, c_before, tanh_c, dh, dc, out)
    hidden = c_before.shape[-1]
    wide = out if out.dtype == gates.dtype else torch.empty_like(gates)
    i, f, o, g = gates.chunk(4, -1)
    di, df, do, dg = wide.chunk(4, -1)
    # The block of dg first serves as scratch space for dh * o.
    torch.mul(dh, o, out=dg)
    dc.add_(_aten.tanh_backward(dg, tanh_c))
    torch.mul(dc, g, out=di)
    torch.mul(dc, c_before, out=df)
    torch.mul(dh, tanh_c, out=do)
    torch.mul(dc, i, out=dg)
    # The sigmoids of i, f and o are differentiated in one pass, in place.
    squashed = wide[:, : 3 * hidden]
    _aten.sigmoid_backward.grad_input(squashed, gates[:, : 3 * hidden], grad_input=squashed)
    _aten.tanh_backward.grad_input(dg, g, grad_input=dg)
    if wide is not out:
        out.copy_(wide)
    return dc.mul_(f)


def spread(raw: Tensor, floor: float) -> Tensor:
    """softplus(raw) + floor: unlike a clamp, a floor that is added keeps the gradient."""
    return functional.softplus(raw) + floor


def gaussian_backward(raw: Tensor, d_mean: Tensor, d_std: Tensor) -> Tensor:
    """The gradient of a Gaussian's raw parameters `[B, 2Z]` from those of its mean and its `spread`, each `[B, Z]`.

    `raw` is what the spread was computed from, `[B, Z]`.
    """
    return torch.cat([d_mean, _aten.softplus_backward(d_std, raw, 1, _SOFTPLUS_LINEAR_FROM)], -1)
