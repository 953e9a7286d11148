"""FIVO: the bound of a particle filter (Maddison et al. 2017; also Le et al. and Naesseth et al. 2018).

K particles follow the frames; frame t multiplies each weight by

    alpha_t = p(x_t | z_<=t, x_<t) p(z_t | z_<t, x_<t) / q(z_t | z_<t, x)

and the estimate of p(x) is the product over t of sum_k W_{t-1}^k alpha_t^k, with W the normalised weights. Where the
effective sample size 1 / sum_k W_k^2 falls below a fraction of K, the particles are drawn anew by their weights,
systematically (one uniform number for all K), and the weights are made equal. The estimate of p(x) is unbiased for
every K, so that its logarithm is in expectation a lower bound. Without resampling it is IWAE, number for number.

Particles interact, so that K is not cut into pieces as in IWAE; but time goes by one frame at a time, and what is
held at once is one frame of B x K particles and the evidence of the B sequences. Cut the batch where that is too much.

Shapes: T frames, B sequences, D frame size, Z latent size, K particles. Particles lie along the batch, particle k of
sequence b at k * B + b.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from vrnn.errors import ModelError
from vrnn.likelihood.bounds import real_frames
from vrnn.models.base import State
from vrnn.models.latent import Evidence, LatentModel
from vrnn.scan.packed_weights import unchanging_weights

__all__ = ["fivo", "systematic"]


@torch.no_grad()
@unchanging_weights()
def fivo(
    model: LatentModel,
    x: Tensor,
    mask: Tensor,
    noise: Iterable[Tensor],
    uniforms: Tensor,
    threshold: float = 0.5,
) -> Tensor:
    """The particle filter's bound, without gradients.

    Args:
        model: with a latent.
        x: frames `[T, B, D]`.
        mask: bool `[T, B]`, True at real frames.
        noise: standard normal `[K, B, Z]` of each frame in turn, at least T of them.
        uniforms: on [0, 1), `[T, B]`: where the resampling of a frame begins.
        threshold: resample where the effective sample size is below this fraction of K; 0 never resamples.

    Returns:
        float64 `[B]`, nats per sequence.

    Raises:
        ModelError: the model has no latent, the noise ends too soon, or a shape does not fit.
    """
    _check(model, x, mask, uniforms)
    frames, draws = real_frames(x, mask), iter(noise)
    sequences = x.shape[1]
    evidence, untouched = model.evidence(frames, mask, model.initial_state(sequences))
    total = torch.zeros(sequences, dtype=torch.float64, device=x.device)
    state: State = ()
    log_weights = total.new_zeros(1, sequences)
    for t, real in enumerate(mask):
        particles = _particles(model, next(draws, None), sequences, len(log_weights) if t else None, t)
        count = len(particles)
        if not t:
            state = model.initial_state(count * sequences)[len(untouched) :]
            log_weights = total.new_full((count, sequences), -math.log(count))
        elif threshold > 0:
            log_weights, state = _resample(log_weights, state, uniforms[t], real, threshold)
        seen = tuple(part[t : t + 1] for part in evidence)
        log_alpha, state = _weigh(model, seen, frames[t], particles, state)
        joint = log_weights + torch.where(real, log_alpha, 0.0)
        increment = joint.logsumexp(0)
        total += increment
        equal = torch.full_like(joint, -math.log(count))
        log_weights = torch.where(increment.isneginf(), equal, joint - increment)
    return total


def systematic(log_weights: Tensor, uniform: Tensor) -> Tensor:
    """Indices `[K, B]` of particles drawn by normalised `log_weights [K, B]`, from one `uniform [B]` a sequence.

    Index k is where the weights' cumulative sum passes (k + u) / K: particle j is drawn floor(K W_j) or
    ceil(K W_j) times, and K W_j times on average.
    """
    count = len(log_weights)
    cumulative = log_weights.exp().cumsum(0).T.contiguous()
    points = (torch.arange(count, device=uniform.device) + uniform.to(cumulative).unsqueeze(-1)) / count
    return torch.searchsorted(cumulative, points, right=True).clamp(max=count - 1).T


def _check(model: LatentModel, x: Tensor, mask: Tensor, uniforms: Tensor) -> None:
    if not isinstance(model, LatentModel):
        raise ModelError("fivo: the model has no latent, so its likelihood is exact")
    if x.dim() != 3 or not len(x) or x.shape[-1] != model.config.frame_size:
        expected = f"[T, B, {model.config.frame_size}] with T >= 1"
        raise ModelError(f"x: expected frames {expected}, got {list(x.shape)}")
    if uniforms.shape != mask.shape:
        raise ModelError(f"uniforms: expected {list(mask.shape)} for these frames, got {list(uniforms.shape)}")


def _particles(model: LatentModel, noise: Tensor | None, sequences: int, count: int | None, t: int) -> Tensor:
    """The noise of frame t, of as many particles as the first frame had."""
    if noise is None:
        raise ModelError(f"noise: ends before frame {t + 1}; expected one draw a frame")
    expected = (count or max(len(noise), 1), sequences, model.latent_size)
    if noise.shape != expected:
        raise ModelError(f"noise: expected {list(expected)} for frame {t + 1}, got {list(noise.shape)}")
    return noise


def _weigh(model: LatentModel, evidence: Evidence, x: Tensor, noise: Tensor, state: State) -> tuple[Tensor, State]:
    """Log alpha of every particle, float64 `[K, B]`, and the state after the frame `x [B, D]`."""
    draws = noise.flatten(0, 1).unsqueeze(0)
    trace, state = model.follow(evidence, draws, state)
    _, log_ratio = model.divergence(trace, draws)
    log_emission = model.emission(model.decode(trace)).log_prob(x.repeat(len(noise), 1).unsqueeze(0))
    return (log_emission.double() + log_ratio).view(noise.shape[:2]), state


def _resample(
    log_weights: Tensor, state: State, uniform: Tensor, real: Tensor, threshold: float
) -> tuple[Tensor, State]:
    """Particles drawn anew in the sequences whose effective sample size has fallen, the others as they were."""
    count, sequences = log_weights.shape
    effective = (-(2 * log_weights).logsumexp(0)).exp()
    fallen = (effective < threshold * count) & real
    if not fallen.any():
        return log_weights, state
    kept = torch.arange(count, device=log_weights.device).unsqueeze(-1).expand(-1, sequences)
    chosen = torch.where(fallen, systematic(log_weights, uniform), kept)
    flat = (chosen * sequences + torch.arange(sequences, device=chosen.device)).flatten()
    equal = torch.full_like(log_weights, -math.log(count))
    return torch.where(fallen, equal, log_weights), tuple(part[flat] for part in state)
