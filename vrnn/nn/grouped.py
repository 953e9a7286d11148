"""An emission that is autoregressive inside the frame: group after group of samples (Dai et al. 2019).

    p(x_t | features) = prod_g p(x_{t,g} | features, x_{t,<g}),  each group from its own mixture
    s_g = LSTM([features, x_{t,g-1}], s_{g-1}),  x_{t,0} = 0,  s_0 = 0

A frame whose samples are independent given the features cannot model a waveform within the frame. A latent at the frame
can, and its model then scores higher for that reason alone. With this emission the comparison is fair.

Shapes: `...` any leading axes; D frame size, G samples of a group, N = D / G groups, F features, S units.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vrnn.nn.distributions import Emission
from vrnn.nn.heads import FrameHead
from vrnn.nn.lstm import LSTM

__all__ = ["GroupedFrame", "GroupedHead"]


class GroupedHead(FrameHead):
    """Features to a frame that is emitted group by group, each group from `head` on `hidden` units."""

    def __init__(
        self, inputs: int, frame_size: int, head: FrameHead, hidden: int, group: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.frame_size = frame_size
        self.group = group
        self.components = head.components
        self.lstm = LSTM([inputs, group], hidden, generator)
        self.head = head

    def forward(self, features: Tensor) -> "GroupedFrame":
        """The distribution over frames `[..., D]` for features `[..., F]`."""
        return GroupedFrame(self, features)


@dataclass(frozen=True, eq=False)
class GroupedFrame:
    """The distribution of a frame, given group by group.

    Attributes:
        head: the head with the LSTM over groups.
        features: `[..., F]`.
    """

    head: GroupedHead
    features: Tensor

    @property
    def mean(self) -> Tensor:
        """The frame `[..., D]` in which every group is its mean given the groups before it.

        It is the expectation of the frame where the dependence inside the frame is linear. In general the expectation
        has no closed form.
        """
        return self._emit(lambda group: group.mean)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density (or probability) of frames `x [..., D]` in nats, `[...]`."""
        head = self.head
        groups = torch.unflatten(x, -1, (-1, head.group)).flatten(0, -3)
        before = functional.pad(groups[:, :-1], (0, 0, 1, 0))
        projected = head.lstm.project(self.features.flatten(0, -2)).unsqueeze(1)
        gates = projected + head.lstm.inputs.share(1, before)
        before, last = head.lstm(gates.transpose(0, 1))
        # The scan gives the state before each input; group g is emitted from the state after its input, group g - 1.
        hidden = torch.cat([before[1:], last.h.unsqueeze(0)])
        log_groups = head.head(hidden).log_prob(groups.transpose(0, 1))
        return torch.unflatten(log_groups.sum(0), 0, x.shape[:-1])

    def sample(self, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """One frame for every leading index, `[..., D]`; `temperature` is passed to every group."""
        return self._emit(lambda group: group.sample(generator, temperature))

    def _emit(self, choose: Callable[[Emission], Tensor]) -> Tensor:
        head, features = self.head, self.features.flatten(0, -2)
        projected, state = head.lstm.project(features), head.lstm.initial_state(len(features))
        group = features.new_zeros(len(features), head.group)
        groups: list[Tensor] = []
        for _ in range(head.frame_size // head.group):
            state = head.lstm.step(head.lstm.inputs.add(projected, 1, group), state)
            group = choose(head.head(state.h))
            groups.append(group)
        return torch.unflatten(torch.cat(groups, -1), 0, self.features.shape[:-1])
