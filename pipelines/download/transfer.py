"""Downloading one large file over HTTP, so that an interruption costs only the bytes that are missing.

The bytes that have arrived are in a `.part` file. The next attempt, in this run or a later one, requests only the rest,
together with the validator (ETag or date) of the first response: if the file has changed, or the server ignores ranges,
the response holds the whole file and the download starts again. Bytes are written as they come and never decompressed,
because checksums are those of the archives. The caller verifies the checksum.
"""

import contextlib
import re
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from pipelines.errors import InputError

__all__ = ["Progress", "check_url", "discard", "download_file"]

Progress = Callable[[int, int], None]

_WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further attempt; an attempt that received `_PROGRESS_BYTES` does not count."""
_PROGRESS_BYTES = 8 * 2**20
_BLOCK_BYTES = 2**20
_TIMEOUT_SECONDS = 60
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE_NOT_SATISFIABLE = 416
_PARTIAL_CONTENT = 206
_CONTENT_RANGE = re.compile(r"bytes (?P<start>[0-9]+)-[0-9]+/(?P<total>[0-9]+|\*)$")


def check_url(url: str) -> None:
    """Check that `url` is an http or https address.

    Raises:
        InputError: it is not.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise InputError(f"{url}: not an address to download from; it must begin with https:// or http://")


def download_file(url: str, part: Path, on_progress: Progress) -> None:
    """Complete `part`, which may already hold the beginning of the file.

    Args:
        url: the file's http or https address.
        part: the partial file; it remains if this function fails.
        on_progress: called with (bytes received, all bytes); the latter is 0 if the server does not state it.

    Raises:
        InputError: the server has no such file.
        OSError: the server or the network failed several times, or the disk failed.
    """
    check_url(url)
    failures = 0
    while True:
        before = _size(part)
        try:
            return _receive(url, part, on_progress)
        except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
            failures = 1 if _size(part) - before >= _PROGRESS_BYTES else failures + 1
            if failures > len(_WAITS):
                reason = f"{failures} attempts failed, the last by {str(error) or type(error).__name__}"
                raise OSError(f"{url}: {reason}; the same command resumes at {_size(part)} bytes") from error
            time.sleep(_WAITS[failures - 1])


def _receive(url: str, part: Path, on_progress: Progress) -> None:
    response = _request(url, part)
    if response is None:
        return
    with response:
        total = _prepare_part(response, part)
        with part.open("ab") as file:
            while block := response.read(_BLOCK_BYTES):
                file.write(block)
                on_progress(file.tell(), total)
    if total and _size(part) != total:
        raise ConnectionError(f"the connection's end after {_size(part)} of {total} bytes")


def _request(url: str, part: Path) -> HTTPResponse | None:
    """Request the bytes that `part` lacks; None if it is complete."""
    offset = _size(part)
    headers = {"User-Agent": "vrnn-bench", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        # With If-Range, the server sends the rest only if the file has not changed.
        with contextlib.suppress(FileNotFoundError):
            if validator := _validator(part).read_text():
                headers["If-Range"] = validator
    try:
        return urlopen(Request(url, headers=headers), timeout=_TIMEOUT_SECONDS)  # noqa: S310 - checked by check_url
    except HTTPError as error:
        with error:
            return _handle_refusal(error, url, part)


def _handle_refusal(error: HTTPError, url: str, part: Path) -> None:
    """Return if the part is complete; else raise an error that makes the caller retry or give up."""
    if error.code == _RANGE_NOT_SATISFIABLE and _size(part):
        if error.headers.get("Content-Range") == f"bytes */{_size(part)}":
            return
        discard(part)
        raise ConnectionError("a part longer than the file") from error
    if error.code in _BUSY:
        raise ConnectionError(f"HTTP status {error.code}") from error
    raise InputError(f"{url}: HTTP status {error.code}; try later or another --mirror") from error


def _prepare_part(response: HTTPResponse, part: Path) -> int:
    """Empty `part` unless the response continues it; return the size of the whole file, 0 if unknown."""
    if response.status == _PARTIAL_CONTENT:
        extent = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if extent is None or int(extent["start"]) != _size(part):
            discard(part)
            raise ConnectionError("a response with another range than the requested one")
        return 0 if extent["total"] == "*" else int(extent["total"])
    discard(part)
    tag = response.headers.get("ETag", "")
    # Only a strong ETag, which begins with a quote, may be used in If-Range.
    validator = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")
    _validator(part).write_text(validator)
    return int(response.headers.get("Content-Length", 0))


def _validator(part: Path) -> Path:
    return part.with_name(f"{part.name}.validator")


def discard(part: Path) -> None:
    """Delete a partial file and its validator."""
    part.unlink(missing_ok=True)
    _validator(part).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
