"""Run by a test as a process of its own: a training run, and again under a limit that its whole batch does not fit in.

Arguments: the spec's file, out, and how many MiB the second run may allocate above what the first one leaves behind.
The first has no limit and takes whole batches, so that whatever the process keeps for good is there before it counts.
"""

import logging
import re
import resource
import sys
from pathlib import Path

import torch

from pipelines.runtime.storage import Location
from vrnn.device.memory import release_memory
from vrnn.training import TrialSpec
from vrnn.training.retries import train_locally


def allocated() -> int:
    """Bytes of data of this process, by which the limit is counted."""
    found = re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def main(spec_file: str, out: str, mebibytes: str) -> None:
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(1)
    spec = TrialSpec.model_validate_json(Path(spec_file).read_text())
    train_locally(spec, Location(f"{out}-before"))
    release_memory()
    resource.setrlimit(resource.RLIMIT_DATA, (allocated() + int(mebibytes) * 2**20,) * 2)
    assert train_locally(spec, Location(out)).state.finished


if __name__ == "__main__":
    main(*sys.argv[1:])
