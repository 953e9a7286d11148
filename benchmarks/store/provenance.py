"""Where a score comes from: the code, the packages and the machine that produced it.

A score can be reproduced only if all three are known: the commit and whether its files were changed, the lock of the
packages and the installed versions, and what decides how sums are rounded: processor, its vector width, threads,
accelerator.
"""

import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

import torch

from benchmarks.schema.study import Code
from benchmarks.schema.trial import Environment

__all__ = ["code", "environment"]

_CHECKOUT = Path(__file__).parents[2]
_LOCK = _CHECKOUT / "requirements.lock"
_UNKNOWN = "unknown"


@cache
def code() -> Code:
    """The running code; determined once per process."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    lock = hashlib.sha256(_LOCK.read_bytes()).hexdigest() if _LOCK.is_file() else _UNKNOWN
    clean = _UNKNOWN if not commit or changed is None else "no" if changed else "yes"
    return Code(commit=commit or os.environ.get("VRNN_BENCH_COMMIT", _UNKNOWN), clean=clean, lock_sha256=lock)


def _git(*arguments: str) -> str | None:
    """The output of git for the checkout; None without git, or where this is no checkout of the project.

    An installed package may lie below a checkout of something else, such as the user's own, so git is given this one.
    """
    command = ["git", "-C", str(_CHECKOUT), f"--git-dir={_CHECKOUT / '.git'}", f"--work-tree={_CHECKOUT}", *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def environment() -> Environment:
    """The packages and the machine of this process."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.is_file() else []
    processors = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return Environment(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        processor=next(processors, platform.processor() or _UNKNOWN),
        vector_width=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
        accelerator=torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        packages=dict(sorted((found.name.lower(), found.version) for found in distributions() if found.name)),
    )
