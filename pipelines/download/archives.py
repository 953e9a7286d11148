"""Unpacking an archive from outside: whole or not at all, and nothing beyond its directory.

Members are written one by one by this module, as plain files with plain permissions: no links, devices or sparse
files, which no corpus needs; no name that is absolute or leads upward; no name twice; and no more bytes in all than a
multiple of the archive's own size, counted as they are unpacked and not as the archive declares them.
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

_MOST_TIMES = 10
_SLACK_BYTES = 2**20
_BLOCK_BYTES = 2**20
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError)


@dataclass(frozen=True)
class _Member:
    """One entry: `content` is None for a directory; `refused` says what it is if it is neither that nor a file."""

    name: str
    content: IO[bytes] | None = None
    refused: str = ""


@dataclass
class _Unpacked:
    """What may come out of an archive, and what has.

    Attributes:
        destination: the directory.
        most: bytes in all.
        total: bytes so far.
        seen: the files' names.
    """

    destination: Path
    most: int
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
            self._copy(member.content, file)

    def _copy(self, content: IO[bytes], file: BinaryIO) -> None:
        while block := content.read(_BLOCK_BYTES):
            self.total += len(block)
            if self.total > self.most:
                raise _TooMuchError(self.most)
            file.write(block)


class _RefusedError(Exception):
    """The archive holds what must not be unpacked."""


class _TooMuchError(_RefusedError):
    def __init__(self, most: int) -> None:
        super().__init__(f"it unpacks to more than {most} bytes, {_MOST_TIMES} times its size")


class _Bounded(io.RawIOBase):
    """A stream that ends in an error once more was read than allowed: headers of a tar count too."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream = stream
        self._left = self._most = most

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise _TooMuchError(self._most)
        return block


def extract(archive: Path, target: Path, on_progress: Progress) -> None:
    """Unpack `archive` into the new directory `target`, which appears when all of it is there.

    Args:
        archive: .tar.gz, .tar.bz2, .tar or .zip.
        target: not there yet, or empty.
        on_progress: told the bytes of the archive that were read, and all of them.

    Raises:
        InputError: the archive is damaged or holds what must not be unpacked.
        OSError: the disk failed.
    """
    temporary = target.with_name(f".extracting-{target.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        _unpack(archive, temporary, on_progress)
        temporary.replace(target)
    except _RefusedError as error:
        raise InputError(f"{archive}: refused: {error}; delete it and download it again") from error
    except _DAMAGE as error:
        raise InputError(f"{archive}: a damaged archive ({error}); delete it and download it again") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unpack(archive: Path, destination: Path, on_progress: Progress) -> None:
    size = archive.stat().st_size
    unpacked = _Unpacked(destination, _MOST_TIMES * size + _SLACK_BYTES)
    with archive.open("rb") as file:
        members = _zip_members(file) if archive.suffix == ".zip" else _tar_members(file, archive, unpacked.most)
        for member in members:
            unpacked.add(member)
            on_progress(min(file.tell(), size), size)


def _tar_members(file: BinaryIO, archive: Path, most: int) -> Iterator[_Member]:
    openers = {".gz": gzip.open, ".bz2": bz2.open}
    plain = openers[archive.suffix](file, "rb") if archive.suffix in openers else file
    with tarfile.open(fileobj=_Bounded(plain, most), mode="r|") as tar:
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
            mode = stat.S_IFMT(entry.external_attr >> 16)
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
    """The steps of a member's name below the destination.

    Raises:
        _RefusedError: it leads elsewhere, or means something else on another system.
    """
    if not name or name.startswith("/") or "\\" in name or not name.isprintable() or PureWindowsPath(name).drive:
        raise _RefusedError(f"member {name!r} has no plain relative name")
    parts = tuple(step for step in name.split("/") if step not in {"", "."})
    if ".." in parts:
        raise _RefusedError(f"member {name!r} leads out of the directory")
    return parts
