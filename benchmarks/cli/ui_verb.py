"""The verb that shows the store in a browser: MLflow's own pages, and the report and live page of each study."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.cli.interruption import stopping
from benchmarks.cli.output import say, say_result
from benchmarks.errors import FailedError, StoppedError, StudyError

if TYPE_CHECKING:
    from dashboards.live.server import StudyServer
    from dashboards.live.site import Site

__all__ = ["ui"]

STUDIES_LISTED = 12
START_SECONDS = 90.0
END_SECONDS = 8.0
LOOK_SECONDS = 0.1
LINE_LENGTH = 200


def ui(host: str = "127.0.0.1", port: int = 8700, mlflow_port: int = 5000, mlflow: bool = True) -> None:
    """Show the recorded studies in a browser: MLflow's own pages, and each study's report and live page.

    Prints the links and serves until Ctrl-C. Where MLFLOW_TRACKING_URI is a server, MLflow is not started again.

    Args:
        host: the address to listen on; any but this machine's own lets everybody on its network read the studies.
        port: of the reports and live pages; 0 takes a free one.
        mlflow_port: of MLflow's pages; 0 takes a free one.
        mlflow: whether to start MLflow's server.
    """
    from benchmarks.store.mlflow_writer import asking, store
    from dashboards.live.server import is_loopback
    from dashboards.live.site import Site

    if not is_loopback(host):
        say(f"warning: --host {host}: anybody on the network can read the studies, and with MLflow change them")
    place = store()
    remote = place if place.startswith(("http://", "https://")) else None
    chosen = _free(host, mlflow_port, "--mlflow-port") if mlflow and remote is None else None
    address = _without_password(remote) if remote else (f"http://{_shown(host)}:{chosen}" if chosen else None)
    with asking():
        site = Site(place, _built, address)
        site.follower.studies()
    with stopping("ending the servers") as stop, _listening(site, host, port) as server:
        _show_links(server, site)
        with _mlflow(place, host, chosen, stop) if chosen else nullcontext(_nothing) as demand:
            if address is not None and not stop():
                say_result(f"MLflow: {address}")
            say("Ctrl-C to stop")
            while not stop():
                demand()
                time.sleep(LOOK_SECONDS)
    raise StoppedError(stop.signal, "ui: stopped")


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _nothing() -> None:
    pass


def _built(study: str) -> str:
    from benchmarks.store.mlflow_writer import store
    from dashboards.report.study_report import build_report

    return build_report(study, store())


def _shown(host: str) -> str:
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
    return f"[{host}]" if ":" in host else host


def _free(host: str, port: int, flag: str) -> int:
    """The port, or a free one where it is 0.

    Raises:
        StudyError: it cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with _port_told(host, port, flag), socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((host, port))
        return trial.getsockname()[1]


@contextmanager
def _port_told(host: str, port: int, flag: str) -> Iterator[None]:
    try:
        yield
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StudyError(f"{flag} {port} on {host}: {reason}; give another, or 0 for a free one") from error


@contextmanager
def _listening(site: "Site", host: str, port: int) -> "Iterator[StudyServer]":
    """Within, the pages are served.

    Raises:
        StudyError: the port is taken.
    """
    from dashboards.live.server import StudyServer

    with _port_told(host, port, "--port"):
        server = StudyServer(site, host, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": LOOK_SECONDS}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _mlflow(place: str, host: str, port: int, stop: Callable[[], bool]) -> Iterator[Callable[[], None]]:
    """Within, MLflow's server runs, in a session of its own; at the end nothing of it is left.

    Yields:
        a function that raises `FailedError` where it has ended by itself.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", place]
    command += ["--host", host, "--port", str(port), "--workers", "1"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | quiet,
            start_new_session=True,
        )

        def demand() -> None:
            if child.poll() is not None:
                raise FailedError(f"MLflow's server ended: {_last_line(log)}")

        try:
            _wait_for(f"http://{_shown(host)}:{port}/health", stop, demand)
            yield demand
        finally:
            _end_group(child)


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").split("\n")
    return next((line.strip()[:LINE_LENGTH] for line in reversed(lines) if line.strip()), "it said nothing")


def _wait_for(url: str, stop: Callable[[], bool], demand: Callable[[], None]) -> None:
    limit = time.monotonic() + START_SECONDS
    while not stop():
        demand()
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310
                return
        except OSError:
            time.sleep(LOOK_SECONDS)
        if time.monotonic() > limit:
            raise FailedError(f"MLflow's server does not answer after {START_SECONDS:.0f} s at {url}")


def _end_group(child: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it started: asked first, and then not asked."""
    import signal

    for number in (signal.SIGTERM, signal.SIGKILL):
        limit = time.monotonic() + END_SECONDS
        try:
            os.killpg(child.pid, number)
            while time.monotonic() < limit:
                child.poll()
                os.killpg(child.pid, 0)
                time.sleep(LOOK_SECONDS)
        except ProcessLookupError:
            break
    child.wait()


def _show_links(server: "StudyServer", site: "Site") -> None:
    from dashboards.live.site import study_path

    say_result(f"studies: {server.url}/")
    studies = site.follower.studies()
    for study in studies[:STUDIES_LISTED]:
        for page in ("report", "live"):
            say_result(f"{study.name}: {page}: {server.url}{study_path(study.name, page)}")
    if len(studies) > STUDIES_LISTED:
        say_result(f"and {len(studies) - STUDIES_LISTED} more on the page of studies")
