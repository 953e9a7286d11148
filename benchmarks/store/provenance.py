"""Where a figure comes from: the code, the packages and the machine that made it.

A figure can be made again only by who knows all three: the commit and whether anything was changed since, the lock of
the packages and those that were in fact there, and what decides how sums are rounded: processor, its vector width,
threads, accelerator.
"""

import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

__all__ = ["Code", "Environment", "code", "environment"]

_CHECKOUT = Path(__file__).parents[2]
_LOCK = _CHECKOUT / "requirements.lock"
_UNKNOWN = "unknown"


class Code(BaseModel):
    """The code that runs.

    Attributes:
        commit: of its checkout, else `VRNN_BENCH_COMMIT`, else `unknown`.
        clean: whether the checkout's files are those of the commit: `yes`, `no` or `unknown`.
        lock_sha256: of `requirements.lock`, or `unknown` where the code was installed without it.
    """

    model_config = ConfigDict(frozen=True)

    commit: str
    clean: str
    lock_sha256: str


class Environment(BaseModel):
    """Packages and machine.

    Attributes:
        python: its version.
        system: operating system and architecture.
        processor: its name.
        vector_width: the instructions that torch computes with, such as `AVX2`.
        threads: that torch computes with.
        accelerator: its name, or `none`.
        packages: versions of all that is installed, by name.
    """

    model_config = ConfigDict(frozen=True)

    python: str
    system: str
    processor: str
    vector_width: str
    threads: int
    accelerator: str
    packages: dict[str, str]

    @property
    def machine(self) -> dict[str, str]:
        """What of it is the machine's."""
        named = ("system", "processor", "vector_width", "threads", "accelerator")
        return {name: str(getattr(self, name)) for name in named}


@cache
def code() -> Code:
    """The code that runs; asked once, as it is loaded once."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    lock = hashlib.sha256(_LOCK.read_bytes()).hexdigest() if _LOCK.is_file() else _UNKNOWN
    clean = _UNKNOWN if not commit or changed is None else "no" if changed else "yes"
    return Code(commit=commit or os.environ.get("VRNN_BENCH_COMMIT", _UNKNOWN), clean=clean, lock_sha256=lock)


def _git(*arguments: str) -> str | None:
    """What git says of the checkout; None where there is no git or no checkout of this project.

    An installed package may lie below a checkout of something else, such as the user's own.
    """
    command = ["git", "-C", str(_CHECKOUT), f"--git-dir={_CHECKOUT / '.git'}", f"--work-tree={_CHECKOUT}", *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def environment() -> Environment:
    """The packages and the machine of this process."""
    gpu = torch.cuda.is_available()
    return Environment(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        vector_width=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
        accelerator=torch.cuda.get_device_name() if gpu else "none",
        packages=dict(sorted((found.name.lower(), found.version) for found in distributions() if found.name)),
    )


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or _UNKNOWN)
