"""Unpacking an untrusted archive: completely or not at all, and never outside its directory.

This module writes the members one by one, as plain files with plain permissions. It refuses links, devices and sparse
files, which no corpus needs, absolute names, names that lead upward, and duplicate names. The total size is limited to
a multiple of the archive's own size, counted while unpacking and not as the archive declares it.
"""

import bz2
import gzip
import io
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import IO, BinaryIO

from pipelines.download.transfer import Progress
from pipelines.errors import InputError

__all__ = ["extract"]

_MAX_RATIO = 10
_SLACK_BYTES = 2**20
_BLOCK_BYTES = 2**20
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError)


@dataclass(frozen=True)
class _Member:
    """One entry: `content` is None for a directory; `refused` describes an entry that is neither a file nor that."""

    name: str
    content: IO[bytes] | None = None
    refused: str = ""


@dataclass
class _Unpacked:
    """The state of unpacking one archive.

    Attributes:
        destination: the directory to unpack into.
        limit: the maximum of unpacked bytes.
        total: bytes unpacked so far.
        seen: names of the unpacked files.
    """

    destination: Path
    limit: int
    total: int = 0
    seen: set[tuple[str, ...]] = field(default_factory=set)

    def add(self, member: _Member) -> None:
        parts = _safe_parts(member.name)
        if member.refused:
            raise _RefusedError(f"member {member.name!r} is {member.refused}")
        place = self.destination.joinpath(*parts)
        if member.content is None:
            place.mkdir(parents=True, exist_ok=True)
            return
        if not parts or parts in self.seen:
            raise _RefusedError(f"two members are called {member.name!r}")
        self.seen.add(parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            while block := member.content.read(_BLOCK_BYTES):
                self.total += len(block)
                if self.total > self.limit:
                    raise _TooLargeError(self.limit)
                file.write(block)


class _RefusedError(Exception):
    """The archive holds something that must not be unpacked."""


class _TooLargeError(_RefusedError):
    def __init__(self, limit: int) -> None:
        super().__init__(f"it unpacks to more than {limit} bytes, {_MAX_RATIO} times its size")


class _LimitedStream(io.RawIOBase):
    """A stream that raises an error once more than `limit` bytes are read: the headers of a tar file count too."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._left = self._limit = limit

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise _TooLargeError(self._limit)
        return block


def extract(archive: Path, target: Path, on_progress: Progress) -> None:
    """Unpack `archive` into the new directory `target`, which appears once everything is unpacked.

    Args:
        archive: a .tar.gz, .tar.bz2, .tar or .zip file.
        target: a directory that is new or empty.
        on_progress: called with (bytes of the archive that were read, all its bytes).

    Raises:
        InputError: the archive is damaged or holds something that must not be unpacked.
        OSError: the disk failed.
    """
    temporary = target.with_name(f".extracting-{target.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        size = archive.stat().st_size
        unpacked = _Unpacked(temporary, _MAX_RATIO * size + _SLACK_BYTES)
        with archive.open("rb") as file:
            members = _zip_members(file) if archive.suffix == ".zip" else _tar_members(file, archive, unpacked.limit)
            for member in members:
                unpacked.add(member)
                on_progress(min(file.tell(), size), size)
        temporary.replace(target)
    except _RefusedError as error:
        raise InputError(f"{archive}: refused: {error}; delete it and download it again") from error
    except _DAMAGE as error:
        raise InputError(f"{archive}: damaged ({error}); delete it and download it again") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _tar_members(file: BinaryIO, archive: Path, limit: int) -> Iterator[_Member]:
    openers = {".gz": gzip.open, ".bz2": bz2.open}
    plain = openers[archive.suffix](file, "rb") if archive.suffix in openers else file
    with tarfile.open(fileobj=_LimitedStream(plain, limit), mode="r|") as tar:
        for entry in tar:
            if entry.isdir():
                yield _Member(entry.name)
            elif entry.isreg() and not entry.issparse():
                yield _Member(entry.name, tar.extractfile(entry))
            else:
                yield _Member(entry.name, refused="a link, a device or a sparse file")


def _zip_members(file: BinaryIO) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            mode = stat.S_IFMT(entry.external_attr >> 16)  # the Unix mode; 0 if the archive has none
            if entry.flag_bits & 1:
                yield _Member(entry.filename, refused="encrypted")
            elif mode not in {0, stat.S_IFREG, stat.S_IFDIR}:
                yield _Member(entry.filename, refused="a link or a device")
            elif entry.is_dir():
                yield _Member(entry.filename)
            else:
                with archive.open(entry) as content:
                    yield _Member(entry.filename, content)


def _safe_parts(name: str) -> tuple[str, ...]:
    """The parts of a member's path below the destination.

    Raises:
        _RefusedError: the path leads elsewhere, or has another meaning on another system.
    """
    if not name or name.startswith("/") or "\\" in name or not name.isprintable() or PureWindowsPath(name).drive:
        raise _RefusedError(f"member {name!r} has no plain relative name")
    parts = tuple(step for step in name.split("/") if step not in {"", "."})
    if ".." in parts:
        raise _RefusedError(f"member {name!r} leads out of the directory")
    return parts
