"""Writing a built-in corpus completely or not at all, and recognising it later.

The tree is built in a hidden directory next to its destination and renamed at the end, so the destination is always
complete. `SYNTHESIS.json` states the request that made it: the same request finds it and does nothing, and no other
directory is ever overwritten.
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


@dataclass(frozen=True)
class Request:
    """What determines the bytes of a built-in corpus.

    Attributes:
        generator: the name of the corpus.
        version: increased whenever the same parameters give other bytes.
        parameters: the seed and the counts that the caller chose.
    """

    generator: str
    version: int
    parameters: Mapping[str, int]


def build_once(out: Path, request: Request, write: Callable[[Path], int]) -> int:
    """Let `write` fill `out`, unless `out` already holds the requested corpus.

    Args:
        out: the destination: a new or empty directory, or one that holds this corpus.
        request: the requested corpus.
        write: fills an empty directory and returns the number of sequences.

    Returns:
        The number of sequences.

    Raises:
        InputError: a parameter is out of range, `out` holds something else, or another process is writing it.
    """
    for name, value in request.parameters.items():
        least, most = (0, 2**63 - 1) if name == "seed" else (1, 10_000)
        if not least <= value <= most:
            raise InputError(f"{name} = {value}: must be from {least} to {most}")
    out = out.expanduser().resolve()
    if (count := _finished(out, request)) is not None:
        return count
    with _scratch_directory(out) as scratch:
        count = write(scratch)
        (scratch / MARKER).write_text(json.dumps(asdict(request) | {"sequences": count}, indent=2) + "\n")
        scratch.replace(out)
    return count


def _finished(out: Path, request: Request) -> int | None:
    """The number of sequences if `out` already holds the corpus; None if `out` is empty."""
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
def _scratch_directory(out: Path) -> Iterator[Path]:
    """A locked, empty directory next to `out`, which is removed at the end unless it was renamed."""
    scratch = out.with_name(f".{out.name}{TEMPORARY_MARK}synthesis")
    scratch.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(scratch, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InputError(f"{out}: another process is writing it; wait for it to finish") from None
    try:
        # Remove the remains of an interrupted run. The directory itself holds the lock and must stay.
        for entry in scratch.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(descriptor)
