"""Ours against the textbook loop: the cases of a benchmark, run in alternation and told as JSON and as lines."""

import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.speed.options import Options, parsed, speed_parser, write_result
from benchmarks.speed.pairing import Paired, run_paired
from benchmarks.speed.sides import Side
from benchmarks.speed.workloads import SHAPES, Scoring, Training
from vrnn.device.device import describe_path
from vrnn.device.precision import Precision

__all__ = ["Case", "options_of", "run_benchmark"]

_TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "tf32": 1e-2, "bfloat16": 1e-2}
"""How far the two bounds may be apart, as a share: they are the same sums in another order."""


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        name: of the case.
        work: what ours does.
        operations: that one run of it cannot do without.
        against: other precisions of the textbook loop to compare with too.
    """

    name: str
    work: Training | Scoring
    operations: float
    against: tuple[Precision, ...] = ()


def options_of(arguments: Sequence[str] | None, prog: str, about: str) -> Options:
    """The options in a command line; wrong ones end the process with one line and exit code 2."""
    parser = speed_parser(prog, about)
    parser.add_argument(
        "--equal-memory", action="store_true", help="let the textbook loop's process keep freed memory as ours does"
    )
    return parsed(parser, arguments)


def run_benchmark(cases: Iterable[Case], options: Options) -> dict[str, Any]:
    """Run the cases, tell each on stderr as it ends, and write the JSON where it was asked for."""
    told: list[dict[str, Any]] = []
    for case in cases:
        for one in _run(case, options):
            told.append(one)
            sys.stderr.write(_line(one) + "\n")
    return write_result(told, options)


def _run(case: Case, options: Options) -> Iterator[dict[str, Any]]:
    work = case.work
    for precision in (work.precision, *case.against):
        with ExitStack() as stack:
            textbook_work = replace(work, who="textbook", precision=precision)
            ours = stack.enter_context(Side(work, keep_memory=True))
            textbook = stack.enter_context(Side(textbook_work, keep_memory=options.equal_memory))
            difference = abs(ours.figure - textbook.figure) / abs(textbook.figure)
            allowed = max(_TOLERANCE[work.precision], _TOLERANCE[precision])
            if not difference <= allowed:
                raise ArithmeticError(f"{case.name}: ours gives {ours.figure}, the textbook {textbook.figure}")
            before = ours.peak()
            paired = run_paired(textbook, ours, options.pairs)
            peak = statistics.mean((before, ours.peak()))
            told = _told(case, precision, paired, peak, difference, (ours.memory, textbook.memory))
            yield told | {"path": describe_path(work.device, work.precision)}


def _told(
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


def _line(told: dict[str, Any]) -> str:
    memory = "/".join(
        "?" if value is None else f"{value / 2**30:.1f}"
        for value in (told["ours_memory_bytes"], told["textbook_memory_bytes"])
    )
    return (
        f"{told['name']:<22} {told['device']} {told['precision']:<8} batch {told['batch']:<4}"
        f" ours {told['ours_seconds']:8.4f} s, {told['fraction_of_peak']:.2f} of peak"
        f"  textbook {told['textbook_precision']:<8} {told['textbook_seconds']:8.4f} s"
        f"  {told['speedup']:5.2f} times [{told['speedup_low']:.2f}, {told['speedup_high']:.2f}]  {memory} GiB"
    )
