"""The base of all models: one eager step, and the passes, samples and checks that are built on it.

A family says in `step` what happens at one frame, in the order of its equations. `forward_by_steps` loops over it and
is the reference for every family. `forward` is the same by default; a family may replace it by something faster, such
as a scan (`vrnn.scan.time_loop`), which the tests compare with the reference. Samples use the parts of the step.

A model knows frames, their mask and noise; it knows nothing of corpora or estimators. `vrnn.likelihood` turns the terms
into likelihoods, so that an estimator is written once for all models. The generative part of every model is causal: the
distribution of a frame does not depend on later frames. Only a smoothing posterior reads later frames (`read_future`).

A pass that starts from the state that an earlier pass ended with continues the same sequences. Training on long
recordings and the continuation of a given beginning rely on this.

Shapes: T frames, B sequences, D frame size, Z latent size, F features. All tensors are time-major, `[T, B, ...]`.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from vrnn.errors import ModelError
from vrnn.models.config import EMISSIONS, SMOOTHING, ModelConfig
from vrnn.models.emission import log_emission
from vrnn.nn.heads import FrameHead
from vrnn.nn.named_tensors import NamedTensors, State
from vrnn.scan.packed_weights import unchanging_weights
from vrnn.scan.time_loop import tile

__all__ = ["ExactModel", "SequenceModel", "State", "StateT", "Step", "Terms"]

StateT = TypeVar("StateT", bound=State)


@dataclass(frozen=True, eq=False)
class Step(NamedTensors):
    """What a model gives at one frame, each `[B, ...]`, or at all frames, each `[T, B, ...]`.

    Attributes:
        features: what the emission of the frame is computed from, `[..., F]`.
        kl: KL(q(z_t | ...) || p(z_t | ...)), analytic; None without a latent.
        log_ratio: log p(z_t | ...) - log q(z_t | ...) at the sampled z_t; None without a latent.
        posterior_mean: the mean of q(z_t | ...), `[..., Z]`; None without a latent.
    """

    features: Tensor
    kl: Tensor | None = None
    log_ratio: Tensor | None = None
    posterior_mean: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Terms:
    """Log terms of every frame in nats, `[T, B]`, at one sample z of the posterior.

    Attributes:
        log_emission: log p(x_t | z_<=t, x_<t).
        kl: KL(q(z_t | ...) || p(z_t | ...)), analytic; None without a latent.
        log_ratio: log p(z_t | ...) - log q(z_t | ...) at the sampled z_t; None without a latent.
        state: the state after the last frame; it has no meaning for a sequence that ended earlier.
    """

    log_emission: Tensor
    kl: Tensor | None = None
    log_ratio: Tensor | None = None
    state: State = field(default_factory=State)


class SequenceModel(nn.Module, ABC, Generic[StateT]):
    """A density over sequences of frames.

    Class attributes:
        sizes: the sizes of `ModelConfig` that the family has; all others must be 0.
        emissions: the emissions that the family supports.
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
    def initial_state(self, sequences: int) -> StateT:
        """The state before the first frame of so many sequences."""

    @abstractmethod
    def step(
        self, x_t: Tensor, state: StateT, noise_t: Tensor | None = None, future_t: Tensor | None = None
    ) -> tuple[Step, StateT]:
        """One frame, written as the model's equations read.

        Args:
            x_t: the frame, `[B, D]`.
            state: the state before the frame.
            noise_t: standard normal `[B, Z]` that the latent is reparameterised from; None where Z = 0.
            future_t: what `read_future` gives for this frame.

        Returns:
            The frame's features and divergences, and the state after the frame.
        """

    @abstractmethod
    def sample_step(self, state: StateT, generator: torch.Generator, temperature: float) -> tuple[Tensor, StateT]:
        """A frame `[B, D]` drawn from the model, and the state after it."""

    def read_future(self, x: Tensor, mask: Tensor, state: StateT) -> Tensor | None:
        """What a smoothing posterior knows of later frames at each frame, `[T, B, ...]`; None for all other models."""
        return None

    def forward(self, x: Tensor, mask: Tensor, noise: Tensor | None = None, state: StateT | None = None) -> Terms:
        """The terms of frames `x [T, B, D]`.

        Args:
            x: normalised frames; padding may hold any finite value.
            mask: bool `[T, B]`, True at real frames, which come before all others of a sequence.
            noise: standard normal `[T, K B, Z]` that the latents are reparameterised from, for K samples of every
                sequence, sample k of sequence b at column k * B + b; None where Z = 0. The terms have the same columns.
            state: the state that an earlier part of these sequences ended with; None at their beginning.

        Raises:
            ModelError: a shape does not fit, or noise is missing or not wanted.
        """
        return self.forward_by_steps(x, mask, noise, state)

    def forward_by_steps(
        self, x: Tensor, mask: Tensor, noise: Tensor | None = None, state: StateT | None = None
    ) -> Terms:
        """The reference for `forward`: a loop over `step`, with autograd behind it."""
        self._check_input(x, mask, noise)
        state = self.initial_state(x.shape[1]) if state is None else state
        frames, state = self.run_steps(x, state, noise, self.read_future(x, mask, state))
        return self._terms(x, frames, state)

    def run_steps(
        self, x: Tensor, state: StateT, noise: Tensor | None = None, future: Tensor | None = None
    ) -> tuple[Step, StateT]:
        """`step` at every frame of `x [T, B, D]` for each of the K samples in `noise [T, K B, Z]`.

        The state may be that of the B sequences, or of all K B columns.
        """
        columns = x.shape[1] if noise is None else noise.shape[1]
        x, future = tile(x, columns, 1), None if future is None else tile(future, columns, 1)
        state = state.tile(columns)
        steps: list[Step] = []
        for t, x_t in enumerate(x):
            noise_t, future_t = (None if given is None else given[t] for given in (noise, future))
            step, state = self.step(x_t, state, noise_t, future_t)
            steps.append(step)
        return Step.stack(steps), state

    @torch.no_grad()
    @unchanging_weights()
    def sample(
        self,
        length: int,
        count: int,
        generator: torch.Generator,
        temperature: float = 1.0,
        state: StateT | None = None,
    ) -> Tensor:
        """Frames drawn from the model one after another, `[length, count, D]`, without gradients.

        Args:
            length: frames of each sequence.
            count: sequences.
            generator: source of all randomness; the same generator state gives the same frames.
            temperature: below 1 narrows the emission, as `Emission.sample` says; latents are drawn as they are.
            state: the state of `count` sequences to continue; None starts from the beginning.

        Raises:
            ModelError: length or count is not positive, or temperature is not positive and finite.
        """
        if length < 1 or count < 1:
            raise ModelError(f"expected at least one frame and one sequence to sample, got {length} and {count}")
        if not (temperature > 0 and math.isfinite(temperature)):
            raise ModelError(f"temperature: expected a positive finite number, got {temperature}")
        state = self.initial_state(count) if state is None else state
        frames: list[Tensor] = []
        for _ in range(length):
            frame, state = self.sample_step(state, generator, temperature)
            frames.append(frame)
        return torch.stack(frames)

    def _terms(self, x: Tensor, frames: Step, state: StateT) -> Terms:
        x = tile(x, frames.features.shape[1], 1)
        return Terms(log_emission(self.emission, frames.features, x), frames.kl, frames.log_ratio, state)

    def _check_sizes(self) -> None:
        """Refuse a size that is missing, and one that the model would ignore."""
        config, name = self.config, self.config.name
        filters = self.can_smooth and not name.endswith(SMOOTHING)
        if filters and config.backward:
            raise ModelError(f"backward: a posterior that smooths is called {name}{SMOOTHING}; set it to 0 in {name}")
        for size in sorted(self.sizes - ({"backward"} if filters else set[str]())):
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
                f"{name}: expected noise {expected} for these frames, or that many columns for every sample, "
                f"got {list(noise.shape)}"
            )


class ExactModel(SequenceModel[StateT]):
    """A model without a latent: each frame is emitted from features of the state before it."""

    @abstractmethod
    def decode(self, state: StateT) -> Tensor:
        """Features `[B, F]` of the next frame's emission."""

    @abstractmethod
    def update_state(self, x_t: Tensor, state: StateT) -> StateT:
        """The state after the frame `x_t [B, D]`."""

    def step(
        self, x_t: Tensor, state: StateT, noise_t: Tensor | None = None, future_t: Tensor | None = None
    ) -> tuple[Step, StateT]:
        """p(x_t | x_<t), and the state after x_t; see `SequenceModel.step`."""
        return Step(self.decode(state)), self.update_state(x_t, state)

    def sample_step(self, state: StateT, generator: torch.Generator, temperature: float) -> tuple[Tensor, StateT]:
        """x_t ~ p(x_t | x_<t), and the state after it."""
        x_t = self.emission(self.decode(state)).sample(generator, temperature)
        return x_t, self.update_state(x_t, state)


_ALL_SIZES = frozenset({"hidden", "phi_x", "phi_z", "encoder", "prior", "decoder", "latent", "backward", "context"})
"""The sizes that belong to a family; the others belong to every model, or to its emission."""


def _fits(noise: Tensor, x: Tensor, latent_size: int) -> bool:
    length, sequences = x.shape[:2]
    columns = noise.shape[1] if noise.dim() == 3 else 0
    return noise.shape == (length, columns, latent_size) and columns >= sequences and not columns % max(sequences, 1)
