"""The VRNN (Chung et al. 2015), with a posterior that filters or smooths, and VRNN-I.

    prior       z_t | h_{t-1}       ~ N(mu_p, diag sigma_p^2)   from prior(h_{t-1});  VRNN-I: N(0, I)         (5)
    emission    x_t | z_t, h_{t-1}  ~ emission(decoder(phi_z(z_t), h_{t-1}))                                  (6)
    recurrence  h_t = LSTM([phi_x(x_t), phi_z(z_t)], h_{t-1}),  h_0 = 0                                       (7)
    posterior   z_t | x_t, h_{t-1}  ~ N(mu_q, diag sigma_q^2)   from encoder(phi_x(x_t), h_{t-1})             (9)
    smoothing   z_t | x, h_{t-1}    ~ N(mu_q, diag sigma_q^2)   from encoder(phi_x(x_t), b_{t+1}, h_{t-1})
                b_t = LSTM(phi_x(x_t), b_{t+1}),  b_{T+1} = 0

The numbers are the paper's equations. The smoothing posterior has one more input than the filtering one; the generative
model is the same, and the filtering family lies within the smoothing one. As in the released code, only h (never the
cell) feeds the networks.

Only the posterior, phi_z and the LSTM depend on the frame before: they make the time loop of `infer_latents`. All else
runs once on all frames: phi_x and its products with the encoder and the LSTM before the loop; the prior, the decoder,
the divergence and the likelihood after it.

Shapes: T frames, B sequences, D frame size, Z latent size, H hidden units.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vrnn.models.base import Step
from vrnn.models.config import ModelConfig
from vrnn.models.emission import frame_head
from vrnn.models.latent import LatentModel, divergences
from vrnn.nn.distributions import DiagonalGaussian
from vrnn.nn.heads import GaussianHead
from vrnn.nn.lstm import LSTM, LSTM_CARRIED, LSTMState
from vrnn.nn.mlp import MLP
from vrnn.nn.named_tensors import NamedTensors
from vrnn.scan.time_loop import Program, scan

__all__ = ["VRNN", "VRNNI"]


@dataclass(frozen=True, eq=False)
class VRNNFrames(NamedTensors):
    """The input projections that depend on the frames alone, computed before the loop, bias included.

    Attributes:
        to_posterior: in the encoder's first layer, `[T, B, encoder]`.
        to_gates: in the LSTM's gates, `[T, B, 4H]`.
    """

    to_posterior: Tensor
    to_gates: Tensor


@dataclass(frozen=True, eq=False)
class VRNNTrace:
    """Outputs of the loop, one for each frame.

    Attributes:
        h: h_{t-1}, `[T, B, H]`.
        phi_z: phi_z(z_t), `[T, B, phi_z]`.
        mean: mu_q, `[T, B, Z]`.
        std: sigma_q, `[T, B, Z]`.
    """

    h: Tensor
    phi_z: Tensor
    mean: Tensor
    std: Tensor


class VRNN(LatentModel[LSTMState]):
    """The VRNN with a learned prior; `config.backward` makes the posterior smooth."""

    sizes = frozenset({"hidden", "phi_x", "phi_z", "encoder", "prior", "decoder", "latent", "backward"})
    can_smooth = True

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__(config, generator)
        depth, floor = config.depth, config.sigma_floor
        self.phi_x = MLP([config.frame_size], config.phi_x, depth, generator)
        self.phi_z = MLP([config.latent], config.phi_z, depth, generator)
        self.lstm = LSTM([config.phi_x, config.phi_z], config.hidden, generator)
        future = [config.backward] if config.backward else []
        self.backward_lstm = LSTM([config.phi_x], config.backward, generator) if config.backward else None
        self.encoder = MLP([config.phi_x, *future, config.hidden], config.encoder, depth, generator)
        self.posterior = GaussianHead(config.encoder, config.latent, floor, generator)
        self._build_prior(config, generator)
        self.decoder = MLP([config.phi_z, config.hidden], config.decoder, depth, generator)
        self.emission = frame_head(config, config.decoder, generator)

    def _build_prior(self, config: ModelConfig, generator: torch.Generator) -> None:
        self.prior_network = MLP([config.hidden], config.prior, config.depth, generator)
        self.prior = GaussianHead(config.prior, config.latent, config.sigma_floor, generator)

    def initial_state(self, sequences: int) -> LSTMState:
        """h_0 = c_0 = 0."""
        return self.lstm.initial_state(sequences)

    def prior_at(self, state: LSTMState) -> DiagonalGaussian:
        """Equation (5)."""
        return self._prior_given(state.h)

    def posterior_at(self, x_t: Tensor, state: LSTMState, future_t: Tensor | None) -> DiagonalGaussian:
        """Equation (9), or its smoothing form, where `future_t` is b_{t+1}."""
        seen = [self.phi_x(x_t)] if future_t is None else [self.phi_x(x_t), future_t]
        return self.posterior(self.encoder(*seen, state.h))

    def decode(self, z_t: Tensor, state: LSTMState) -> Tensor:
        """Equation (6), up to the head of the emission."""
        return self.decoder(self.phi_z(z_t), state.h)

    def update_state(self, x_t: Tensor, z_t: Tensor, state: LSTMState) -> LSTMState:
        """Equation (7)."""
        return self.lstm.step(self.lstm.project(self.phi_x(x_t), self.phi_z(z_t)), state)

    def read_future(self, x: Tensor, mask: Tensor, state: LSTMState) -> Tensor | None:
        """b_{t+1} of every frame, where the posterior smooths."""
        return self._read_backwards(self.phi_x(x), mask)

    def encode(self, x: Tensor, mask: Tensor, state: LSTMState) -> tuple[NamedTensors, LSTMState]:
        """`VRNNFrames`; a latent touches all parts of the state. See `LatentModel.encode`."""
        frames = self.phi_x(x)
        future = self._read_backwards(frames, mask)
        seen = [frames] if future is None else [frames, future]
        return VRNNFrames(self.encoder.first(*seen), self.lstm.project(frames)), state

    def infer_latents(self, encoded: NamedTensors, noise: Tensor, state: LSTMState) -> tuple[Step, LSTMState]:
        """The loop over (9) and (7), then (5) and (6) for all frames; see `LatentModel.infer_latents`."""
        assert isinstance(encoded, VRNNFrames)
        operations = (
            *self.encoder.operations("encoder", source="h", base="to_posterior"),
            self.posterior.operation("encoder", latent="z"),
            *self.phi_z.operations("phi_z", source="z"),
            self.lstm.operation("phi_z", base="to_gates"),
        )
        program = Program(operations, LSTM_CARRIED, ("h", "phi_z", "mean", "std"))
        bases = {"to_posterior": encoded.to_posterior, "to_gates": encoded.to_gates}
        outputs, (h, c) = scan(program, bases, {"h": state.h, "c": state.c}, {"noise": noise})
        trace = VRNNTrace(*outputs)
        posterior = DiagonalGaussian(trace.mean, trace.std)
        kl, log_ratio = divergences(posterior, self._prior_given(trace.h), noise)
        return Step(self.decoder(trace.phi_z, trace.h), kl, log_ratio, trace.mean), LSTMState(h, c)

    def _prior_given(self, hidden: Tensor) -> DiagonalGaussian:
        """The prior, `[..., Z]`, from `hidden [..., H]`, for one frame or for all."""
        return self.prior(self.prior_network(hidden))

    def _read_backwards(self, frames: Tensor, mask: Tensor) -> Tensor | None:
        """b_{t+1} `[T, B, A]` from phi_x of all frames."""
        if self.backward_lstm is None:
            return None
        backward = self.backward_lstm.read_backwards(self.backward_lstm.project(frames), mask)
        # b_2 to b_T, then b_{T+1} = 0: what frame t knows of the future begins with frame t + 1.
        return functional.pad(backward[1:], (0, 0, 0, 0, 0, 1))


class VRNNI(VRNN):
    """VRNN-I: the same model with the prior N(0, I) at every frame."""

    sizes = VRNN.sizes - {"prior"}

    def _build_prior(self, config: ModelConfig, generator: torch.Generator) -> None:
        pass

    def _prior_given(self, hidden: Tensor) -> DiagonalGaussian:
        """N(0, I), whatever `hidden [..., H]` is."""
        zeros = hidden.new_zeros(*hidden.shape[:-1], self.config.latent)
        return DiagonalGaussian(zeros, torch.ones_like(zeros))
