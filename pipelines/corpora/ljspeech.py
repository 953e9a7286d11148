"""LJ Speech: passages of seven non-fiction books, one reader, 22.05 kHz.

Provenance: https://keithito.com/LJ-Speech-Dataset (nothing is downloaded).

Layout, in either letter case, below any directory:

    LJSpeech-1.1/wavs/LJ001-0001.wav
    LJSpeech-1.1/metadata.csv            no header, no quotes; `LJ001-0001|TEXT|NORMALISED TEXT` a line

The transcript is the normalised text. Recordings that the list does not name have no transcript; listed recordings that
do not exist are reported as missing.

Split: not official; by section of a book (`LJ001`), 0.9 / 0.05 / 0.05. There is one reader, so no item has a speaker,
and a group is a section.

Defects of the original: a sentence may continue in the next utterance; therefore sections are not cut.
"""

import re

from pipelines.corpora.base import Listing, Options, SourceItem
from pipelines.corpora.files import base_name, find_sounds, fold, read_text, refuse_duplicates, unrecorded
from pipelines.corpora.splits import split_three_ways
from pipelines.errors import InputError
from pipelines.runtime.storage import FoundFile, Location
from pipelines.signals import Kind

__all__ = ["Ljspeech"]

_RECORDING = re.compile(r"(?:^|/)wavs/(?P<id>(?P<section>lj[0-9]+)-[0-9]+)\.\w+$", re.IGNORECASE)


class Ljspeech:
    """The adapter for LJ Speech."""

    name = "ljspeech"
    kind: Kind = "speech"
    sample_rate: int | None = 16000
    options: Options = {}
    licence = "public domain"
    url = "https://keithito.com/LJ-Speech-Dataset"

    def list_items(self, raw: Location, options: Options) -> Listing:
        """List the recordings below `raw`, ordered by id.

        Raises:
            InputError: there are no recordings or no list of them, or two files have one id.
        """
        files = raw.files()
        texts = _texts(raw, files)
        items: list[SourceItem] = []
        for match, file in find_sounds(_RECORDING, files):
            name = fold(match["id"])
            items.append(SourceItem(name, file, "train", None, fold(match["section"]), texts.get(name) or None))
        if not items:
            raise InputError(
                f"{raw}: not LJ Speech: no wavs/LJ001-0001.wav or the like below it; "
                "point --raw at the directory LJSpeech-1.1, which holds wavs and metadata.csv"
            )
        refuse_duplicates(raw, items, what="utterance", remedy="point --raw at one copy of LJ Speech")
        missing = unrecorded(texts, items, "metadata.csv lists it, but there is no such recording")
        return split_three_ways(items, "section of a book", missing)


def _texts(raw: Location, files: list[FoundFile]) -> dict[str, str]:
    """The normalised texts (or the texts, if a line has no normalised one) by utterance id."""
    lists = [file for file in files if base_name(file.path) == "metadata.csv"]
    if not lists:
        raise InputError(
            f"{raw}: not LJ Speech: no metadata.csv below it; point --raw at the directory LJSpeech-1.1, "
            "which holds wavs and metadata.csv"
        )
    rows = (line.split("|") for line in read_text(raw, lists[0]).split("\n"))
    filled = ([field.strip() for field in row] for row in rows)
    return {fold(row[0]): next(filter(None, reversed(row[1:3])), "") for row in filled if row[0]}
