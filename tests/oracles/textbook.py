"""The models written straight from their equations: one frame after another, nothing hoisted, nothing fused.

They share only the named parameters with the models under test; densities are torch.distributions'.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, distributions
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, MixtureSameFamily, MultivariateNormal
from torch.distributions import Normal as Gaussian

from vrnn.models import ModelConfig

__all__ = ["VrnnTerms", "mean_path", "rnn_log_likelihood", "vrnn_terms"]

Parameters = Mapping[str, Tensor]
RHO_FLOOR = 1e-4


@dataclass
class VrnnTerms:
    """Sums over frames, `[B]`, at the chosen latents."""

    log_emission: Tensor
    kl: Tensor
    log_prior: Tensor
    log_posterior: Tensor


def rnn_log_likelihood(parameters: Parameters, config: ModelConfig, x: Tensor) -> Tensor:
    """log p(x) of frames `x [T, B, D]`, `[B]`."""
    h = c = torch.zeros(x.shape[1], config.hidden, dtype=x.dtype)
    total = torch.zeros(x.shape[1], dtype=x.dtype)
    for frame in x:
        total = total + emission_log_prob(parameters, config, mlp(parameters, "decoder", h), frame)
        h, c = lstm(parameters, mlp(parameters, "phi_x", frame), h, c)
    return total


def vrnn_terms(
    parameters: Parameters, config: ModelConfig, x: Tensor, choose: Callable[[int, Gaussian], Tensor]
) -> VrnnTerms:
    """The terms of frames `x [T, B, D]`, where `choose(t, posterior)` gives z_t `[B, Z]`."""
    h = c = torch.zeros(x.shape[1], config.hidden, dtype=x.dtype)
    zero = torch.zeros(x.shape[1], dtype=x.dtype)
    terms = VrnnTerms(zero, zero, zero, zero)
    for t, frame in enumerate(x):
        phi_x = mlp(parameters, "phi_x", frame)
        prior = gaussian(parameters, config, "prior", mlp(parameters, "prior_network", h))
        posterior = gaussian(parameters, config, "posterior", mlp(parameters, "encoder", torch.cat([phi_x, h], -1)))
        z = choose(t, posterior)
        phi_z = mlp(parameters, "phi_z", z)
        decoded = mlp(parameters, "decoder", torch.cat([phi_z, h], -1))
        terms.log_emission = terms.log_emission + emission_log_prob(parameters, config, decoded, frame)
        terms.kl = terms.kl + distributions.kl_divergence(posterior, prior).sum(-1)
        terms.log_prior = terms.log_prior + prior.log_prob(z).sum(-1)
        terms.log_posterior = terms.log_posterior + posterior.log_prob(z).sum(-1)
        h, c = lstm(parameters, torch.cat([phi_x, phi_z], -1), h, c)
    return terms


def mean_path(parameters: Parameters, config: ModelConfig, length: int) -> Tensor:
    """Frames `[T, D]` of a Gaussian speech model where every draw is the mean of what it is drawn from."""
    h = c = torch.zeros(1, config.hidden, dtype=torch.float64)
    frames = []
    for _ in range(length):
        seen = [h]
        if config.latent:
            prior = gaussian(parameters, config, "prior", mlp(parameters, "prior_network", h))
            seen = [mlp(parameters, "phi_z", prior.loc), h]
        decoded = mlp(parameters, "decoder", torch.cat(seen, -1))
        frame = affine(parameters, "emission.affine", decoded)[:, : config.frame_size]
        h, c = lstm(parameters, torch.cat([mlp(parameters, "phi_x", frame), *seen[:-1]], -1), h, c)
        frames.append(frame)
    return torch.cat(frames)


def affine(parameters: Parameters, name: str, x: Tensor) -> Tensor:
    prefix = f"{name}.weights."
    blocks = [parameters[key] for key in sorted(parameters) if key.startswith(prefix)]
    return x @ torch.cat(blocks, 1).T + parameters[f"{name}.bias"]


def mlp(parameters: Parameters, name: str, x: Tensor) -> Tensor:
    depth = sum(key.startswith(f"{name}.") and key.endswith(".bias") for key in parameters)
    for layer in ["first", *(f"rest.{index}" for index in range(depth - 1))]:
        x = torch.clamp(affine(parameters, f"{name}.{layer}", x), min=0)
    return x


def lstm(parameters: Parameters, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    gates = affine(parameters, "lstm.inputs", x) + h @ parameters["lstm.recurrent"].T
    size = h.shape[-1]
    i, f, o, g = (gates[:, index * size : (index + 1) * size] for index in range(4))
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gaussian(parameters: Parameters, config: ModelConfig, name: str, features: Tensor) -> Gaussian:
    raw = affine(parameters, f"{name}.affine", features)
    return Gaussian(raw[:, : config.latent], positive(raw[:, config.latent :], config))


def positive(raw: Tensor, config: ModelConfig) -> Tensor:
    return torch.log1p(torch.exp(raw)) + config.sigma_floor


def emission_log_prob(parameters: Parameters, config: ModelConfig, features: Tensor, frame: Tensor) -> Tensor:
    raw, count = affine(parameters, "emission.affine", features), config.components
    size = 2 if config.kind == "pen" else config.frame_size
    means, raw_stds, rest = raw.split([count * size, count * size, raw.shape[-1] - 2 * count * size], -1)
    means, stds = means.unflatten(-1, (count, size)), positive(raw_stds, config).unflatten(-1, (count, size))
    if config.kind == "speech":
        logits = rest if count > 1 else torch.zeros(len(raw), 1, dtype=raw.dtype)
        return mixture(logits, Independent(Gaussian(means, stds), 1)).log_prob(frame)
    rho = (1 - RHO_FLOOR) * torch.tanh(rest[:, :count])
    logits = rest[:, count:-1] if count > 1 else torch.zeros(len(raw), 1, dtype=raw.dtype)
    offsets = mixture(logits, MultivariateNormal(means, covariance(stds, rho)))
    return offsets.log_prob(frame[:, :2]) + Bernoulli(logits=rest[:, -1]).log_prob(frame[:, 2])


def mixture(logits: Tensor, components: Distribution) -> MixtureSameFamily:
    return MixtureSameFamily(Categorical(logits=logits), components)


def covariance(stds: Tensor, rho: Tensor) -> Tensor:
    """`[..., 2, 2]` from stds `[..., 2]` and rho `[...]`."""
    cross = rho * stds[..., 0] * stds[..., 1]
    rows = [torch.stack([stds[..., 0] ** 2, cross], -1), torch.stack([cross, stds[..., 1] ** 2], -1)]
    return torch.stack(rows, -2)
