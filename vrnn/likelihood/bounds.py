"""Likelihoods of sequences from a model's per-frame terms: exact, ELBO and importance-weighted (IWAE).

One estimator is one function, and every result is in nats per sequence. A bound and an exact value are different
quantities: report each with its name, and IWAE with its K. A bound is random through its noise; `repeated` turns
independent repetitions into a mean and its Monte Carlo standard error. The particle filter's bound is in
`vrnn.likelihood.fivo`.

Sums over frames are in float64 and select real frames (`torch.where`): a product with the mask would turn an infinite
term of a padded frame into NaN. Padded frames are replaced by zeros before the model sees them, so that their content
reaches neither a value nor a gradient.

Shapes: T frames, B sequences, D frame size, Z latent size, K importance samples.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vrnn.errors import ModelError
from vrnn.models.base import Terms
from vrnn.scan.packed_weights import unchanging_weights

__all__ = ["Elbo", "Repeated", "elbo", "exact", "frame_terms", "iwae", "real_frames", "repeated", "total"]


@dataclass(frozen=True, eq=False)
class Elbo:
    """The evidence lower bound and its two parts, float64 `[B]`, in nats per sequence.

    Attributes:
        value: log_emission - kl.
        log_emission: sum_t log p(x_t | z_<=t, x_<t) at one sample of the posterior.
        kl: sum_t KL(q(z_t | x_<=t, z_<t) || p(z_t | x_<t, z_<t)), analytic at each step.
    """

    value: Tensor
    log_emission: Tensor
    kl: Tensor


def exact(model: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
    """Exact log-likelihood of a model without a latent: log p(x) = sum_t log p(x_t | x_<t).

    Args:
        model: a `SequenceModel`, or a wrapper that is called like one.
        x: frames `[T, B, D]`.
        mask: bool `[T, B]`, True at real frames.

    Returns:
        float64 `[B]`, nats per sequence.

    Raises:
        ModelError: the model has a latent, so that its likelihood is not available in closed form.
    """
    terms: Terms = model(real_frames(x, mask), mask)
    return total(terms.log_emission, mask)


def elbo(model: nn.Module, x: Tensor, mask: Tensor, noise: Tensor) -> Elbo:
    """One-sample evidence lower bound (Chung et al. 2015, equation 11).

    E_q[sum_t log p(x_t | z_<=t, x_<t) - KL(q(z_t | x_<=t, z_<t) || p(z_t | x_<t, z_<t))] <= log p(x),
    with the expectation over z estimated at z = mu_q + sigma_q * noise.

    Args:
        model: a `SequenceModel` with a latent, or a wrapper that is called like one.
        x: frames `[T, B, D]`.
        mask: bool `[T, B]`, True at real frames.
        noise: standard normal `[T, B, Z]`.

    Returns:
        The bound and its parts, float64 `[B]`, nats per sequence.

    Raises:
        ModelError: the model has no latent, or a shape does not fit.
    """
    terms: Terms = model(real_frames(x, mask), mask, noise)
    assert terms.kl is not None
    log_emission, kl = total(terms.log_emission, mask), total(terms.kl, mask)
    return Elbo(value=log_emission - kl, log_emission=log_emission, kl=kl)


def frame_terms(model: nn.Module, x: Tensor, mask: Tensor, noise: Tensor | None = None) -> Tensor:
    """The share of each frame in `exact` or, with noise, in the value of `elbo`, float64 `[T, B]`; 0 where padded.

    log p(x_t | x_<t) without a latent, else log p(x_t | z_<=t, x_<t) - KL(q(z_t | ...) || p(z_t | ...)).

    Args:
        model: a `SequenceModel`, or a wrapper that is called like one.
        x: frames `[T, B, D]`.
        mask: bool `[T, B]`, True at real frames.
        noise: standard normal `[T, B, Z]`; None for a model without a latent.

    Raises:
        ModelError: noise is missing or not wanted, or a shape does not fit.
    """
    terms: Terms = model(real_frames(x, mask), mask, noise)
    value = terms.log_emission.double()
    return torch.where(mask, value if terms.kl is None else value - terms.kl, 0.0)


@unchanging_weights()
def iwae(model: nn.Module, x: Tensor, mask: Tensor, noise_chunks: Iterable[Tensor]) -> Tensor:
    """Importance-weighted bound (Burda et al. 2016, equation 8): log 1/K sum_k p(x, z^k) / q(z^k | x).

    In expectation it is a lower bound on log p(x) that rises with K; the mean inside the logarithm is an unbiased
    estimate of p(x). K is the number of samples in all chunks together. The K' samples of a chunk are columns of one
    batch: smaller chunks need less memory and give the same value.

    Args:
        model: a `SequenceModel` with a latent, or a wrapper that is called like one.
        x: frames `[T, B, D]`.
        mask: bool `[T, B]`, True at real frames.
        noise_chunks: standard normal `[K', T, B, Z]`, read one at a time.

    Returns:
        float64 `[B]`, nats per sequence.

    Raises:
        ModelError: there is no sample, the model has no latent, or a shape does not fit.
    """
    frames = real_frames(x, mask)
    log_sum, count = torch.full(mask.shape[1:], -math.inf, dtype=torch.float64, device=x.device), 0
    for noise in noise_chunks:
        log_sum = torch.logaddexp(log_sum, _log_weights(model, frames, mask, noise).logsumexp(0))
        count += len(noise)
    if not count:
        raise ModelError("noise_chunks: expected at least one importance sample, got none")
    return log_sum - math.log(count)


def _log_weights(model: nn.Module, x: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
    """Log p(x, z^k) / q(z^k | x), float64 `[K', B]`; the model computes once what the samples share."""
    samples, sequences = len(noise), x.shape[1]
    if noise.dim() != x.dim() + 1:
        raise ModelError(f"noise_chunks: expected chunks [K', T, B, Z], got {list(noise.shape)}")
    terms: Terms = model(x, mask, noise.transpose(0, 1).flatten(1, 2))
    assert terms.log_ratio is not None
    log_emission, log_ratio = (
        total(torch.unflatten(term, 1, (samples, sequences)), mask.unsqueeze(1))
        for term in (terms.log_emission, terms.log_ratio)
    )
    return log_emission + log_ratio


@dataclass(frozen=True, eq=False)
class Repeated:
    """Independent repetitions of a random bound, float64 `[B]`, in nats per sequence.

    Attributes:
        mean: an unbiased estimate of the bound's expectation. More repetitions make it more precise; only a larger K
            makes the bound tighter.
        standard_error: the standard error of that mean, from the spread of the repetitions; nan where there is only
            one.
    """

    mean: Tensor
    standard_error: Tensor


def repeated(draws: Iterable[Tensor]) -> Repeated:
    """Mean and Monte Carlo standard error of repetitions `[B]`, made with independent noise, read one at a time.

    >>> found = repeated([torch.tensor([-10.0]), torch.tensor([-12.0])])
    >>> found.mean.item(), found.standard_error.item()
    (-11.0, 1.0)

    Raises:
        ModelError: there is no repetition.
    """
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    # Welford's update: one pass, without the cancellation of a sum of squares.
    for draw in draws:
        count += 1
        step = draw.double() - mean
        mean = mean + step / count
        squares = squares + step * (draw - mean)
    if not count:
        raise ModelError("draws: expected at least one repetition, got none")
    variance = squares / (count - 1) if count > 1 else torch.full_like(mean, math.nan)
    return Repeated(mean, (variance / count).sqrt())


def real_frames(x: Tensor, mask: Tensor) -> Tensor:
    """`x [T, B, D]` with zeros for its padded frames.

    Raises:
        ModelError: the mask is not bool `[T, B]`.
    """
    if mask.dtype != torch.bool or mask.shape != x.shape[:2]:
        raise ModelError(
            f"mask: expected bool {list(x.shape[:2])} for frames {list(x.shape)}, got {mask.dtype} {list(mask.shape)}"
        )
    return torch.where(mask.unsqueeze(-1), x, 0.0)


def total(term: Tensor, mask: Tensor) -> Tensor:
    """The sum of a term over real frames, float64: `[T, ...]` to `[...]`."""
    return torch.where(mask, term, 0.0).sum(0, dtype=torch.float64)
