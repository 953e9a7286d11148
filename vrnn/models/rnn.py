"""RNN-Gauss and RNN-GMM: the paper's baselines, the same recurrence without a latent.

    x_t | x_<t ~ emission(decoder(h_{t-1}))
    h_t = LSTM(phi_x(x_t), h_{t-1}),  h_0 = 0

With a grouped emission (RNN-hier) the samples inside a frame are also predicted from one another, as in the
hierarchical model of Dai et al. (2019). Whatever a latent gains over a factorised frame, this gains without one.

Only the LSTM needs the time loop; the rest runs once on all frames.
"""

import torch
from torch import Tensor

from vrnn.models.base import ExactModel, Terms
from vrnn.models.config import ModelConfig
from vrnn.models.emission import frame_head, log_emission
from vrnn.nn.lstm import LSTM, LSTMState
from vrnn.nn.mlp import MLP

__all__ = ["RNN"]


class RNN(ExactModel[LSTMState]):
    """An LSTM with an emission from the state before the frame."""

    sizes = frozenset({"hidden", "phi_x", "decoder"})

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__(config, generator)
        self.phi_x = MLP([config.frame_size], config.phi_x, config.depth, generator)
        self.lstm = LSTM([config.phi_x], config.hidden, generator)
        self.decoder = MLP([config.hidden], config.decoder, config.depth, generator)
        self.emission = frame_head(config, config.decoder, generator)

    def initial_state(self, sequences: int) -> LSTMState:
        """h_0 = c_0 = 0."""
        return self.lstm.initial_state(sequences)

    def decode(self, state: LSTMState) -> Tensor:
        """decoder(h_{t-1})."""
        return self.decoder(state.h)

    def update_state(self, x_t: Tensor, state: LSTMState) -> LSTMState:
        """h_t = LSTM(phi_x(x_t), h_{t-1})."""
        return self.lstm.step(self.lstm.project(self.phi_x(x_t)), state)

    def forward(self, x: Tensor, mask: Tensor, noise: Tensor | None = None, state: LSTMState | None = None) -> Terms:
        """The exact log density of each frame given those before it; see `SequenceModel.forward`."""
        self._check_input(x, mask, noise)
        before, last = self.lstm.read(self.phi_x(x), self.initial_state(x.shape[1]) if state is None else state)
        return Terms(log_emission(self.emission, self.decoder(before), x), state=last)
