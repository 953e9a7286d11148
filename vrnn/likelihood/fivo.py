"""FIVO: the bound of a particle filter (Maddison et al. 2017; also Le et al. and Naesseth et al. 2018).

K particles run along the frames; frame t multiplies each weight by

    alpha_t = p(x_t | z_<=t, x_<t) p(z_t | z_<t, x_<t) / q(z_t | z_<t, x)

and the estimate of p(x) is the product over t of sum_k W_{t-1}^k alpha_t^k, with W the normalised weights. Where the
effective sample size 1 / sum_k W_k^2 falls below a fraction of K, the particles are resampled by their weights,
systematically (one uniform number for all K), and the weights are made equal. The estimate of p(x) is unbiased for
every K, so that its logarithm is in expectation a lower bound. Without resampling it equals IWAE.

Particles interact, so that K cannot be cut into chunks as in IWAE. Time runs one frame at a time, and memory holds one
frame of B x K particles and the encoded frames of the B sequences. Cut the batch where that is too much.

Shapes: T frames, B sequences, D frame size, Z latent size, K particles. Particles are columns of the batch, particle k
of sequence b at k * B + b.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from vrnn.errors import ModelError
from vrnn.likelihood.bounds import real_frames
from vrnn.models.base import StateT
from vrnn.models.latent import LatentModel
from vrnn.nn.named_tensors import NamedTensors
from vrnn.scan.packed_weights import unchanging_weights

__all__ = ["fivo", "systematic"]


@torch.no_grad()
@unchanging_weights()
def fivo(
    model: LatentModel[StateT],
    x: Tensor,
    mask: Tensor,
    noise: Iterable[Tensor],
    uniforms: Tensor,
    threshold: float = 0.5,
) -> Tensor:
    """The particle filter's bound, without gradients.

    Args:
        model: a model with a latent.
        x: frames `[T, B, D]`.
        mask: bool `[T, B]`, True at real frames.
        noise: standard normal `[K, B, Z]` of each frame in turn, at least T of them.
        uniforms: numbers on [0, 1), `[T, B]`, one for the resampling before each frame.
        threshold: resample where the effective sample size is below this fraction of K; 0 never resamples.

    Returns:
        float64 `[B]`, nats per sequence.

    Raises:
        ModelError: the model has no latent, the noise ends too soon, or a shape does not fit.
    """
    _check(model, x, mask, uniforms)
    frames, draws = real_frames(x, mask), iter(noise)
    sequences = x.shape[1]
    encoded, state = model.encode(frames, mask, model.initial_state(sequences))
    total = torch.zeros(sequences, dtype=torch.float64, device=x.device)
    log_weights = total.new_zeros(1, sequences)
    for t, real in enumerate(mask):
        particles = _particles(model, next(draws, None), sequences, len(log_weights) if t else None, t)
        count = len(particles)
        if not t:
            state = state.tile(count * sequences)
            log_weights = total.new_full((count, sequences), -math.log(count))
        elif threshold > 0:
            log_weights, state = _resample(log_weights, state, uniforms[t], real, threshold)
        frame = encoded.map(lambda part, t=t: part[t : t + 1])
        log_alpha, state = _weigh(model, frame, frames[t], particles, state)
        # A padded frame multiplies every weight by 1.
        joint = log_weights + torch.where(real, log_alpha, 0.0)
        increment = joint.logsumexp(0)
        total += increment
        # Where no particle can explain the frame, the bound is -inf; equal weights keep the rest free of NaN.
        equal = torch.full_like(joint, -math.log(count))
        log_weights = torch.where(increment.isneginf(), equal, joint - increment)
    return total


def systematic(log_weights: Tensor, uniform: Tensor) -> Tensor:
    """Indices `[K, B]` of particles drawn by normalised `log_weights [K, B]`, from one `uniform [B]` a sequence.

    Index k is where the weights' cumulative sum passes (k + u) / K: particle j is drawn floor(K W_j) or
    ceil(K W_j) times, and K W_j times on average.

    >>> systematic(torch.tensor([[0.5], [0.0], [0.25], [0.25]]).log(), torch.tensor([0.5])).flatten().tolist()
    [0, 0, 2, 3]
    """
    count = len(log_weights)
    cumulative = log_weights.exp().cumsum(0).T.contiguous()
    points = (torch.arange(count, device=uniform.device) + uniform.to(cumulative).unsqueeze(-1)) / count
    # The sum may stay below 1 by rounding; a point above it belongs to the last particle.
    return torch.searchsorted(cumulative, points, right=True).clamp(max=count - 1).T


def _check(model: object, x: Tensor, mask: Tensor, uniforms: Tensor) -> None:
    if not isinstance(model, LatentModel):
        raise ModelError("fivo: the model has no latent, so its likelihood is exact")
    if x.dim() != 3 or not len(x) or x.shape[-1] != model.config.frame_size:
        expected = f"[T, B, {model.config.frame_size}] with T >= 1"
        raise ModelError(f"x: expected frames {expected}, got {list(x.shape)}")
    if uniforms.shape != mask.shape:
        raise ModelError(f"uniforms: expected {list(mask.shape)} for these frames, got {list(uniforms.shape)}")


def _particles(model: LatentModel[StateT], noise: Tensor | None, sequences: int, count: int | None, t: int) -> Tensor:
    """The noise of frame t, checked to be of as many particles as the first frame had."""
    if noise is None:
        raise ModelError(f"noise: ends before frame {t + 1}; expected one draw a frame")
    expected = (count or max(len(noise), 1), sequences, model.latent_size)
    if noise.shape != expected:
        raise ModelError(f"noise: expected {list(expected)} for frame {t + 1}, got {list(noise.shape)}")
    return noise


def _weigh(
    model: LatentModel[StateT], encoded: NamedTensors, x: Tensor, noise: Tensor, state: StateT
) -> tuple[Tensor, StateT]:
    """Log alpha of every particle, float64 `[K, B]`, and the state after the frame `x [B, D]`."""
    step, state = model.infer_latents(encoded, noise.flatten(0, 1).unsqueeze(0), state)
    assert step.log_ratio is not None
    log_emission = model.emission(step.features).log_prob(x.repeat(len(noise), 1).unsqueeze(0))
    return (log_emission.double() + step.log_ratio).view(noise.shape[:2]), state


def _resample(
    log_weights: Tensor, state: StateT, uniform: Tensor, real: Tensor, threshold: float
) -> tuple[Tensor, StateT]:
    """New particles for the sequences whose effective sample size is too small; the others keep theirs."""
    count, sequences = log_weights.shape
    effective = (-(2 * log_weights).logsumexp(0)).exp()
    too_small = (effective < threshold * count) & real
    if not too_small.any():
        return log_weights, state
    unchanged = torch.arange(count, device=log_weights.device).unsqueeze(-1).expand(-1, sequences)
    chosen = torch.where(too_small, systematic(log_weights, uniform), unchanged)
    # Particle k of sequence b is column k * B + b of the state; every part of the state moves with its particle.
    columns = (chosen * sequences + torch.arange(sequences, device=chosen.device)).flatten()
    equal = torch.full_like(log_weights, -math.log(count))
    return torch.where(too_small, equal, log_weights), state.map(lambda part: part[columns])
