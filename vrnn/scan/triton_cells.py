"""The elementwise work of an LSTM's step as one GPU kernel for the forward pass and one for the backward pass.

In torch's own operations it is eight kernels forward and ten backward, each of which reads and writes what the one
before has just written. At a frame of a large model on a large GPU they take as long as the products. The functions are
those of `vrnn.scan.cells`. tanh is computed from an exponential: its absolute error is that of the last bits of 1, so
that small values lose relative precision.

Shapes: B sequences, H hidden units.
"""

# Triton's language has no types: a kernel's arguments are pointers and numbers, by position.
# ruff: noqa: ANN001, ANN202
# pyright: basic, reportMissingParameterType=false, reportArgumentType=false

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["lstm_backward", "lstm_forward"]

_BLOCK = 256


@triton.jit
def _sigmoid(x):
    return 1 / (1 + tl.exp(-x))


@triton.jit
def _tanh(x):
    e = tl.exp(-2 * tl.abs(x))
    return tl.where(x < 0, -1.0, 1.0) * ((1 - e) / (1 + e))


@triton.jit
def _forward(gates, c_before, h, c, tanh_c, count, hidden, block: tl.constexpr):
    # Each program computes `block` of the B * H values, counted row by row.
    at = tl.program_id(0) * block + tl.arange(0, block)
    inside = at < count
    # A row of gates is 4H long: i at [0, H), f at [H, 2H), o at [2H, 3H), g at [3H, 4H).
    gate = gates + (at // hidden) * 4 * hidden + at % hidden
    i = _sigmoid(tl.load(gate, mask=inside))
    f = _sigmoid(tl.load(gate + hidden, mask=inside))
    o = _sigmoid(tl.load(gate + 2 * hidden, mask=inside))
    g = _tanh(tl.load(gate + 3 * hidden, mask=inside))
    cell = f * tl.load(c_before + at, mask=inside) + i * g
    squashed = _tanh(cell)
    tl.store(gate, i, mask=inside)
    tl.store(gate + hidden, f, mask=inside)
    tl.store(gate + 2 * hidden, o, mask=inside)
    tl.store(gate + 3 * hidden, g, mask=inside)
    tl.store(c + at, cell, mask=inside)
    tl.store(tanh_c + at, squashed, mask=inside)
    tl.store(h + at, o * squashed, mask=inside)


@triton.jit
def _backward(gates, c_before, tanh_c, dh, dc, out, count, hidden, block: tl.constexpr):
    at = tl.program_id(0) * block + tl.arange(0, block)
    inside = at < count
    gate = gates + (at // hidden) * 4 * hidden + at % hidden
    i = tl.load(gate, mask=inside)
    f = tl.load(gate + hidden, mask=inside)
    o = tl.load(gate + 2 * hidden, mask=inside)
    g = tl.load(gate + 3 * hidden, mask=inside)
    squashed = tl.load(tanh_c + at, mask=inside)
    d_h = tl.load(dh + at, mask=inside)
    d_c = tl.load(dc + at, mask=inside) + d_h * o * (1 - squashed * squashed)
    to = out + (at // hidden) * 4 * hidden + at % hidden
    tl.store(to, d_c * g * i * (1 - i), mask=inside)
    tl.store(to + hidden, d_c * tl.load(c_before + at, mask=inside) * f * (1 - f), mask=inside)
    tl.store(to + 2 * hidden, d_h * squashed * o * (1 - o), mask=inside)
    tl.store(to + 3 * hidden, d_c * i * (1 - g * g), mask=inside)
    tl.store(dc + at, d_c * f, mask=inside)


def lstm_forward(gates: Tensor, c_before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See `vrnn.scan.cells.lstm_forward`."""
    c_before = c_before.contiguous()
    h, c, tanh_c = (torch.empty_like(c_before) for _ in range(3))
    count = c.numel()
    _forward[_grid(count)](gates, c_before, h, c, tanh_c, count, c.shape[-1], _BLOCK)
    return h, c, tanh_c


def lstm_backward(gates: Tensor, c_before: Tensor, tanh_c: Tensor, dh: Tensor, dc: Tensor, out: Tensor) -> Tensor:
    """See `vrnn.scan.cells.lstm_backward`."""
    count = dc.numel()
    _backward[_grid(count)](gates, c_before.contiguous(), tanh_c, dh.contiguous(), dc, out, count, dc.shape[-1], _BLOCK)
    return dc


def _grid(count: int) -> tuple[int]:
    return (-(-count // _BLOCK),)
