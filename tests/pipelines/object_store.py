"""An S3 endpoint on loopback: moto with a gate that can refuse requests like a busy or broken store."""

import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow.fs
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from pipelines.runtime.storage import Location

Start = Callable[[str, list[tuple[str, str]]], Any]


class Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Log nothing."""


@dataclass
class Store:
    """The endpoint; `refuse(method, path)` decides which requests are answered with 503 SlowDown."""

    refuse: Callable[[str, str], bool] = lambda method, path: False
    requests: list[tuple[str, str]] = field(default_factory=list)
    refused: int = 0
    server: BaseWSGIServer | None = None
    bucket: str = field(default_factory=lambda: f"bench-{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self._application = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()

    def __call__(self, environment: dict[str, Any], start: Start) -> Iterable[bytes]:
        method, path = environment["REQUEST_METHOD"], environment["PATH_INFO"]
        with self._lock:
            self.requests.append((method, path))
            if self.refuse(method, path):
                self.refused += 1
                start("503 Slow Down", [("Content-Type", "application/xml")])
                return [b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"]
        return self._application(environment, start)

    def start(self) -> None:
        self.server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=Quiet)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        filesystem, path = pyarrow.fs.FileSystem.from_uri(f"s3://{self.bucket}?{self.query}")
        filesystem.create_dir(path)

    def stop(self) -> None:
        assert self.server is not None
        self.server.shutdown()

    @property
    def query(self) -> str:
        assert self.server is not None
        port = self.server.server_port
        return f"scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1&allow_bucket_creation=true"

    def at(self, key: str) -> Location:
        return Location(f"s3://{self.bucket}/{key}?{self.query}")
