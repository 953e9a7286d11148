"""The parts of the textbook models: networks, the LSTM and the emissions, one value after another.

They share only the named parameters with the code under test; densities are torch.distributions'.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, MixtureSameFamily, MultivariateNormal
from torch.distributions import Normal as Gaussian

from vrnn.models import ModelConfig

__all__ = ["Parameters", "affine", "covariance", "emission_log_prob", "gaussian", "lstm", "mlp", "unit_log_prob"]

Parameters = Mapping[str, Tensor]
RHO_FLOOR = 1e-4


def affine(parameters: Parameters, name: str, x: Tensor) -> Tensor:
    prefix = f"{name}.weights."
    blocks = [parameters[key] for key in sorted(parameters) if key.startswith(prefix)]
    return x @ torch.cat(blocks, 1).T + parameters[f"{name}.bias"]


def mlp(parameters: Parameters, name: str, *inputs: Tensor) -> Tensor:
    x = torch.cat(inputs, -1)
    depth = sum(key.startswith(f"{name}.") and key.endswith(".bias") for key in parameters)
    for layer in ["first", *(f"rest.{index}" for index in range(depth - 1))]:
        x = torch.clamp(affine(parameters, f"{name}.{layer}", x), min=0)
    return x


def lstm(parameters: Parameters, name: str, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    gates = affine(parameters, f"{name}.inputs", x) + h @ parameters[f"{name}.recurrent"].T
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
    """log p(frame `[B, D]` | features `[B, F]`), `[B]`, by the head that is called `emission`."""
    if not config.group:
        return unit_log_prob(parameters, config, "emission.affine", features, frame)
    h = c = torch.zeros(len(frame), config.group_hidden, dtype=frame.dtype)
    before, total = torch.zeros_like(frame[:, : config.group]), torch.zeros(len(frame), dtype=frame.dtype)
    for group in frame.split(config.group, -1):
        h, c = lstm(parameters, "emission.lstm", torch.cat([features, before], -1), h, c)
        total = total + unit_log_prob(parameters, config, "emission.head.affine", h, group)
        before = group
    return total


def unit_log_prob(parameters: Parameters, config: ModelConfig, name: str, features: Tensor, x: Tensor) -> Tensor:
    raw, count = affine(parameters, name, features), config.components
    size = 2 if config.kind == "pen" else x.shape[-1]
    means, raw_spreads, rest = raw.split([count * size, count * size, raw.shape[-1] - 2 * count * size], -1)
    means, spreads = means.unflatten(-1, (count, size)), positive(raw_spreads, config).unflatten(-1, (count, size))
    if config.quantisation is not None:
        mass = bin_mass(config, means, spreads, x.unsqueeze(-2)).prod(-1)
        shares = torch.softmax(rest, -1) if count > 1 else torch.ones_like(mass)
        return (shares * mass).sum(-1).log()
    if config.kind == "speech":
        logits = rest if count > 1 else torch.zeros(len(raw), 1, dtype=raw.dtype)
        return mixture(logits, Independent(Gaussian(means, spreads), 1)).log_prob(x)
    rho = (1 - RHO_FLOOR) * torch.tanh(rest[:, :count])
    logits = rest[:, count:-1] if count > 1 else torch.zeros(len(raw), 1, dtype=raw.dtype)
    offsets = mixture(logits, MultivariateNormal(means, covariance(spreads, rho)))
    return offsets.log_prob(x[:, :2]) + Bernoulli(logits=rest[:, -1]).log_prob(x[:, 2])


def bin_mass(config: ModelConfig, means: Tensor, scales: Tensor, x: Tensor) -> Tensor:
    """The probability that a logistic gives to the bin of x, as a difference of its distribution function."""
    grid = config.quantisation
    assert grid is not None
    number = torch.round(x * grid.std + grid.mean)
    upper = torch.sigmoid(((number + 0.5 - grid.mean) / grid.std - means) / scales)
    lower = torch.sigmoid(((number - 0.5 - grid.mean) / grid.std - means) / scales)
    upper = torch.where(number == grid.highest, torch.ones_like(upper), upper)
    return upper - torch.where(number == grid.lowest, torch.zeros_like(lower), lower)


def mixture(logits: Tensor, components: Distribution) -> MixtureSameFamily:
    return MixtureSameFamily(Categorical(logits=logits), components)


def covariance(stds: Tensor, rho: Tensor) -> Tensor:
    """`[..., 2, 2]` from stds `[..., 2]` and rho `[...]`."""
    cross = rho * stds[..., 0] * stds[..., 1]
    rows = [torch.stack([stds[..., 0] ** 2, cross], -1), torch.stack([cross, stds[..., 1] ** 2], -1)]
    return torch.stack(rows, -2)
