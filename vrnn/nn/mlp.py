"""Feed-forward parts: affine maps of several inputs, and ReLU networks of them.

An affine map keeps one weight matrix for each input, as the released code does. The product with an input that is known
before the recurrence starts can then be made once for all frames, and no weight is sliced inside the time loop, where a
slice would cost a zero-filled copy of the gradient at every step.

Initialisation follows the released code (jych/nips2015_vrnn): weights U(-0.08, 0.08), biases 0. It draws from an
explicit generator, never from the global one.

Shapes: `...` any leading axes, `[T, B]` or `[B]` in the models.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from vrnn.scan.scan_ops import ReLUOperation

__all__ = ["MLP", "Affine"]

_WEIGHT_LIMIT = 0.08


class Affine(nn.Module):
    """sum_i W_i x_i + b, with a weight matrix `[outputs, input_sizes[i]]` for each input."""

    def __init__(self, input_sizes: Sequence[int], outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        shapes = [(outputs, size) for size in input_sizes]
        self.weights = nn.ParameterList([_uniform(shape, generator) for shape in shapes])
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, *inputs: Tensor) -> Tensor:
        """The map of the leading inputs `[..., input_sizes[i]]`, `[..., outputs]`; `add` adds later inputs."""
        output = functional.linear(inputs[0], self.weights[0], self.bias)
        for index, x in enumerate(inputs[1:], start=1):
            output = output + functional.linear(x, self.weights[index])
        return output

    def add(self, onto: Tensor, index: int, x: Tensor) -> Tensor:
        """`onto [B, outputs]` plus the product of input number `index`, `x [B, input_sizes[index]]`."""
        return torch.addmm(onto, x, self.weights[index].t())

    def share(self, index: int, x: Tensor) -> Tensor:
        """The product of input number `index` alone, without the bias: `[..., outputs]` from `x [..., inputs]`."""
        return functional.linear(x, self.weights[index])


class MLP(nn.Module):
    """`depth` affine layers of `width` units with a ReLU after each, on one or several inputs."""

    def __init__(self, input_sizes: Sequence[int], width: int, depth: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = Affine(input_sizes, width, generator)
        self.rest = nn.ModuleList([Affine([width], width, generator) for _ in range(depth - 1)])

    @property
    def layers(self) -> list[Affine]:
        """All affine layers, in order."""
        return [self.first, *(layer for layer in self.rest if isinstance(layer, Affine))]

    def forward(self, *inputs: Tensor) -> Tensor:
        """Features `[..., width]` of inputs `[..., input_sizes[i]]`."""
        return self.activate(self.first(*inputs))

    def activate(self, first: Tensor) -> Tensor:
        """Features from the first layer's output before its ReLU, both `[..., width]`."""
        features = first.relu()
        for layer in self.rest:
            features = layer(features).relu()
        return features

    def operations(self, name: str, source: str, base: str | None = None) -> tuple[ReLUOperation, ...]:
        """The layers as operations of a time loop (`vrnn.scan.time_loop`).

        Args:
            name: the register that takes the features.
            source: the register of the last input.
            base: the register with the share of the other inputs in the first layer, bias included; None where there
                are no others.
        """
        targets = [*(f"{name}.{number}" for number in range(len(self.layers) - 1)), name]
        sources = [source, *targets[:-1]]
        bases = [base] + [None] * (len(self.layers) - 1)
        return tuple(
            ReLUOperation(((layer.weights[-1], read),), layer.bias if known is None else None, known, target)
            for layer, read, known, target in zip(self.layers, sources, bases, targets, strict=True)
        )


def _uniform(shape: tuple[int, int], generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape).uniform_(-_WEIGHT_LIMIT, _WEIGHT_LIMIT, generator=generator))
