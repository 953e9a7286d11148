"""What training maximises: the bound, or a modification of it that is easier to begin with. It is never a score.

    objective = sum_t log p(x_t | z_<=t, x_<t) - beta * max(KL_t, lambda)        over the real frames of a stretch

With beta = 1 and lambda = 0 it is the bound itself. KL warm-up (Bowman et al. 2016; Sonderby et al. 2016) lets beta
rise from 0, free nats (Kingma et al. 2016) leave a frame's divergence alone until it exceeds lambda: both keep a
decoder that does well without the latent from switching it off before it is of use. Any other beta or lambda is no
bound of anything, which is why `vrnn.likelihood.bounds` knows neither.

Shapes: T frames, B sequences.
"""

import math

import torch
from torch import Tensor

from vrnn.likelihood.bounds import total
from vrnn.models import Terms

__all__ = ["bound_and_kl", "kl_factor_at", "objective"]


def objective(terms: Terms, mask: Tensor, kl_factor: float = 1.0, free_nats: float = 0.0) -> Tensor:
    """The objective of each sequence, float64 `[B]`, in nats.

    Args:
        terms: of the frames, `[T, B]`.
        mask: bool `[T, B]`, True at real frames; others count for nothing.
        kl_factor: beta.
        free_nats: lambda, nats a frame; a frame whose divergence is less gets no gradient from it.
    """
    log_emission = total(terms.log_emission, mask)
    if terms.kl is None:
        return log_emission
    # A divergence of two close Gaussians may round to just below zero: without free nats it is taken as it is.
    kl = terms.kl.clamp(min=free_nats) if free_nats else terms.kl
    return log_emission - kl_factor * total(kl, mask)


@torch.no_grad()
def bound_and_kl(terms: Terms, mask: Tensor) -> Tensor:
    """The bound itself and its KL part, float64 `[2]`: nats of all sequences together, the KL nan without a latent.

    They are what training reports of itself, so that its curve and validation's are of one quantity.
    """
    bound = objective(terms, mask).sum()
    return torch.stack([bound, total(terms.kl, mask).sum() if terms.kl is not None else bound.new_tensor(math.nan)])


def kl_factor_at(step: int, warmup_steps: int) -> float:
    """Beta after `step` steps: from 0 to 1 linearly over `warmup_steps`; 1 where there is no warm-up."""
    return min(1.0, step / warmup_steps) if warmup_steps else 1.0
