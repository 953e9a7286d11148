"""A discretised mixture of logistics: probabilities of integers (Salimans et al. 2017), for quantised audio.

A density of recorded integers has no upper limit: where silence repeats one value, a narrower spread always scores
higher. The probability of an integer is at most 1, so that this likelihood is bounded, and the floor under its spread
hardly matters.

The probability of integer k is the mass of a logistic on [k - 1/2, k + 1/2]; the lowest integer also gets all mass
below it, and the highest all mass above. With a and b the standardised ends of the bin,

    sigma(b) - sigma(a) = sigma(b) sigma(-a) (1 - exp(-(b - a))),

three factors whose logarithms keep their digits in both tails, where the difference itself would be 0. An outermost bin
has only one of the first two factors.

Shapes: K mixture components, D samples; `...` any leading axes.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vrnn.errors import ModelError
from vrnn.nn.distributions import mix, mixture_mean, pick_component, take_component

__all__ = ["DiscretisedMixture", "Quantisation"]


@dataclass(frozen=True)
class Quantisation:
    """How normalised values stand for integers: integer k becomes (k - mean) / std.

    Attributes:
        mean: what normalisation subtracts, in steps of the recording.
        std: what normalisation divides by, in the same unit.
        lowest: the lowest integer of the recording's format.
        highest: the highest integer of the recording's format.

    Raises:
        ModelError: a value is not finite, std is not positive, or the range is empty.

    >>> grid = Quantisation(mean=2.0, std=4.0)
    >>> grid.normalised(torch.tensor([6.0])), grid.integers(torch.tensor([1.0]))
    (tensor([1.]), tensor([6.]))
    """

    mean: float
    std: float
    lowest: int = -32768
    highest: int = 32767

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not math.isfinite(value):
                raise ModelError(f"quantisation.{name}: expected a finite number, got {value!r}")
        if self.std <= 0:
            raise ModelError(f"quantisation.std: expected a positive number, got {self.std!r}")
        for name in ("lowest", "highest"):
            if type(getattr(self, name)) is not int:
                raise ModelError(f"quantisation.{name}: expected a whole number, got {getattr(self, name)!r}")
        if self.lowest >= self.highest:
            raise ModelError(f"quantisation.highest: expected more than lowest ({self.lowest}), got {self.highest}")

    def integers(self, x: Tensor) -> Tensor:
        """The integers that normalised values stand for, in the precision of `x`."""
        return torch.round(x * self.std + self.mean).clamp(self.lowest, self.highest)

    def normalised(self, integers: Tensor) -> Tensor:
        """The normalised values of integers, in their precision: rounded once, like frames normalised in float64."""
        return ((integers.double() - self.mean) / self.std).to(integers.dtype)


@dataclass(frozen=True, eq=False)
class DiscretisedMixture:
    """sum_k pi_k prod_d P_k(x_d): one coefficient a frame, components independent over the samples.

    Attributes:
        logits: `[..., K]`, coefficients before the softmax; None where K = 1.
        means: `[..., K, D]`, of the logistics, on the normalised scale.
        scales: `[..., K, D]`, of the logistics, on the normalised scale, positive.
        quantisation: how values stand for the integers.
    """

    logits: Tensor | None
    means: Tensor
    scales: Tensor
    quantisation: Quantisation

    @property
    def mean(self) -> Tensor:
        """The expectation of the continuous mixture, `[..., D]`, which neglects rounding and the ends of the range."""
        return mixture_mean(self.logits, self.means)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log probability of the integers that frames `x [..., D]` stand for, in nats, `[...]`; never above 0.

        A value between two integers counts as the nearer one, and a value out of range as the range's end.
        """
        grid = self.quantisation
        integers = grid.integers(x).unsqueeze(-2)
        steepness = self.scales.reciprocal()
        half = steepness * (0.5 / grid.std)
        centre = (grid.normalised(integers) - self.means) * steepness
        # softplus switches to its asymptote at 20, which costs float64 half its digits; logsigmoid does not.
        below_upper, above_lower = functional.logsigmoid(centre + half), functional.logsigmoid(half - centre)
        inside = below_upper + above_lower + torch.log(-torch.expm1(-2 * half))
        with_highest = torch.where(integers == grid.highest, above_lower, inside)
        log_mass = torch.where(integers == grid.lowest, below_upper, with_highest)
        # Coefficients sum to 1 only up to rounding; a probability must not exceed it.
        return mix(self.logits, log_mass.sum(-1)).clamp(max=0)

    def sample(self, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """One frame for every leading index, `[..., D]`; its values stand for integers exactly.

        `temperature` multiplies the scales and divides the logits.
        """
        component = pick_component(self.logits, generator, temperature)
        mean, scale = (take_component(parameter, component) for parameter in (self.means, self.scales))
        drawn = torch.addcmul(mean, scale, _standard_logistic(mean, generator), value=temperature)
        return self.quantisation.normalised(self.quantisation.integers(drawn))


def _standard_logistic(like: Tensor, generator: torch.Generator) -> Tensor:
    """Logistic noise in the shape, type and device of `like`, drawn on the generator's own device.

    The log ratio of two exponentials is logistic, with equally precise tails. The logit of a uniform would be infinite
    at 0, which float32 draws once in 2^24 times, and any replacement for it would be an audible click.
    """
    pair = torch.empty((2, *like.shape), dtype=like.dtype, device=generator.device)
    first, second = pair.exponential_(generator=generator).log().unbind()
    return (first - second).to(like.device)
