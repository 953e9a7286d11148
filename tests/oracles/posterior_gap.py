"""What a posterior costs: log p(x) - E[ELBO] of the linear-Gaussian model, in closed form.

For every q(z | x) = prod_t q(z_t | z_<t, x),

    log p(x) - E[ELBO] = KL(q(z | x) || p(z | x)) = sum_t E_q KL(q(z_t | z_<t, x) || p(z_t | z_<t, x_<=T)).

Here both conditionals are Gaussians whose means are affine in z_{t-1}, so that the expectation over z_{t-1} needs no
more than its mean and covariance under q. `docs/posterior.md` has the derivation.

Shapes: T frames, B sequences, D frame size, Z latent size.
"""

import torch
from torch import Tensor

from tests.oracles.latent_smoother import ahead, apply, filtered
from tests.oracles.linear_gaussian import LinearGaussian
from vrnn.likelihood.bounds import real_frames, total
from vrnn.models.base import State
from vrnn.models.latent import Evidence

__all__ = ["filtering_remainder", "latent_moments", "posterior_gap"]


@torch.no_grad()
def posterior_gap(model: LinearGaussian, x: Tensor, mask: Tensor) -> Tensor:
    """Log p(x) - E[ELBO] under the model's own posterior; 0 for the smoothing one.

    Args:
        model: under the posterior that is to be judged.
        x: frames `[T, B, D]`.
        mask: bool `[T, B]`, True at real frames.

    Returns:
        float64 `[B]`, nats per sequence.
    """
    x = real_frames(x, mask)
    state = model.initial_state(x.shape[1])
    evidence, _ = model.evidence(x, mask, state)
    _, gain, offset, root = evidence
    _, exact_gain, exact_offset, exact_root = model.under("smoothing").evidence(x, mask, state)[0]
    mean, covariance = _before(model, evidence, state)

    inverse = torch.linalg.inv(exact_root)
    slope = inverse @ (gain - exact_gain)
    distance = apply(inverse, offset - exact_offset) - apply(slope, mean)
    quadratic = distance.square().sum(-1) + _trace(slope @ covariance @ slope.mT)
    spread = (inverse @ root).square().sum((-2, -1)) - mean.shape[-1]
    return total(0.5 * (spread + quadratic) + _log_det(exact_root) - _log_det(root), mask)


@torch.no_grad()
def latent_moments(model: LinearGaussian, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean `[T, B, Z]` and covariance `[T, B, Z, Z]` of z_t under q(z | x), of frames `x [T, B, D]`.

    Under the smoothing posterior they are what the RTS smoother gives.
    """
    x = real_frames(x, mask)
    state = model.initial_state(x.shape[1])
    evidence, _ = model.evidence(x, mask, state)
    return _after(evidence, *_before(model, evidence, state))


@torch.no_grad()
def filtering_remainder(model: LinearGaussian, mask: Tensor) -> Tensor:
    """What no posterior that sees x_<=t and z_<t alone can remove: its least E_x[log p(x) - E[ELBO]], over x ~ p.

    The `best-filtering` posterior attains it. Its conditionals miss the exact ones by S_t (w_t - E[w_t | x_<=t]), with
    S_t the covariance of both, w_t what the later frames say of z_t (`tests.oracles.latent_smoother.ahead`) and
    Cov(w_t | x_<=t) = M_t + M_t Cov(z_t | x_<=t) M_t. Hence 1/2 sum_t tr(S_t (M_t + M_t Cov(z_t | x_<=t) M_t)).

    Args:
        model: under any posterior.
        mask: bool `[T, B]`, True at real frames.

    Returns:
        float64 `[B]`, nats per sequence.
    """
    x = torch.zeros(*mask.shape, model.config.frame_size, dtype=torch.float64, device=mask.device)
    state = model.initial_state(mask.shape[1])
    scale, _, _, root = model.under("smoothing").evidence(x, mask, state)[0]
    own, process = model.own(x, mask), model.process.tril()
    later, _ = ahead(own, model.transition, process)
    _, covariance = filtered(own, state, model.transition, process)
    half = (scale @ root).mT
    return total(0.5 * _trace(half @ (later + later @ covariance @ later) @ half.mT), mask)


def _before(model: LinearGaussian, evidence: Evidence, state: State) -> tuple[Tensor, Tensor]:
    """Mean and covariance under q of E[z_t | z_{t-1}], which is m, and A z_{t-1} from the second frame on."""
    moments = [(state[0], torch.zeros_like(state[1]))]
    for evidence_t in zip(*(part[:-1] for part in evidence), strict=True):
        mean, covariance = _after(evidence_t, *moments[-1])
        moments.append((apply(model.transition, mean), model.transition @ covariance @ model.transition.T))
    means, covariances = zip(*moments, strict=True)
    return torch.stack(means), torch.stack(covariances)


def _after(evidence: Evidence, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of z_t under q from those of E[z_t | z_{t-1}]."""
    scale, gain, offset, root = evidence
    half = scale @ root
    carried = torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device) - scale @ gain
    return apply(carried, mean) + apply(scale, offset), carried @ covariance @ carried.mT + half @ half.mT


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1)


def _log_det(triangular: Tensor) -> Tensor:
    return triangular.diagonal(dim1=-2, dim2=-1).log().sum(-1)
