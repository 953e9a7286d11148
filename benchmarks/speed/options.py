"""What the benchmarks of models take from a command line, and where their results go."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.machine import describe_machine
from benchmarks.speed.result_files import positive_int, write_json
from benchmarks.speed.workloads import SHAPES
from vrnn.device.precision import Precision

__all__ = ["Options", "parsed", "speed_parser", "write_result"]

_PACKAGES = ("torch", "triton", "numpy")


@dataclass(frozen=True)
class Options:
    """What a benchmark is asked to do."""

    device: str
    precisions: tuple[Precision, ...]
    shapes: tuple[str, ...]
    batches: tuple[int, ...] | None
    pairs: int
    equal_memory: bool
    json: Path | None
    json_on_stdout: bool


def speed_parser(prog: str, about: str) -> argparse.ArgumentParser:
    """A parser of the options that all of them take."""
    parser = argparse.ArgumentParser(prog=prog, description=about)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=device)
    parser.add_argument(
        "--precision", nargs="+", choices=("float32", "tf32", "bfloat16"), default=["float32", "bfloat16"]
    )
    parser.add_argument("--size", nargs="+", choices=tuple(SHAPES), default=list(SHAPES))
    parser.add_argument("--batch", nargs="+", type=positive_int, help="sequences, in place of each size's own")
    parser.add_argument("--pairs", type=positive_int, default=3, help="how often both sides of a comparison are run")
    parser.add_argument("--json", nargs="?", const="-", help="write one JSON object here, or on stdout")
    parser.set_defaults(equal_memory=False)
    return parser


def parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> Options:
    """The options in a command line; wrong ones end the process with one line and exit code 2."""
    found = parser.parse_args(arguments)
    if found.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no GPU here")
    return Options(
        found.device,
        tuple(found.precision),
        tuple(found.size),
        tuple(found.batch) if found.batch else None,
        found.pairs,
        found.equal_memory,
        Path(found.json) if found.json not in (None, "-") else None,
        found.json == "-",
    )


def write_result(cases: list[dict[str, Any]], options: Options) -> dict[str, Any]:
    """The machine and the cases, written as one JSON object where it was asked for."""
    machine = describe_machine(_PACKAGES) | {"threads": torch.get_num_threads()}
    if options.device == "cuda":
        machine["gpu"] = torch.cuda.get_device_name()
    result = {"machine": machine, "cases": cases}
    if options.json is not None:
        write_json(result, options.json)
    if options.json_on_stdout:
        write_json(result, None)
    return result
