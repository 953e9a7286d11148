"""Paths that are local or in an object store, read and written the same way.

Everything goes through `pyarrow.fs`, so that `s3://`, `gs://` and a local path behave alike. A write is
whole or absent: a local file is written under a temporary name and renamed; for an object store, which publishes
what it has when a stream closes for whatever reason, the content is spooled and sent when it is complete.

The stores' clients repeat a request that a busy store refuses, but not always (pyarrow gives up at once where the
refusal is longer than the bytes it asked for); so every operation here is repeated a few times before it fails.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

import pyarrow as pa
from pyarrow import fs

from pipelines.errors import InputError

__all__ = ["TEMPORARY_MARK", "FoundFile", "Location"]

TEMPORARY_MARK = ".partial-"
_SPOOL_BYTES = 64 * 2**20
_BLOCK_BYTES = 4 * 2**20
_ATTEMPTS = 4
_PAUSE_SECONDS = 0.2
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)

Result = TypeVar("Result")


@dataclass(frozen=True, order=True, slots=True)
class FoundFile:
    """One file below a `Location`.

    Attributes:
        path: relative to the location it was found from, with forward slashes.
        size: bytes.
        modified_ns: time of last change, nanoseconds since the epoch.
    """

    path: str
    size: int
    modified_ns: int


@lru_cache(maxsize=32)
def _object_store(root: str) -> fs.FileSystem:
    try:
        return fs.FileSystem.from_uri(root)[0]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{root}: not a local path nor a known object store ({reason})") from error


def _walk(root: Path, prefix: str, above: frozenset[tuple[int, int]], *, recursive: bool) -> Iterator[FoundFile]:
    """The files below a local directory; `above` are the directories that lead to it."""
    try:
        status = root.stat()
        entries = list(os.scandir(root))
    except (FileNotFoundError, NotADirectoryError):
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        raise InputError(f"{root}: a symbolic link that leads back to a directory above it; remove it")
    for entry in entries:
        if not entry.name.isprintable() and entry.name.encode(errors="replace").decode() != entry.name:
            raise InputError(f"{root}: holds a file whose name is not UTF-8: {entry.name!r}; rename it")
        if entry.is_dir():
            if recursive:
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", above | {here}, recursive=True)
        elif entry.is_file() or entry.is_symlink():
            found = entry.stat(follow_symlinks=entry.is_file())
            yield FoundFile(prefix + entry.name, found.st_size, found.st_mtime_ns)


@dataclass(frozen=True)
class Location:
    """A directory or a file, named by a local path or an object-store URI.

    Attributes:
        uri: the path or URI.
        without: a path below this one, within its file system, below which `files` finds nothing.
    """

    uri: str
    without: str = ""

    def __truediv__(self, child: str) -> "Location":
        base, mark, query = self.uri.partition("?") if self._is_remote else (self.uri, "", "")
        return Location(f"{base.rstrip('/')}/{child}{mark}{query}")

    def __str__(self) -> str:
        """The URI without the credentials and the query that it may hold: what may be shown."""
        parts = urlsplit(self.uri)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if self._is_remote else self.uri

    @property
    def _is_remote(self) -> bool:
        return "://" in self.uri

    @property
    def _filesystem(self) -> fs.FileSystem:
        """The file system: one for a store and its query (endpoint, region), whatever the path within it."""
        if not self._is_remote:
            return fs.LocalFileSystem()
        parts = urlsplit(self.uri)
        return _object_store(urlunsplit((parts.scheme, parts.netloc, "", parts.query, "")))

    @property
    def path(self) -> str:
        """The path within its file system."""
        if not self._is_remote:
            return str(Path(self.uri).expanduser().absolute())
        parts = urlsplit(self.uri)
        return parts.netloc.rpartition("@")[2] + parts.path

    @property
    def absolute(self) -> "Location":
        """The same place, from whatever directory a process runs in."""
        return self if self._is_remote else Location(self.path, self.without)

    @property
    def parent(self) -> "Location":
        """The directory that this lies in."""
        base, mark, query = self.uri.partition("?") if self._is_remote else (self.uri, "", "")
        return Location(f"{base.rstrip('/').rpartition('/')[0] or '/'}{mark}{query}")

    @property
    def is_local(self) -> bool:
        """Whether this lies on a local disk."""
        return isinstance(self._filesystem, fs.LocalFileSystem)

    def patiently(self, operation: Callable[[], Result]) -> Result:
        """Do `operation`, again after a pause where an object store failed, a few times at most.

        Raises:
            OSError: it failed at every attempt, or in a way that no attempt mends, or on a local disk.
        """
        for attempt in range(1, _ATTEMPTS):
            try:
                return operation()
            except _FINAL:
                raise
            except OSError:
                if self.is_local:
                    raise
                time.sleep(_PAUSE_SECONDS * 2**attempt)
        return operation()

    def info(self) -> fs.FileInfo:
        """What the file system says of this path."""
        return self.patiently(lambda: cast(fs.FileInfo, self._filesystem.get_file_info(self.path)))

    def is_file(self) -> bool:
        """Whether a file lies here."""
        return self.info().type == fs.FileType.File

    def is_directory(self) -> bool:
        """Whether a directory, or a prefix with objects below it, lies here."""
        return self.info().type == fs.FileType.Directory

    def files(self, *, recursive: bool = True) -> list[FoundFile]:
        """The files below this directory, in the order of their paths; none where it does not exist.

        Symbolic links are followed.

        Raises:
            InputError: a symbolic link leads back to a directory that holds it.
        """
        root = self.path.rstrip("/")
        if self.is_local:
            return self._kept(_walk(Path(root), "", frozenset(), recursive=recursive))
        selector = fs.FileSelector(root, allow_not_found=True, recursive=recursive)
        entries = self.patiently(lambda: self._filesystem.get_file_info(selector))
        found = (entry for entry in entries if entry.type == fs.FileType.File)
        return self._kept(
            FoundFile(entry.path[len(root) + 1 :], entry.size or 0, entry.mtime_ns or 0) for entry in found
        )

    def _kept(self, found: Iterable[FoundFile]) -> list[FoundFile]:
        root, without = self.path.rstrip("/"), f"{self.without.rstrip('/')}/"
        if not without.startswith(f"{root}/"):
            return sorted(found)
        return sorted(file for file in found if not f"{root}/{file.path}".startswith(without))

    def open(self) -> pa.NativeFile:
        """Open for random reads."""
        return self._filesystem.open_input_file(self.path)

    def read_bytes(self) -> bytes:
        """The whole content.

        Raises:
            FileNotFoundError: no file lies here.
        """

        def read() -> bytes:
            with self.open() as file:
                return file.read()

        return self.patiently(read)

    def sha256(self) -> str:
        """The hex digest of the content, read in blocks."""

        def digest() -> str:
            digest = hashlib.sha256()
            with self.open() as file:
                while block := file.read(_BLOCK_BYTES):
                    digest.update(block)
            return digest.hexdigest()

        return self.patiently(digest)

    def delete(self) -> None:
        """Remove the file here, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            self.patiently(lambda: self._filesystem.delete_file(self.path))

    def move(self, target: "Location") -> None:
        """Rename the file here to `target`, on the same file system, replacing what lies there."""
        target.parent.make_directory()
        self.patiently(lambda: self._filesystem.move(self.path, target.path))

    def make_directory(self) -> None:
        """Create this directory and its parents (a no-op in an object store)."""
        if self.is_local:
            Path(self.path).mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def writing(self) -> Iterator[IO[bytes]]:
        """Write the whole content; it appears here when the block ends without an error, or not at all."""
        if not self.is_local:
            with SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
                yield cast(IO[bytes], spool)
                self.patiently(lambda: self._send(cast(IO[bytes], spool)))
            return
        target = Path(self.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"{target.name}{TEMPORARY_MARK}{uuid.uuid4().hex[:12]}")
        try:
            with temporary.open("xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)
        except OSError as error:
            if error.errno in _NO_ROOM and error.filename is None:
                raise OSError(error.errno, error.strerror, str(target)) from error
            raise
        finally:
            temporary.unlink(missing_ok=True)

    def _send(self, content: IO[bytes]) -> None:
        content.seek(0)
        with self._filesystem.open_output_stream(self.path) as stream:
            shutil.copyfileobj(content, stream, _BLOCK_BYTES)

    def write_bytes(self, content: bytes) -> None:
        """Write `content` whole."""
        with self.writing() as stream:
            stream.write(content)
