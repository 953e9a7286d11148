"""Ours against the textbook loop: cases run in alternation, each side in a process of its own.

Whether freed memory is kept is a setting of a whole process, and so is the peak of its memory. Sides that differ in
these cannot be timed in one process. A side is a child process that runs its work on request and idles otherwise.
"""

import multiprocessing
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from benchmarks.speed.options import Options, parse_options, speed_parser, write_result
from benchmarks.speed.timing import Paired, Spent, Stopwatch, run_paired
from benchmarks.speed.workloads import SHAPES, Scoring, Training
from vrnn.device.device import describe_path
from vrnn.device.memory import keep_freed_memory
from vrnn.device.peak import matmul_peak, peak_memory, reset_peak_memory, synchronise
from vrnn.device.precision import Precision

__all__ = ["Case", "options_of", "run_benchmark"]

_TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "tf32": 1e-2, "bfloat16": 1e-2}
"""Accepted relative difference of the two bounds, which are the same sums in another order."""


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        work: our side.
        operations: that no implementation of the work can avoid.
        against: further precisions of the textbook loop to compare with.
    """

    name: str
    work: Training | Scoring
    operations: float
    against: tuple[Precision, ...] = ()


@dataclass(frozen=True)
class _Answer:
    spent: Spent
    value: float
    memory: int | None


class _Side:
    """A child process that runs a piece of work; a context manager that ends it.

    Attributes:
        value: result of the last run.
        memory: peak memory of the last run in bytes; None if unknown.
    """

    def __init__(self, work: Training | Scoring, *, keep_memory: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, work, keep_memory), daemon=True)
        self.value = float("nan")
        self.memory: int | None = None

    def __enter__(self) -> Self:
        self._process.start()
        self()  # the first run warms up, and gives the value to compare
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.join()

    def __call__(self) -> Spent:
        """Run once and return the time."""
        answer: _Answer = self._request("run")
        self.value, self.memory = answer.value, answer.memory
        return answer.spent

    def peak(self) -> float:
        """The peak rate of matrix products in that process, operations per second."""
        return self._request("peak")

    def _request(self, what: str) -> Any:  # noqa: ANN401 (the type of an answer depends on the request)
        self._connection.send(what)
        try:
            return self._connection.recv()
        except EOFError as error:
            self._process.join()
            raise RuntimeError(f"a side of the comparison ended with exit code {self._process.exitcode}") from error


def _serve(connection: Connection, work: Training | Scoring, keep_memory: bool) -> None:
    """In the child: answer requests until the connection is closed."""
    if keep_memory:
        keep_freed_memory()
    run: Callable[[], float] = work.prepare()
    device = work.device
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        if request == "peak":
            connection.send(matmul_peak(device, work.dtype))
            continue
        reset_peak_memory(device)
        synchronise(device)
        watch = Stopwatch()
        value = run()
        synchronise(device)
        connection.send(_Answer(watch.read(), value, peak_memory(device)))


def options_of(arguments: Sequence[str] | None, prog: str, about: str) -> Options:
    """Parse a command line; wrong options end the process with one line and exit status 2."""
    parser = speed_parser(prog, about)
    parser.add_argument(
        "--equal-memory", action="store_true", help="let the textbook loop keep freed memory, as our side does"
    )
    return parse_options(parser, arguments)


def run_benchmark(cases: Iterable[Case], options: Options) -> dict[str, Any]:
    """Run the cases, print a line on stderr for each, and write the JSON if requested."""
    results: list[dict[str, Any]] = []
    for case in cases:
        for result in _run(case, options):
            results.append(result)
            sys.stderr.write(_line(result) + "\n")
    return write_result(results, options)


def _run(case: Case, options: Options) -> Iterator[dict[str, Any]]:
    work = case.work
    for precision in (work.precision, *case.against):
        with ExitStack() as stack:
            textbook_work = replace(work, who="textbook", precision=precision)
            ours = stack.enter_context(_Side(work, keep_memory=True))
            textbook = stack.enter_context(_Side(textbook_work, keep_memory=options.equal_memory))
            difference = abs(ours.value - textbook.value) / abs(textbook.value)
            allowed = max(_TOLERANCE[work.precision], _TOLERANCE[precision])
            if not difference <= allowed:
                raise ArithmeticError(f"{case.name}: ours gives {ours.value}, the textbook loop {textbook.value}")
            before = ours.peak()
            paired = run_paired(textbook, ours, options.pairs)
            peak = statistics.mean((before, ours.peak()))
            result = _result(case, precision, paired, peak, difference, (ours.memory, textbook.memory))
            yield result | {"path": describe_path(work.device, work.precision)}


def _result(
    case: Case, against: Precision, paired: Paired, peak: float, difference: float, memory: tuple[int | None, ...]
) -> dict[str, Any]:
    ratios = paired.ratios("wall")
    ours, textbook = (statistics.median(run.wall for run in runs) for runs in (paired.b, paired.a))
    return {
        "name": case.name,
        "device": case.work.device_type,
        "precision": case.work.precision,
        "batch": case.work.sequences,
        "frames": SHAPES[case.work.shape].frames,
        "textbook_precision": against,
        "ours_seconds": ours,
        "textbook_seconds": textbook,
        "speedup": statistics.median(ratios),
        "speedup_low": min(ratios),
        "speedup_high": max(ratios),
        "fraction_of_peak": case.operations / ours / peak,
        "operations": case.operations,
        "peak_operations_per_second": peak,
        "textbook_fraction_of_peak": case.operations / textbook / peak if against == case.work.precision else None,
        "ours_memory_bytes": memory[0],
        "textbook_memory_bytes": memory[1],
        "relative_difference": difference,
        "runs": {"ours": [run.wall for run in paired.b], "textbook": [run.wall for run in paired.a]},
    }


def _line(result: dict[str, Any]) -> str:
    memory = "/".join(
        "?" if value is None else f"{value / 2**30:.1f}"
        for value in (result["ours_memory_bytes"], result["textbook_memory_bytes"])
    )
    return (
        f"{result['name']:<22} {result['device']} {result['precision']:<8} batch {result['batch']:<4}"
        f" ours {result['ours_seconds']:8.4f} s, {result['fraction_of_peak']:.2f} of peak"
        f"  textbook {result['textbook_precision']:<8} {result['textbook_seconds']:8.4f} s"
        f"  {result['speedup']:5.2f} times [{result['speedup_low']:.2f}, {result['speedup_high']:.2f}]  {memory} GiB"
    )
