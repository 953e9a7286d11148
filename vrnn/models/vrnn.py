"""The VRNN (Chung et al. 2015, equations 5 to 9 and 11), with a posterior that filters or smooths, and VRNN-I.

    prior       z_t | h_{t-1}       ~ N(mu_p, diag sigma_p^2)   from prior(h_{t-1});  VRNN-I: N(0, I)
    emission    x_t | z_t, h_{t-1}  ~ emission(decoder(phi_z(z_t), h_{t-1}))
    recurrence  h_t = LSTM([phi_x(x_t), phi_z(z_t)], h_{t-1}),  h_0 = 0
    posterior   z_t | x_t, h_{t-1}  ~ N(mu_q, diag sigma_q^2)   from encoder(phi_x(x_t), h_{t-1})
    smoothing   z_t | x, h_{t-1}    ~ N(mu_q, diag sigma_q^2)   from encoder(phi_x(x_t), b_{t+1}, h_{t-1})
                b_t = LSTM(phi_x(x_t), b_{t+1}),  b_{T+1} = 0

The smoothing posterior has the filtering one's inputs and one more: the generative model is the same, and the
filtering family lies within the smoothing one.

As in the released code, only h (never the cell) feeds the networks. Only the posterior, phi_z and the LSTM depend on
the step before: they make the time loop. phi_x, its products with the encoder and the LSTM, the prior, the decoder,
the divergence and the likelihood run once on all frames.

Shapes: T frames, B sequences, D frame size, Z latent size, H hidden units.
"""

import torch
from torch import Tensor
from torch.nn import functional

from vrnn.models.base import State
from vrnn.models.config import ModelConfig
from vrnn.models.latent import Evidence, LatentModel, Trace, gaussian_divergence
from vrnn.nn.distributions import DiagonalGaussian
from vrnn.nn.emissions import frame_head
from vrnn.nn.heads import GaussianHead
from vrnn.nn.lstm import LSTM, LSTM_CARRIED
from vrnn.nn.mlp import MLP
from vrnn.scan.scan_ops import network
from vrnn.scan.time_loop import Program, scan

__all__ = ["VRNN", "VRNNI"]


class VRNN(LatentModel):
    """The VRNN with a learned prior; `config.backward` tells a smoothing posterior from a filtering one."""

    sizes = frozenset({"hidden", "phi_x", "phi_z", "encoder", "prior", "decoder", "latent", "backward"})
    can_smooth = True

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__(config, generator)
        depth, floor = config.depth, config.sigma_floor
        self.phi_x = MLP([config.frame_size], config.phi_x, depth, generator)
        self.phi_z = MLP([config.latent], config.phi_z, depth, generator)
        self.lstm = LSTM([config.phi_x, config.phi_z], config.hidden, generator)
        ahead = [config.backward] if config.backward else []
        self.backward_lstm = LSTM([config.phi_x], config.backward, generator) if config.backward else None
        self.encoder = MLP([config.phi_x, *ahead, config.hidden], config.encoder, depth, generator)
        self.posterior = GaussianHead(config.encoder, config.latent, floor, generator)
        self._build_prior(config, generator)
        self.decoder = MLP([config.phi_z, config.hidden], config.decoder, depth, generator)
        self.emission = frame_head(config, config.decoder, generator)

    def _build_prior(self, config: ModelConfig, generator: torch.Generator) -> None:
        self.prior_network = MLP([config.hidden], config.prior, config.depth, generator)
        self.prior = GaussianHead(config.prior, config.latent, config.sigma_floor, generator)

    def prior_given(self, hidden: Tensor) -> DiagonalGaussian:
        """p(z_t | h_{t-1}), `[..., Z]`, from `hidden [..., H]`."""
        return self.prior(self.prior_network(hidden))

    def initial_state(self, sequences: int) -> State:
        """h_0 = c_0 = 0."""
        return self.lstm.initial_state(sequences)

    def evidence(self, x: Tensor, mask: Tensor, state: State) -> tuple[Evidence, State]:
        """What the frames give to the encoder's first layer, `[T, B, encoder]`, and to the gates, `[T, B, 4H]`."""
        frames = self.phi_x(x)
        seen = [frames]
        if self.backward_lstm is not None:
            backward = self.backward_lstm.reversed(self.backward_lstm.project(frames), mask)
            seen.append(functional.pad(backward[1:], (0, 0, 0, 0, 0, 1)))
        return (self.encoder.first(*seen), self.lstm.project(frames)), ()

    def follow(self, evidence: Evidence, noise: Tensor, state: State) -> tuple[Trace, State]:
        """The trace is h_{t-1}, phi_z(z_t), mu_q and sigma_q."""
        operations = (
            *network(self.encoder, "encoder", source="h", base="seen"),
            self.posterior.step_on("encoder", latent="z"),
            *network(self.phi_z, "phi_z", source="z"),
            self.lstm.step_on("phi_z"),
        )
        program = Program(operations, LSTM_CARRIED, ("h", "phi_z", "mean", "std"))
        seen, projected = evidence
        h, c = state
        return scan(program, {"seen": seen, "projected": projected}, {"h": h, "c": c}, {"noise": noise})

    def decode(self, trace: Trace) -> Tensor:
        """decoder(phi_z(z_t), h_{t-1})."""
        hidden, features, _, _ = trace
        return self.decoder(features, hidden)

    def divergence(self, trace: Trace, noise: Tensor) -> tuple[Tensor, Tensor]:
        """See `LatentModel.divergence`."""
        hidden, _, mean, std = trace
        return gaussian_divergence(DiagonalGaussian(mean, std), self.prior_given(hidden), noise)

    def posterior_mean(self, trace: Trace) -> Tensor:
        """mu_q."""
        return trace[2]

    def predict(self, state: State, generator: torch.Generator) -> tuple[Tensor, State]:
        """Features of the next frame at a latent from the prior, and phi_z of that latent."""
        features = self.phi_z(self.prior_given(state[0]).sample(generator))
        return self.decoder(features, state[0]), (features,)

    def absorb(self, frame: Tensor, latent: State, state: State) -> State:
        """The LSTM's state after `frame [B, D]` and its latent."""
        h, c = state
        return self.lstm.step(self.lstm.project(self.phi_x(frame), *latent), (h, c))


class VRNNI(VRNN):
    """VRNN-I: the same model with the prior N(0, I) at every frame."""

    sizes = VRNN.sizes - {"prior"}

    def _build_prior(self, config: ModelConfig, generator: torch.Generator) -> None:
        pass

    def prior_given(self, hidden: Tensor) -> DiagonalGaussian:
        """N(0, I), whatever `hidden [..., H]` is."""
        zeros = hidden.new_zeros(*hidden.shape[:-1], self.config.latent)
        return DiagonalGaussian(zeros, torch.ones_like(zeros))
