"""One writer at a time in one output.

On a local disk the lock is the operating system's (flock), which lets go when its process dies, however it dies. An
object store has no locks: there a lease object is written, read back after a moment, and written again while the work
goes on; a lease that has not been renewed for a while is taken over. Two that start within the same moment see one
another, since the last to write is the only one to read its own name; a process that was stopped for longer than a
lease lasts and then goes on is not noticed, so its shards, the same bytes, may be written twice.
"""

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from pipelines.errors import PreparationError
from pipelines.prepare.shard_task import STATE_DIRECTORY
from pipelines.runtime.storage import Location

__all__ = ["LOCK_NAME", "BusyError", "exclusive", "this_process"]

LOCK_NAME = "lock"
LEASE_SECONDS = 60.0
SETTLE_SECONDS = 1.0


class BusyError(PreparationError):
    """Another process is writing to the same output."""


@contextlib.contextmanager
def exclusive(out: Location) -> Iterator[None]:
    """Be the only one to write to `out`.

    Raises:
        BusyError: another process is.
    """
    place = out / STATE_DIRECTORY / LOCK_NAME
    with _file_lock(out, Path(place.path)) if out.is_local else _lease(out, place):
        yield


@contextlib.contextmanager
def _file_lock(out: Location, path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise BusyError(_busy(out, file.read())) from error
        file.truncate(0)
        file.write(this_process())
        file.flush()
        yield
        file.truncate(0)


def this_process() -> str:
    """This process, as a person looks for it."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def _busy(out: Location, owner: str) -> str:
    return f"{out}: another command is writing there ({owner or 'unknown'}); wait for it, or write elsewhere"


@contextlib.contextmanager
def _lease(out: Location, place: Location) -> Iterator[None]:
    name = uuid.uuid4().hex
    if holder := _holder(place):
        raise BusyError(f"{_busy(out, holder)}; if it was killed, its claim ends within {LEASE_SECONDS:.0f} seconds")
    _claim(place, name)
    time.sleep(SETTLE_SECONDS)
    if _read(place).get("name") != name:
        raise BusyError(_busy(out, str(_read(place).get("owner", ""))))
    stop = threading.Event()
    renewal = threading.Thread(target=_renew, args=(place, name, stop), daemon=True)
    renewal.start()
    try:
        yield
    finally:
        stop.set()
        renewal.join()
        place.delete()


def _read(place: Location) -> dict[str, object]:
    try:
        return json.loads(place.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def _holder(place: Location) -> str | None:
    lease = _read(place)
    age = time.time() - float(str(lease.get("renewed", 0.0)))
    return str(lease.get("owner")) if lease and age < LEASE_SECONDS else None


def _claim(place: Location, name: str) -> None:
    place.write_bytes(json.dumps({"name": name, "owner": this_process(), "renewed": time.time()}).encode())


def _renew(place: Location, name: str, stop: threading.Event) -> None:
    while not stop.wait(LEASE_SECONDS / 4):
        with contextlib.suppress(OSError):
            _claim(place, name)
