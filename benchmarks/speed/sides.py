"""One side of a comparison, in a process of its own.

How memory is kept is a setting of a whole process, and so is how much of it a process has used at most: two things that
differ in it cannot be timed in one. A side is a child process that runs its work whenever it is told to, and idles
otherwise, so that two of them can be run in alternation.
"""

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Protocol, Self

import torch

from benchmarks.speed.clocks import Spent, Stopwatch
from vrnn.device.memory import keep_freed_memory
from vrnn.device.peak import matmul_peak, peak_memory, reset_peak_memory, synchronise

__all__ = ["Side", "Work"]


class Work(Protocol):
    """What a side does; it is sent to the child and prepared there."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Of its products."""
        ...

    def prepare(self) -> Callable[[], float]:
        """Make ready; the result runs the work once and gives a figure to compare with the other side's."""
        ...


@dataclass(frozen=True)
class _Answer:
    spent: Spent
    figure: float
    memory: int | None


class Side:
    """A child process that runs a piece of work; a context manager, which ends it.

    Attributes:
        figure: what the last run came to.
        memory: bytes that the last run used at most, None where not known.
    """

    def __init__(self, work: Work, *, keep_memory: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, work, keep_memory), daemon=True)
        self.figure = float("nan")
        self.memory: int | None = None

    def __enter__(self) -> Self:
        self._process.start()
        self()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.join()

    def __call__(self) -> Spent:
        """Run once; what it took."""
        answer: _Answer = self._ask("run")
        self.figure, self.memory = answer.figure, answer.memory
        return answer.spent

    def peak(self) -> float:
        """The matrix product's peak in that process, operations a second."""
        return self._ask("peak")

    def _ask(self, what: str) -> Any:  # noqa: ANN401 (an answer's type is its question's)
        self._connection.send(what)
        try:
            return self._connection.recv()
        except EOFError as error:
            self._process.join()
            raise RuntimeError(f"a side of the comparison ended with exit code {self._process.exitcode}") from error


def _serve(connection: Connection, work: Work, keep_memory: bool) -> None:
    if keep_memory:
        keep_freed_memory()
    run, device = work.prepare(), work.device
    while True:
        try:
            question = connection.recv()
        except EOFError:
            return
        if question == "peak":
            connection.send(matmul_peak(device, work.dtype))
            continue
        reset_peak_memory(device)
        synchronise(device)
        watch = Stopwatch()
        figure = run()
        synchronise(device)
        connection.send(_Answer(watch.read(), figure, peak_memory(device)))
