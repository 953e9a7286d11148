"""The recurrence: an LSTM with one bias vector, whose input products can be made before the loop.

`torch.nn.LSTM` carries two bias vectors, which the published parameter counts do not have, and takes the input
and the recurrent product together, while a VRNN knows part of its input for all frames in advance and part of
it only step by step. Here `project` makes the product of what is known, and `step` advances by one frame.

Shapes: T frames, B sequences, H hidden units. Gates lie in the order input, forget, output, candidate.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from vrnn.networks import Affine

__all__ = ["LSTM", "LSTMState"]

LSTMState: TypeAlias = tuple[Tensor, Tensor]
"""(h, c), each `[B, H]`: what the networks see, and the cell, which only the LSTM itself sees."""


class LSTM(nn.Module):
    """c_t = f * c_{t-1} + i * tanh(g), h_t = o * tanh(c_t), gates from W [inputs] + U h_{t-1} + b.

    Initialised as in the released code: four orthonormal blocks in U, every bias 0, that of the forget gate
    included.
    """

    def __init__(self, input_sizes: Sequence[int], hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.hidden = hidden
        self.inputs = Affine(input_sizes, 4 * hidden, generator)
        self.recurrent = nn.Parameter(torch.cat([_orthonormal(hidden, generator) for _ in range(4)]))

    def initial_state(self, sequences: int) -> LSTMState:
        """h_0 = c_0 = 0 for that many sequences."""
        zeros = self.recurrent.new_zeros(sequences, self.hidden)
        return zeros, zeros

    def project(self, *inputs: Tensor) -> Tensor:
        """The gates' share `[..., 4H]` of the leading inputs, bias included, for any number of frames."""
        return self.inputs(*inputs)

    def step(self, projected: Tensor, state: LSTMState) -> LSTMState:
        """The state after one frame whose inputs' share of the gates is `projected [B, 4H]`."""
        h, c = state
        gates = torch.addmm(projected, h, self.recurrent.t())
        opening, candidate = gates.split([3 * self.hidden, self.hidden], -1)
        i, f, o = opening.sigmoid().chunk(3, -1)
        c = torch.addcmul(f * c, i, candidate.tanh())
        return o * c.tanh(), c

    def forward(self, projected: Tensor, state: Sequence[Tensor] | None = None) -> list[LSTMState]:
        """The states before the first frame and after each of T frames, T + 1 of them, from `projected [T, B, 4H]`.

        A causal model predicts frame t from the state before it.
        """
        h, c = self.initial_state(projected.shape[1]) if state is None else state
        states = [(h, c)]
        for frame in projected.unbind():
            states.append(self.step(frame, states[-1]))
        return states

    def reversed(self, projected: Tensor, mask: Tensor) -> Tensor:
        """H after reading frames T, T - 1, ..., t, for every t: `[T, B, H]` from `projected [T, B, 4H]`.

        Args:
            projected: the inputs' share of the gates.
            mask: bool `[T, B]`; the state is zero at padded frames, so that a sequence begins at its own last frame.
        """
        state = self.initial_state(projected.shape[1])
        ahead: list[Tensor] = []
        for frame, real in zip(projected.flip(0).unbind(), mask.flip(0).unsqueeze(-1).unbind(), strict=True):
            h, c = self.step(frame, state)
            state = (torch.where(real, h, 0.0), torch.where(real, c, 0.0))
            ahead.append(state[0])
        return torch.stack(ahead[::-1])


def _orthonormal(size: int, generator: torch.Generator) -> Tensor:
    return nn.init.orthogonal_(torch.empty(size, size), generator=generator)
