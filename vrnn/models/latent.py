"""Models with a latent at every frame: one pass through time, written once for all of them.

A family says what it can work out for all frames before the loop (`evidence`), what the loop does with it
(`follow`), and what comes of its trace (`decode`, `divergence`). The loop holds only what depends on the frame
before; the likelihood and the divergence run once on all frames. A particle filter uses the same four parts one
frame at a time.

Shapes: T frames, B sequences, D frame size, Z latent size, F features, K particles of a sequence.
"""

from abc import abstractmethod
from typing import TypeAlias

import torch
from torch import Tensor

from vrnn.models.base import SequenceModel, State, Terms, log_emission
from vrnn.nn.distributions import DiagonalGaussian

__all__ = ["Evidence", "LatentModel", "Trace", "gaussian_divergence", "tiled", "tiled_state"]

Evidence: TypeAlias = tuple[Tensor, ...]
"""What is known of the frames before the loop, each `[T, B, ...]`."""

Trace: TypeAlias = tuple[Tensor, ...]
"""What the loop leaves behind, each `[T, K B, ...]`, or `[T, B, ...]` where no latent has touched it."""


class LatentModel(SequenceModel):
    """A density over sequences that is bounded by a posterior q(z | x) = prod_t q(z_t | z_<t, x)."""

    @abstractmethod
    def evidence(self, x: Tensor, mask: Tensor, state: State) -> tuple[Evidence, State]:
        """What the posterior and the recurrence make of frames `x [T, B, D]` without any latent.

        Returns:
            The evidence, and the leading parts of the state after the last frame that no latent has touched.
        """

    @abstractmethod
    def follow(self, evidence: Evidence, noise: Tensor, state: State) -> tuple[Trace, State]:
        """The latents from `noise [T, K B, Z]`, K particles of each sequence beside one another.

        Args:
            evidence: of the B sequences.
            noise: particle k of sequence b at column k * B + b.
            state: of the K B particles, without the parts that no latent touches.

        Returns:
            The trace, and such a state after the last frame.
        """

    @abstractmethod
    def decode(self, trace: Trace) -> Tensor:
        """Features `[..., F]` of the emissions."""

    @abstractmethod
    def divergence(self, trace: Trace, noise: Tensor) -> tuple[Tensor, Tensor]:
        """KL(q || p) and log p(z) - log q(z) of every frame at the latents made from `noise [..., Z]`, each `[...]`."""

    @abstractmethod
    def posterior_mean(self, trace: Trace) -> Tensor:
        """The mean of q(z_t | z_<t, x) of every frame, `[..., Z]`, in the coordinates of z."""

    def forward(self, x: Tensor, mask: Tensor, noise: Tensor | None = None, state: State | None = None) -> Terms:
        """The terms at the latents that `noise` stands for; see `SequenceModel.forward`."""
        trace, noise, state = self._follow(x, mask, noise, state)
        kl, log_ratio = self.divergence(trace, noise)
        features = self.decode(trace)
        return Terms(log_emission(self.emission, features, tiled(x, features.shape[1])), kl, log_ratio, state)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
        """The expected frames `[T, B, D]` given latents of the posterior and the real frames before each."""
        trace, _, _ = self._follow(x, mask, noise, None)
        return torch.stack([self.emission(features).mean for features in self.decode(trace).unbind()])

    @torch.no_grad()
    def latent_path(self, x: Tensor, mask: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """What the latent does along real frames: KL(q || p), `[T, B]`, and the posterior's mean, `[T, B, Z]`.

        The quantities of Chung et al. (2015), figure 1.
        """
        trace, noise, _ = self._follow(x, mask, noise, None)
        kl, _ = self.divergence(trace, noise)
        return kl, self.posterior_mean(trace)

    def _follow(
        self, x: Tensor, mask: Tensor, noise: Tensor | None, state: State | None
    ) -> tuple[Trace, Tensor, State]:
        self._check_input(x, mask, noise)
        assert noise is not None
        state = self.initial_state(x.shape[1]) if state is None else state
        evidence, untouched = self.evidence(x, mask, state)
        trace, touched = self.follow(evidence, noise, tiled_state(state[len(untouched) :], noise.shape[1]))
        return trace, noise, (*tiled_state(untouched, noise.shape[1]), *touched)


def tiled(values: Tensor, columns: int) -> Tensor:
    """`values [T, B, ...]` of sequences for each of their particles, `[T, K B, ...]` where `columns` is K B."""
    if values.shape[1] == columns:
        return values
    return values.repeat(1, columns // values.shape[1], *[1] * (values.dim() - 2))


def tiled_state(state: State, columns: int) -> State:
    """A state of B sequences for each of their particles, K B of them where `columns` is K B."""
    return tuple(tiled(part.unsqueeze(0), columns).squeeze(0) for part in state)


def gaussian_divergence(posterior: DiagonalGaussian, prior: DiagonalGaussian, noise: Tensor) -> tuple[Tensor, Tensor]:
    """`LatentModel.divergence` of a diagonal Gaussian posterior and prior, at posterior.at(noise)."""
    log_ratio = prior.log_prob(posterior.at(noise)) - posterior.log_prob_at(noise)
    return posterior.kl(prior), log_ratio
