"""The distribution of a pen frame (dx, dy, pen_up).

It is a mixture of correlated Gaussians on the offset times one Bernoulli on pen-up, outside the mixture (Graves 2013,
equations 23 to 25, and the released VRNN code): a density of the offset and a probability of the pen, in nats.

Shapes: K mixture components; `...` any leading axes.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vrnn.nn.distributions import mix, pick_component, standard_normal

__all__ = ["PenMixture"]

_LOG_TAU = math.log(2 * math.pi)


@dataclass(frozen=True, eq=False)
class PenMixture:
    """p(dx, dy, pen_up) = Bernoulli(pen_up) * sum_k pi_k N2(dx, dy; means_k, stds_k, rho_k).

    Attributes:
        logits: `[..., K]`, coefficients before the softmax; None where K = 1.
        means: `[..., K, 2]`.
        stds: `[..., K, 2]`, positive.
        rho: `[..., K]`, correlations, strictly between -1 and 1.
        pen_logit: `[...]`, log odds of pen-up.
    """

    logits: Tensor | None
    means: Tensor
    stds: Tensor
    rho: Tensor
    pen_logit: Tensor

    @property
    def mean(self) -> Tensor:
        """The expected frame, `[..., 3]`; the last entry is the probability of pen-up."""
        offset = self.means
        if self.logits is not None:
            offset = self.logits.softmax(-1).unsqueeze(-1) * self.means
        return torch.cat([offset.sum(-2), self.pen_logit.sigmoid().unsqueeze(-1)], -1)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of frames `x [..., 3]`, pen_up being 0 or 1, in nats, `[...]`."""
        # Log sigmoid(+-pen_logit) in a form that keeps its digits however certain the pen is.
        log_pen = -functional.softplus((1 - 2 * x[..., 2]) * self.pen_logit)
        return mix(self.logits, self._log_offset(x[..., :2])) + log_pen

    def sample(self, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """One frame for every leading index, `[..., 3]`.

        `temperature` multiplies the stds and divides the mixture's logits; it does not change the pen (Graves 2013,
        section 5.4): pen lifts are rare, and sharpening their odds would remove them.
        """
        component = pick_component(self.logits, generator, temperature)
        if component is None:
            component = torch.zeros_like(self.pen_logit, dtype=torch.int64)
        pair = component[..., None, None]
        mean, std = (torch.take_along_dim(p, pair, -2).squeeze(-2) for p in (self.means, self.stds))
        rho = torch.take_along_dim(self.rho, component[..., None], -1)
        first, second = torch.split(standard_normal(mean, generator), 1, -1)
        correlated = rho * first + _one_minus_square(rho).sqrt() * second
        offset = torch.addcmul(mean, std, torch.cat([first, correlated], -1), value=temperature)
        uniform = torch.rand(self.pen_logit.shape, dtype=mean.dtype, device=generator.device, generator=generator)
        pen_up = (uniform.to(mean.device) < self.pen_logit.sigmoid()).to(mean.dtype).unsqueeze(-1)
        return torch.cat([offset, pen_up], -1)

    def _log_offset(self, offset: Tensor) -> Tensor:
        """Log densities of the components, `[..., K]`.

        The quadratic form is u^2 + (v - rho u)^2 / (1 - rho^2), two squares that cannot cancel. The usual form
        u^2 - 2 rho u v + v^2 loses all digits as |rho| nears 1.
        """
        u, v = ((offset.unsqueeze(-2) - self.means) / self.stds).unbind(-1)
        one_minus_square = _one_minus_square(self.rho)
        quadratic = u.square() + (v - self.rho * u).square() / one_minus_square
        return -0.5 * (quadratic + one_minus_square.log()) - self.stds.log().sum(-1) - _LOG_TAU


def _one_minus_square(rho: Tensor) -> Tensor:
    """1 - rho^2 as a product of two factors that are rounded at most once, so that nothing cancels."""
    return (1 - rho) * (1 + rho)
