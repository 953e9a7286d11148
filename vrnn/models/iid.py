"""The independent baseline: every frame has the same distribution, whatever came before.

    x_t ~ emission(u),  u one learned number

The emission's own weights and biases are the whole model. It is a sanity row: a model of sequences that does not beat
it has learned no dependence at all.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vrnn.models.base import ExactModel, State, Terms
from vrnn.models.config import ModelConfig
from vrnn.models.emission import frame_head, log_emission

__all__ = ["IID"]


@dataclass(frozen=True, eq=False)
class IIDState(State):
    """Nothing is carried; an empty tensor says how many sequences there are.

    Attributes:
        empty: `[B, 0]`.
    """

    empty: Tensor


class IID(ExactModel[IIDState]):
    """One distribution of frames."""

    sizes = frozenset[str]()
    emissions = ("gauss", "gmm", "dmol")

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__(config, generator)
        self.features = nn.Parameter(torch.ones(1))
        self.emission = frame_head(config, 1, generator)

    def initial_state(self, sequences: int) -> IIDState:
        """Nothing, for so many sequences."""
        return IIDState(self.features.new_zeros(sequences, 0))

    def decode(self, state: IIDState) -> Tensor:
        """The learned number u."""
        return self.features.expand(len(state.empty), -1)

    def update_state(self, x_t: Tensor, state: IIDState) -> IIDState:
        """The same state."""
        return state

    def forward(self, x: Tensor, mask: Tensor, noise: Tensor | None = None, state: IIDState | None = None) -> Terms:
        """The exact log density of each frame; see `SequenceModel.forward`."""
        self._check_input(x, mask, noise)
        features = self.features.expand(*x.shape[:2], -1)
        return Terms(log_emission(self.emission, features, x), state=self.initial_state(x.shape[1]))
