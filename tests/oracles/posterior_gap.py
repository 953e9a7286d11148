"""The cost of a posterior: log p(x) - E[ELBO] of the linear-Gaussian model, in closed form.

For every q(z | x) = prod_t q(z_t | z_<t, x),

    log p(x) - E[ELBO] = KL(q(z | x) || p(z | x)) = sum_t E_q KL(q(z_t | z_<t, x) || p(z_t | z_<t, x_<=T)).

Here both conditionals are Gaussians whose means are affine in z_{t-1}, so that the expectation over z_{t-1} needs only
its mean and covariance under q. `docs/posterior.md` has the derivation.

Shapes: T frames, B sequences, D frame size, Z latent size.
"""

import torch
from torch import Tensor

from tests.oracles.latent_smoother import apply, filtered_moments, future_factor
from tests.oracles.linear_gaussian import Conditional, LatentState, LinearGaussian, log_determinant
from vrnn.likelihood.bounds import real_frames, total

__all__ = ["filtering_remainder", "latent_moments", "posterior_gap"]


@torch.no_grad()
def posterior_gap(model: LinearGaussian, x: Tensor, mask: Tensor) -> Tensor:
    """Log p(x) - E[ELBO] under the model's own posterior; 0 for the smoothing one.

    Args:
        model: the model under the posterior in question.
        x: frames `[T, B, D]`.
        mask: bool `[T, B]`, True at real frames.

    Returns:
        float64 `[B]`, nats per sequence.
    """
    x = real_frames(x, mask)
    state = model.initial_state(x.shape[1])
    q, exact = model.conditional(x, mask, state), model.under("smoothing").conditional(x, mask, state)
    mean, covariance = _moments_before(model, q, state)

    inverse = torch.linalg.inv(exact.root)
    slope = inverse @ (q.gain - exact.gain)
    distance = apply(inverse, q.offset - exact.offset) - apply(slope, mean)
    quadratic = distance.square().sum(-1) + _trace(slope @ covariance @ slope.mT)
    spread = (inverse @ q.root).square().sum((-2, -1)) - mean.shape[-1]
    return total(0.5 * (spread + quadratic) + log_determinant(exact.root) - log_determinant(q.root), mask)


@torch.no_grad()
def latent_moments(model: LinearGaussian, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean `[T, B, Z]` and covariance `[T, B, Z, Z]` of z_t under q(z | x), of frames `x [T, B, D]`.

    Under the smoothing posterior they are those of the RTS smoother.
    """
    x = real_frames(x, mask)
    state = model.initial_state(x.shape[1])
    q = model.conditional(x, mask, state)
    return _moments_after(q, *_moments_before(model, q, state))


@torch.no_grad()
def filtering_remainder(model: LinearGaussian, mask: Tensor) -> Tensor:
    """The least E_x[log p(x) - E[ELBO]], over x ~ p, of all posteriors that see x_<=t and z_<t alone.

    The `best-filtering` posterior attains it. Its conditionals miss the exact ones by S_t (w_t - E[w_t | x_<=t]), with
    S_t the covariance of both, w_t what the later frames say of z_t (`latent_smoother.future_factor`) and
    Cov(w_t | x_<=t) = M_t + M_t Cov(z_t | x_<=t) M_t. Hence 1/2 sum_t tr(S_t (M_t + M_t Cov(z_t | x_<=t) M_t)).

    Args:
        model: the model under any posterior.
        mask: bool `[T, B]`, True at real frames.

    Returns:
        float64 `[B]`, nats per sequence.
    """
    x = torch.zeros(*mask.shape, model.config.frame_size, dtype=torch.float64, device=mask.device)
    state = model.initial_state(mask.shape[1])
    exact = model.under("smoothing").conditional(x, mask, state)
    own, process = model.own(x, mask), model.process.tril()
    later, _ = future_factor(own, model.transition, process)
    _, covariance = filtered_moments(own, (state.mean, state.factor), model.transition, process)
    half = (exact.scale @ exact.root).mT
    return total(0.5 * _trace(half @ (later + later @ covariance @ later) @ half.mT), mask)


def _moments_before(model: LinearGaussian, q: Conditional, state: LatentState) -> tuple[Tensor, Tensor]:
    """Mean and covariance under q of E[z_t | z_{t-1}], which is m, and A z_{t-1} from the second frame on."""
    moments = [(state.mean, torch.zeros_like(state.factor))]
    for t in range(len(q.scale) - 1):
        mean, covariance = _moments_after(q.map(lambda part, t=t: part[t]), *moments[-1])
        moments.append((apply(model.transition, mean), model.transition @ covariance @ model.transition.T))
    means, covariances = zip(*moments, strict=True)
    return torch.stack(means), torch.stack(covariances)


def _moments_after(q: Conditional, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of z_t under q from those of E[z_t | z_{t-1}]."""
    half = q.scale @ q.root
    carried = torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device) - q.scale @ q.gain
    return apply(carried, mean) + apply(q.scale, q.offset), carried @ covariance @ carried.mT + half @ half.mT


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1)
