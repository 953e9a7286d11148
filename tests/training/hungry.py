"""Run by a test as a process of its own: a training run under a limit on memory that its whole batch does not fit in.

Arguments: the spec's file, out, and how many MiB may be allocated above what a run that takes one sequence at a time
leaves behind.
"""

import logging
import re
import resource
import sys
from pathlib import Path

import torch

from pipelines.storage import Location
from vrnn.memory import release_memory
from vrnn.training import TrialSpec
from vrnn.training.ray_driver import train_with_ray
from vrnn.training.resources import Resources


def allocated() -> int:
    """Bytes of data of this process, by which the limit is counted."""
    found = re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def main(spec_file: str, out: str, mebibytes: str) -> None:
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(1)
    spec = TrialSpec.model_validate_json(Path(spec_file).read_text())
    train_with_ray(spec, Location(f"{out}-before"), Resources(micro_batch=1))
    release_memory()
    resource.setrlimit(resource.RLIMIT_DATA, (allocated() + int(mebibytes) * 2**20,) * 2)
    assert train_with_ray(spec, Location(out)).state.finished


if __name__ == "__main__":
    main(*sys.argv[1:])
