"""The verb `ui`: a server of reports and live pages, and MLflow's server next to it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.cli.interruption import stop_on_signals
from benchmarks.cli.output import print_message, print_result
from benchmarks.errors import FailedError, StoppedError, StudyError

if TYPE_CHECKING:
    from dashboards.live.server import StudyServer
    from dashboards.live.site import Site

__all__ = ["ui"]

_STUDIES_LISTED = 12
_START_SECONDS = 90.0
_END_SECONDS = 8.0
_POLL_SECONDS = 0.1
_LINE_LENGTH = 200


def ui(host: str = "127.0.0.1", port: int = 8700, mlflow_port: int = 5000, mlflow: bool = True) -> None:
    """Show studies in a browser: the report and live page of each, and MLflow's own pages.

    Prints the links and serves until Ctrl-C. MLflow's server is not started if MLFLOW_TRACKING_URI is a server.

    Args:
        host: Address to listen on. Any but 127.0.0.1 lets everyone on the network read the studies.
        port: Port of the reports and live pages; 0 picks a free one.
        mlflow_port: Port of MLflow's pages; 0 picks a free one.
        mlflow: Start MLflow's server.
    """
    from benchmarks.store.mlflow_writer import mlflow_errors_as_study_errors, store_uri
    from dashboards.live.server import is_loopback
    from dashboards.live.site import Site, study_path

    if not is_loopback(host):
        print_message(
            f"warning: --host {host}: everyone on the network can read the studies, and change them through MLflow"
        )
    place = store_uri()
    address = local_port = None
    if place.startswith(("http://", "https://")):
        address = _without_password(place)
    elif mlflow:
        local_port = _free_port(host, mlflow_port)
        address = f"http://{_in_url(host)}:{local_port}"
    with mlflow_errors_as_study_errors():
        site = Site(place, _built, address)
        site.reader.studies()
    with stop_on_signals("stopping the servers") as stop, _serve(site, host, port) as server:
        print_result(f"studies: {server.url}/")
        studies = site.reader.studies()
        for study in studies[:_STUDIES_LISTED]:
            for page in ("report", "live"):
                print_result(f"{study.name}: {page}: {server.url}{study_path(study.name, page)}")
        if len(studies) > _STUDIES_LISTED:
            print_result(f"and {len(studies) - _STUDIES_LISTED} more on the page of studies")
        with _mlflow_server(place, host, local_port, stop) if local_port else nullcontext(lambda: None) as check_mlflow:
            if address is not None and not stop():
                print_result(f"MLflow: {address}")
            print_message("Ctrl-C to stop")
            while not stop():
                check_mlflow()
                time.sleep(_POLL_SECONDS)
    raise StoppedError(stop.signal, "ui: stopped")


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _built(study: str) -> str:
    from benchmarks.store.mlflow_reader import read_comparison, read_study, reading_store
    from dashboards.report.study_report import build_report

    with reading_store():
        return build_report(read_study(study), read_comparison(study))


def _in_url(host: str) -> str:
    """The host as a browser on this machine reaches it."""
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
    return f"[{host}]" if ":" in host else host


def _free_port(host: str, port: int) -> int:
    """The port for MLflow's server if it is free, or any free one if it is 0.

    Raises:
        StudyError: it cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with _port_errors(host, port, "--mlflow-port"), socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((host, port))
        return trial.getsockname()[1]


@contextmanager
def _port_errors(host: str, port: int, flag: str) -> Iterator[None]:
    """Report an unusable port as wrong input that names its flag."""
    try:
        yield
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StudyError(f"{flag} {port} on {host}: {reason}; use another port, or 0 for a free one") from error


@contextmanager
def _serve(site: "Site", host: str, port: int) -> "Iterator[StudyServer]":
    """Serve the pages from a thread during the block.

    Raises:
        StudyError: the port is taken.
    """
    from dashboards.live.server import StudyServer

    with _port_errors(host, port, "--port"):
        server = StudyServer(site, host, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": _POLL_SECONDS}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _mlflow_server(place: str, host: str, port: int, stop: Callable[[], bool]) -> Iterator[Callable[[], None]]:
    """Run MLflow's server during the block; afterwards all of its processes have ended.

    Yields:
        A function that raises `FailedError` if the server has ended by itself.
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
            start_new_session=True,  # so that Ctrl-C does not reach it, and killpg reaches all of it
        )

        def check() -> None:
            if child.poll() is not None:
                log.seek(0)
                lines = [line.strip() for line in log.read().decode(errors="replace").split("\n") if line.strip()]
                last = lines[-1][:_LINE_LENGTH] if lines else "it printed nothing"
                raise FailedError(f"MLflow's server ended: {last}")

        try:
            _wait_for(f"http://{_in_url(host)}:{port}/health", stop, check)
            yield check
        finally:
            _end_group(child)


def _wait_for(url: str, stop: Callable[[], bool], check: Callable[[], None]) -> None:
    """Wait until the server at `url` answers, or until a stop is requested.

    Raises:
        FailedError: it ended, or did not answer in time.
    """
    limit = time.monotonic() + _START_SECONDS
    while not stop():
        check()
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310
                return
        except OSError:
            time.sleep(_POLL_SECONDS)
        if time.monotonic() > limit:
            raise FailedError(f"MLflow's server does not answer at {url} after {_START_SECONDS:.0f} s")


def _end_group(child: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it started, with SIGTERM first and SIGKILL after a while."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        limit = time.monotonic() + _END_SECONDS
        try:
            os.killpg(child.pid, number)
            while time.monotonic() < limit:
                child.poll()
                os.killpg(child.pid, 0)  # raises once no process of the group is left
                time.sleep(_POLL_SECONDS)
        except ProcessLookupError:
            break
    child.wait()
