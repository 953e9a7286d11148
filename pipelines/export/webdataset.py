"""WebDataset: tar files of bounded size; the members of one sequence share a key.

Sound is `KEY.flac`, ink is `KEY.npz` (arrays x, y, pen_up, time), `KEY.json` has the other columns, and `KEY.txt` the
transcript, if there is one. Members have no times and no owners.
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
        """Write the tar files; a new one begins when the next sequence would not fit."""
        for number, group in groupby(_numbered(source), key=itemgetter(0)):
            with (
                (out / source.split / f"{number:06d}.tar").atomic_writer() as stream,
                tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive,
            ):
                for _, members in group:
                    for name, content in members.items():
                        member = tarfile.TarInfo(name)
                        member.size = len(content)
                        archive.addfile(member, io.BytesIO(content))

    def finish(self, shards: ShardSet, out: Location, splits: list[str]) -> None:
        """Do nothing: there is no file for all splits."""


def _numbered(source: SplitSource) -> Iterator[tuple[int, _Members]]:
    """The members of each sequence, with the number of their tar file."""
    number, size = 0, 0
    for file in source.files:
        for sequence in source.sequences(file):
            members = _members(source, sequence)
            # A member takes a header block, and whole blocks for its content.
            needed = sum(_BLOCK + -(-len(content) // _BLOCK) * _BLOCK for content in members.values())
            if size and size + needed > TAR_BYTES:
                number, size = number + 1, 0
            size += needed
            yield number, members


def _members(source: SplitSource, sequence: Sequence) -> _Members:
    key = file_key(sequence.id)
    if isinstance(ink := sequence.signal, Ink):
        stream = io.BytesIO()
        np.savez_compressed(stream, x=ink.x, y=ink.y, pen_up=ink.pen_up, time=ink.time)
        members = {f"{key}.npz": stream.getvalue()}
    else:
        members = {f"{key}.flac": encode_flac(sequence.pcm, source.sample_rate)}
    members[f"{key}.json"] = json.dumps(describe(source, sequence), sort_keys=True, ensure_ascii=False).encode()
    if sequence.row["transcript"] is not None:
        members[f"{key}.txt"] = str(sequence.row["transcript"]).encode()
    return members
