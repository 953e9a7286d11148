"""The server behind `vrnn-bench ui`: one site, for a browser on the same machine.

It answers GET and refuses everything else. A request must name a host that was meant, so that a foreign site cannot
read the pages by pointing its own name here (DNS rebinding).
"""

import ipaddress
import re
import socket
import threading
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException

from dashboards.live.site import Answer, Site, said

__all__ = ["StudyServer", "is_loopback"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_THREADS = 24
IDLE_SECONDS = 10.0
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
            self._send(said(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is answered"), {"Allow": "GET"})
            return False
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not self._listener.admits(hosts[0]):
            self._send(said(HTTPStatus.FORBIDDEN, "this server is not called so; use the address that it printed"))
            return False
        return True

    def do_GET(self) -> None:
        """Answer a GET."""
        try:
            answer = self._listener.site.answer(self.path)
        except (MlflowException, OSError, ValueError) as error:
            reason = f"this page could not be made ({type(error).__name__}); `vrnn-bench report` may say more"
            answer = said(HTTPStatus.INTERNAL_SERVER_ERROR, reason)
        self._send(answer)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request, as everything else is refused."""
        self._send(said(HTTPStatus(code), "this is no request that can be answered"))

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
