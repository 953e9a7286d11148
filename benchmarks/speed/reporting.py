"""What all speed benchmarks share: the description of the machine, where results go, and types of flags.

Imports nothing heavy, since some of the benchmarks set environment variables before torch is imported.
"""

import argparse
import json
import math
import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

__all__ = ["cores", "describe_machine", "positive", "positive_int", "write_json"]

_CPU_INFO = Path("/proc/cpuinfo")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine(packages: tuple[str, ...]) -> dict[str, Any]:
    """The processor, its cores, the memory, the load by other work, and the versions of `packages`.

    It contains no name of the machine or of its user.
    """
    cpu_info = _CPU_INFO.read_text().splitlines() if _CPU_INFO.is_file() else []
    models = [line.partition(":")[2].strip() for line in cpu_info if line.startswith("model name")]
    installed = {found.name: found.version for found in distributions()}
    return {
        "cpu": models[0] if models else platform.processor() or "unknown",
        "cores": cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_at_start": [round(load, 2) for load in os.getloadavg()],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {package: installed.get(package) for package in packages},
    }


def write_json(result: Mapping[str, Any], path: Path | None) -> None:
    """Write one JSON object to `path`, or to stdout if it is None."""
    text = json.dumps(result, indent=2) + "\n"
    if path is None:
        sys.stdout.write(text)
    else:
        path.write_text(text)


def positive(text: str) -> float:
    """An argparse type: a finite number above 0.

    Raises:
        ValueError, ArgumentTypeError: it is not.
    """
    if not 0 < (number := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"expected more than 0, got {text}")
    return number


def positive_int(text: str) -> int:
    """An argparse type: a whole number above 0.

    Raises:
        ValueError, ArgumentTypeError: it is not.
    """
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return number
