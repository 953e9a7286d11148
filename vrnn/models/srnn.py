"""SRNN (Fraccaro et al. 2016): a deterministic recurrence below, a chain of latents above, a smoothing posterior.

    recurrence  h_t = LSTM(phi_x(x_t), h_{t-1}),  h_0 = 0                       (no latent enters it)
    prior       z_t | z_{t-1}, h_{t-1}  ~ N(mu_p, diag sigma_p^2)               from prior(h_{t-1}, z_{t-1}),  z_0 = 0
    emission    x_t | z_t, h_{t-1}      ~ emission(decoder(z_t, h_{t-1}))
    backward    a_t = LSTM([phi_x(x_t), h_{t-1}], a_{t+1}),  a_{T+1} = 0
    posterior   z_t | z_{t-1}, x        ~ N(mu_p + r, diag sigma_q^2)           r, sigma_q from encoder(a_t, z_{t-1})

The posterior's mean is a residual on the prior's (their section 3.2). Their d_t, which has read x_{t-1}, is h_{t-1}
here, so that frame t is predicted from h_{t-1} in every model.

The recurrence runs before the latents, on the frames alone; only prior and posterior are in the time loop of
`infer_latents`.

Shapes: T frames, B sequences, D frame size, Z latent size, H hidden units, A backward units.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vrnn.models.base import Step
from vrnn.models.config import ModelConfig
from vrnn.models.emission import frame_head
from vrnn.models.latent import LatentModel, divergences
from vrnn.nn.distributions import DiagonalGaussian
from vrnn.nn.heads import GaussianHead
from vrnn.nn.lstm import LSTM, LSTMState
from vrnn.nn.mlp import MLP
from vrnn.nn.named_tensors import NamedTensors
from vrnn.scan.time_loop import Program, scan, tile

__all__ = ["SRNN"]


@dataclass(frozen=True, eq=False)
class SRNNState(LSTMState):
    """The LSTM's state and the last latent.

    Attributes:
        z: `[B, Z]`.
    """

    z: Tensor


@dataclass(frozen=True, eq=False)
class SRNNFrames(NamedTensors):
    """The share of the frames in the first layer of each network, bias included.

    Attributes:
        to_prior: of h_{t-1} in the prior's, `[T, B, prior]`.
        to_posterior: of a_t in the encoder's, `[T, B, encoder]`.
        to_decoder: of h_{t-1} in the decoder's, without its bias, `[T, B, decoder]`.
    """

    to_prior: Tensor
    to_posterior: Tensor
    to_decoder: Tensor


@dataclass(frozen=True, eq=False)
class SRNNTrace:
    """What the loop leaves of each frame, each `[T, B, Z]`: the latent, and what it was drawn from."""

    z: Tensor
    mean_q: Tensor
    std_q: Tensor
    mean_p: Tensor
    std_p: Tensor


class SRNN(LatentModel[SRNNState]):
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

    def initial_state(self, sequences: int) -> SRNNState:
        """h_0 = c_0 = 0 and z_0 = 0."""
        start = self.lstm.initial_state(sequences)
        return SRNNState(start.h, start.c, start.h.new_zeros(sequences, self.config.latent))

    def prior_at(self, state: SRNNState) -> DiagonalGaussian:
        """N(mu_p, diag sigma_p^2) from prior(h_{t-1}, z_{t-1})."""
        return self.prior(self.prior_network(state.h, state.z))

    def posterior_at(self, x_t: Tensor, state: SRNNState, future_t: Tensor | None) -> DiagonalGaussian:
        """N(mu_p + r, diag sigma_q^2) with r and sigma_q from encoder(a_t, z_{t-1}); a_t, `future_t`, has read x_t."""
        assert future_t is not None
        residual = self.posterior(self.encoder(future_t, state.z))
        return DiagonalGaussian(self.prior_at(state).mean + residual.mean, residual.std)

    def decode(self, z_t: Tensor, state: SRNNState) -> Tensor:
        """decoder(z_t, h_{t-1})."""
        return self.decoder(z_t, state.h)

    def update_state(self, x_t: Tensor, z_t: Tensor, state: SRNNState) -> SRNNState:
        """h_t = LSTM(phi_x(x_t), h_{t-1}), and z_t."""
        after = self.lstm.step(self.lstm.project(self.phi_x(x_t)), state)
        return SRNNState(after.h, after.c, z_t)

    def read_future(self, x: Tensor, mask: Tensor, state: SRNNState) -> Tensor | None:
        """a_t of every frame."""
        _, backward, _ = self._read(x, mask, state)
        return backward

    def encode(self, x: Tensor, mask: Tensor, state: SRNNState) -> tuple[NamedTensors, SRNNState]:
        """`SRNNFrames`, and the state with h and c after the last frame; see `LatentModel.encode`."""
        before, backward, last = self._read(x, mask, state)
        frames = SRNNFrames(
            to_prior=self.prior_network.first(before),
            to_posterior=self.encoder.first(backward),
            to_decoder=self.decoder.first.share(1, before),
        )
        return frames, SRNNState(last.h, last.c, state.z)

    def infer_latents(self, encoded: NamedTensors, noise: Tensor, state: SRNNState) -> tuple[Step, SRNNState]:
        """The loop over prior and posterior, then the decoder for all frames; see `LatentModel.infer_latents`."""
        assert isinstance(encoded, SRNNFrames)
        operations = (
            *self.prior_network.operations("prior", source="z", base="to_prior"),
            self.prior.operation("prior", suffix="_p"),
            *self.encoder.operations("encoder", source="z", base="to_posterior"),
            self.posterior.operation("encoder", suffix="_q", latent="z_next", residual="mean_p"),
        )
        program = Program(operations, {"z": "z_next"}, ("z_next", "mean_q", "std_q", "mean_p", "std_p"))
        bases = {"to_prior": encoded.to_prior, "to_posterior": encoded.to_posterior}
        outputs, (z,) = scan(program, bases, {"z": state.z}, {"noise": noise})
        trace = SRNNTrace(*outputs)
        posterior = DiagonalGaussian(trace.mean_q, trace.std_q)
        kl, log_ratio = divergences(posterior, DiagonalGaussian(trace.mean_p, trace.std_p), noise)
        to_decoder = tile(encoded.to_decoder, trace.z.shape[1], 1)
        features = self.decoder.activate(self.decoder.first(trace.z) + to_decoder)
        return Step(features, kl, log_ratio, trace.mean_q), SRNNState(state.h, state.c, z)

    def _read(self, x: Tensor, mask: Tensor, state: SRNNState) -> tuple[Tensor, Tensor, LSTMState]:
        """h_{t-1} and a_t of every frame, and the LSTM's state after the last."""
        frames = self.phi_x(x)
        before, last = self.lstm.read(frames, state)
        backward = self.backward_lstm.read_backwards(self.backward_lstm.project(frames, before), mask)
        return before, backward, last
