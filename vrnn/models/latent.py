"""Models with a latent at every frame, written as four equations.

    prior        p(z_t | z_<t, x_<t)       `prior_at`
    posterior    q(z_t | z_<t, x)          `posterior_at`
    emission     p(x_t | z_<=t, x_<t)      `decode`, then the head `emission`
    recurrence   s_t from s_{t-1}, x_t, z_t   `update_state`

`step` puts them together and is the reference. Every pass has two halves: `encode` works out what depends on the frames
alone, once for all frames, and `infer_latents` runs over time, for K samples or particles of each sequence. By default
the second half loops over `step`. A family may override both with a scan, whose loop holds only what depends on the
frame before. A particle filter calls the second half frame by frame.

Shapes: T frames, B sequences, D frame size, Z latent size, F features, K samples or particles of a sequence.
"""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from vrnn.models.base import SequenceModel, StateT, Step, Terms
from vrnn.nn.distributions import DiagonalGaussian
from vrnn.nn.named_tensors import NamedTensors

__all__ = ["LatentModel", "divergences"]


@dataclass(frozen=True, eq=False)
class _PlainFrames(NamedTensors):
    """What a model without an encoding of its own hands to its steps: the frames, and what `read_future` gives."""

    x: Tensor
    future: Tensor | None


class LatentModel(SequenceModel[StateT]):
    """A density over sequences that is bounded by a posterior q(z | x) = prod_t q(z_t | z_<t, x)."""

    @abstractmethod
    def prior_at(self, state: StateT) -> DiagonalGaussian:
        """p(z_t | z_<t, x_<t), `[B, Z]`, from the state before the frame."""

    @abstractmethod
    def posterior_at(self, x_t: Tensor, state: StateT, future_t: Tensor | None) -> DiagonalGaussian:
        """q(z_t | z_<t, x), `[B, Z]`, from the frame, the state before it, and what `read_future` gives for it."""

    @abstractmethod
    def decode(self, z_t: Tensor, state: StateT) -> Tensor:
        """Features `[B, F]` of the emission p(x_t | z_<=t, x_<t)."""

    @abstractmethod
    def update_state(self, x_t: Tensor, z_t: Tensor, state: StateT) -> StateT:
        """The state after the frame `x_t [B, D]` with its latent `z_t [B, Z]`."""

    def step(
        self, x_t: Tensor, state: StateT, noise_t: Tensor | None = None, future_t: Tensor | None = None
    ) -> tuple[Step, StateT]:
        """One frame with a latent from the posterior; see `SequenceModel.step`."""
        assert noise_t is not None
        prior = self.prior_at(state)
        posterior = self.posterior_at(x_t, state, future_t)
        z_t = posterior.at(noise_t)
        features = self.decode(z_t, state)
        kl, log_ratio = divergences(posterior, prior, noise_t)
        return Step(features, kl, log_ratio, posterior.mean), self.update_state(x_t, z_t, state)

    def sample_step(self, state: StateT, generator: torch.Generator, temperature: float) -> tuple[Tensor, StateT]:
        """z_t ~ p(z_t | z_<t, x_<t), x_t ~ p(x_t | z_<=t, x_<t), and the state after them."""
        z_t = self.prior_at(state).sample(generator)
        x_t = self.emission(self.decode(z_t, state)).sample(generator, temperature)
        return x_t, self.update_state(x_t, z_t, state)

    def encode(self, x: Tensor, mask: Tensor, state: StateT) -> tuple[NamedTensors, StateT]:
        """What posterior and recurrence make of frames `x [T, B, D]` without any latent, each tensor `[T, B, ...]`.

        Returns:
            The encoded frames, and `state` in which the parts that no latent touches are those after the last frame.
        """
        return _PlainFrames(x, self.read_future(x, mask, state)), state

    def infer_latents(self, encoded: NamedTensors, noise: Tensor, state: StateT) -> tuple[Step, StateT]:
        """The latents of all encoded frames, one after another, and what follows from them.

        Args:
            encoded: what `encode` gave for the B sequences, or some of its frames.
            noise: `[T, K B, Z]`, sample k of sequence b at column k * B + b.
            state: the state of the K B columns; the parts that no latent touches are passed on as they are.

        Returns:
            The steps of all frames, `[T, K B, ...]`, and the state after the last.
        """
        assert isinstance(encoded, _PlainFrames)
        return self.run_steps(encoded.x, state, noise, encoded.future)

    def forward(self, x: Tensor, mask: Tensor, noise: Tensor | None = None, state: StateT | None = None) -> Terms:
        """The terms at the latents that `noise` stands for; see `SequenceModel.forward`."""
        frames, state = self._infer(x, mask, noise, state)
        return self._terms(x, frames, state)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
        """The expected frames `[T, B, D]` given latents of the posterior and the real frames before each."""
        frames, _ = self._infer(x, mask, noise, None)
        return torch.stack([self.emission(features).mean for features in frames.features.unbind()])

    @torch.no_grad()
    def latent_path(self, x: Tensor, mask: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The latent along real frames: KL(q || p), `[T, B]`, and the posterior's mean, `[T, B, Z]`.

        These are the quantities of Chung et al. (2015), figure 1.
        """
        frames, _ = self._infer(x, mask, noise, None)
        assert frames.kl is not None
        assert frames.posterior_mean is not None
        return frames.kl, frames.posterior_mean

    def _infer(self, x: Tensor, mask: Tensor, noise: Tensor | None, state: StateT | None) -> tuple[Step, StateT]:
        self._check_input(x, mask, noise)
        assert noise is not None
        encoded, state = self.encode(x, mask, self.initial_state(x.shape[1]) if state is None else state)
        return self.infer_latents(encoded, noise, state.tile(noise.shape[1]))


def divergences(posterior: DiagonalGaussian, prior: DiagonalGaussian, noise: Tensor) -> tuple[Tensor, Tensor]:
    """KL(q || p), and log p(z) - log q(z) at z = posterior.at(noise), each `[...]` in nats."""
    log_ratio = prior.log_prob(posterior.at(noise)) - posterior.log_prob_at(noise)
    return posterior.kl(prior), log_ratio
