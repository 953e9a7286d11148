"""Fetching one large file over HTTP so that an interruption costs what is missing and no more.

What has arrived lies in a `.part` file. Another attempt, in this run or a later one, asks for the rest alone, with the
validator (ETag or date) of the first answer, so that a file that changed meanwhile comes whole; a server that ignores
the range sends it whole too, and it is begun anew. Bytes are written as they come, never unpacked on the way: checksums
are of the archives. Whether they are the right bytes is for the caller to check.
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
"""Seconds before each further attempt; attempts that brought `_PROGRESS_BYTES` are not counted."""
_PROGRESS_BYTES = 8 * 2**20
_BLOCK_BYTES = 2**20
_SILENCE_SECONDS = 60
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE_NOT_SATISFIABLE = 416
_PARTIAL_CONTENT = 206
_CONTENT_RANGE = re.compile(r"bytes (?P<start>[0-9]+)-[0-9]+/(?P<total>[0-9]+|\*)$")


def check_url(url: str) -> None:
    """Refuse what is no http address.

    Raises:
        InputError: it is not.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise InputError(f"{url}: not an address to download from; it begins with https:// or http://")


def download_file(url: str, part: Path, on_progress: Progress) -> None:
    """Complete `part`, which may hold the beginning of the content already.

    Args:
        url: of the content; http or https.
        part: where it goes; it stays when this fails.
        on_progress: told the bytes there are and the bytes there will be, 0 where the server does not say.

    Raises:
        InputError: the server has no such file.
        OSError: the server or the way to it failed several times, or the disk did.
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
                raise OSError(f"{url}: {reason}; the same command goes on at {_size(part)} bytes") from error
            time.sleep(_WAITS[failures - 1])


def _receive(url: str, part: Path, on_progress: Progress) -> None:
    response = _answer(url, part)
    if response is None:
        return
    with response:
        total = _place(response, part)
        with part.open("ab") as file:
            while block := response.read(_BLOCK_BYTES):
                file.write(block)
                on_progress(file.tell(), total)
    if total and _size(part) != total:
        raise ConnectionError(f"the connection's end after {_size(part)} of {total} bytes")


def _answer(url: str, part: Path) -> HTTPResponse | None:
    """The server's answer to a request for what `part` lacks; None if it lacks nothing."""
    offset = _size(part)
    headers = {"User-Agent": "vrnn-bench", "Accept-Encoding": "identity"}
    if offset:
        headers |= {"Range": f"bytes={offset}-"} | _condition(part)
    try:
        return urlopen(Request(url, headers=headers), timeout=_SILENCE_SECONDS)  # noqa: S310 - checked by check_url
    except HTTPError as error:
        with error:
            return _judge(error, url, part)


def _judge(error: HTTPError, url: str, part: Path) -> None:
    """Return where the part is whole, begin anew where it is too long, raise for all else."""
    if error.code == _RANGE_NOT_SATISFIABLE and _size(part):
        if error.headers.get("Content-Range") == f"bytes */{_size(part)}":
            return
        discard(part)
        raise ConnectionError("a part longer than the file") from error
    if error.code in _BUSY:
        raise ConnectionError(f"HTTP status {error.code}") from error
    raise InputError(f"{url}: HTTP status {error.code}; try later or another --mirror") from error


def _place(response: HTTPResponse, part: Path) -> int:
    """Cut `part` to where the answer goes on, and return the bytes that there will be, 0 if unknown."""
    if response.status == _PARTIAL_CONTENT:
        extent = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if extent is None or int(extent["start"]) != _size(part):
            discard(part)
            raise ConnectionError("another range than was asked for")
        return 0 if extent["total"] == "*" else int(extent["total"])
    discard(part)
    tag = response.headers.get("ETag", "")
    validator = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")
    _validator(part).write_text(validator)
    return int(response.headers.get("Content-Length", 0))


def _condition(part: Path) -> dict[str, str]:
    """Ask for the rest only if the file is still the one that the part began with."""
    with contextlib.suppress(FileNotFoundError):
        if validator := _validator(part).read_text():
            return {"If-Range": validator}
    return {}


def _validator(part: Path) -> Path:
    return part.with_name(f"{part.name}.validator")


def discard(part: Path) -> None:
    """Delete a part and what is known of it."""
    part.unlink(missing_ok=True)
    _validator(part).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
