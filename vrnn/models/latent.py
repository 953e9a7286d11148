"""Models with a latent at every frame: one pass through time, written once for all of them.

A family says what it can work out for all frames before the loop (`evidence`), what one frame of the loop does
(`advance`), and what follows from its trace (`decode`, `divergence`). The loop holds only what depends on the frame
before; the likelihood and the divergence run once on all frames. A particle filter uses the same four parts one
frame at a time.

Shapes: T frames, B sequences, D frame size, Z latent size, F features.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from vrnn.distributions import DiagonalGaussian
from vrnn.models.base import SequenceModel, State, Terms, log_emission

__all__ = ["Evidence", "LatentModel", "Trace", "gaussian_divergence"]

Evidence: TypeAlias = tuple[Tensor, ...]
"""What is known of the frames before the loop, each `[T, B, ...]`; of one frame, `[B, ...]`."""

Trace: TypeAlias = tuple[Tensor, ...]
"""What the loop leaves behind, each `[T, B, ...]`; of one frame, `[B, ...]`."""


class LatentModel(SequenceModel):
    """A density over sequences that is bounded by a posterior q(z | x) = prod_t q(z_t | z_<t, x)."""

    @abstractmethod
    def evidence(self, x: Tensor, mask: Tensor, state: State) -> Evidence:
        """What the posterior and the recurrence make of frames `x [T, B, D]` without any latent."""

    @abstractmethod
    def advance(self, evidence: Evidence, noise: Tensor, state: State) -> tuple[Trace, State]:
        """One frame: its latent from `noise [B, Z]`, and the state after it."""

    @abstractmethod
    def decode(self, trace: Trace) -> Tensor:
        """Features `[..., F]` of the emissions."""

    @abstractmethod
    def divergence(self, trace: Trace, noise: Tensor) -> tuple[Tensor, Tensor]:
        """KL(q || p) and log p(z) - log q(z) of every frame at the latents made from `noise [..., Z]`, each `[...]`."""

    def forward(self, x: Tensor, mask: Tensor, noise: Tensor | None = None, state: State | None = None) -> Terms:
        """The terms at the latents that `noise` stands for; see `SequenceModel.forward`."""
        trace, noise, state = self._follow(x, mask, noise, state)
        kl, log_ratio = self.divergence(trace, noise)
        return Terms(log_emission(self.emission, self.decode(trace), x), kl, log_ratio, state)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
        """The expected frames `[T, B, D]` given latents of the posterior and the real frames before each."""
        trace, _, _ = self._follow(x, mask, noise, None)
        return torch.stack([self.emission(features).mean for features in self.decode(trace).unbind()])

    def _follow(
        self, x: Tensor, mask: Tensor, noise: Tensor | None, state: State | None
    ) -> tuple[Trace, Tensor, State]:
        self._check_input(x, mask, noise)
        assert noise is not None
        state = self.initial_state(x.shape[1]) if state is None else state
        traces: list[Trace] = []
        evidence = self.evidence(x, mask, state)
        for *evidence_t, noise_t in zip(*(e.unbind() for e in evidence), noise.unbind(), strict=True):
            trace, state = self.advance(tuple(evidence_t), noise_t, state)
            traces.append(trace)
        return _stack(traces), noise, state


def gaussian_divergence(posterior: DiagonalGaussian, prior: DiagonalGaussian, noise: Tensor) -> tuple[Tensor, Tensor]:
    """`LatentModel.divergence` of a diagonal Gaussian posterior and prior, at posterior.at(noise)."""
    log_ratio = prior.log_prob(posterior.at(noise)) - posterior.log_prob_at(noise)
    return posterior.kl(prior), log_ratio


def _stack(traces: Sequence[Trace]) -> Trace:
    return tuple(torch.stack(parts) for parts in zip(*traces, strict=True))
