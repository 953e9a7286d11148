"""log p(x) of a VRNN with one latent value a frame and two frames, by integrating the latents out on a grid."""

import math

import torch
from torch import Tensor

from tests.oracles.textbook import latent_terms
from vrnn.models import SequenceModel

__all__ = ["log_marginal"]


def log_marginal(model: SequenceModel, x: Tensor, points: int = 61, reach: float = 9.0) -> Tensor:
    """log p(x) of frames `x [2, B, D]`, `[B]`, by the trapezium rule over (z_1, z_2) in [-reach, reach]^2."""
    axis = torch.linspace(-reach, reach, points, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis).repeat_interleave(x.shape[1], 0)
    tiled, parameters = x.repeat(1, points**2, 1), dict(model.named_parameters())
    terms = latent_terms(parameters, model.config, tiled, lambda t, _posterior: grid[:, t : t + 1])
    log_joint = (terms.log_emission + terms.log_prior).unflatten(0, (points**2, -1))
    return log_joint.logsumexp(0) + 2 * math.log(2 * reach / (points - 1))
