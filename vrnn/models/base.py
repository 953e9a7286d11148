"""What every model offers: per-frame log terms for the bounds, and samples.

A model knows frames and noise; it knows nothing of masks, corpora or estimators. `vrnn.bounds` turns the terms
into likelihoods, so that an estimator is written once for all models. Every model is causal: what lies after a
frame cannot touch its terms, and right padding needs no care here.

Shapes: T frames, B sequences, D frame size, Z latent size. All tensors are time-major, `[T, B, ...]`.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from vrnn.errors import ModelError
from vrnn.models.config import ModelConfig
from vrnn.networks import MixtureHead, PenHead

__all__ = ["SequenceModel", "Terms", "emission_head", "log_emission"]

_BLOCK_ELEMENTS = 2**21

EmissionHead: TypeAlias = MixtureHead | PenHead


@dataclass(frozen=True, eq=False)
class Terms:
    """Log terms of every frame in nats, `[T, B]`, at one sample z of the posterior.

    Attributes:
        log_emission: log p(x_t | z_<=t, x_<t).
        kl: KL(q(z_t | ...) || p(z_t | ...)), analytic; None without a latent.
        log_ratio: log p(z_t | ...) - log q(z_t | ...) at the sampled z_t; None without a latent.
    """

    log_emission: Tensor
    kl: Tensor | None = None
    log_ratio: Tensor | None = None


class SequenceModel(nn.Module, ABC):
    """A density over sequences of frames."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def latent_size(self) -> int:
        """Z, or 0 where the model has no latent and its likelihood is exact."""
        return self.config.latent

    @abstractmethod
    def forward(self, x: Tensor, noise: Tensor | None) -> Terms:
        """The terms of frames `x [T, B, D]`.

        Args:
            x: normalised frames; padding may hold any finite value.
            noise: standard normal `[T, B, Z]` that the latents are reparameterised from; None where Z = 0.

        Raises:
            ModelError: a shape does not fit, or noise is missing or not wanted.
        """

    @abstractmethod
    def sample(self, length: int, count: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Frames drawn from the model, `[length, count, D]`, without gradients.

        Args:
            length: frames a sequence.
            count: sequences.
            generator: source of all randomness; the same state gives the same frames.
            temperature: below 1 narrows the emission, as `Emission.sample` says; latents are drawn as they are.

        Raises:
            ModelError: length or count is not positive, or temperature is not positive and finite.
        """

    def _check_input(self, x: Tensor, noise: Tensor | None) -> None:
        frame_size, latent_size, name = self.config.frame_size, self.latent_size, self.config.name
        if x.dim() != 3 or len(x) == 0 or x.shape[-1] != frame_size:
            raise ModelError(f"{name}: expected frames [T, B, {frame_size}] with T >= 1, got {list(x.shape)}")
        if not latent_size and noise is not None:
            raise ModelError(f"{name} has no latent: its likelihood is exact and takes no noise")
        if latent_size and noise is None:
            raise ModelError(
                f"{name} has a latent: its likelihood is bounded, not exact, and needs noise [T, B, {latent_size}]"
            )
        if noise is not None and noise.shape != (*x.shape[:2], latent_size):
            expected = [*x.shape[:2], latent_size]
            raise ModelError(f"{name}: expected noise {expected} for these frames, got {list(noise.shape)}")

    def _check_sampling(self, length: int, count: int, temperature: float) -> None:
        if length < 1 or count < 1:
            raise ModelError(f"expected at least one frame and one sequence to sample, got {length} and {count}")
        if not (temperature > 0 and math.isfinite(temperature)):
            raise ModelError(f"temperature: expected a positive finite number, got {temperature}")


def emission_head(config: ModelConfig, generator: torch.Generator) -> EmissionHead:
    """The head on the decoder's features: a density of a speech frame, or of a pen frame."""
    if config.kind == "pen":
        return PenHead(config.decoder, config.components, config.sigma_floor, generator)
    return MixtureHead(config.decoder, config.frame_size, config.components, config.sigma_floor, generator)


def log_emission(head: EmissionHead, features: Tensor, x: Tensor) -> Tensor:
    """Log p(x_t | features_t) of all frames, `[T, B]`, from features `[T, B, F]` and frames `[T, B, D]`.

    Worked in blocks of frames: a mixture over 200 samples has thousands of parameters a frame, and one pass over a
    whole batch of them is bound by fresh memory, not by arithmetic. A block's temporaries are small enough to be used
    again.
    """
    size = max(1, _BLOCK_ELEMENTS // (x.shape[-1] * head.components))
    blocks = zip(features.flatten(0, 1).split(size), x.flatten(0, 1).split(size), strict=True)
    return torch.cat([head(block).log_prob(frames) for block, frames in blocks]).unflatten(0, x.shape[:2])
