"""Files and directories, local or in an object store, behind one class: `Location`.

Everything goes through `pyarrow.fs`, so `s3://`, `gs://` and a local path behave alike. A file appears complete or not
at all: a local file is written under a temporary name and renamed. An object store publishes what it has received when
a stream closes, for whatever reason, so the content is spooled first and sent once it is complete.

The clients of the stores repeat most requests that a busy store refuses, but not all: pyarrow gives up at once if the
refusal is longer than the bytes it asked for. Every operation here is therefore retried a few times before it fails.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

import pyarrow as pa
from pyarrow import fs

from pipelines.errors import InputError

__all__ = ["STATE_DIRECTORY", "TEMPORARY_MARK", "FoundFile", "Location"]

STATE_DIRECTORY = ".state"
"""Below an output directory: locks, completion markers and unfinished work."""
TEMPORARY_MARK = ".partial-"
"""Part of the name of every temporary file."""

_SPOOL_BYTES = 64 * 2**20
_BLOCK_BYTES = 4 * 2**20
_MAX_ATTEMPTS = 4
_PAUSE_SECONDS = 0.2
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_PERMANENT = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)

Result = TypeVar("Result")


@dataclass(frozen=True, order=True, slots=True)
class FoundFile:
    """One file below a `Location`. Its repr is part of a shard task's key.

    Attributes:
        path: path relative to the location it was found from, with forward slashes.
        size: size in bytes.
        modified_ns: time of the last change, in nanoseconds since the epoch.
    """

    path: str
    size: int
    modified_ns: int


@dataclass(frozen=True)
class Location:
    """A directory or a file, named by a local path or an object-store URI.

    Attributes:
        uri: the path or URI.
        exclude: a path in the same file system; `files` leaves out everything below it.
    """

    uri: str
    exclude: str = ""

    def __truediv__(self, child: str) -> "Location":
        base, mark, query = self._split_query()
        return Location(f"{base}/{child}{mark}{query}")

    def __str__(self) -> str:
        """The URI without credentials and query, so that it can be shown."""
        parts = urlsplit(self.uri)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if self._is_remote else self.uri

    def _split_query(self) -> tuple[str, str, str]:
        base, mark, query = self.uri.partition("?") if self._is_remote else (self.uri, "", "")
        return base.rstrip("/"), mark, query

    @property
    def _is_remote(self) -> bool:
        return "://" in self.uri

    @property
    def _filesystem(self) -> fs.FileSystem:
        if not self._is_remote:
            return fs.LocalFileSystem()
        # The path is left out: all locations of one store and query (endpoint, region) share a file system.
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
        """The same place, independent of the working directory."""
        return self if self._is_remote else Location(self.path, self.exclude)

    @property
    def parent(self) -> "Location":
        """The directory that holds this file or directory."""
        base, mark, query = self._split_query()
        return Location(f"{base.rpartition('/')[0] or '/'}{mark}{query}")

    @property
    def is_local(self) -> bool:
        """Whether this is on a local disk."""
        return isinstance(self._filesystem, fs.LocalFileSystem)

    def retry(self, operation: Callable[[], Result]) -> Result:
        """Run `operation`; if an object store fails, run it again after a pause, a few times at most.

        Raises:
            OSError: it failed at every attempt, with an error that no retry can fix, or on a local disk.
        """
        for attempt in range(1, _MAX_ATTEMPTS):
            try:
                return operation()
            except _PERMANENT:
                raise
            except OSError:
                if self.is_local:
                    raise
                time.sleep(_PAUSE_SECONDS * 2**attempt)
        return operation()

    def info(self) -> fs.FileInfo:
        """The file system's information on this path."""
        return self.retry(lambda: cast(fs.FileInfo, self._filesystem.get_file_info(self.path)))

    def is_file(self) -> bool:
        """Whether this is a file."""
        return self.info().type == fs.FileType.File

    def is_directory(self) -> bool:
        """Whether this is a directory, or a prefix with objects below it."""
        return self.info().type == fs.FileType.Directory

    def files(self, *, recursive: bool = True) -> list[FoundFile]:
        """The files below this directory, sorted by path; none if it does not exist. Symbolic links are followed.

        Raises:
            InputError: a symbolic link leads back to a directory that holds it.
        """
        root = self.path.rstrip("/")
        if self.is_local:
            found = _walk(Path(root), "", frozenset(), recursive=recursive)
        else:
            selector = fs.FileSelector(root, allow_not_found=True, recursive=recursive)
            entries = self.retry(lambda: self._filesystem.get_file_info(selector))
            found = (
                FoundFile(entry.path[len(root) + 1 :], entry.size or 0, entry.mtime_ns or 0)
                for entry in entries
                if entry.type == fs.FileType.File
            )
        excluded = f"{self.exclude.rstrip('/')}/"
        if not excluded.startswith(f"{root}/"):
            return sorted(found)
        return sorted(file for file in found if not f"{root}/{file.path}".startswith(excluded))

    def open(self) -> pa.NativeFile:
        """Open the file for random reads."""
        return self._filesystem.open_input_file(self.path)

    def read_bytes(self) -> bytes:
        """The whole content.

        Raises:
            FileNotFoundError: there is no such file.
        """

        def read() -> bytes:
            with self.open() as file:
                return file.read()

        return self.retry(read)

    def sha256(self) -> str:
        """The hex digest of the content, which is read in blocks."""

        def compute() -> str:
            digest = hashlib.sha256()
            with self.open() as file:
                while block := file.read(_BLOCK_BYTES):
                    digest.update(block)
            return digest.hexdigest()

        return self.retry(compute)

    def delete(self) -> None:
        """Delete the file, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            self.retry(lambda: self._filesystem.delete_file(self.path))

    def move(self, target: "Location") -> None:
        """Rename the file to `target`, on the same file system; a file that is already there is replaced."""
        target.parent.make_directory()
        self.retry(lambda: self._filesystem.move(self.path, target.path))

    def make_directory(self) -> None:
        """Create this directory and its parents; an object store needs none."""
        if self.is_local:
            Path(self.path).mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def atomic_writer(self) -> Iterator[IO[bytes]]:
        """Write the whole content; the file appears when the block ends without an error, or not at all."""
        if not self.is_local:
            with SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
                yield cast(IO[bytes], spool)
                self.retry(lambda: self._upload(cast(IO[bytes], spool)))
            return
        target = Path(self.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"{target.name}{TEMPORARY_MARK}{uuid.uuid4().hex[:12]}")
        try:
            with temporary.open("xb") as stream:
                yield stream
                stream.flush()
                # Without fsync a crash of the machine could leave an empty file under the final name.
                os.fsync(stream.fileno())
            temporary.replace(target)
        except OSError as error:
            # A write that meets a full disk does not name its file.
            if error.errno in _DISK_FULL and error.filename is None:
                raise OSError(error.errno, error.strerror, str(target)) from error
            raise
        finally:
            temporary.unlink(missing_ok=True)

    def _upload(self, content: IO[bytes]) -> None:
        content.seek(0)
        with self._filesystem.open_output_stream(self.path) as stream:
            shutil.copyfileobj(content, stream, _BLOCK_BYTES)

    def write_bytes(self, content: bytes) -> None:
        """Write `content` as the whole file."""
        with self.atomic_writer() as stream:
            stream.write(content)


@lru_cache(maxsize=32)
def _object_store(root: str) -> fs.FileSystem:
    try:
        return fs.FileSystem.from_uri(root)[0]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{root}: neither a local path nor a known object store ({reason})") from error


def _walk(root: Path, prefix: str, parents: frozenset[tuple[int, int]], *, recursive: bool) -> Iterator[FoundFile]:
    """The files below a local directory; `parents` are the device and inode of the directories that lead to it."""
    try:
        status = root.stat()
        entries = list(os.scandir(root))
    except (FileNotFoundError, NotADirectoryError):
        return
    this = (status.st_dev, status.st_ino)
    if this in parents:
        raise InputError(f"{root}: a symbolic link that leads back to a directory above it; remove it")
    for entry in entries:
        if not entry.name.isprintable() and entry.name.encode(errors="replace").decode() != entry.name:
            raise InputError(f"{root}: holds a file whose name is not UTF-8: {entry.name!r}; rename it")
        if entry.is_dir():
            if recursive:
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", parents | {this}, recursive=True)
        elif entry.is_file() or entry.is_symlink():
            # A broken link is listed with its own size; reading it becomes a reject.
            found = entry.stat(follow_symlinks=entry.is_file())
            yield FoundFile(prefix + entry.name, found.st_size, found.st_mtime_ns)
