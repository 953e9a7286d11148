"""RNN-Gauss and RNN-GMM: the paper's baselines, the same recurrence without a latent.

    x_t | x_<t ~ emission(decoder(h_{t-1}))
    h_t = LSTM(phi_x(x_t), h_{t-1}),  h_0 = 0

With a grouped emission (RNN-hier) the samples inside a frame are predicted from one another too, as in the
hierarchical model of Dai et al. (2019): what a latent might gain over a factorised frame, this gains without one.

Only the LSTM needs the time loop; the rest runs once on all frames.
"""

import torch
from torch import Tensor

from vrnn.models.base import SequenceModel, State, Terms, log_emission
from vrnn.models.config import ModelConfig
from vrnn.nn.emissions import frame_head
from vrnn.nn.lstm import LSTM
from vrnn.nn.mlp import MLP

__all__ = ["RNN"]


class RNN(SequenceModel):
    """An LSTM with an emission from the state before the frame."""

    sizes = frozenset({"hidden", "phi_x", "decoder"})

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__(config, generator)
        self.phi_x = MLP([config.frame_size], config.phi_x, config.depth, generator)
        self.lstm = LSTM([config.phi_x], config.hidden, generator)
        self.decoder = MLP([config.hidden], config.decoder, config.depth, generator)
        self.emission = frame_head(config, config.decoder, generator)

    def initial_state(self, sequences: int) -> State:
        """h_0 = c_0 = 0."""
        return self.lstm.initial_state(sequences)

    def forward(self, x: Tensor, mask: Tensor, noise: Tensor | None = None, state: State | None = None) -> Terms:
        """The exact log density of each frame given those before it; see `SequenceModel.forward`."""
        self._check_input(x, mask, noise)
        before, last = self.lstm.read(self.phi_x(x), self.initial_state(x.shape[1]) if state is None else state)
        return Terms(log_emission(self.emission, self.decoder(before), x), state=last)

    def predict(self, state: State, generator: torch.Generator) -> tuple[Tensor, State]:
        """Features of the next frame; there is nothing to draw."""
        return self.decoder(state[0]), ()

    def absorb(self, frame: Tensor, latent: State, state: State) -> State:
        """The LSTM's state after `frame [B, D]`."""
        h, c = state
        return self.lstm.step(self.lstm.project(self.phi_x(frame)), (h, c))
