"""The time loop of a GPU, recorded once for each set of shapes and replayed, so that Python launches no kernel.

A frame of a time loop is dozens of kernels of a few microseconds each, and launching them one by one from Python takes
longer than running them. A CUDA graph holds all kernels of a pass with the addresses that they work on. Therefore:

- a recording belongs to one program, one set of shapes, and the addresses of the parameters, which the optimiser
  changes in place. Inputs are copied into the recording's own tensors before a replay, and results are copied out;
- what the forward pass leaves for the backward pass is also in the recording. The recording is in use until its
  backward pass has run or can no longer run: meanwhile another pass of the same shapes runs without it;
- a recording keeps the memory of a pass, so only the last few are kept. Lengths should repeat: `bucketed` rounds them.

Where recording fails, all passes of those shapes run kernel by kernel, and the log says why.
"""

import logging
import weakref
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

__all__ = [
    "CudaGraphs",
    "RecordedPass",
    "Recorder",
    "Recordings",
    "bucketed",
    "chosen_recorder",
    "recorder_for",
    "recording_by",
]

_log = logging.getLogger(__name__)

_WARM_UPS = 2
_FINEST, _PER_OCTAVE = 8, 8

T = TypeVar("T")


class Recorder(Protocol):
    """Records a function of tensors at fixed addresses."""

    def record(self, function: Callable[[], T], *, warm_up: bool) -> tuple[T, Callable[[], None]]:
        """Run a function; return its result, and what runs the same kernels on the same addresses again.

        Args:
            function: without arguments, and without effects except on tensors.
            warm_up: whether to run it unrecorded before, so that libraries choose their algorithms.
        """
        ...


class CudaGraphs:
    """Records CUDA graphs, each forward pass and its backward pass in one pool of memory."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, function: Callable[[], T], *, warm_up: bool) -> tuple[T, Callable[[], None]]:
        """See `Recorder.record`."""
        if warm_up:
            # On a stream of its own, as torch asks: nothing of the warm-up may end up in the graph.
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(_WARM_UPS):
                    function()
            torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            result = function()
        # Capturing runs no kernel; the first replay computes the result.
        graph.replay()
        return result, graph.replay


class RecordedPass(Generic[T]):
    """A forward pass and its backward pass, recorded for one set of shapes; it holds no parameter."""

    def __init__(
        self,
        forward: Callable[[Sequence[Tensor]], tuple[tuple[Tensor, ...], T]],
        inputs: Sequence[Tensor],
        recorder: Recorder,
    ) -> None:
        """Record the forward pass.

        Args:
            forward: from tensors like the inputs to the results, and what the backward pass needs.
            inputs: those of the first pass; the recording works on tensors of its own.
            recorder: records both passes.
        """
        self._recorder = recorder
        self._inputs = [tensor.detach().clone() for tensor in inputs]
        self._holder: weakref.ref[object] | None = None
        (self._results, self._tape), self._replay = recorder.record(lambda: forward(self._inputs), warm_up=True)
        self._gradients: list[Tensor] | None = None
        self._found: list[Tensor | None] = []
        self._replay_backward: Callable[[], None] = lambda: None

    @property
    def in_use(self) -> bool:
        """Whether the backward pass of the last forward pass may still run."""
        return self._holder is not None and self._holder() is not None

    def forward(self, inputs: Sequence[Tensor], holder: object | None) -> tuple[Tensor, ...]:
        """The results for these inputs; the recording is in use as long as `holder` lives."""
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._replay()
        self._holder = weakref.ref(holder) if holder is not None else None
        # The next replay overwrites the results in place, hence copies.
        return tuple(result.clone() for result in self._results)

    def backward(
        self,
        backward: Callable[[Sequence[Tensor], T, Sequence[Tensor]], list[Tensor | None]],
        gradients: Sequence[Tensor | None],
    ) -> list[Tensor | None]:
        """The backward pass of the last forward pass.

        Args:
            backward: what is recorded the first time: from the inputs, what the forward pass left, and the results'
                gradients.
            gradients: those of the results; None counts as zeros.
        """
        first = self._gradients is None
        own = self._gradients = self._gradients or [torch.empty_like(result) for result in self._results]
        for place, gradient in zip(own, gradients, strict=True):
            if gradient is None:
                place.zero_()
            else:
                place.copy_(gradient)
        if first:
            self._found, self._replay_backward = self._recorder.record(
                lambda: backward(self._inputs, self._tape, own), warm_up=False
            )
        else:
            self._replay_backward()
        return [None if found is None else found.clone() for found in self._found]


class Recordings:
    """The recorded passes of one model, the most recently used of them, by what they were recorded for."""

    def __init__(self, recorder: Callable[[], Recorder], limit: int) -> None:
        """At most `limit` recordings; each gets a recorder of its own."""
        self._recorder = recorder
        self._limit = limit
        self._passes: OrderedDict[object, RecordedPass[Any] | None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._passes)

    def get(self, key: object, record: Callable[[Recorder], RecordedPass[Any]]) -> RecordedPass[Any] | None:
        """The recording for `key`, made if there is none; None where it is in use, or recording failed."""
        if key not in self._passes:
            try:
                self._passes[key] = record(self._recorder())
            except RuntimeError as error:
                reason = str(error).partition("\n")[0]
                _log.warning("a time loop could not be recorded, and runs kernel by kernel: %s", reason)
                self._passes[key] = None
            while len(self._passes) > self._limit:
                self._passes.popitem(last=False)
        self._passes.move_to_end(key)
        found = self._passes[key]
        return None if found is None or found.in_use else found


_recorder: ContextVar[Callable[[], Recorder] | None] = ContextVar("recorder", default=CudaGraphs)


@contextmanager
def recording_by(recorder: Callable[[], Recorder] | None) -> Generator[None]:
    """Within this block time loops on GPUs are recorded by such recorders; None records nothing."""
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)


def chosen_recorder() -> Callable[[], Recorder] | None:
    """The recorder of time loops in this context; None where they are not recorded."""
    return _recorder.get()


def recorder_for(tensor: Tensor) -> Callable[[], Recorder] | None:
    """The recorder of a time loop on such tensors, or None."""
    recorder = chosen_recorder()
    if recorder is CudaGraphs and (not tensor.is_cuda or torch.cuda.is_current_stream_capturing()):
        return None
    return recorder


def bucketed(length: int) -> int:
    """The length rounded up, so that few different lengths remain: to eighths of the power of two below, at least 8.

    At most an eighth is added, from 64 on; a recording for each of 8 lengths serves a factor of two.

    >>> [bucketed(length) for length in (5, 100, 1000, 1030)]
    [8, 104, 1024, 1152]
    """
    step = max(_FINEST, 2 ** (max(length - 1, 1).bit_length() - 1) // _PER_OCTAVE)
    return -(-length // step) * step
