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

from vrnn.models.base import State
from vrnn.models.config import ModelConfig
from vrnn.models.latent import Evidence, LatentModel, Trace, gaussian_divergence, tiled
from vrnn.nn.distributions import DiagonalGaussian
from vrnn.nn.emissions import frame_head
from vrnn.nn.heads import GaussianHead
from vrnn.nn.lstm import LSTM
from vrnn.nn.mlp import MLP
from vrnn.scan.scan_ops import network
from vrnn.scan.time_loop import Program, scan

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

    def evidence(self, x: Tensor, mask: Tensor, state: State) -> tuple[Evidence, State]:
        """What h_{t-1} gives to prior and decoder, and a_t to the encoder, in their first layers; h and c."""
        h, c, _ = state
        frames = self.phi_x(x)
        before, last = self.lstm.read(frames, (h, c))
        backward = self.backward_lstm.reversed(self.backward_lstm.project(frames, before), mask)
        return (
            self.prior_network.first(before),
            self.encoder.first(backward),
            self.decoder.first.share(1, before),
        ), last

    def follow(self, evidence: Evidence, noise: Tensor, state: State) -> tuple[Trace, State]:
        """The trace is what h_{t-1} gives to the decoder, z_t, mu_q, sigma_q, mu_p and sigma_p."""
        operations = (
            *network(self.prior_network, "prior", source="z", base="from_hidden"),
            self.prior.step_on("prior", to="_p"),
            *network(self.encoder, "encoder", source="z", base="from_ahead"),
            self.posterior.step_on("encoder", to="_q", latent="z_next", residual="mean_p"),
        )
        program = Program(operations, {"z": "z_next"}, ("z_next", "mean_q", "std_q", "mean_p", "std_p"))
        from_hidden, from_ahead, to_decoder = evidence
        bases = {"from_hidden": from_hidden, "from_ahead": from_ahead}
        outputs, state = scan(program, bases, {"z": state[-1]}, {"noise": noise})
        return (to_decoder, *outputs), state

    def decode(self, trace: Trace) -> Tensor:
        """decoder(z_t, h_{t-1})."""
        to_decoder, latent, *_ = trace
        return self.decoder.activate(self.decoder.first(latent) + tiled(to_decoder, latent.shape[1]))

    def divergence(self, trace: Trace, noise: Tensor) -> tuple[Tensor, Tensor]:
        """See `LatentModel.divergence`."""
        _, _, mean, std, prior_mean, prior_std = trace
        return gaussian_divergence(DiagonalGaussian(mean, std), DiagonalGaussian(prior_mean, prior_std), noise)

    def posterior_mean(self, trace: Trace) -> Tensor:
        """mu_q, which holds mu_p already."""
        return trace[2]

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
