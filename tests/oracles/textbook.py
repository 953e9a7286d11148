"""The models written straight from their equations: one frame after another, nothing hoisted, nothing fused.

A model's family decides which of the functions here is its textbook; a new family adds its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributions
from torch.distributions import Normal as Gaussian

from tests.oracles.textbook_parts import Parameters, affine, emission_log_prob, gaussian, lstm, mlp, unit_log_prob
from vrnn.models import ModelConfig

__all__ = ["LatentTerms", "latent_terms", "log_likelihood", "mean_path"]

Choose = Callable[[int, Gaussian], Tensor]
Textbook = TypeVar("Textbook", bound=Callable[..., object])


@dataclass
class LatentTerms:
    """Sums over frames, `[B]`, at the chosen latents."""

    log_emission: Tensor
    kl: Tensor
    log_prior: Tensor
    log_posterior: Tensor

    @classmethod
    def zero(cls, sequences: int) -> "LatentTerms":
        return cls(*torch.zeros(4, sequences, dtype=torch.float64))

    def add(self, log_emission: Tensor, posterior: Gaussian, prior: Gaussian, z: Tensor) -> None:
        self.log_emission = self.log_emission + log_emission
        self.kl = self.kl + distributions.kl_divergence(posterior, prior).sum(-1)
        self.log_prior = self.log_prior + prior.log_prob(z).sum(-1)
        self.log_posterior = self.log_posterior + posterior.log_prob(z).sum(-1)


def log_likelihood(parameters: Parameters, config: ModelConfig, x: Tensor) -> Tensor:
    """log p(x) of frames `x [T, B, D]`, `[B]`, of a model without a latent."""
    return _pick(config, {"rnn": _rnn, "iid": _iid, "linear": _linear})(parameters, config, x)


def latent_terms(parameters: Parameters, config: ModelConfig, x: Tensor, choose: Choose) -> LatentTerms:
    """The terms of frames `x [T, B, D]`, where `choose(t, posterior)` gives z_t `[B, Z]`."""
    return _pick(config, {"vrnn": _vrnn, "srnn": _srnn})(parameters, config, x, choose)


def _pick(config: ModelConfig, textbooks: dict[str, Textbook]) -> Textbook:
    family = _family(config)
    assert family in textbooks, f"{config.name} has no textbook: write one in tests/oracles/textbook.py"
    return textbooks[family]


def _family(config: ModelConfig) -> str:
    return config.name.split("-", maxsplit=1)[0]


def _rnn(parameters: Parameters, config: ModelConfig, x: Tensor) -> Tensor:
    h = c = torch.zeros(x.shape[1], config.hidden, dtype=x.dtype)
    total = torch.zeros(x.shape[1], dtype=x.dtype)
    for frame in x:
        total = total + emission_log_prob(parameters, config, mlp(parameters, "decoder", h), frame)
        h, c = lstm(parameters, "lstm", mlp(parameters, "phi_x", frame), h, c)
    return total


def _iid(parameters: Parameters, config: ModelConfig, x: Tensor) -> Tensor:
    features = parameters["features"].repeat(x.shape[1], 1)
    return torch.stack([emission_log_prob(parameters, config, features, frame) for frame in x]).sum(0)


def _linear(parameters: Parameters, config: ModelConfig, x: Tensor) -> Tensor:
    size = 1 if config.kind == "speech" else config.frame_size
    units = torch.cat(list(x), -1).split(size, -1)
    seen = [torch.zeros_like(units[0])] * config.context
    total = torch.zeros(x.shape[1], dtype=x.dtype)
    for unit in units:
        context = torch.cat(seen[-config.context :], -1)
        total = total + unit_log_prob(parameters, config, "emission.head.affine", context, unit)
        seen.append(unit)
    return total


def _vrnn(parameters: Parameters, config: ModelConfig, x: Tensor, choose: Choose) -> LatentTerms:
    h = c = torch.zeros(x.shape[1], config.hidden, dtype=x.dtype)
    terms = LatentTerms.zero(x.shape[1])
    ahead = _read_backwards(parameters, config, list(mlp(parameters, "phi_x", x))) if config.backward else None
    for t, frame in enumerate(x):
        phi_x = mlp(parameters, "phi_x", frame)
        prior = _vrnn_prior(parameters, config, h)
        seen = [phi_x, h] if ahead is None else [phi_x, ahead[t + 1], h]
        posterior = gaussian(parameters, config, "posterior", mlp(parameters, "encoder", *seen))
        z = choose(t, posterior)
        phi_z = mlp(parameters, "phi_z", z)
        emitted = emission_log_prob(parameters, config, mlp(parameters, "decoder", phi_z, h), frame)
        terms.add(emitted, posterior, prior, z)
        h, c = lstm(parameters, "lstm", torch.cat([phi_x, phi_z], -1), h, c)
    return terms


def _vrnn_prior(parameters: Parameters, config: ModelConfig, h: Tensor) -> Gaussian:
    if config.name.startswith("vrnn-i-"):
        return Gaussian(torch.zeros(len(h), config.latent, dtype=h.dtype), 1.0)
    return gaussian(parameters, config, "prior", mlp(parameters, "prior_network", h))


def _srnn(parameters: Parameters, config: ModelConfig, x: Tensor, choose: Choose) -> LatentTerms:
    h = c = torch.zeros(x.shape[1], config.hidden, dtype=x.dtype)
    before: list[Tensor] = []
    for frame in x:
        before.append(h)
        h, c = lstm(parameters, "lstm", mlp(parameters, "phi_x", frame), h, c)
    pairs = [torch.cat([mlp(parameters, "phi_x", frame), h], -1) for frame, h in zip(x, before, strict=True)]
    ahead = _read_backwards(parameters, config, pairs)
    z = torch.zeros(x.shape[1], config.latent, dtype=x.dtype)
    terms = LatentTerms.zero(x.shape[1])
    for t, frame in enumerate(x):
        prior = gaussian(parameters, config, "prior", mlp(parameters, "prior_network", before[t], z))
        residual = gaussian(parameters, config, "posterior", mlp(parameters, "encoder", ahead[t], z))
        posterior = Gaussian(prior.loc + residual.loc, residual.scale)
        z = choose(t, posterior)
        decoded = mlp(parameters, "decoder", z, before[t])
        terms.add(emission_log_prob(parameters, config, decoded, frame), posterior, prior, z)
    return terms


def _read_backwards(parameters: Parameters, config: ModelConfig, inputs: list[Tensor]) -> list[Tensor]:
    """The state after reading the inputs from the last to number t, for every t, and the zero state behind the last."""
    h = c = torch.zeros(len(inputs[0]), config.backward, dtype=inputs[0].dtype)
    states = [h]
    for x in reversed(inputs):
        h, c = lstm(parameters, "backward_lstm", x, h, c)
        states.append(h)
    return states[::-1]


def mean_path(parameters: Parameters, config: ModelConfig, length: int) -> Tensor:
    """Frames `[T, D]` of a Gaussian speech RNN, VRNN or SRNN where every draw is the mean of what it is drawn from."""
    h = c = torch.zeros(1, config.hidden, dtype=torch.float64)
    z = torch.zeros(1, config.latent, dtype=torch.float64)
    frames = []
    for _ in range(length):
        drawn, read = [], []
        if _family(config) == "vrnn":
            drawn = read = [mlp(parameters, "phi_z", _vrnn_prior(parameters, config, h).mean)]
        if _family(config) == "srnn":
            z = gaussian(parameters, config, "prior", mlp(parameters, "prior_network", h, z)).loc
            drawn = [z]
        decoded = mlp(parameters, "decoder", *drawn, h)
        frame = affine(parameters, "emission.affine", decoded)[:, : config.frame_size]
        h, c = lstm(parameters, "lstm", torch.cat([mlp(parameters, "phi_x", frame), *read], -1), h, c)
        frames.append(frame)
    return torch.cat(frames)
