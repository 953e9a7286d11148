"""The command line and the result file of the benchmarks of models."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.reporting import describe_machine, positive_int, write_json
from benchmarks.speed.workloads import SHAPES
from vrnn.device.precision import Precision

__all__ = ["Options", "parse_options", "speed_parser", "write_result"]

_PACKAGES = ("torch", "triton", "numpy")


@dataclass(frozen=True)
class Options:
    """The parsed options of a benchmark."""

    device: str
    precisions: tuple[Precision, ...]
    shapes: tuple[str, ...]
    batches: tuple[int, ...] | None
    pairs: int
    equal_memory: bool
    json: Path | None
    json_on_stdout: bool


def speed_parser(prog: str, about: str) -> argparse.ArgumentParser:
    """A parser of the options that all of these benchmarks take."""
    parser = argparse.ArgumentParser(prog=prog, description=about)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=device, help="default: a GPU if torch sees one")
    parser.add_argument(
        "--precision",
        nargs="+",
        choices=("float32", "tf32", "bfloat16"),
        default=["float32", "bfloat16"],
        help="default: float32 bfloat16",
    )
    parser.add_argument("--size", nargs="+", choices=tuple(SHAPES), default=list(SHAPES), help="default: all")
    parser.add_argument("--batch", nargs="+", type=positive_int, help="sequences; default: typical sizes per model")
    parser.add_argument("--pairs", type=positive_int, default=3, help="runs of each side of a comparison (default 3)")
    parser.add_argument("--json", nargs="?", const="-", help="write one JSON object to this file, or to stdout")
    parser.set_defaults(equal_memory=False)
    return parser


def parse_options(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> Options:
    """Parse a command line; wrong options end the process with one line and exit status 2."""
    found = parser.parse_args(arguments)
    if found.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no GPU; use --device cpu")
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
    """Write the machine and the cases as one JSON object, if requested."""
    machine = describe_machine(_PACKAGES) | {"threads": torch.get_num_threads()}
    if options.device == "cuda":
        machine["gpu"] = torch.cuda.get_device_name()
    result = {"machine": machine, "cases": cases}
    if options.json is not None:
        write_json(result, options.json)
    if options.json_on_stdout:
        write_json(result, None)
    return result
