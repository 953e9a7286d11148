"""WebDataset: tar files of bounded size, a few members a sequence that share a key.

Sound is `KEY.flac`, ink is `KEY.npz` (arrays x, y, pen_up, time); `KEY.json` has the other columns, `KEY.txt` the
transcript where there is one. Members carry no times and no owners.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

import numpy as np

from pipelines.export.source import Sequence, SplitSource, describe, encode_flac, file_key
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from pipelines.signals import Ink, Kind

__all__ = ["TAR_BYTES", "WebDataset"]

TAR_BYTES = 256 * 2**20
_BLOCK = 512
_Members = dict[str, bytes]


class WebDataset:
    """`SPLIT/000000.tar` and so on."""

    name = "webdataset"
    kinds: tuple[Kind, ...] = ("speech", "pen")

    def write(self, source: SplitSource, out: Location) -> None:
        """Write the tar files, a new one where the next sequence would not fit."""
        for number, group in groupby(_numbered(source), key=itemgetter(0)):
            with (
                (out / source.split / f"{number:06d}.tar").atomic_writer() as stream,
                tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive,
            ):
                for _, members in group:
                    _add(archive, members)

    def finish(self, shards: ShardSet, out: Location, splits: list[str]) -> None:
        """Nothing concerns all splits."""


def _numbered(source: SplitSource) -> Iterator[tuple[int, _Members]]:
    """Every sequence's members with the number of the tar file that they go into."""
    number, size = 0, 0
    for file in source.files:
        for sequence in source.sequences(file):
            members = _members(source, sequence)
            needed = sum(_padded(content) for content in members.values())
            if size and size + needed > TAR_BYTES:
                number, size = number + 1, 0
            size += needed
            yield number, members


def _padded(content: bytes) -> int:
    return _BLOCK + -(-len(content) // _BLOCK) * _BLOCK


def _add(archive: tarfile.TarFile, members: _Members) -> None:
    for name, content in members.items():
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))


def _members(source: SplitSource, sequence: Sequence) -> _Members:
    key = file_key(sequence.id)
    if isinstance(sequence.signal, Ink):
        members = {f"{key}.npz": _npz(sequence.signal)}
    else:
        members = {f"{key}.flac": encode_flac(sequence.signal, source.sample_rate)}
    facts = json.dumps(describe(source, sequence), sort_keys=True, ensure_ascii=False)
    members[f"{key}.json"] = facts.encode()
    if sequence.row["transcript"] is not None:
        members[f"{key}.txt"] = str(sequence.row["transcript"]).encode()
    return members


def _npz(ink: Ink) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, x=ink.x, y=ink.y, pen_up=ink.pen_up, time=ink.time)
    return stream.getvalue()
