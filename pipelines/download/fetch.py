"""Fetching the corpora that anyone may fetch: verified by SHA-256, resumed where it stopped, unpacked whole.

Each part of a corpus becomes a directory of its own below the destination, renamed into place when all of it is there;
so a directory that exists is complete, and a second run does only what is missing. The table is `downloads.toml`.
"""

import difflib
import logging
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pooch

from pipelines.download.archives import extract
from pipelines.download.transfer import Progress, discard, download_file
from pipelines.errors import InputError

__all__ = ["Part", "Source", "choose_parts", "fetch_archive", "find_source", "is_unpacked", "unpack"]

_TABLE = Path(__file__).with_name("downloads.toml")


@dataclass(frozen=True)
class Part:
    """One archive of a corpus.

    Attributes:
        name: what users type, and the directory that it becomes.
        file: the archive, below the base address.
        sha256: of the archive.
    """

    name: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Source:
    """A corpus that can be fetched.

    Attributes:
        name: the adapter's.
        licence: as its publisher states it.
        page: where it states it.
        base: the address that the archives lie below.
        default: the names of the parts that are fetched unless others are asked for.
        parts: by name.
    """

    name: str
    licence: str
    page: str
    base: str
    default: tuple[str, ...]
    parts: Mapping[str, Part]


@cache
def _sources() -> dict[str, Source]:
    table = tomllib.loads(_TABLE.read_text())
    return {name: _source(name, entry) for name, entry in table.items()}


def _source(name: str, entry: Mapping[str, Any]) -> Source:
    parts = {part: Part(part, **fields) for part, fields in entry["parts"].items()}
    return Source(name, entry["licence"], entry["page"], entry["base"], tuple(entry["default"]), parts)


def find_source(name: str) -> Source:
    """What can be fetched under `name`.

    Raises:
        InputError: nothing; the message says what can.
    """
    if source := _sources().get(name):
        return source
    raise InputError(f"nothing to download called {name!r}; {_hint(name, _sources())}")


def choose_parts(source: Source, names: Sequence[str]) -> list[Part]:
    """The parts called `names`, each once; the default ones where there are no names.

    Raises:
        InputError: the corpus has no such part.
    """
    for name in names:
        if name not in source.parts:
            raise InputError(f"{source.name} has no part {name!r}; {_hint(name, source.parts)}")
    return [source.parts[name] for name in dict.fromkeys(names or source.default)]


def _hint(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def is_unpacked(part: Part, out: Path) -> bool:
    """Whether the part was unpacked below `out` before."""
    place = out / part.name
    return place.is_dir() and any(place.iterdir())


def fetch_archive(part: Part, out: Path, base: str, on_progress: Progress) -> Path:
    """Download the part's archive, or go on with it, and verify it.

    What has arrived outlasts an interruption, of the hashing too.

    Args:
        part: which.
        out: the archive goes there.
        base: the address that the archive lies below: the source's own, or a mirror's.
        on_progress: told the bytes that have arrived and that will.

    Raises:
        InputError: there is no such file, or its checksum is wrong.
        OSError: the network or the disk failed; another run goes on from there.
    """
    url = f"{base.rstrip('/')}/{part.file}"
    out.mkdir(parents=True, exist_ok=True)
    beginning = out / f"{part.file}.part"

    def arrive(url: str, temporary: str, _: object) -> None:
        download_file(url, beginning, on_progress)
        Path(temporary).unlink()
        try:
            os.link(beginning, temporary)
        except OSError:
            beginning.replace(temporary)

    pooch.get_logger().setLevel(logging.WARNING)
    try:
        # pooch names the parameters of its downloader type after those of a processor.
        archive = pooch.retrieve(url, f"sha256:{part.sha256}", part.file, out, downloader=arrive)  # type: ignore[arg-type]
    except InputError:
        raise
    except ValueError as error:
        discard(beginning)
        raise InputError(f"{url}: not the published file (SHA-256 differs); deleted; try another --mirror") from error
    discard(beginning)
    return Path(archive)


def unpack(part: Part, archive: Path, out: Path, on_progress: Progress) -> None:
    """Unpack a verified archive into the directory called by the part's name, and delete the archive.

    Raises:
        InputError: it holds what must not be unpacked.
        OSError: the disk failed.
    """
    extract(archive, out / part.name, on_progress)
    archive.unlink()
