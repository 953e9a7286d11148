"""Writing a corpus whole or not at all, and knowing it again.

The tree is built in a hidden directory beside its destination and renamed at the end, so that what stands
at the destination is complete. `SYNTHESIS.json` says what made it: the same request finds it and does
nothing, and nothing else is ever written over.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.errors import InputError
from pipelines.runtime.storage import TEMPORARY_MARK

__all__ = ["MARKER", "Request", "build_once"]

MARKER = "SYNTHESIS.json"
_LARGEST_SEED, _LARGEST_COUNT = 2**63 - 1, 10_000


@dataclass(frozen=True)
class Request:
    """What determines the bytes of a built-in corpus.

    Attributes:
        generator: which corpus.
        version: raised whenever the same parameters give other bytes.
        parameters: the caller's choices: `seed`, and counts.
    """

    generator: str
    version: int
    parameters: Mapping[str, int]


def build_once(out: Path, request: Request, write: Callable[[Path], int]) -> int:
    """Let `write` fill `out`, unless it already holds what `request` asks for.

    Args:
        out: the destination; absent, empty, or holding this very corpus.
        request: what is asked for.
        write: fills an empty directory and returns the number of sequences written.

    Returns:
        The number of sequences.

    Raises:
        InputError: a parameter is out of range, or `out` holds something else, or is being written now.
    """
    _check_parameters(request)
    out = out.expanduser().resolve()
    if (count := _finished(out, request)) is not None:
        return count
    with _scratch(out) as scratch:
        count = write(scratch)
        (scratch / MARKER).write_text(json.dumps(asdict(request) | {"sequences": count}, indent=2) + "\n")
        scratch.replace(out)
    return count


def _check_parameters(request: Request) -> None:
    for name, value in request.parameters.items():
        least, most = (0, _LARGEST_SEED) if name == "seed" else (1, _LARGEST_COUNT)
        if not least <= value <= most:
            raise InputError(f"{name} = {value}: must be from {least} to {most}")


def _finished(out: Path, request: Request) -> int | None:
    """The sequences of the corpus already at `out`; None where nothing is there."""
    if not out.exists():
        return None
    if not out.is_dir():
        raise InputError(f"{out}: is a file; name a directory that is new or empty")
    if not any(out.iterdir()):
        return None
    try:
        made = json.loads((out / MARKER).read_bytes())
        if {key: made[key] for key in asdict(request)} == asdict(request):
            return int(made["sequences"])
    except FileNotFoundError:
        raise InputError(f"{out}: not empty, and not written by this generator; name a new directory") from None
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{out / MARKER}: damaged; remove {out} or name a new directory") from None
    raise InputError(f"{out}: holds a synthesis made with other parameters; remove it or name a new directory")


@contextlib.contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """An empty directory beside `out` that is this process's own; gone at the end unless it was renamed."""
    scratch = out.with_name(f".{out.name}{TEMPORARY_MARK}synthesis")
    scratch.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(scratch, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InputError(f"{out}: another process is writing it; wait for it to finish") from None
    try:
        _empty(scratch)
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(descriptor)


def _empty(directory: Path) -> None:
    """Remove what an interrupted run left."""
    for entry in directory.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
