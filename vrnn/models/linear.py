"""The linear-autoregressive baseline: a value's distribution is an affine function of the values just before it.

    speech   x_n ~ emission(W [x_{n-P}, ..., x_{n-1}] + b)   for every sample n, across frames, one W for all
    pen      x_t ~ emission(W [x_{t-P}, ..., x_{t-1}] + b)   for every pen point t

P is `config.context`; values before the beginning are 0. All parameters of the emission are affine in the context
(spreads through a softplus). This is linear prediction, as in a lossless audio codec, with a learned noise. It is a
sanity row: a deep model of frames that does not beat it has not learned what the last few samples say about the next.

Shapes: T frames, B sequences, D frame size, U values of a unit (a sample or a pen point), P context.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vrnn.models.base import ExactModel, State, Terms
from vrnn.models.config import ModelConfig
from vrnn.models.emission import log_emission, unit_head
from vrnn.nn.distributions import Emission
from vrnn.nn.heads import FrameHead

__all__ = ["Linear"]


class LinearHead(FrameHead):
    """The last P units before a frame, `[..., P * U]`, to the distribution of the frame."""

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.unit = 1 if config.kind == "speech" else config.frame_size
        self.frame_size = config.frame_size
        self.head = unit_head(config, config.context * self.unit, self.unit, generator)
        self.components = config.context + self.head.components

    def forward(self, features: Tensor) -> "LinearFrame":
        """The distribution over frames `[..., D]` that follow the context `features [..., P * U]`."""
        return LinearFrame(self, features)


@dataclass(frozen=True, eq=False)
class LinearFrame:
    """The distribution of a frame, unit after unit.

    Attributes:
        head: the head that emits a unit.
        context: the P units before the frame, `[..., P * U]`.
    """

    head: LinearHead
    context: Tensor

    @property
    def mean(self) -> Tensor:
        """The frame `[..., D]` in which every unit is its mean given the units before it.

        It is the expectation of the frame where the emission's mean is linear in the context, as a Gaussian's is.
        """
        return self._emit(lambda unit: unit.mean)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density (or probability) of frames `x [..., D]` in nats, `[...]`."""
        unit, width = self.head.unit, self.context.shape[-1]
        seen = torch.cat([self.context, x[..., :-unit]], -1).unfold(-1, width, unit)
        return self.head.head(seen).log_prob(torch.unflatten(x, -1, (-1, unit))).sum(-1)

    def sample(self, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """One frame for every leading index, `[..., D]`; `temperature` is passed to every unit."""
        return self._emit(lambda unit: unit.sample(generator, temperature))

    def _emit(self, choose: Callable[[Emission], Tensor]) -> Tensor:
        seen, width = self.context, self.context.shape[-1]
        for _ in range(self.head.frame_size // self.head.unit):
            seen = torch.cat([seen, choose(self.head.head(seen[..., -width:]))], -1)
        return seen[..., width:]


@dataclass(frozen=True, eq=False)
class LinearState(State):
    """The last P units.

    Attributes:
        context: `[B, P * U]`.
    """

    context: Tensor


class Linear(ExactModel[LinearState]):
    """Linear prediction with a learned noise."""

    sizes = frozenset({"context"})
    emissions = ("gauss", "gmm", "dmol")

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__(config, generator)
        head = LinearHead(config, generator)
        self.emission = head
        self._width = config.context * head.unit

    def initial_state(self, sequences: int) -> LinearState:
        """A context of zeros."""
        return LinearState(next(self.parameters()).new_zeros(sequences, self._width))

    def decode(self, state: LinearState) -> Tensor:
        """The P units before the frame."""
        return state.context

    def update_state(self, x_t: Tensor, state: LinearState) -> LinearState:
        """The last P units, those of the frame included."""
        return LinearState(torch.cat([state.context, x_t], -1)[:, -self._width :])

    def forward(self, x: Tensor, mask: Tensor, noise: Tensor | None = None, state: LinearState | None = None) -> Terms:
        """The exact log density of each frame given those before it; see `SequenceModel.forward`."""
        self._check_input(x, mask, noise)
        start = self.initial_state(x.shape[1]) if state is None else state
        values = torch.cat([start.context, x.transpose(0, 1).flatten(1)], 1)
        contexts = values.unfold(1, self._width, x.shape[-1])[:, : len(x)].transpose(0, 1)
        return Terms(log_emission(self.emission, contexts, x), state=LinearState(values[:, -self._width :]))
