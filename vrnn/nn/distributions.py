"""Immutable distributions over the last axis of a tensor: what the heads of a model return.

A likelihood is `distribution.log_prob(x)`, so that a model reads like its equations. `torch.distributions` is the
oracle in the tests, not the base: its objects validate, broadcast and expand at every call, inside a loop that runs
once a frame, and it has no mixture whose single-component case costs nothing.

Shapes: D event size, K mixture components; `...` any leading axes, `[T, B]` in the models. Log densities are in nats
and in the precision of their arguments; `vrnn.likelihood` sums them over frames in float64.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "DiagonalGaussian",
    "Emission",
    "GaussianMixture",
    "mix",
    "mixture_mean",
    "pick_component",
    "standard_normal",
    "take_component",
]

_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


class Emission(Protocol):
    """A distribution that a model may emit a frame from."""

    @property
    def mean(self) -> Tensor:
        """The expected frame, `[..., D]`."""
        ...

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of frames `x [..., D]` in nats, `[...]`."""
        ...

    def sample(self, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """One frame for every leading index, `[..., D]`; a temperature below 1 narrows the spread."""
        ...


@dataclass(frozen=True, eq=False)
class DiagonalGaussian:
    """N(mean, diag std^2): the prior and the posterior of a latent.

    Attributes:
        mean: `[..., D]`.
        std: `[..., D]`, positive.

    >>> posterior = DiagonalGaussian(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0]))
    >>> prior = DiagonalGaussian(torch.zeros(2), torch.ones(2))
    >>> posterior.kl(prior)
    tensor(0.5000)
    """

    mean: Tensor
    std: Tensor

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of `x [..., D]` in nats, `[...]`."""
        return _log_normal((x - self.mean) / self.std, self.std)

    def at(self, noise: Tensor) -> Tensor:
        """The reparameterised sample mean + std * noise, `[..., D]`, for standard normal `noise`."""
        return torch.addcmul(self.mean, self.std, noise)

    def log_prob_at(self, noise: Tensor) -> Tensor:
        """Log density of `at(noise)` in nats, `[...]`, without the cancellation in (x - mean) / std."""
        return _log_normal(noise, self.std)

    def sample(self, generator: torch.Generator) -> Tensor:
        """One sample for every leading index, `[..., D]`."""
        return self.at(standard_normal(self.mean, generator))

    def kl(self, other: "DiagonalGaussian") -> Tensor:
        """KL(self || other) in nats, `[...]`: 1/2 sum_d r^2 + ((m - m')/s')^2 - 1 - log r^2, r = s/s'.

        r^2 - 1 is formed as (r - 1)(r + 1): near r = 1, where trained posteriors often are, the two sides of the
        difference cancel, and the product keeps the digits.
        """
        ratio = self.std / other.std
        distance = (self.mean - other.mean) / other.std
        spread = (ratio - 1) * (ratio + 1) - 2 * ratio.log()
        return 0.5 * (spread + distance.square()).sum(-1)


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """sum_k pi_k N(means_k, diag stds_k^2): one coefficient a frame, diagonal components.

    A Gaussian emission is the case K = 1 without a coefficient.

    Attributes:
        logits: `[..., K]`, coefficients before the softmax; None where K = 1.
        means: `[..., K, D]`.
        stds: `[..., K, D]`, positive.

    >>> emission = GaussianMixture(torch.zeros(2), torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1))
    >>> emission.mean, emission.log_prob(torch.tensor([0.0]))
    (tensor([0.]), tensor(-1.4189))
    """

    logits: Tensor | None
    means: Tensor
    stds: Tensor

    @property
    def mean(self) -> Tensor:
        """The expected frame, `[..., D]`."""
        return mixture_mean(self.logits, self.means)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of frames `x [..., D]` in nats, `[...]`."""
        standard = (x.unsqueeze(-2) - self.means) / self.stds
        return mix(self.logits, _log_normal(standard, self.stds))

    def sample(self, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """One frame for every leading index, `[..., D]`.

        `temperature` multiplies the stds and divides the logits (Graves 2013, section 5.4).
        """
        component = pick_component(self.logits, generator, temperature)
        mean, std = (take_component(parameter, component) for parameter in (self.means, self.stds))
        return torch.addcmul(mean, std, standard_normal(mean, generator), value=temperature)


def mix(logits: Tensor | None, log_components: Tensor) -> Tensor:
    """Log of the mixture, `[...]`, from the components' log densities `[..., K]`."""
    if logits is None:
        return log_components.squeeze(-1)
    return torch.logsumexp(functional.log_softmax(logits, -1) + log_components, -1)


def pick_component(logits: Tensor | None, generator: torch.Generator, temperature: float) -> Tensor | None:
    """A component drawn for every leading index, int64 `[...]`; None where there is only one.

    argmax_k (logit_k - log E_k) with exponential E_k follows the softmax (the Gumbel-max trick). It is drawn on the
    generator's device, whichever device the logits are on.
    """
    if logits is None:
        return None
    exponential = torch.empty(logits.shape, dtype=logits.dtype, device=generator.device)
    exponential.exponential_(generator=generator)
    return (logits / temperature - exponential.to(logits.device).log()).argmax(-1)


def mixture_mean(logits: Tensor | None, means: Tensor) -> Tensor:
    """The mean of a mixture, `[..., D]`, from its components' `means [..., K, D]`."""
    if logits is None:
        return means.squeeze(-2)
    return (logits.softmax(-1).unsqueeze(-1) * means).sum(-2)


def take_component(parameter: Tensor, component: Tensor | None) -> Tensor:
    """The picked rows `[..., D]` of `[..., K, D]`; the only one where `component` is None."""
    if component is None:
        return parameter.squeeze(-2)
    return torch.take_along_dim(parameter, component[..., None, None], -2).squeeze(-2)


def standard_normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Noise in the shape, type and device of `like`, drawn on the generator's own device."""
    noise = torch.randn(like.shape, dtype=like.dtype, device=generator.device, generator=generator)
    return noise.to(like.device)


def _log_normal(standard: Tensor, std: Tensor) -> Tensor:
    """Log density of independent normals at mean + std * standard, `[..., D]` to `[...]`.

    Each part is reduced by itself: a mixture's `[T, B, K, D]` is the largest tensor of a model, and passes over it take
    time.
    """
    constant = _HALF_LOG_TAU * standard.shape[-1]
    return -0.5 * standard.square().sum(-1) - std.log().sum(-1) - constant
