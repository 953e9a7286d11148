"""The recurrence: an LSTM with one bias vector, as one frame at a time and as passes over all frames.

`torch.nn.LSTM` carries two bias vectors, which the published parameter counts do not have. It also needs its whole
input for all frames in advance, while a VRNN knows only a part of it before the loop. Here `project` makes the product
with what is known, and `operation` is the LSTM's place in a time loop (`vrnn.scan.time_loop`), its own or a model's.

`step` is one frame in torch's own operations. It is the reference for all passes.

Shapes: T frames, B sequences, H hidden units. Gates are in the order input, forget, output, candidate.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vrnn.nn.mlp import Affine
from vrnn.nn.named_tensors import State
from vrnn.scan.packed_weights import add_product
from vrnn.scan.scan_ops import LSTMOperation
from vrnn.scan.time_loop import Program, scan

__all__ = ["LSTM", "LSTM_CARRIED", "LSTMState"]

_LIBRARY_ORDER = [0, 1, 3, 2]

LSTM_CARRIED = {"h": "h_next", "c": "c_next"}
"""The registers of an LSTM's state before a frame, and after it."""


@dataclass(frozen=True, eq=False)
class LSTMState(State):
    """The state of an LSTM.

    Attributes:
        h: what the networks see, `[B, H]`.
        c: the cell, which only the LSTM itself sees, `[B, H]`.
    """

    h: Tensor
    c: Tensor


class LSTM(nn.Module):
    """c_t = f * c_{t-1} + i * tanh(g), h_t = o * tanh(c_t), gates from W [inputs] + U h_{t-1} + b.

    Initialised as in the released code: four orthonormal blocks in U, and every bias 0, the forget gate's included.
    """

    def __init__(self, input_sizes: Sequence[int], hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.hidden = hidden
        self.inputs = Affine(input_sizes, 4 * hidden, generator)
        self.recurrent = nn.Parameter(torch.cat([_orthonormal(hidden, generator) for _ in range(4)]))

    def initial_state(self, sequences: int) -> LSTMState:
        """h_0 = c_0 = 0 for so many sequences."""
        zeros = self.recurrent.new_zeros(sequences, self.hidden)
        return LSTMState(zeros, zeros)

    def project(self, *inputs: Tensor) -> Tensor:
        """The share `[..., 4H]` of the leading inputs in the gates, bias included, for any number of frames."""
        return self.inputs(*inputs)

    def step(self, projected: Tensor, state: LSTMState) -> LSTMState:
        """The state after one frame whose inputs have the share `projected [B, 4H]` in the gates."""
        gates = add_product(projected, state.h, self.recurrent)
        gates = gates.to(torch.promote_types(gates.dtype, torch.float32))
        # One sigmoid for three gates, as in the scan: vectorised kernels round the ends of a row differently.
        i, f, o = gates[:, : 3 * self.hidden].sigmoid().chunk(3, -1)
        g = gates[:, 3 * self.hidden :].tanh()
        c = torch.addcmul(f * state.c, i, g)
        return LSTMState(o * c.tanh(), c)

    def operation(self, *registers: str, base: str = "projected", masked: bool = False) -> LSTMOperation:
        """The LSTM as an operation of a time loop, from `h` and `c` to `h_next` and `c_next`.

        Args:
            registers: the last inputs, which `project` was not given.
            base: the register of what `project` gave.
            masked: see `LSTMOperation`.
        """
        weights = list(self.inputs.weights)[len(self.inputs.weights) - len(registers) :]
        products = (*zip(weights, registers, strict=True), (self.recurrent, "h"))
        return LSTMOperation(products, None, base, masked)

    def forward(self, projected: Tensor, state: LSTMState | None = None) -> tuple[Tensor, LSTMState]:
        """H before each frame, `[T, B, H]`, and the state after the last, from `projected [T, B, 4H]`.

        A causal model predicts frame t from the state before it.
        """
        state = self.initial_state(projected.shape[1]) if state is None else state
        program = Program((self.operation(),), LSTM_CARRIED, ("h",))
        (before,), (h, c) = scan(program, {"projected": projected}, {"h": state.h, "c": state.c})
        return before, LSTMState(h, c)

    def read(self, frames: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """The same as `forward`, from the only input, `frames [T, B, I]`; by cuDNN on a GPU that has it.

        cuDNN has the whole recurrence in one kernel that keeps its weights on the chip, but for plain LSTMs alone.
        """
        if frames.is_cuda and torch.backends.cudnn.is_available() and frames.dtype != torch.float64:
            return self.read_by_library(frames, state)
        return self(self.project(frames), state)

    def read_by_library(self, frames: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """The same as `read`, by torch's LSTM, whose gates are in the order input, forget, candidate, output."""
        (weight,) = self.inputs.weights
        weights = [
            torch.unflatten(part, 0, (4, -1))[_LIBRARY_ORDER].flatten(0, 1)
            for part in (weight, self.recurrent, self.inputs.bias)
        ]
        starts = [part.unsqueeze(0) for part in (state.h, state.c)]
        # The library wants a second bias vector: zeros.
        flat = [*weights, torch.zeros_like(weights[-1])]
        after, *last = torch.lstm(frames, starts, flat, True, 1, 0.0, self.training, False, False)
        before = torch.cat([starts[0].to(after.dtype), after[:-1]])
        h, c = (part.squeeze(0) for part in last)
        return before, LSTMState(h, c)

    def read_backwards(self, projected: Tensor, mask: Tensor) -> Tensor:
        """H after reading frames T, T - 1, ..., t, for every t: `[T, B, H]` from `projected [T, B, 4H]`.

        Args:
            projected: the share of the inputs in the gates.
            mask: bool `[T, B]`; the state is zero at padded frames, so that a sequence begins at its own last frame.
        """
        start = self.initial_state(projected.shape[1])
        program = Program((self.operation(masked=True),), LSTM_CARRIED, ("h_next",))
        constants = {"mask": mask.flip(0).unsqueeze(-1)}
        (after,), _ = scan(program, {"projected": projected.flip(0)}, {"h": start.h, "c": start.c}, constants)
        return after.flip(0)


def _orthonormal(size: int, generator: torch.Generator) -> Tensor:
    return nn.init.orthogonal_(torch.empty(size, size), generator=generator)
