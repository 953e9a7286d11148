"""A lock that lets only one process write to an output directory.

On a local disk this is an operating-system lock (flock), which is released however its process ends.

An object store has no locks. There the lock is a lease: an object that is written, read back after a moment, and
renewed while the work runs. A lease that was not renewed for a while is taken over. If two processes start at the same
moment, the last one to write reads its own name back and wins. A process that was paused for longer than a lease lasts
does not notice that it lost the lease, so its shards may be written twice; both copies have the same bytes.
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
from pipelines.runtime.storage import STATE_DIRECTORY, Location

__all__ = ["LOCK_NAME", "BusyError", "lock_directory", "process_name"]

LOCK_NAME = "lock"
LEASE_SECONDS = 60.0
SETTLE_SECONDS = 1.0


class BusyError(PreparationError):
    """Another process is writing to the same output."""


@contextlib.contextmanager
def lock_directory(out: Location) -> Iterator[None]:
    """Hold the lock of the directory `out` within the block.

    Raises:
        BusyError: another process holds it.
    """
    lock = out / STATE_DIRECTORY / LOCK_NAME
    with _file_lock(out, Path(lock.path)) if out.is_local else _lease(out, lock):
        yield


def process_name() -> str:
    """This process's id and host, for messages."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def _busy(out: Location, owner: str) -> str:
    return f"{out}: another command is writing there ({owner or 'unknown'}); wait for it, or write elsewhere"


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
        file.write(process_name())
        file.flush()
        yield
        file.truncate(0)


@contextlib.contextmanager
def _lease(out: Location, lock: Location) -> Iterator[None]:
    name = uuid.uuid4().hex
    if owner := _active_owner(lock):
        raise BusyError(f"{_busy(out, owner)}; if it was killed, its lease ends within {LEASE_SECONDS:.0f} seconds")
    _write_lease(lock, name)
    # Give a process that started at the same moment time to write its name: only the last writer goes ahead.
    time.sleep(SETTLE_SECONDS)
    if (current := _read_lease(lock)).get("name") != name:
        raise BusyError(_busy(out, str(current.get("owner", ""))))
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(LEASE_SECONDS / 4):
            with contextlib.suppress(OSError):  # the next renewal tries again
                _write_lease(lock, name)

    renewal = threading.Thread(target=renew, daemon=True)
    renewal.start()
    try:
        yield
    finally:
        stop.set()
        renewal.join()
        lock.delete()


def _read_lease(lock: Location) -> dict[str, object]:
    try:
        return json.loads(lock.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def _active_owner(lock: Location) -> str | None:
    lease = _read_lease(lock)
    age = time.time() - float(str(lease.get("renewed", 0.0)))
    return str(lease.get("owner")) if lease and age < LEASE_SECONDS else None


def _write_lease(lock: Location, name: str) -> None:
    lock.write_bytes(json.dumps({"name": name, "owner": process_name(), "renewed": time.time()}).encode())
