"""The HTTP server behind `vrnn-bench ui`, for a browser on the same machine.

It answers GET requests only. A request must name this host, so that a foreign site cannot read the pages by pointing
its own name to this address (DNS rebinding).
"""

import ipaddress
import re
import socket
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from dashboards.live.site import Answer, Site, message_page

__all__ = ["StudyServer", "is_loopback"]

MOST_THREADS = 24
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether a server that listens on `host` can be reached only from this machine."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class StudyServer(ThreadingHTTPServer):
    """Serves a site on one address, with a bounded number of threads."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, site: Site, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on `host`; port 0 takes a free one.

        Raises:
            OSError: the server cannot listen there.
        """
        self.site, self._host = site, host
        self._free_threads = threading.BoundedSemaphore(MOST_THREADS)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        """The address of the server, without a slash at the end."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::", "") else self._host  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_address[1]}"

    def admits(self, header: str | None) -> bool:
        """Whether a request with this Host header is meant for this server."""
        try:
            host = urlsplit(f"//{header}").hostname if header else None
        except ValueError:
            return False
        if host is None or re.search(r"[\s/@?#\\]", header or ""):
            return False
        # A local name is always accepted, because only this machine can use it to reach the server.
        if host in ("127.0.0.1", "localhost", "::1", self._host.lower()):
            return True
        return self._host in ("0.0.0.0", "::") and (_address(host) is not None or host == socket.gethostname().lower())  # noqa: S104

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Start a thread for the request, or drop it if too many are busy."""
        # A connection that sends nothing occupies its thread until the timeout.
        if self._free_threads.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Answer the request and release its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free_threads.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Print nothing: a closed connection is not an error, and other errors were answered with 500."""


class _Handler(BaseHTTPRequestHandler):
    timeout = 10.0

    @property
    def _listener(self) -> StudyServer:
        assert isinstance(self.server, StudyServer)
        return self.server

    def parse_request(self) -> bool:
        """Accept only a GET request that names this host."""
        if not super().parse_request():
            return False
        if self.command != "GET":
            self._send(message_page(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is answered"), {"Allow": "GET"})
            return False
        # Two Host headers are refused: a proxy and this server may read different ones.
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not self._listener.admits(hosts[0]):
            self._send(message_page(HTTPStatus.FORBIDDEN, "wrong host name; use the address that the command printed"))
            return False
        return True

    def do_GET(self) -> None:
        """Answer a GET request."""
        try:
            answer = self._listener.site.answer(self.path)
        except (OSError, ValueError) as error:
            reason = f"this page could not be built ({type(error).__name__}); `vrnn-bench report` may say why"
            answer = message_page(HTTPStatus.INTERNAL_SERVER_ERROR, reason)
        self._send(answer)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a malformed request, with the headers of every answer."""
        self._send(message_page(HTTPStatus(code), "the request is malformed"))

    def _send(self, answer: Answer, more: Mapping[str, str] | None = None) -> None:
        self.send_response(answer.status)
        headers = {
            "Content-Type": answer.content_type,
            "Content-Length": str(len(answer.body)),
            "Content-Security-Policy": f"{answer.policy}; frame-ancestors 'none'",
        }
        for name, value in (headers | HEADERS | dict(more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        # HEAD is refused too, but its answer must not have a body.
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.close_connection = True

    def version_string(self) -> str:
        """The Server header: a name without any version."""
        return "vrnn-bench"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing: the terminal shows the links."""
