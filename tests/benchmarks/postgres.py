"""A PostgreSQL server of a test's own, on loopback, where its programs are installed."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PLACES = ["", *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)]


def _program(name: str) -> str:
    for place in _PLACES:
        if found := shutil.which(name, path=place or None):
            return found
    pytest.skip(f"no {name}: install PostgreSQL's server")


def _user() -> str | None:
    """PostgreSQL does not run as root: somebody else's name, where root runs the tests."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@contextmanager
def postgres() -> Iterator[str]:
    """The address of an empty database, as MLflow takes it."""
    initdb, pg_ctl, user = _program("initdb"), _program("pg_ctl"), _user()
    root = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    data = root / "data"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    try:
        if user is not None:
            shutil.chown(root, user)
        _run([initdb, "-D", str(data), "-U", "mlflow", "-A", "trust", "-N", "-E", "UTF8"], user)
        options = f"-p {port} -k {root} -c listen_addresses=127.0.0.1 -c fsync=off"
        _run([pg_ctl, "-D", str(data), "-w", "-l", str(root / "log"), "-o", options, "start"], user)
        try:
            yield f"postgresql+psycopg://mlflow@127.0.0.1:{port}/postgres"
        finally:
            _run([pg_ctl, "-D", str(data), "-m", "immediate", "stop"], user)
    finally:
        shutil.rmtree(root)


def _run(command: list[str], user: str | None) -> None:
    quiet = subprocess.DEVNULL
    subprocess.run(command, check=True, stdout=quiet, stderr=quiet, cwd="/tmp", user=user, timeout=120)
