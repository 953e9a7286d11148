"""Feed-forward parts: affine maps of several inputs, ReLU networks, and heads that return distributions.

An affine map keeps one weight matrix for each input, as the released code does. The product with an input that
is known before the recurrence starts is then made once for all frames, and no weight is sliced inside the time
loop (slicing costs a zero-filled copy of the gradient at every step).

Initialisation follows the released code (jych/nips2015_vrnn): weights U(-0.08, 0.08), biases 0, and 0.6 on the
bias of a standard deviation before its softplus. It draws from an explicit generator, never from the global one.

Shapes: `...` any leading axes, `[T, B]` or `[B]` in the models; Z latent size, D frame size, K components.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from vrnn.distributions import DiagonalGaussian, GaussianMixture
from vrnn.pen import PenMixture

__all__ = ["MLP", "Affine", "GaussianHead", "MixtureHead", "PenHead"]

_WEIGHT_LIMIT = 0.08
_STD_BIAS = 0.6
_RHO_FLOOR = 1e-4


class Affine(nn.Module):
    """sum_i W_i x_i + b, with a weight matrix `[outputs, input_sizes[i]]` for each input."""

    def __init__(self, input_sizes: Sequence[int], outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        shapes = [(outputs, size) for size in input_sizes]
        self.weights = nn.ParameterList([_uniform(shape, generator) for shape in shapes])
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, *inputs: Tensor) -> Tensor:
        """The map of the leading inputs `[..., input_sizes[i]]`, `[..., outputs]`; `add` adds later ones."""
        output = functional.linear(inputs[0], self.weights[0], self.bias)
        for index, x in enumerate(inputs[1:], start=1):
            output = output + functional.linear(x, self.weights[index])
        return output

    def add(self, onto: Tensor, index: int, x: Tensor) -> Tensor:
        """`onto [B, outputs]` plus the product of input number `index`, `x [B, input_sizes[index]]`."""
        return torch.addmm(onto, x, self.weights[index].t())


class MLP(nn.Module):
    """`depth` affine layers of `width` units, a ReLU after each, on one or several inputs."""

    def __init__(self, input_sizes: Sequence[int], width: int, depth: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = Affine(input_sizes, width, generator)
        self.rest = nn.ModuleList([Affine([width], width, generator) for _ in range(depth - 1)])

    def forward(self, *inputs: Tensor) -> Tensor:
        """Features `[..., width]` of inputs `[..., input_sizes[i]]`."""
        return self.activate(self.first(*inputs))

    def activate(self, first: Tensor) -> Tensor:
        """Features from the first layer's output before its ReLU, both `[..., width]`."""
        features = first.relu()
        for layer in self.rest:
            features = layer(features).relu()
        return features


class GaussianHead(nn.Module):
    """Features to a diagonal Gaussian over `size` values: a latent's prior or posterior."""

    def __init__(self, inputs: int, size: int, sigma_floor: float, generator: torch.Generator) -> None:
        super().__init__()
        self.affine = Affine([inputs], 2 * size, generator)
        self.sigma_floor = sigma_floor
        _set_std_bias(self.affine, start=size, count=size)

    def forward(self, features: Tensor) -> DiagonalGaussian:
        """The distribution `[..., size]` for features `[..., inputs]`."""
        mean, raw_std = _at_least_float32(self.affine(features)).chunk(2, -1)
        return DiagonalGaussian(mean, _std(raw_std, self.sigma_floor))


class MixtureHead(nn.Module):
    """Features to a mixture of `components` diagonal Gaussians over a frame; one has no coefficient."""

    def __init__(
        self, inputs: int, frame_size: int, components: int, sigma_floor: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        count = components * frame_size
        self._sizes = [count, count, _coefficients(components)]
        self.components = components
        self.affine = Affine([inputs], sum(self._sizes), generator)
        self.sigma_floor = sigma_floor
        _set_std_bias(self.affine, start=count, count=count)

    def forward(self, features: Tensor) -> GaussianMixture:
        """The distribution over frames `[..., D]` for features `[..., inputs]`."""
        means, raw_stds, logits = _at_least_float32(self.affine(features)).split(self._sizes, -1)
        return GaussianMixture(
            logits=logits if self.components > 1 else None,
            means=means.unflatten(-1, (self.components, -1)),
            stds=_std(raw_stds, self.sigma_floor).unflatten(-1, (self.components, -1)),
        )


class PenHead(nn.Module):
    """Features to a mixture of `components` correlated Gaussians and a pen; one has no coefficient.

    rho = (1 - rho_floor) tanh(a), so that 1 - rho^2 >= rho_floor (2 - rho_floor) and every rho keeps its
    gradient. A line drawn straight would otherwise have an unbounded density.
    """

    def __init__(
        self,
        inputs: int,
        components: int,
        sigma_floor: float,
        generator: torch.Generator,
        rho_floor: float = _RHO_FLOOR,
    ) -> None:
        super().__init__()
        count = 2 * components
        self._sizes = [count, count, components, _coefficients(components), 1]
        self.components = components
        self.affine = Affine([inputs], sum(self._sizes), generator)
        self.sigma_floor = sigma_floor
        self.rho_floor = rho_floor
        _set_std_bias(self.affine, start=count, count=count)

    def forward(self, features: Tensor) -> PenMixture:
        """The distribution over frames `[..., 3]` for features `[..., inputs]`."""
        raw = _at_least_float32(self.affine(features))
        means, raw_stds, correlations, logits, pen_logit = raw.split(self._sizes, -1)
        return PenMixture(
            logits=logits if self.components > 1 else None,
            means=means.unflatten(-1, (self.components, 2)),
            stds=_std(raw_stds, self.sigma_floor).unflatten(-1, (self.components, 2)),
            rho=(1 - self.rho_floor) * correlations.tanh(),
            pen_logit=pen_logit.squeeze(-1),
        )


def _uniform(shape: tuple[int, int], generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape).uniform_(-_WEIGHT_LIMIT, _WEIGHT_LIMIT, generator=generator))


def _set_std_bias(affine: Affine, start: int, count: int) -> None:
    affine.bias.data.narrow(0, start, count).fill_(_STD_BIAS)


def _coefficients(components: int) -> int:
    """How many coefficients a mixture has: a single component needs none."""
    return components if components > 1 else 0


def _std(raw: Tensor, floor: float) -> Tensor:
    """softplus(raw) + floor: a floor that is added, unlike a clamp, leaves the gradient alone."""
    return functional.softplus(raw) + floor


def _at_least_float32(raw: Tensor) -> Tensor:
    """Densities are never evaluated in half precision, even where autocast made the product in it."""
    return raw.to(torch.promote_types(raw.dtype, torch.float32))
