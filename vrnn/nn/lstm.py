"""The recurrence: an LSTM with one bias vector, whose input products can be made before the loop.

`torch.nn.LSTM` carries two bias vectors, which the published parameter counts do not have, and takes the input
and the recurrent product together, while a VRNN knows part of its input for all frames in advance and part of
it only step by step. Here `project` makes the product of what is known, and `step_on` is the step of a time loop, for a
program of its own (`vrnn.scan.time_loop`) or of a model's.

Shapes: T frames, B sequences, H hidden units. Gates lie in the order input, forget, output, candidate.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from vrnn.nn.mlp import Affine
from vrnn.scan.scan_ops import LSTMStep
from vrnn.scan.time_loop import Program, scan

__all__ = ["LSTM", "LSTM_CARRIED", "LSTMState"]

LSTMState: TypeAlias = tuple[Tensor, Tensor]
"""(h, c), each `[B, H]`: what the networks see, and the cell, which only the LSTM itself sees."""

_LIBRARY_ORDER = [0, 1, 3, 2]

LSTM_CARRIED = {"h": "h_next", "c": "c_next"}
"""The registers of an LSTM's state before a frame, and after it."""


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

    def step_on(self, *registers: str, masked: bool = False) -> LSTMStep:
        """The step of a time loop; its base is `projected`.

        Args:
            registers: the last inputs, which `project` was not given.
            masked: see `LSTMStep`.
        """
        weights = list(self.inputs.weights)[len(self.inputs.weights) - len(registers) :]
        products = (*zip(weights, registers, strict=True), (self.recurrent, "h"))
        return LSTMStep(products, None, "projected", masked)

    def forward(self, projected: Tensor, state: Sequence[Tensor] | None = None) -> tuple[Tensor, LSTMState]:
        """H before each frame, `[T, B, H]`, and the state after the last, from `projected [T, B, 4H]`.

        A causal model predicts frame t from the state before it.
        """
        (before,), last = self._scan(Program((self.step_on(),), LSTM_CARRIED, ("h",)), projected, state)
        return before, last

    def read(self, frames: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, LSTMState]:
        """What `forward` gives, from the only input, `frames [T, B, I]`: by cuDNN where that serves.

        cuDNN has the whole recurrence in one kernel that keeps its weights on the chip. It is for plain LSTMs alone.
        """
        if frames.is_cuda and torch.backends.cudnn.is_available() and frames.dtype != torch.float64:
            return self.read_by_library(frames, state)
        return self(self.project(frames), state)

    def read_by_library(self, frames: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, LSTMState]:
        """What `read` gives, by torch's LSTM, whose gates lie in the order input, forget, candidate, output."""
        (weight,), (h, c) = self.inputs.weights, state
        weights = [
            part.unflatten(0, (4, -1))[_LIBRARY_ORDER].flatten(0, 1)
            for part in (weight, self.recurrent, self.inputs.bias)
        ]
        starts = [part.unsqueeze(0) for part in (h, c)]
        flat = [*weights, torch.zeros_like(weights[-1])]
        after, *last = torch.lstm(frames, starts, flat, True, 1, 0.0, self.training, False, False)
        before = torch.cat([starts[0].to(after.dtype), after[:-1]])
        h, c = (part.squeeze(0) for part in last)
        return before, (h, c)

    def step(self, projected: Tensor, state: LSTMState) -> LSTMState:
        """The state after one frame whose inputs' share of the gates is `projected [B, 4H]`."""
        _, last = self._scan(Program((self.step_on(),), LSTM_CARRIED, ()), projected.unsqueeze(0), state)
        return last

    def reversed(self, projected: Tensor, mask: Tensor) -> Tensor:
        """H after reading frames T, T - 1, ..., t, for every t: `[T, B, H]` from `projected [T, B, 4H]`.

        Args:
            projected: the inputs' share of the gates.
            mask: bool `[T, B]`; the state is zero at padded frames, so that a sequence begins at its own last frame.
        """
        program = Program((self.step_on(masked=True),), LSTM_CARRIED, ("h_next",))
        (ahead,), _ = self._scan(program, projected.flip(0), None, mask.flip(0))
        return ahead.flip(0)

    def _scan(
        self, program: Program, projected: Tensor, state: Sequence[Tensor] | None, mask: Tensor | None = None
    ) -> tuple[tuple[Tensor, ...], LSTMState]:
        h, c = self.initial_state(projected.shape[1]) if state is None else state
        constants = {"mask": mask.unsqueeze(-1)} if mask is not None else {}
        outputs, (h, c) = scan(program, {"projected": projected}, {"h": h, "c": c}, constants)
        return outputs, (h, c)


def _orthonormal(size: int, generator: torch.Generator) -> Tensor:
    return nn.init.orthogonal_(torch.empty(size, size), generator=generator)
