"""What every model offers: per-frame log terms for the bounds, and samples.

A model knows frames, which of them are real, and noise; it knows nothing of corpora or estimators.
`vrnn.likelihood.bounds` turns the terms into likelihoods, so that an estimator is written once for all models. The
generative part of every model is causal: what lies after a frame cannot touch the law of that frame. Only a smoothing
posterior looks ahead, and there the mask keeps padding out.

A model's state is what it carries from one frame to the next. Starting from the state that an earlier stretch ended
with goes on with the same sequences: training on long recordings and continuing a given beginning are made of it.

Shapes: T frames, B sequences, D frame size, Z latent size, F features. All tensors are time-major, `[T, B, ...]`.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from vrnn.errors import ModelError
from vrnn.models.config import EMISSIONS, SMOOTHING, ModelConfig
from vrnn.nn.heads import FrameHead
from vrnn.scan.packed_weights import unchanging_weights

__all__ = ["SequenceModel", "State", "Terms", "log_emission"]

_BLOCK_ELEMENTS = 2**21

State: TypeAlias = tuple[Tensor, ...]
"""What a model carries between frames, each `[B, ...]`."""


@dataclass(frozen=True, eq=False)
class Terms:
    """Log terms of every frame in nats, `[T, B]`, at one sample z of the posterior.

    Attributes:
        log_emission: log p(x_t | z_<=t, x_<t).
        kl: KL(q(z_t | ...) || p(z_t | ...)), analytic; None without a latent.
        log_ratio: log p(z_t | ...) - log q(z_t | ...) at the sampled z_t; None without a latent.
        state: after the last frame; of no use to a sequence that ended before it.
    """

    log_emission: Tensor
    kl: Tensor | None = None
    log_ratio: Tensor | None = None
    state: State = ()


class SequenceModel(nn.Module, ABC):
    """A density over sequences of frames.

    Class attributes:
        sizes: the sizes of `ModelConfig` that the family has; all others must be 0.
        emissions: what its frames can be emitted from.
        can_smooth: whether its posterior can either filter or smooth.
    """

    sizes: ClassVar[frozenset[str]]
    emissions: ClassVar[tuple[str, ...]] = EMISSIONS
    can_smooth: ClassVar[bool] = False

    emission: FrameHead

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self._check_sizes()

    @property
    def latent_size(self) -> int:
        """Z, or 0 where the model has no latent and its likelihood is exact."""
        return self.config.latent

    @abstractmethod
    def initial_state(self, sequences: int) -> State:
        """The state before the first frame of that many sequences."""

    @abstractmethod
    def forward(self, x: Tensor, mask: Tensor, noise: Tensor | None = None, state: State | None = None) -> Terms:
        """The terms of frames `x [T, B, D]`.

        Args:
            x: normalised frames; padding may hold any finite value.
            mask: bool `[T, B]`, True at real frames, which come before all others of a sequence.
            noise: standard normal `[T, K B, Z]` that the latents are reparameterised from, K samples of every sequence,
                sample k of sequence b at column k * B + b; None where Z = 0. The terms have its columns, and what does
                not depend on the sample is worked out once.
            state: that an earlier stretch of these sequences ended with; None at their beginning.

        Raises:
            ModelError: a shape does not fit, or noise is missing or not wanted.
        """

    @abstractmethod
    def predict(self, state: State, generator: torch.Generator) -> tuple[Tensor, State]:
        """Features `[B, F]` of the next frame's emission, and the latent variables drawn for it from the prior."""

    @abstractmethod
    def absorb(self, frame: Tensor, latent: State, state: State) -> State:
        """The state after `frame [B, D]`, which was emitted given `latent`."""

    @torch.no_grad()
    @unchanging_weights()
    def sample(
        self,
        length: int,
        count: int,
        generator: torch.Generator,
        temperature: float = 1.0,
        state: State | None = None,
    ) -> Tensor:
        """Frames drawn from the model one after another, `[length, count, D]`, without gradients.

        Args:
            length: frames a sequence.
            count: sequences.
            generator: source of all randomness; the same state gives the same frames.
            temperature: below 1 narrows the emission, as `Emission.sample` says; latents are drawn as they are.
            state: to go on from, of `count` sequences; None begins anew.

        Raises:
            ModelError: length or count is not positive, or temperature is not positive and finite.
        """
        self._check_sampling(length, count, temperature)
        state = self.initial_state(count) if state is None else state
        frames: list[Tensor] = []
        for _ in range(length):
            features, latent = self.predict(state, generator)
            frame = self.emission(features).sample(generator, temperature)
            state = self.absorb(frame, latent, state)
            frames.append(frame)
        return torch.stack(frames)

    def _check_sizes(self) -> None:
        """Refuse a size that is missing, and one that the model would ignore."""
        config, name = self.config, self.config.name
        filters = self.can_smooth and not name.endswith(SMOOTHING)
        if filters and config.backward:
            raise ModelError(f"backward: a posterior that smooths is called {name}{SMOOTHING}; set it to 0 in {name}")
        for size in sorted(self.sizes - ({"backward"} if filters else set())):
            if not getattr(config, size):
                raise ModelError(f"{name}: {size} must be positive, as the model has such a part")
        for size in sorted(_ALL_SIZES - self.sizes):
            if getattr(config, size):
                raise ModelError(f"{name} has no part of size {size}: set it to 0")

    def _check_input(self, x: Tensor, mask: Tensor, noise: Tensor | None) -> None:
        frame_size, latent_size, name = self.config.frame_size, self.latent_size, self.config.name
        if x.dim() != 3 or len(x) == 0 or x.shape[-1] != frame_size:
            raise ModelError(f"{name}: expected frames [T, B, {frame_size}] with T >= 1, got {list(x.shape)}")
        if mask.shape != x.shape[:2]:
            raise ModelError(f"{name}: expected a mask {list(x.shape[:2])} for these frames, got {list(mask.shape)}")
        if not latent_size and noise is not None:
            raise ModelError(f"{name} has no latent: its likelihood is exact and takes no noise")
        if latent_size and noise is None:
            raise ModelError(
                f"{name} has a latent: its likelihood is bounded, not exact, and needs noise [T, B, {latent_size}]"
            )
        if noise is not None and not _fits(noise, x, latent_size):
            expected = [*x.shape[:2], latent_size]
            raise ModelError(
                f"{name}: expected noise {expected}, or so many columns for every sample, for these frames, "
                f"got {list(noise.shape)}"
            )

    def _check_sampling(self, length: int, count: int, temperature: float) -> None:
        if length < 1 or count < 1:
            raise ModelError(f"expected at least one frame and one sequence to sample, got {length} and {count}")
        if not (temperature > 0 and math.isfinite(temperature)):
            raise ModelError(f"temperature: expected a positive finite number, got {temperature}")


_ALL_SIZES = frozenset({"hidden", "phi_x", "phi_z", "encoder", "prior", "decoder", "latent", "backward", "context"})
"""The sizes that belong to a family; the others belong to every model, or to its emission."""


def _fits(noise: Tensor, x: Tensor, latent_size: int) -> bool:
    length, sequences = x.shape[:2]
    columns = noise.shape[1] if noise.dim() == 3 else 0
    return noise.shape == (length, columns, latent_size) and columns >= sequences and not columns % max(sequences, 1)


def log_emission(head: FrameHead, features: Tensor, x: Tensor) -> Tensor:
    """Log p(x_t | features_t) of all frames, `[T, B]`, from features `[T, B, F]` and frames `[T, B, D]`.

    Worked in blocks of frames: a mixture over 200 samples has thousands of parameters a frame, and one pass over a
    whole batch of them is bound by fresh memory, not by arithmetic. A block's temporaries are small enough to be used
    again.
    """
    size = max(1, _BLOCK_ELEMENTS // (x.shape[-1] * head.components))
    blocks = zip(features.flatten(0, 1).split(size), x.flatten(0, 1).split(size), strict=True)
    return torch.cat([head(block).log_prob(frames) for block, frames in blocks]).unflatten(0, x.shape[:2])
