"""The independent baseline: every frame from one and the same distribution, whatever came before.

    x_t ~ emission(u),  u one learned number

The emission's own weights and biases are the whole model. A sanity row: a model of sequences that does not clear it
has learned no dependence at all.
"""

import torch
from torch import Tensor, nn

from vrnn.models.base import SequenceModel, State, Terms, log_emission
from vrnn.models.config import ModelConfig
from vrnn.nn.emissions import frame_head

__all__ = ["IID"]


class IID(SequenceModel):
    """One distribution of frames."""

    sizes = frozenset()
    emissions = ("gauss", "gmm", "dmol")

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__(config, generator)
        self.features = nn.Parameter(torch.ones(1))
        self.emission = frame_head(config, 1, generator)

    def initial_state(self, sequences: int) -> State:
        """The learned number, for so many sequences: nothing is carried, and a state says how many there are."""
        return (self.features.expand(sequences, -1),)

    def forward(self, x: Tensor, mask: Tensor, noise: Tensor | None = None, state: State | None = None) -> Terms:
        """The exact log density of each frame; see `SequenceModel.forward`."""
        self._check_input(x, mask, noise)
        features = self.features.expand(*x.shape[:2], -1)
        return Terms(log_emission(self.emission, features, x), state=self.initial_state(x.shape[1]))

    def predict(self, state: State, generator: torch.Generator) -> tuple[Tensor, State]:
        """The learned number; there is nothing to draw."""
        return state[0], ()

    def absorb(self, frame: Tensor, latent: State, state: State) -> State:
        """The state as it was."""
        return state
