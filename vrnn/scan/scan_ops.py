"""The operations of a time loop: affine maps, each with the elementwise work that follows it.

An operation reads and writes named registers of a frame. It knows its own derivative up to the map's output. The
products with the weights, forward and backward, are the same for all operations; `vrnn.scan.time_loop` makes them. It
keeps the gradients of the outputs of all frames, and forms a weight's gradient from them with one product.

Shapes: B sequences, N outputs, H hidden units, Z latent size.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vrnn.scan import cells
from vrnn.scan.packed_weights import PackedWeight

__all__ = ["Frame", "GaussianOperation", "Gradients", "LSTMOperation", "Operation", "ReLUOperation"]

_aten: Any = torch.ops.aten


class Frame:
    """The registers of one frame, and their casts to the precision of the products, each made once."""

    __slots__ = ("_cast", "dtype", "values")

    def __init__(self, values: dict[str, Tensor], dtype: torch.dtype) -> None:
        self.values = values
        self.dtype = dtype
        self._cast: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        return self.values[name]

    def __setitem__(self, name: str, value: Tensor) -> None:
        self.values[name] = value

    def factor(self, name: str) -> Tensor:
        """The register in the precision of the products."""
        value = self.values[name]
        if value.dtype == self.dtype:
            return value
        if name not in self._cast:
            self._cast[name] = value.to(self.dtype)
        return self._cast[name]


class Gradients:
    """The gradients of a frame's registers, summed over the operations that read them."""

    __slots__ = ("_sums",)

    def __init__(self, sums: dict[str, Tensor]) -> None:
        self._sums = sums

    def add(self, name: str, gradient: Tensor) -> None:
        """Add one reader's part, out of place: the sum so far may be a tensor that is used elsewhere too."""
        known = self._sums.get(name)
        self._sums[name] = gradient if known is None else known + gradient

    def take(self, name: str) -> Tensor | None:
        """The sum, once; None where no operation read the register."""
        return self._sums.pop(name, None)


@dataclass(frozen=True, eq=False)
class Operation(ABC):
    """An affine map, base + sum_i W_i x_i or bias + W_0 x_0, and what follows it.

    Attributes:
        products: each weight `[N, K_i]` with the register that it is multiplied with.
        bias: `[N]`, where there is no base.
        base: the register of what is known before the loop, `[B, N]`; no other operation may read it.
    """

    products: tuple[tuple[nn.Parameter, str], ...]
    bias: nn.Parameter | None
    base: str | None

    @property
    def outputs(self) -> int:
        """N."""
        return len(self.products[0][0])

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """The weights in the order of the products, and the bias if there is one."""
        weights = tuple(weight for weight, _ in self.products)
        return weights if self.bias is None else (*weights, self.bias)

    def affine(self, frame: Frame, weights: Sequence[PackedWeight], *, relu: bool = False) -> Tensor:
        """The map's output, or its positive part, `[B, N]`, with the packed weights of the products."""
        if self.base is None:
            (_, source), bias = self.products[0], self.bias
            assert bias is not None
            return weights[0].apply(frame.factor(source), bias.detach().to(frame.dtype), relu=relu)
        y = frame[self.base]
        for weight, (_, source) in zip(weights, self.products, strict=True):
            y = weight.onto(y, frame.factor(source))
        return y.relu_() if relu else y

    @abstractmethod
    def forward(self, frame: Frame, weights: Sequence[PackedWeight]) -> None:
        """Write the registers that this operation makes."""

    @abstractmethod
    def backward(self, frame: Frame, gradients: Gradients, out: Tensor) -> None:
        """Write the gradient of the map's output to `out [B, N]`, from those of the registers made of it."""


@dataclass(frozen=True, eq=False)
class ReLUOperation(Operation):
    """relu(affine), in the precision of the products.

    Attributes:
        target: the register that takes it.
    """

    target: str

    def forward(self, frame: Frame, weights: Sequence[PackedWeight]) -> None:
        """See `Operation.forward`."""
        frame[self.target] = self.affine(frame, weights, relu=True).to(frame.dtype)

    def backward(self, frame: Frame, gradients: Gradients, out: Tensor) -> None:
        """See `Operation.backward`."""
        gradient = gradients.take(self.target)
        if gradient is None:
            out.zero_()
        else:
            _aten.threshold_backward.grad_input(gradient, frame[self.target], 0, grad_input=out)


@dataclass(frozen=True, eq=False)
class GaussianOperation(Operation):
    """A diagonal Gaussian from the affine map's output, and a draw from it, in at least float32.

    Attributes:
        floor: what is added to the softplus of the standard deviation.
        suffix: what the names of the registers `mean`, `std` and `raw` made here end in, as in `mean_q`.
        latent: the register that takes mean + std * noise; None draws nothing.
        residual: the register that is added to the mean; None adds nothing.
    """

    floor: float
    suffix: str
    latent: str | None = None
    residual: str | None = None

    def forward(self, frame: Frame, weights: Sequence[PackedWeight]) -> None:
        """See `Operation.forward`."""
        output = self.affine(frame, weights)
        mean, raw = output.to(torch.promote_types(output.dtype, torch.float32)).chunk(2, -1)
        std = cells.spread(raw, self.floor)
        if self.residual is not None:
            mean = mean + frame[self.residual]
        frame[f"mean{self.suffix}"], frame[f"std{self.suffix}"], frame[f"raw{self.suffix}"] = mean, std, raw
        if self.latent is not None:
            frame[self.latent] = torch.addcmul(mean, std, frame["noise"])

    def backward(self, frame: Frame, gradients: Gradients, out: Tensor) -> None:
        """See `Operation.backward`."""
        raw = frame[f"raw{self.suffix}"]
        latent = gradients.take(self.latent) if self.latent is not None else None
        if latent is not None:
            # z = mean + std * noise.
            gradients.add(f"mean{self.suffix}", latent)
            gradients.add(f"std{self.suffix}", latent * frame["noise"])
        d_mean, d_std = (gradients.take(f"{part}{self.suffix}") for part in ("mean", "std"))
        d_mean, d_std = (torch.zeros_like(raw) if d is None else d for d in (d_mean, d_std))
        if self.residual is not None:
            gradients.add(self.residual, d_mean)
        out.copy_(cells.gaussian_backward(raw, d_mean, d_std))


@dataclass(frozen=True, eq=False)
class LSTMOperation(Operation):
    """An LSTM's step from h and c to h_next and c_next, in at least float32.

    Attributes:
        masked: whether h_next and c_next are 0 where the register `mask`, bool `[B, 1]`, is false.
    """

    masked: bool = False

    def forward(self, frame: Frame, weights: Sequence[PackedWeight]) -> None:
        """See `Operation.forward`."""
        gates = self.affine(frame, weights)
        h, c, tanh_c = cells.lstm_forward(gates, frame["c"])
        if self.masked:
            padded = ~frame["mask"]
            h, c = h.masked_fill_(padded, 0.0), c.masked_fill_(padded, 0.0)
        frame["gates"], frame["tanh_c"], frame["h_next"], frame["c_next"] = gates, tanh_c, h, c

    def backward(self, frame: Frame, gradients: Gradients, out: Tensor) -> None:
        """See `Operation.backward`."""
        dh, dc = gradients.take("h_next"), gradients.take("c_next")
        # Both are carried, so that the frame after this one, or the end of the loop, has given their gradients.
        assert dh is not None
        assert dc is not None
        if self.masked:
            padded = ~frame["mask"]
            dh, dc = dh.masked_fill(padded, 0.0), dc.masked_fill(padded, 0.0)
        gradients.add("c", cells.lstm_backward(frame["gates"], frame["c"], frame["tanh_c"], dh, dc, out))
