"""Downloads of freely available corpora: verified by SHA-256, resumable, unpacked completely or not at all.

Each part of a corpus becomes a directory below the destination, which is renamed into place once it is complete. So a
directory that exists is complete, and a second run does only what is missing. The table is `downloads.toml`.
"""

import logging
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pooch

from pipelines.download.archives import extract
from pipelines.download.transfer import Progress, discard, download_file
from pipelines.errors import InputError, suggest

__all__ = ["Part", "Source", "choose_parts", "fetch_archive", "find_source", "is_unpacked", "unpack"]

_TABLE = Path(__file__).with_name("downloads.toml")


@dataclass(frozen=True)
class Part:
    """One archive of a corpus.

    Attributes:
        name: the name that users type, and the name of the directory.
        file: the archive's name, below the base address.
        sha256: SHA-256 of the archive.
    """

    name: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Source:
    """A corpus that can be downloaded.

    Attributes:
        name: the adapter's name.
        licence: the licence, as its publisher states it.
        page: the page that states it.
        base: the base address of the archives.
        default: names of the parts to download if none are chosen.
        parts: the parts by name.
    """

    name: str
    licence: str
    page: str
    base: str
    default: tuple[str, ...]
    parts: Mapping[str, Part]


@cache
def _sources() -> dict[str, Source]:
    sources: dict[str, Source] = {}
    for name, entry in tomllib.loads(_TABLE.read_text()).items():
        parts = {part: Part(part, **fields) for part, fields in entry["parts"].items()}
        sources[name] = Source(name, entry["licence"], entry["page"], entry["base"], tuple(entry["default"]), parts)
    return sources


def find_source(name: str) -> Source:
    """The downloadable corpus called `name`.

    Raises:
        InputError: there is none; the message suggests another one.
    """
    if source := _sources().get(name):
        return source
    raise InputError(f"no download called {name!r}; {suggest(name, _sources())}")


def choose_parts(source: Source, names: Sequence[str]) -> list[Part]:
    """The parts called `names`, without duplicates; the default parts if `names` is empty.

    Raises:
        InputError: the corpus has no such part.
    """
    for name in names:
        if name not in source.parts:
            raise InputError(f"{source.name} has no part {name!r}; {suggest(name, source.parts)}")
    return [source.parts[name] for name in dict.fromkeys(names or source.default)]


def is_unpacked(part: Part, out: Path) -> bool:
    """Whether the part is already unpacked below `out`."""
    place = out / part.name
    return place.is_dir() and any(place.iterdir())


def fetch_archive(part: Part, out: Path, base: str, on_progress: Progress) -> Path:
    """Download the part's archive, or the rest of it, and verify it.

    The bytes that have arrived survive an interruption, even one while they are being hashed.

    Args:
        part: the part.
        out: the directory for the archive.
        base: the base address: the source's own, or a mirror's.
        on_progress: called with (bytes that have arrived, all bytes).

    Raises:
        InputError: there is no such file, or its checksum is wrong.
        OSError: the network or the disk failed; another run resumes the download.
    """
    url = f"{base.rstrip('/')}/{part.file}"
    out.mkdir(parents=True, exist_ok=True)
    partial = out / f"{part.file}.part"

    def download(url: str, temporary: str, _: object) -> None:
        download_file(url, partial, on_progress)
        Path(temporary).unlink()
        # A hard link: if hashing is interrupted, pooch deletes its temporary file and the partial file remains.
        try:
            os.link(partial, temporary)
        except OSError:
            partial.replace(temporary)

    pooch.get_logger().setLevel(logging.WARNING)
    try:
        # pooch names the parameters of its downloader type after those of a processor.
        archive = pooch.retrieve(url, f"sha256:{part.sha256}", part.file, out, downloader=download)  # type: ignore[arg-type]
    except InputError:
        raise
    except ValueError as error:
        discard(partial)
        raise InputError(f"{url}: not the published file (SHA-256 differs); deleted; try another --mirror") from error
    discard(partial)
    return Path(archive)


def unpack(part: Part, archive: Path, out: Path, on_progress: Progress) -> None:
    """Unpack a verified archive into the part's directory, and delete the archive.

    Raises:
        InputError: it holds something that must not be unpacked.
        OSError: the disk failed.
    """
    extract(archive, out / part.name, on_progress)
    archive.unlink()
