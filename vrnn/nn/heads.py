"""Heads: networks from features to a distribution, of a latent or of a frame.

Every spread is softplus(a) + floor. The floor is added, not clamped, and so leaves the gradient as it is. The bias of a
spread starts at 0.6, as in the released code (jych/nips2015_vrnn).

Shapes: `...` any leading axes, `[T, B]` or `[B]` in the models; Z latent size, D frame size, K components.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from vrnn.nn.discretised import DiscretisedMixture, Quantisation
from vrnn.nn.distributions import DiagonalGaussian, Emission, GaussianMixture
from vrnn.nn.mlp import Affine
from vrnn.nn.pen import PenMixture
from vrnn.scan.cells import spread
from vrnn.scan.scan_ops import GaussianOperation

__all__ = ["DiscretisedHead", "FrameHead", "GaussianHead", "MixtureHead", "PenHead"]

_STD_BIAS = 0.6
_RHO_FLOOR = 1e-4


class FrameHead(nn.Module, ABC):
    """Features to the distribution that a frame is emitted from.

    Attributes:
        components: K, the components that it evaluates for every value of a frame.
    """

    components: int

    @abstractmethod
    def forward(self, features: Tensor) -> Emission:
        """The distribution over frames `[..., D]` for features `[..., F]`."""


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
        return DiagonalGaussian(mean, spread(raw_std, self.sigma_floor))

    def operation(
        self, register: str, suffix: str = "", latent: str | None = None, residual: str | None = None
    ) -> GaussianOperation:
        """The head as an operation of a time loop, on the features in `register`; see `GaussianOperation`."""
        products = ((self.affine.weights[0], register),)
        return GaussianOperation(products, self.affine.bias, None, self.sigma_floor, suffix, latent, residual)


class MixtureHead(FrameHead):
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

    def forward(self, features: Tensor) -> GaussianMixture | DiscretisedMixture:
        """The distribution over frames `[..., D]` for features `[..., inputs]`."""
        return GaussianMixture(*self._parameters_of(features))

    def _parameters_of(self, features: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        """Logits `[..., K]` (None where K = 1), means and spreads, each `[..., K, D]`."""
        means, raw_spreads, logits = torch.split(_at_least_float32(self.affine(features)), self._sizes, -1)
        return (
            logits if self.components > 1 else None,
            torch.unflatten(means, -1, (self.components, -1)),
            torch.unflatten(spread(raw_spreads, self.sigma_floor), -1, (self.components, -1)),
        )


class DiscretisedHead(MixtureHead):
    """Features to a discretised mixture of `components` logistics: probabilities of integers, not a density."""

    def __init__(
        self,
        inputs: int,
        frame_size: int,
        components: int,
        sigma_floor: float,
        quantisation: Quantisation,
        generator: torch.Generator,
    ) -> None:
        super().__init__(inputs, frame_size, components, sigma_floor, generator)
        self.quantisation = quantisation

    def forward(self, features: Tensor) -> DiscretisedMixture:
        """The distribution over frames `[..., D]` for features `[..., inputs]`."""
        return DiscretisedMixture(*self._parameters_of(features), self.quantisation)


class PenHead(FrameHead):
    """Features to a mixture of `components` correlated Gaussians and a pen; one has no coefficient.

    rho = (1 - rho_floor) tanh(a), so that 1 - rho^2 >= rho_floor (2 - rho_floor) and every rho keeps its gradient.
    Without the floor, a straight line would have an unbounded density.
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
        means, raw_stds, correlations, logits, pen_logit = torch.split(raw, self._sizes, -1)
        return PenMixture(
            logits=logits if self.components > 1 else None,
            means=torch.unflatten(means, -1, (self.components, 2)),
            stds=torch.unflatten(spread(raw_stds, self.sigma_floor), -1, (self.components, 2)),
            rho=(1 - self.rho_floor) * correlations.tanh(),
            pen_logit=pen_logit.squeeze(-1),
        )


def _set_std_bias(affine: Affine, start: int, count: int) -> None:
    affine.bias.data.narrow(0, start, count).fill_(_STD_BIAS)


def _coefficients(components: int) -> int:
    """How many coefficients a mixture has: a single component needs none."""
    return components if components > 1 else 0


def _at_least_float32(raw: Tensor) -> Tensor:
    """Densities are never evaluated in half precision, even where autocast made the product in it."""
    return raw.to(torch.promote_types(raw.dtype, torch.float32))
