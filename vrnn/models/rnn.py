"""RNN-Gauss and RNN-GMM: the paper's baselines, the same recurrence without a latent.

    x_t | x_<t ~ emission(decoder(h_{t-1}))
    h_t = LSTM(phi_x(x_t), h_{t-1}),  h_0 = 0

Only the LSTM needs the time loop; the rest runs once on all frames.
"""

import torch
from torch import Tensor

from vrnn.errors import ModelError
from vrnn.models.base import SequenceModel, Terms, emission_head, log_emission
from vrnn.models.config import ModelConfig
from vrnn.networks import MLP
from vrnn.recurrence import LSTM

__all__ = ["RNN"]


class RNN(SequenceModel):
    """An LSTM with an emission from the state before the frame; `config.components` tells Gauss from GMM."""

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__(config)
        if config.latent or config.phi_z or config.encoder or config.prior:
            raise ModelError(f"{config.name} has no latent: set latent, phi_z, encoder and prior to 0")
        self.phi_x = MLP([config.frame_size], config.phi_x, config.depth, generator)
        self.lstm = LSTM([config.phi_x], config.hidden, generator)
        self.decoder = MLP([config.hidden], config.decoder, config.depth, generator)
        self.emission = emission_head(config, generator)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Terms:
        """The exact log density of each frame given those before it; see `SequenceModel.forward`."""
        self._check_input(x, noise)
        hidden = self.lstm(self.lstm.project(self.phi_x(x)))
        return Terms(log_emission=log_emission(self.emission, self.decoder(hidden), x))

    @torch.no_grad()
    def sample(self, length: int, count: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Frames drawn one after another; see `SequenceModel.sample`."""
        self._check_sampling(length, count, temperature)
        state = self.lstm.initial_state(count)
        frames: list[Tensor] = []
        for _ in range(length):
            frame = self.emission(self.decoder(state[0])).sample(generator, temperature)
            state = self.lstm.step(self.lstm.project(self.phi_x(frame)), state)
            frames.append(frame)
        return torch.stack(frames)
