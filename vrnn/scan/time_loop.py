"""The time loop of every recurrence, and its derivative.

A program says what one frame does, as operations on named registers (`vrnn.scan.scan_ops`). This module runs it over
frames and, by hand, backwards:

- only what depends on the frame before is in the loop; what is known of all frames comes in as a base;
- going back, a frame leaves the gradients of its affine maps behind, and each weight's gradient is formed from those
  of all frames by one product at the end. Formed frame by frame, it would be read and written whole every time, which
  for an LSTM of 2000 units is 80 MB a frame;
- what the way back needs is stored once. With `held_frames` it is stored for so many frames only: the state is kept
  at the start of each such stretch, and the stretch is run again on the way back.

The precision of the products is autocast's where that is on (the weights cast once a pass), else that of the weights.
State, sums of several products, spreads and latents are in float32 or above.

Shapes: T frames, B sequences; a base may be of b sequences, each of which B / b columns have in common, in the order
of the columns k * b + i.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.weak import WeakIdKeyDictionary

from vrnn.scan.cuda_graphs import Recorder, Recordings, Slot, recorder_for
from vrnn.scan.packed_weights import Weight, made_ready, product_dtype
from vrnn.scan.scan_ops import Frame, Gradients, Operation

__all__ = ["Program", "holding", "scan"]

Registers: TypeAlias = dict[str, Tensor]
Ready: TypeAlias = tuple[tuple[Weight, ...], ...]
"""Each operation's weights, made ready."""

_RECORDINGS = 8
"""Sets of shapes whose recordings a program keeps."""

_recordings: WeakIdKeyDictionary = WeakIdKeyDictionary()
"""The recordings of a program, by its first parameter: they end with the model."""

_held: ContextVar[int] = ContextVar("held", default=0)


@dataclass(frozen=True, eq=False)
class Program:
    """What one frame does.

    Attributes:
        operations: in order.
        carried: for each register of the state before a frame, the one that holds it after the frame.
        outputs: the registers to be given of every frame.
    """

    operations: tuple[Operation, ...]
    carried: Mapping[str, str]
    outputs: tuple[str, ...]

    @cached_property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """Every parameter in the loop, operation by operation."""
        return tuple(parameter for operation in self.operations for parameter in operation.parameters)

    @cached_property
    def signature(self) -> tuple[object, ...]:
        """What tells programs on the same parameters apart."""
        return (*(type(operation) for operation in self.operations), *self.carried.values(), *self.outputs)

    @cached_property
    def bases(self) -> tuple[str, ...]:
        """The registers of what is known before the loop, operation by operation."""
        return tuple(operation.base for operation in self.operations if operation.base is not None)


@contextmanager
def holding(frames: int) -> Iterator[None]:
    """Within this block a scan holds what its way back needs for so many frames at once; 0 is for all of them."""
    token = _held.set(frames)
    try:
        yield
    finally:
        _held.reset(token)


def scan(
    program: Program, bases: Registers, state: Registers, constants: Registers | None = None
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Run a program over T frames.

    Args:
        program: what a frame does.
        bases: of each operation that has one, `[T, b, N]`.
        state: the registers before the first frame, `[B, ...]`.
        constants: other registers, `[T, B, ...]`, that take no gradient.

    Returns:
        The program's outputs, each `[T, B, ...]`, and the state after the last frame, in the order of `carried`.
    """
    fixed = constants or {}
    given = (*(bases[name] for name in program.bases), *(state[name] for name in program.carried))
    tensors = (*given, *fixed.values(), *program.parameters)
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    dtype = product_dtype(program.parameters[0])
    results = _Scan.apply(_Run(program, tuple(fixed), dtype, _held.get(), keep), *tensors)
    count = len(program.outputs)
    return results[:count], results[count:]


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: "_Run", *tensors: Tensor) -> tuple[Tensor, ...]:  # noqa: ANN401 (torch names no type)
        ctx.run, ctx.holder = run, _Holder()
        ctx.save_for_backward(*tensors)
        with torch.autocast(tensors[0].device.type, enabled=False):
            ctx.slot = slot = run.slot(tensors)
            if slot is not None:
                return slot.forward(run.changing(tensors), ctx.holder if run.keep else None)
            results, ctx.tape = run.forward(run.changing(tensors))
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ANN401 # pyright: ignore
        tensors: tuple[Tensor, ...] = ctx.saved_tensors
        with torch.autocast(tensors[0].device.type, enabled=False):
            if ctx.slot is not None:
                return None, *ctx.slot.backward(ctx.run.backward, gradients)
            return None, *ctx.run.backward(ctx.run.changing(tensors), ctx.tape, gradients)


class _Holder:
    """What keeps a recording taken: it lives as long as the way back may be gone."""


@dataclass(eq=False)
class _Tape:
    """What the way forward leaves for the way back: the states before each stretch, and the frames if there is one."""

    weights: Ready
    starts: list[Registers]
    frames: list[Frame] | None


@dataclass(frozen=True, eq=False)
class _Run:
    """A program together with how it is run; the tensors it is run on come in one flat row."""

    program: Program
    constants: tuple[str, ...]
    dtype: torch.dtype
    held_frames: int
    keep: bool

    def changing(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """All tensors but the parameters."""
        return tensors[: len(tensors) - len(self.program.parameters)]

    def slot(self, tensors: Sequence[Tensor]) -> Slot[_Tape | None] | None:
        """Where these shapes are recorded, if they are recorded and nobody else is using it."""
        recorder = recorder_for(tensors[0])
        if recorder is None:
            return None
        owner = self.program.parameters[0]
        recordings = _recordings.get(owner)
        if recordings is None:
            recordings = Recordings(recorder, _RECORDINGS)
        _recordings[owner] = recordings
        inputs = self.changing(tensors)
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        places = tuple(parameter.data_ptr() for parameter in self.program.parameters)
        key = (self.program.signature, shapes, places, self.constants, self.dtype, self.held_frames, self.keep)

        def make(recorder: Recorder) -> Slot[_Tape | None]:
            return Slot(self.forward, inputs, recorder)

        return recordings.slot(key, make)

    def forward(self, tensors: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], _Tape | None]:
        """Outputs and state after the last frame; and the tape, if the way back is to be gone."""
        inputs, state = self._named(tensors)
        weights = self._weights(inputs, state)
        stretches = self._stretches(inputs) if self.keep else [range(_frames(inputs))]
        tape = _Tape(weights, [], [] if len(stretches) == 1 else None)
        given: list[list[Tensor]] = [[] for _ in self.program.outputs]
        for stretch in stretches:
            tape.starts.append(state)
            for t in stretch:
                frame = self._frame(inputs, state, t, weights)
                state = {name: frame[after] for name, after in self.program.carried.items()}
                for values, name in zip(given, self.program.outputs, strict=True):
                    values.append(frame[name])
                if self.keep and tape.frames is not None:
                    tape.frames.append(frame)
        # A result that the tape held too would keep itself alive: it leads to the tape.
        last = (part.clone() for part in state.values())
        return (*map(torch.stack, given), *last), tape if self.keep else None

    def backward(
        self, tensors: Sequence[Tensor], tape: _Tape | None, gradients: Sequence[Tensor | None]
    ) -> list[Tensor | None]:
        """The gradients of the tensors that `forward` was given and of the parameters, from those of its results."""
        assert tape is not None
        inputs, state = self._named(tensors)
        given = {n: g for n, g in zip(self.program.outputs, gradients, strict=False) if g is not None}
        carried = [
            torch.zeros_like(part) if g is None else g.clone()
            for part, g in zip(state.values(), gradients[len(self.program.outputs) :], strict=True)
        ]
        with_base = [operation for operation in self.program.operations if operation.base is not None]
        of_bases = {operation: self._empty(operation, carried, _frames(inputs)) for operation in with_base}
        sums: dict[nn.Parameter, Tensor] = {}
        for stretch, start in zip(reversed(self._stretches(inputs)), reversed(tape.starts), strict=True):
            frames = tape.frames or self._again(inputs, start, stretch, tape.weights)
            part = slice(stretch.start, stretch.stop)
            of_maps = {
                operation: of_bases[operation][part]
                if operation in of_bases
                else self._empty(operation, carried, len(stretch))
                for operation in self.program.operations
            }
            here = {name: g[part] for name, g in given.items()}
            carried = self._back(frames, here, carried, of_maps, tape.weights)
            _add_products(frames, of_maps, sums)
        bases = (_shared(of_bases[o], inputs[name]) for o, name in zip(with_base, self.program.bases, strict=True))
        return [*bases, *carried, *(None for _ in self.constants), *(sums[p] for p in self.program.parameters)]

    def _named(self, tensors: Sequence[Tensor]) -> tuple[Registers, Registers]:
        """The inputs of every frame, and the state before the first."""
        bases, carried = len(self.program.bases), len(self.program.carried)
        named = dict(zip(self.program.bases, tensors[:bases], strict=True))
        constants = tensors[bases + carried : bases + carried + len(self.constants)]
        state = dict(zip(self.program.carried, tensors[bases : bases + carried], strict=True))
        return named | dict(zip(self.constants, constants, strict=True)), state

    def _weights(self, inputs: Registers, state: Registers) -> Ready:
        rows = len(next(iter(state.values())))
        return tuple(
            tuple(made_ready(weight, self.dtype, rows, _frames(inputs)) for weight, _ in operation.products)
            for operation in self.program.operations
        )

    def _stretches(self, inputs: Registers) -> list[range]:
        length = _frames(inputs)
        size = self.held_frames or length
        return [range(start, min(start + size, length)) for start in range(0, length, size)]

    def _frame(self, inputs: Registers, state: Registers, t: int, weights: Ready) -> Frame:
        rows = len(next(iter(state.values())))
        frame = Frame({name: _tiled(values[t], rows) for name, values in inputs.items()} | state, self.dtype)
        for operation, ready in zip(self.program.operations, weights, strict=True):
            operation.forward(frame, ready)
        return frame

    def _empty(self, operation: Operation, state: Sequence[Tensor], length: int) -> Tensor:
        return state[0].new_empty(length, len(state[0]), operation.outputs, dtype=self.dtype)

    def _again(self, inputs: Registers, state: Registers, stretch: range, weights: Ready) -> list[Frame]:
        frames: list[Frame] = []
        for t in stretch:
            frames.append(self._frame(inputs, state, t, weights))
            state = {name: frames[-1][after] for name, after in self.program.carried.items()}
        return frames

    def _back(
        self,
        frames: list[Frame],
        given: Registers,
        carried: list[Tensor],
        of_maps: Mapping[Operation, Tensor],
        weights: Ready,
    ) -> list[Tensor]:
        """The gradient of the state before these frames from that after them, writing those of every affine map."""
        for t in reversed(range(len(frames))):
            frame = frames[t]
            gradients = Gradients(dict(zip(self.program.carried.values(), carried, strict=True)))
            for name, gradient in given.items():
                gradients.add(name, gradient[t])
            for operation, ready in zip(reversed(self.program.operations), reversed(weights), strict=True):
                of_map = of_maps[operation][t]
                operation.gradient(frame, gradients, of_map)
                for weight, (_, source) in zip(ready, operation.products, strict=True):
                    gradients.add(source, weight.back(of_map).to(frame[source].dtype))
            found = [gradients.take(name) for name in self.program.carried]
            carried = [torch.zeros_like(g) if f is None else f for f, g in zip(found, carried, strict=True)]
        return carried


def _add_products(frames: list[Frame], of_maps: Mapping[Operation, Tensor], sums: dict[nn.Parameter, Tensor]) -> None:
    """Each parameter's gradient, by one product over all these frames, added to what other frames gave."""
    stacked: dict[str, Tensor] = {}
    for operation, of_map in of_maps.items():
        flat = of_map.flatten(0, 1)
        for weight, source in operation.products:
            if source not in stacked:
                stacked[source] = torch.cat([frame.factor(source) for frame in frames])
            _add(sums, weight, flat.t() @ stacked[source])
        if operation.bias is not None:
            _add(sums, operation.bias, flat.sum(0, dtype=operation.bias.dtype))


def _add(sums: dict[nn.Parameter, Tensor], parameter: nn.Parameter, part: Tensor) -> None:
    part = part.to(parameter.dtype)
    sums[parameter] = part if parameter not in sums else sums[parameter].add_(part)


def _frames(inputs: Registers) -> int:
    return len(next(iter(inputs.values())))


def _tiled(values: Tensor, rows: int) -> Tensor:
    """`values [b, ...]` once for each of the `rows` columns that have them in common."""
    return values if len(values) == rows else values.repeat(rows // len(values), *[1] * (values.dim() - 1))


def _shared(gradient: Tensor, base: Tensor) -> Tensor:
    """The gradient `[T, b, N]` of a base from that of every column, `[T, B, N]`."""
    rows = base.shape[1]
    summed = gradient if gradient.shape[1] == rows else gradient.unflatten(1, (-1, rows)).sum(1)
    return summed.to(base.dtype)
