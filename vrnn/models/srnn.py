"""SRNN (Fraccaro et al. 2016): a deterministic recurrence below, a chain of latents above, a smoothing posterior.

    recurrence  h_t = LSTM(phi_x(x_t), h_{t-1}),  h_0 = 0                       (knows no latent)
    prior       z_t | z_{t-1}, h_{t-1}  ~ N(mu_p, diag sigma_p^2)               from prior(h_{t-1}, z_{t-1}),  z_0 = 0
    emission    x_t | z_t, h_{t-1}      ~ emission(decoder(z_t, h_{t-1}))
    backward    a_t = LSTM([phi_x(x_t), h_{t-1}], a_{t+1}),  a_{T+1} = 0
    posterior   z_t | z_{t-1}, x        ~ N(mu_p + r, diag sigma_q^2)           r, sigma_q from encoder(a_t, z_{t-1})

The posterior's mean is a residual on the prior's (their section 3.2). Their d_t, which has read x_{t-1}, is h_{t-1}
here, so that frame t is predicted from h_{t-1} in every model.

Shapes: T frames, B sequences, D frame size, Z latent size, H hidden units, A backward units.
"""

import torch
from torch import Tensor

from vrnn.distributions import DiagonalGaussian
from vrnn.emissions import frame_head
from vrnn.heads import GaussianHead
from vrnn.models.base import State
from vrnn.models.config import ModelConfig
from vrnn.models.latent import Evidence, LatentModel, Trace, gaussian_divergence
from vrnn.networks import MLP
from vrnn.recurrence import LSTM

__all__ = ["SRNN"]


class SRNN(LatentModel):
    """The stochastic recurrent network with its smoothing, residual posterior."""

    sizes = frozenset({"hidden", "phi_x", "encoder", "prior", "decoder", "latent", "backward"})

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__(config, generator)
        depth, floor = config.depth, config.sigma_floor
        self.phi_x = MLP([config.frame_size], config.phi_x, depth, generator)
        self.lstm = LSTM([config.phi_x], config.hidden, generator)
        self.backward_lstm = LSTM([config.phi_x, config.hidden], config.backward, generator)
        self.prior_network = MLP([config.hidden, config.latent], config.prior, depth, generator)
        self.prior = GaussianHead(config.prior, config.latent, floor, generator)
        self.encoder = MLP([config.backward, config.latent], config.encoder, depth, generator)
        self.posterior = GaussianHead(config.encoder, config.latent, floor, generator)
        self.decoder = MLP([config.latent, config.hidden], config.decoder, depth, generator)
        self.emission = frame_head(config, config.decoder, generator)

    def initial_state(self, sequences: int) -> State:
        """h_0 = c_0 = 0 and z_0 = 0."""
        h, c = self.lstm.initial_state(sequences)
        return h, c, h.new_zeros(sequences, self.config.latent)

    def evidence(self, x: Tensor, mask: Tensor, state: State) -> Evidence:
        """h_{t-1}, then h_t and c_t, and what h_{t-1} gives to the prior and a_t to the encoder (first layers)."""
        h, c, _ = state
        frames = self.phi_x(x)
        states = self.lstm(self.lstm.project(frames), (h, c))
        hidden, cells = (torch.stack(part) for part in zip(*states, strict=True))
        before = hidden[:-1]
        backward = self.backward_lstm.reversed(self.backward_lstm.project(frames, before), mask)
        return before, hidden[1:], cells[1:], self.prior_network.first(before), self.encoder.first(backward)

    def advance(self, evidence: Evidence, noise: Tensor, state: State) -> tuple[Trace, State]:
        """The trace is h_{t-1}, z_t, mu_q, sigma_q, mu_p and sigma_p."""
        before, h, c, from_hidden, from_ahead = evidence
        previous = state[-1]
        prior = self.prior(self.prior_network.activate(self.prior_network.first.add(from_hidden, 1, previous)))
        residual = self.posterior(self.encoder.activate(self.encoder.first.add(from_ahead, 1, previous)))
        posterior = DiagonalGaussian(prior.mean + residual.mean, residual.std)
        latent = posterior.at(noise)
        return (before, latent, posterior.mean, posterior.std, prior.mean, prior.std), (h, c, latent)

    def decode(self, trace: Trace) -> Tensor:
        """decoder(z_t, h_{t-1})."""
        hidden, latent, *_ = trace
        return self.decoder(latent, hidden)

    def divergence(self, trace: Trace, noise: Tensor) -> tuple[Tensor, Tensor]:
        """See `LatentModel.divergence`."""
        _, _, mean, std, prior_mean, prior_std = trace
        return gaussian_divergence(DiagonalGaussian(mean, std), DiagonalGaussian(prior_mean, prior_std), noise)

    def predict(self, state: State, generator: torch.Generator) -> tuple[Tensor, State]:
        """Features of the next frame at a latent from the prior, and that latent."""
        h, _, previous = state
        latent = self.prior(self.prior_network(h, previous)).sample(generator)
        return self.decoder(latent, h), (latent,)

    def absorb(self, frame: Tensor, latent: State, state: State) -> State:
        """The state after `frame [B, D]` and its latent."""
        h, c, _ = state
        h, c = self.lstm.step(self.lstm.project(self.phi_x(frame)), (h, c))
        return h, c, *latent
