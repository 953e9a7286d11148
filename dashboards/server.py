"""The server behind `vrnn-bench ui`: pages of the studies of one store, for a browser on the same machine.

It answers GET on five routes and refuses everything else. It reads the store through MLflow alone: a file is served
when the list of samples of a run of that study names it. A request must name a host that was meant, so that a foreign
site cannot read the pages by pointing its own name here (DNS rebinding).
"""

import html
import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from mlflow.exceptions import MlflowException

from dashboards.bounded import Recent
from dashboards.errors import ReportError
from dashboards.following import Follower
from dashboards.live import Live
from dashboards.page import policy_of, render

__all__ = ["Site", "StudyServer", "is_loopback", "study_path"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_THREADS = 24
MOST_REPORTS = 4
IDLE_SECONDS = 10.0
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NOTHING = "default-src 'none'"
TYPES = {"flac": "audio/flac", "json": "application/json"}
RUN_ID = re.compile(r"[0-9a-f]{32}")
LIVE_STYLES, LIVE_SCRIPTS = ("base", "live"), ("theme", "live")


@dataclass(frozen=True)
class Answer:
    """What a request gets."""

    status: HTTPStatus
    kind: str
    body: bytes
    policy: str = NOTHING


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def study_path(study: str, page: str) -> str:
    """Where a study's page is, from the root of the server."""
    return f"/study/{quote(study, safe='')}/{page}"


class Site:
    """What the server shows, whoever asks."""

    def __init__(self, tracking_uri: str, build: Callable[[str], str], mlflow: str | None = None) -> None:
        """Show the studies of a store.

        Args:
            tracking_uri: the MLflow store.
            build: makes the report of a study, or raises `ReportError`.
            mlflow: the address of MLflow's own pages; None where there are none.
        """
        self.follower = Follower(tracking_uri)
        self._build, self._mlflow = build, mlflow
        self._live = Live(self.follower)
        self._reports: Recent[str] = Recent(MOST_REPORTS)
        self._building = threading.Lock()

    def answer(self, path: str) -> Answer:
        """What a GET of a path gets."""
        try:
            return self._answer(_segments(path))
        except ReportError as error:
            return _said(HTTPStatus.NOT_FOUND, str(error))
        except MlflowException as error:
            return _said(HTTPStatus.SERVICE_UNAVAILABLE, f"MLflow cannot be read: {str(error).splitlines()[0]}")

    def _answer(self, segments: tuple[str, ...] | None) -> Answer:
        match segments:
            case ("",):
                return self._index()
            case ("study", study, "live"):
                return self._live_page(study)
            case ("study", study, "state.json"):
                return Answer(HTTPStatus.OK, "application/json", self._live.state(study))
            case ("study", study, "report"):
                return _page(self._report(study))
            case ("study", study, "sample", run_id, file):
                return self._sample(study, run_id, file)
        return _said(HTTPStatus.NOT_FOUND, "there is no such page; the first page lists what there is")

    def _index(self) -> Answer:
        studies = [(line, quote(line.name, safe="")) for line in self.follower.studies()]
        content = {"studies": studies, "mlflow": self._mlflow}
        return _page(render("index.html.j2", content, styles=LIVE_STYLES, scripts=("theme",)))

    def _live_page(self, study: str) -> Answer:
        self.follower.experiment(study)
        content = {"study": study, "mlflow": self._mlflow}
        return _page(render("live.html.j2", content, styles=LIVE_STYLES, scripts=LIVE_SCRIPTS, served=True))

    def _report(self, study: str) -> str:
        """The report, built once for each state of the study, one at a time."""
        with self._building:
            version = self.follower.look(study).version
            return self._reports.get((study, version), lambda: self._build(study))

    def _sample(self, study: str, run_id: str, file: str) -> Answer:
        kind = TYPES.get(file.rpartition(".")[2])
        content = self.follower.sample(study, run_id, file) if kind and RUN_ID.fullmatch(run_id) else None
        if kind is None or content is None:
            return _said(HTTPStatus.NOT_FOUND, "the study has no such sample")
        return Answer(HTTPStatus.OK, kind, content)


def _segments(path: str) -> tuple[str, ...] | None:
    """The parts of a path, each decoded once; None where it is not plain."""
    if not path.startswith("/") or not path.isascii():
        return None
    try:
        parts = tuple(unquote(part, errors="strict") for part in urlsplit(f"http://host{path}").path[1:].split("/"))
    except ValueError:
        return None
    return None if any(part in (".", "..") or "\0" in part for part in parts) else parts


def _page(text: str) -> Answer:
    return Answer(HTTPStatus.OK, "text/html; charset=utf-8", text.encode(), policy_of(text))


def _said(status: HTTPStatus, line: str) -> Answer:
    text = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{status.phrase}</title>'
    return Answer(status, "text/html; charset=utf-8", f"{text}<p>{html.escape(line)}</p></html>\n".encode())


class StudyServer(ThreadingHTTPServer):
    """Serves a site on one address, with a bounded number of threads."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, site: Site, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen.

        Args:
            site: what to show.
            host: the address to listen on.
            port: the port; 0 takes a free one.

        Raises:
            OSError: the address cannot be listened on.
        """
        self.site, self._host = site, host
        self._slots = threading.BoundedSemaphore(MOST_THREADS)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        """Where a browser finds it, without a slash at the end."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::", "") else self._host  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_address[1]}"

    def admits(self, named: str | None) -> bool:
        """Whether a request that names this host was meant for us."""
        try:
            host = urlsplit(f"//{named}").hostname if named else None
        except ValueError:
            return False
        if host is None or re.search(r"[\s/@?#\\]", named or ""):
            return False
        if host in (*LOOPBACK, self._host.lower()):
            return True
        return self._host in ("0.0.0.0", "::") and (_is_address(host) or host == socket.gethostname().lower())  # noqa: S104

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Begin a thread for it, or drop it where too many are at work."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Answer it, and give its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Say nothing: a browser that went away is no error, and any other was answered with 500."""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _Handler(BaseHTTPRequestHandler):
    timeout = IDLE_SECONDS

    @property
    def _listener(self) -> StudyServer:
        assert isinstance(self.server, StudyServer)
        return self.server

    def parse_request(self) -> bool:
        """Go on with a GET alone, and one that names us."""
        if not super().parse_request():
            return False
        if self.command != "GET":
            self._send(_said(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is answered"), {"Allow": "GET"})
            return False
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not self._listener.admits(hosts[0]):
            self._send(_said(HTTPStatus.FORBIDDEN, "this server is not called so; use the address that it printed"))
            return False
        return True

    def do_GET(self) -> None:
        """Answer a GET."""
        try:
            answer = self._listener.site.answer(self.path)
        except (MlflowException, OSError, ValueError) as error:
            reason = f"this page could not be made ({type(error).__name__}); `vrnn-bench report` may say more"
            answer = _said(HTTPStatus.INTERNAL_SERVER_ERROR, reason)
        self._send(answer)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request, as everything else is refused."""
        self._send(_said(HTTPStatus(code), "this is no request that can be answered"))

    def _send(self, answer: Answer, more: Mapping[str, str] | None = None) -> None:
        self.send_response(answer.status)
        policy = f"{answer.policy}; frame-ancestors 'none'"
        for name, value in _headers(answer, policy, more or {}):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.close_connection = True

    def version_string(self) -> str:
        """Say who answers, and no version of anything."""
        return "vrnn-bench"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing: the terminal is for links."""


def _headers(answer: Answer, policy: str, more: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    yield "Content-Type", answer.kind
    yield "Content-Length", str(len(answer.body))
    yield "Content-Security-Policy", policy
    yield from (HEADERS | dict(more)).items()
