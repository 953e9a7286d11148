"""Linear-Gaussian filtering, forward and backward in time, in the form that a posterior of latents needs.

What is known of a latent z besides its prior is a factor exp(-z' Lambda z / 2 + z' eta). A prior N(u, L L') is handled
in the coordinates in which it is standard normal, z = u + L v. Only I + L' Lambda L is ever inverted, so that a factor
may be empty (Lambda = 0), as it is for padding.

Shapes: T frames, B sequences, Z latent size; `...` any leading axes.
"""

from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["Factor", "apply", "condition", "filtered_moments", "future_factor"]

Factor: TypeAlias = tuple[Tensor, Tensor]
"""exp(-z' Lambda z / 2 + z' eta) by its Lambda `[..., Z, Z]` and its eta `[..., Z]`."""


def apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """`matrix [..., N, Z]` times `vector [..., Z]`, for thousands of small matrices."""
    return (matrix * vector.unsqueeze(-2)).sum(-1)


def condition(scale: Tensor, known: Factor) -> tuple[Tensor, Tensor, Tensor]:
    """The product of N(u, scale scale') and a factor: v ~ N(offset - gain u, root root'), where z = u + scale v.

    Returns:
        gain `[..., Z, Z]`, offset `[..., Z]` and root `[..., Z, Z]`, upper triangular, with
        root root' = (I + scale' Lambda scale)^-1.
    """
    precision, information = known
    identity = torch.eye(scale.shape[-1], dtype=scale.dtype, device=scale.device)
    cholesky = torch.linalg.cholesky(identity + scale.mT @ precision @ scale)
    root = torch.linalg.solve_triangular(cholesky, identity.expand_as(cholesky), upper=False).mT
    half = root @ root.mT @ scale.mT
    return half @ precision, apply(half, information), root


def filtered_moments(
    own: Factor, state: tuple[Tensor, ...], transition: Tensor, process: Tensor
) -> tuple[Tensor, Tensor]:
    """E[z_t | x_<=t] `[T, B, Z]` and its covariance `[T, B, Z, Z]`: the Kalman filter.

    Args:
        own: p(x_t | z_t) as a factor of z_t, `[T, B, ...]`.
        state: mean u `[B, Z]` and factor L `[B, Z, Z]` of the first latent.
        transition: A `[Z, Z]`.
        process: factor of Q `[Z, Z]`.
    """
    mean, scale = state
    moments: list[tuple[Tensor, Tensor]] = []
    for known in zip(*own, strict=True):
        gain, offset, root = condition(scale, known)
        mean, half = mean + apply(scale, offset - apply(gain, mean)), scale @ root
        moments.append((mean, half @ half.mT))
        mean, moved = apply(transition, mean), transition @ half
        scale = torch.linalg.cholesky(moved @ moved.mT + process @ process.T)
    means, covariances = zip(*moments, strict=True)
    return torch.stack(means), torch.stack(covariances)


def future_factor(own: Factor, transition: Tensor, process: Tensor) -> Factor:
    """p(x_>t | z_t) as a factor of z_t: M_t `[T, B, Z, Z]` and w_t `[T, B, Z]`, 0 at the last frame.

    From the end, with Lambda and eta the factor of z_{t+1} that frame t + 1 and all later frames give:
    M_t = A' (Lambda^-1 + Q)^-1 A and w_t = A' (I + Lambda Q)^-1 eta.
    """
    precision, information = (torch.zeros_like(part[-1]) for part in own)
    factors = [(precision, information)]
    for own_precision, own_information in zip(*(part[1:].flip(0) for part in own), strict=True):
        precision, information = precision + own_precision, information + own_information
        gain, offset, _ = condition(process, (precision, information))
        information = apply(transition.T, information - apply(precision @ process, offset))
        precision = transition.T @ (precision - precision @ process @ gain) @ transition
        factors.append((precision, information))
    precisions, informations = zip(*reversed(factors), strict=True)
    return torch.stack(precisions), torch.stack(informations)
