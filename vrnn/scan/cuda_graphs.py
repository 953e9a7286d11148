"""The time loop of a GPU, recorded once for each shape and played back: nothing is launched from Python any more.

A frame of a time loop is dozens of kernels of a few microseconds, and launching them one by one from Python takes
longer than they do. A CUDA graph holds all kernels of a pass with the addresses they work on. Hence the rules here:

- a recording belongs to one program, one set of shapes, and the addresses of the parameters, which the optimiser
  changes in place. Inputs are copied to the recording's own tensors before it is played, results are copied out after;
- what the way forward leaves for the way back lies in the recording too. Until the way back is gone, or can no longer
  be, the recording is taken: a second pass of the same shapes meanwhile is run without it;
- a recording keeps the memory of a pass, so only the last few are kept. Lengths should repeat: `bucketed` rounds them.

Where recording fails, the pass and all later ones of those shapes are run kernel by kernel, and the log says why.
"""

import logging
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

__all__ = [
    "CudaGraphs",
    "Recorder",
    "Recordings",
    "Slot",
    "bucketed",
    "recorder_choice",
    "recorder_for",
    "recording_by",
]

_log = logging.getLogger(__name__)

_WARM_UPS = 2
_FINEST, _PER_OCTAVE = 8, 8

T = TypeVar("T")


class Recorder(Protocol):
    """What records a function of tensors at fixed addresses."""

    def record(self, function: Callable[[], T], *, warm_up: bool) -> tuple[T, Callable[[], None]]:
        """Run a function; what it returned, and what runs the same kernels on the same addresses again.

        Args:
            function: without arguments, and without effects but on tensors.
            warm_up: whether to run it before, unrecorded, so that libraries choose their algorithms.
        """
        ...


class CudaGraphs:
    """Records CUDA graphs, each way forward and its way back in one pool of memory."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, function: Callable[[], T], *, warm_up: bool) -> tuple[T, Callable[[], None]]:
        """See `Recorder.record`."""
        if warm_up:
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(_WARM_UPS):
                    function()
            torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            result = function()
        graph.replay()
        return result, graph.replay


class Slot(Generic[T]):
    """A way forward and its way back, recorded for one set of shapes; it holds no parameter."""

    def __init__(
        self,
        forward: Callable[[Sequence[Tensor]], tuple[tuple[Tensor, ...], T]],
        inputs: Sequence[Tensor],
        recorder: Recorder,
    ) -> None:
        """Record the way forward.

        Args:
            forward: from tensors like the inputs to the results, and what the way back needs.
            inputs: of the first pass; the recording works on tensors of its own.
            recorder: by which.
        """
        self._recorder = recorder
        self._inputs = [tensor.detach().clone() for tensor in inputs]
        self._holder: weakref.ref[object] | None = None
        (self._results, self._left), self._play = recorder.record(lambda: forward(self._inputs), warm_up=True)
        self._gradients: list[Tensor] | None = None
        self._found: list[Tensor | None] = []
        self._play_back: Callable[[], None] = lambda: None

    @property
    def taken(self) -> bool:
        """Whether somebody may still go the way back of the last way forward."""
        return self._holder is not None and self._holder() is not None

    def forward(self, inputs: Sequence[Tensor], holder: object | None) -> tuple[Tensor, ...]:
        """The results for these inputs; the slot is taken as long as `holder` lives."""
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._play()
        self._holder = weakref.ref(holder) if holder is not None else None
        return tuple(result.clone() for result in self._results)

    def backward(
        self,
        backward: Callable[[Sequence[Tensor], T, Sequence[Tensor]], list[Tensor | None]],
        gradients: Sequence[Tensor | None],
    ) -> list[Tensor | None]:
        """The way back from the last way forward.

        Args:
            backward: what is recorded the first time: from the inputs, what the way forward left, and the results'
                gradients.
            gradients: of the results; None is taken for zeros.
        """
        first = self._gradients is None
        own = self._gradients = self._gradients or [torch.empty_like(result) for result in self._results]
        for place, gradient in zip(own, gradients, strict=True):
            if gradient is None:
                place.zero_()
            else:
                place.copy_(gradient)
        if first:
            self._found, self._play_back = self._recorder.record(
                lambda: backward(self._inputs, self._left, own), warm_up=False
            )
        else:
            self._play_back()
        return [None if found is None else found.clone() for found in self._found]


class Recordings:
    """The slots of one model, the most recently used of them, by what they were recorded for."""

    def __init__(self, recorder: Callable[[], Recorder], limit: int) -> None:
        """At most `limit` slots; each gets a recorder of its own."""
        self._recorder = recorder
        self._limit = limit
        self._slots: OrderedDict[object, Slot[Any] | None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._slots)

    def slot(self, key: object, make: Callable[[Recorder], Slot[Any]]) -> Slot[Any] | None:
        """The slot for `key`, made if there is none; None where it is taken, or could not be recorded."""
        if key not in self._slots:
            try:
                self._slots[key] = make(self._recorder())
            except RuntimeError as error:
                reason = str(error).partition("\n")[0]
                _log.warning("a time loop could not be recorded, and runs kernel by kernel: %s", reason)
                self._slots[key] = None
            while len(self._slots) > self._limit:
                self._slots.popitem(last=False)
        self._slots.move_to_end(key)
        slot = self._slots[key]
        return None if slot is None or slot.taken else slot


_recorder: ContextVar[Callable[[], Recorder] | None] = ContextVar("recorder", default=CudaGraphs)


@contextmanager
def recording_by(recorder: Callable[[], Recorder] | None) -> Iterator[None]:
    """Within this block time loops on GPUs are recorded by such recorders; None records nothing."""
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)


def recorder_choice() -> Callable[[], Recorder] | None:
    """What records time loops here, where they are recorded."""
    return _recorder.get()


def recorder_for(tensor: Tensor) -> Callable[[], Recorder] | None:
    """What records a time loop on such tensors, or None."""
    recorder = recorder_choice()
    if recorder is CudaGraphs and (not tensor.is_cuda or torch.cuda.is_current_stream_capturing()):
        return None
    return recorder


def bucketed(length: int) -> int:
    """The length rounded up so that few different ones remain: to eighths of the power of two below, at least 8.

    At most an eighth is added, from 64 on; a recording for each of 8 lengths serves a factor of two.
    """
    step = max(_FINEST, 2 ** (max(length - 1, 1).bit_length() - 1) // _PER_OCTAVE)
    return -(-length // step) * step
