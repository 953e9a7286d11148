"""The time loop of every recurrence, and its backward pass.

A program says what happens at one frame, as operations on named registers (`vrnn.scan.scan_ops`). This module runs it
over all frames, and has a backward pass written by hand:

- only what depends on the frame before is in the loop; what is known of all frames comes in as a base;
- in the backward pass a frame leaves the gradients of its affine maps behind. Each weight's gradient is formed from
  those of all frames by one product at the end. Formed frame by frame, the whole gradient matrix would be read and
  written every time, which for an LSTM of 2000 units is 80 MB a frame;
- what the backward pass needs is stored once. Within `activation_checkpointing` it is stored for a few frames only: the
  state is kept at the start of each segment, and the segment is recomputed in the backward pass.

The precision of the products is autocast's where that is on (the weights are cast once a pass), else that of the
weights. State, sums of several products, spreads and latents are in float32 or above.

Shapes: T frames, B columns. A base may be of b sequences; then B / b columns share each of them, in the order
k * b + i.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.weak import WeakIdKeyDictionary

from vrnn.scan.cuda_graphs import RecordedPass, Recorder, Recordings, recorder_for
from vrnn.scan.packed_weights import PackedWeight, pack, product_dtype
from vrnn.scan.scan_ops import Frame, Gradients, Operation

__all__ = ["Program", "activation_checkpointing", "scan", "tile"]

Registers: TypeAlias = dict[str, Tensor]
PackedWeights: TypeAlias = tuple[tuple[PackedWeight, ...], ...]
"""The weights of each operation."""

_RECORDINGS = 8
"""Sets of shapes whose recordings a program keeps."""

_recordings: WeakIdKeyDictionary = WeakIdKeyDictionary()
"""The recordings of a program, by its first parameter: they end with the model."""

_checkpointed_frames: ContextVar[int] = ContextVar("checkpointed_frames", default=0)


@dataclass(frozen=True, eq=False)
class Program:
    """What happens at one frame.

    Attributes:
        operations: in the order in which they run.
        carried: for each register of the state before a frame, the register that holds it after the frame.
        outputs: the registers that `scan` returns for every frame.
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
        """What distinguishes programs on the same parameters."""
        return (*(type(operation) for operation in self.operations), *self.carried.values(), *self.outputs)

    @cached_property
    def bases(self) -> tuple[str, ...]:
        """The registers of what is known before the loop, operation by operation."""
        return tuple(operation.base for operation in self.operations if operation.base is not None)


@contextmanager
def activation_checkpointing(frames: int) -> Generator[None]:
    """Within this block a scan stores activations for so many frames at once and recomputes the rest; 0 stores all."""
    token = _checkpointed_frames.set(frames)
    try:
        yield
    finally:
        _checkpointed_frames.reset(token)


def scan(
    program: Program, bases: Registers, state: Registers, constants: Registers | None = None
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Run a program over T frames.

    Args:
        program: what happens at a frame.
        bases: the program's bases for all frames, `[T, B, ...]` or `[T, b, ...]`.
        state: the carried registers before the first frame, `[B, ...]`.
        constants: other registers, `[T, B, ...]`, that take no gradient.

    Returns:
        The program's outputs, each `[T, B, ...]`, and the state after the last frame, in the order of `carried`.
    """
    fixed = constants or {}
    given = (*(bases[name] for name in program.bases), *(state[name] for name in program.carried))
    tensors = (*given, *fixed.values(), *program.parameters)
    needs_backward = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    dtype = product_dtype(program.parameters[0])
    run = _Run(program, tuple(fixed), dtype, _checkpointed_frames.get(), needs_backward)
    results = cast(tuple[Tensor, ...], _Scan.apply(run, *tensors))  # pyright: ignore[reportUnknownMemberType]
    count = len(program.outputs)
    return results[:count], results[count:]


def tile(values: Tensor, columns: int, axis: int = 0) -> Tensor:
    """`values` with its `axis` of b sequences repeated to `columns`, the order being k * b + i.

    >>> tile(torch.tensor([1, 2]), 6)
    tensor([1, 2, 1, 2, 1, 2])
    """
    if values.shape[axis] == columns:
        return values
    repeats = [1] * values.dim()
    repeats[axis] = columns // values.shape[axis]
    return values.repeat(repeats)


class _Scan(torch.autograd.Function):
    """The loop as one node of autograd's graph. All tensors are in one flat tuple, because autograd wants them so."""

    @staticmethod
    def forward(ctx: Any, run: "_Run", *tensors: Tensor) -> tuple[Tensor, ...]:  # noqa: ANN401 (torch names no type)
        ctx.run, ctx.holder = run, _Holder()
        ctx.save_for_backward(*tensors)
        # The loop casts by itself; autocast would cast again inside it.
        with torch.autocast(tensors[0].device.type, enabled=False):
            ctx.recorded = recorded = run.recorded_pass(tensors)
            if recorded is not None:
                return recorded.forward(run.inputs(tensors), ctx.holder if run.needs_backward else None)
            results, ctx.tape = run.forward(run.inputs(tensors))
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ANN401 # pyright: ignore
        tensors: tuple[Tensor, ...] = ctx.saved_tensors
        with torch.autocast(tensors[0].device.type, enabled=False):
            if ctx.recorded is not None:
                return None, *ctx.recorded.backward(ctx.run.backward, gradients)
            return None, *ctx.run.backward(ctx.run.inputs(tensors), ctx.tape, gradients)


class _Holder:
    """Its lifetime is that of the graph: while it lives, the backward pass may still run, and a recording is in use."""


@dataclass(eq=False)
class _Tape:
    """What the forward pass leaves for the backward pass.

    Attributes:
        weights: the packed weights.
        starts: the state before each segment.
        frames: the registers of all frames if there is one segment; None where frames are recomputed.
    """

    weights: PackedWeights
    starts: list[Registers]
    frames: list[Frame] | None


@dataclass(frozen=True, eq=False)
class _Run:
    """A program together with how it is run; the tensors that it is run on come in one flat tuple.

    Attributes:
        program: what happens at a frame.
        constants: the names of the constants.
        dtype: the precision of the products.
        segment_frames: the frames of a segment; 0 for one segment of all frames.
        needs_backward: whether the forward pass must keep what the backward pass needs.
    """

    program: Program
    constants: tuple[str, ...]
    dtype: torch.dtype
    segment_frames: int
    needs_backward: bool

    def inputs(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """All tensors but the parameters."""
        return tensors[: len(tensors) - len(self.program.parameters)]

    def recorded_pass(self, tensors: Sequence[Tensor]) -> RecordedPass[_Tape | None] | None:
        """The recording for these shapes; None where loops are not recorded, or the recording is in use."""
        recorder = recorder_for(tensors[0])
        if recorder is None:
            return None
        owner = self.program.parameters[0]
        if owner not in _recordings:
            _recordings[owner] = Recordings(recorder, _RECORDINGS)
        recordings = cast(Recordings, _recordings[owner])
        inputs = self.inputs(tensors)
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        # A recording reads the parameters where they were; weights that have moved need a new one.
        addresses = tuple(parameter.data_ptr() for parameter in self.program.parameters)
        how = (self.constants, self.dtype, self.segment_frames, self.needs_backward)

        def record(recorder: Recorder) -> RecordedPass[_Tape | None]:
            return RecordedPass(self.forward, inputs, recorder)

        return recordings.get((self.program.signature, shapes, addresses, *how), record)

    def forward(self, tensors: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], _Tape | None]:
        """Outputs and the state after the last frame; and the tape, if there will be a backward pass."""
        inputs, state = self._named(tensors)
        weights = self._pack_weights(inputs, state)
        segments = self._segments(inputs) if self.needs_backward else [range(_length(inputs))]
        tape = _Tape(weights, [], [] if len(segments) == 1 else None)
        outputs: list[list[Tensor]] = [[] for _ in self.program.outputs]
        for segment in segments:
            tape.starts.append(state)
            for t in segment:
                frame = self._frame(inputs, state, t, weights)
                state = {name: frame[after] for name, after in self.program.carried.items()}
                for values, name in zip(outputs, self.program.outputs, strict=True):
                    values.append(frame[name])
                if self.needs_backward and tape.frames is not None:
                    tape.frames.append(frame)
        # A result leads to the tape; if the tape held the same tensor, the cycle would keep both alive. Hence clones.
        last = (part.clone() for part in state.values())
        return (*map(torch.stack, outputs), *last), tape if self.needs_backward else None

    def backward(
        self, tensors: Sequence[Tensor], tape: _Tape | None, gradients: Sequence[Tensor | None]
    ) -> list[Tensor | None]:
        """The gradients of the tensors that `forward` was given and of the parameters, from those of its results."""
        assert tape is not None
        inputs, state = self._named(tensors)
        of_outputs = {n: g for n, g in zip(self.program.outputs, gradients, strict=False) if g is not None}
        # The gradient of the state after the frame at hand, in the order of `carried`; it moves back through time.
        of_state = [
            torch.zeros_like(part) if g is None else g.clone()
            for part, g in zip(state.values(), gradients[len(self.program.outputs) :], strict=True)
        ]
        with_base = [operation for operation in self.program.operations if operation.base is not None]
        # The gradient of a map's output is also that of its base, which is needed for all frames, not for a segment.
        of_bases = {operation: self._empty(operation, of_state, _length(inputs)) for operation in with_base}
        of_parameters: dict[nn.Parameter, Tensor] = {}
        for segment, start in zip(reversed(self._segments(inputs)), reversed(tape.starts), strict=True):
            frames = tape.frames or self._recompute(inputs, start, segment, tape.weights)
            part = slice(segment.start, segment.stop)
            of_maps = {
                operation: of_bases[operation][part]
                if operation in of_bases
                else self._empty(operation, of_state, len(segment))
                for operation in self.program.operations
            }
            within = {name: g[part] for name, g in of_outputs.items()}
            of_state = self._backward_frames(frames, within, of_state, of_maps, tape.weights)
            _add_parameter_gradients(frames, of_maps, of_parameters)
        bases = (
            _sum_columns(of_bases[operation], inputs[name])
            for operation, name in zip(with_base, self.program.bases, strict=True)
        )
        parameters = (of_parameters[parameter] for parameter in self.program.parameters)
        return [*bases, *of_state, *(None for _ in self.constants), *parameters]

    def _named(self, tensors: Sequence[Tensor]) -> tuple[Registers, Registers]:
        """The bases and constants of all frames, and the state before the first."""
        bases, carried = len(self.program.bases), len(self.program.carried)
        named = dict(zip(self.program.bases, tensors[:bases], strict=True))
        constants = tensors[bases + carried : bases + carried + len(self.constants)]
        state = dict(zip(self.program.carried, tensors[bases : bases + carried], strict=True))
        return named | dict(zip(self.constants, constants, strict=True)), state

    def _pack_weights(self, inputs: Registers, state: Registers) -> PackedWeights:
        rows = _columns(state)
        return tuple(
            tuple(pack(weight, self.dtype, rows, _length(inputs)) for weight, _ in operation.products)
            for operation in self.program.operations
        )

    def _segments(self, inputs: Registers) -> list[range]:
        length = _length(inputs)
        size = self.segment_frames or length
        return [range(start, min(start + size, length)) for start in range(0, length, size)]

    def _frame(self, inputs: Registers, state: Registers, t: int, weights: PackedWeights) -> Frame:
        """All registers of frame t."""
        columns = _columns(state)
        frame = Frame({name: tile(values[t], columns) for name, values in inputs.items()} | state, self.dtype)
        for operation, packed in zip(self.program.operations, weights, strict=True):
            operation.forward(frame, packed)
        return frame

    def _empty(self, operation: Operation, state: Sequence[Tensor], length: int) -> Tensor:
        return state[0].new_empty(length, len(state[0]), operation.outputs, dtype=self.dtype)

    def _recompute(self, inputs: Registers, state: Registers, segment: range, weights: PackedWeights) -> list[Frame]:
        frames: list[Frame] = []
        for t in segment:
            frames.append(self._frame(inputs, state, t, weights))
            state = {name: frames[-1][after] for name, after in self.program.carried.items()}
        return frames

    def _backward_frames(
        self,
        frames: list[Frame],
        of_outputs: Registers,
        of_state: list[Tensor],
        of_maps: Mapping[Operation, Tensor],
        weights: PackedWeights,
    ) -> list[Tensor]:
        """The gradient of the state before these frames from that after them; fills in those of every affine map."""
        for t in reversed(range(len(frames))):
            frame = frames[t]
            gradients = Gradients(dict(zip(self.program.carried.values(), of_state, strict=True)))
            for name, gradient in of_outputs.items():
                gradients.add(name, gradient[t])
            for operation, packed in zip(reversed(self.program.operations), reversed(weights), strict=True):
                of_map = of_maps[operation][t]
                operation.backward(frame, gradients, of_map)
                # The product with each weight carries the gradient on to the register that the weight multiplied.
                for weight, (_, source) in zip(packed, operation.products, strict=True):
                    gradients.add(source, weight.backward(of_map).to(frame[source].dtype))
            found = [gradients.take(name) for name in self.program.carried]
            of_state = [torch.zeros_like(g) if f is None else f for f, g in zip(found, of_state, strict=True)]
        return of_state


def _add_parameter_gradients(
    frames: list[Frame], of_maps: Mapping[Operation, Tensor], sums: dict[nn.Parameter, Tensor]
) -> None:
    """Add each parameter's gradient over these frames, formed by one product, to that of other segments."""
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


def _length(inputs: Registers) -> int:
    return len(next(iter(inputs.values())))


def _columns(state: Registers) -> int:
    return len(next(iter(state.values())))


def _sum_columns(gradient: Tensor, base: Tensor) -> Tensor:
    """The gradient `[T, b, N]` of a base from that of every column, `[T, B, N]`."""
    sequences = base.shape[1]
    summed = gradient if gradient.shape[1] == sequences else torch.unflatten(gradient, 1, (-1, sequences)).sum(1)
    return summed.to(base.dtype)
