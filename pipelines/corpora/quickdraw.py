"""Quick, Draw!: drawings of 345 things, each drawn within 20 seconds by a player of an online game.

Provenance: https://github.com/googlecreativelab/quickdraw-dataset (CC BY 4.0; nothing is downloaded).

Layout: `*.ndjson` anywhere below the raw root, one file for each word, one line for each drawing, in the raw form (with
times) or the simplified form:

    cat.ndjson              {"word":"cat","countrycode":"VE","recognized":true,"key_id":"...","drawing":[[[...

A drawing is listed by its byte range and parsed only when it is decoded; its attributes are found by regular
expressions. Empty lines are skipped. The first `per_word` drawings of each file are used, or all of them if it is 0; no
more of the file is read. Positions in the raw form are not always integers; the option `scale` multiplies them.

Split: not official; by drawing, 0.9 / 0.05 / 0.05. The authors of the drawings are not known.
"""

import re
from collections.abc import Iterator
from itertools import chain, islice

from pipelines.corpora.base import Listing, Options, SourceItem
from pipelines.corpora.files import refuse_duplicates, stem, suffix
from pipelines.corpora.inkml import check_scale
from pipelines.corpora.splits import split_three_ways
from pipelines.errors import InputError
from pipelines.runtime.storage import FoundFile, Location
from pipelines.signals import Kind

__all__ = ["Quickdraw"]

_BLOCK_BYTES = 2**18
_LONGEST_LINE = 2**25
_KEY = re.compile(rb'"key_id"\s*:\s*"?([0-9]+)')
_ATTRIBUTES = {
    "word": re.compile(rb'"word"\s*:\s*"([^"\\]+)"'),
    "countrycode": re.compile(rb'"countrycode"\s*:\s*"([A-Za-z]{2})"'),
    "recognized": re.compile(rb'"recognized"\s*:\s*(true|false)'),
}


class Quickdraw:
    """The adapter for Quick, Draw!."""

    name = "quickdraw"
    kind: Kind = "pen"
    sample_rate: int | None = None
    options: Options = {"scale": 1, "per_word": 1000}
    licence = "CC BY 4.0"
    url = "https://github.com/googlecreativelab/quickdraw-dataset"

    def list_items(self, raw: Location, options: Options) -> Listing:
        """List the first drawings of each file below `raw`, ordered by id.

        Raises:
            InputError: there is no drawing, an option is out of range, a line is too long, or two drawings have one id.
        """
        check_scale(self.name, options)
        per_word = int(options["per_word"])
        if per_word < 0:
            raise InputError("quickdraw: per_word is the number of drawings of each word, or 0 for all")
        files = [file for file in raw.files() if suffix(file.path) == ".ndjson"]
        items = list(chain.from_iterable(islice(_drawings(raw, file), per_word or None) for file in files))
        if not items:
            raise InputError(f"{raw}: no *.ndjson with a drawing below it; point --raw at Quick, Draw!'s files")
        refuse_duplicates(raw, items, what="drawing", remedy="remove one of them")
        return split_three_ways(items, "drawing")


def _drawings(raw: Location, file: FoundFile) -> Iterator[SourceItem]:
    word = stem(file.path)
    for number, (start, line) in enumerate(_lines(raw / file.path), start=1):
        if not line.strip():
            continue
        key = _KEY.search(line)
        item_id = f"{word}-{key[1].decode() if key else number}"
        found = {name: pattern.search(line) for name, pattern in _ATTRIBUTES.items()}
        attributes = tuple((name, match[1].decode("utf-8", "replace")) for name, match in found.items() if match)
        yield SourceItem(item_id, file, "train", None, item_id, attributes=attributes, start=start, length=len(line))


def _lines(place: Location) -> Iterator[tuple[int, bytes]]:
    """The lines of a file without line ends, each with its first byte's position; the file is read as far as needed."""
    start, rest = 0, b""
    with place.open() as file:
        while block := file.read(_BLOCK_BYTES):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                yield start, line
                start += len(line) + 1
            if len(rest) > _LONGEST_LINE:
                raise InputError(
                    f"{place}: a line is longer than {_LONGEST_LINE} bytes, so it is not a drawing; remove the file"
                )
    yield start, rest
