"""Blizzard 2013, and audiobooks with the same layout: one reader, many hours.

Provenance: https://www.cstr.ed.ac.uk/projects/blizzard/2013/lessac_blizzard2013 (licensed; nothing is downloaded).

Layout, in either letter case, below any directory, in two forms:

    BOOK/unsegmented/CHAPTER.mp3          whole chapters; any directory whose name starts with `unsegmented`
    wavs/UTTERANCE.wav  or  .flac         utterances, cut and aligned

If all sound files are MP3, they are taken for chapters, wherever they are. Utterances may come with a `metadata.csv`,
which has a header `id|...|text` and one line for each utterance: then only the listed utterances are used, with their
text, and those that do not exist are reported as missing. The option `form` chooses the form; `auto` uses the chapters
if there are any, since the paper modelled windows of half a second from them (the protocol cuts, not this adapter).

Split: not official; by chapter or by utterance, 0.9 / 0.05 / 0.05. There is one reader, whom the raw form does not
name, so no item has a speaker.

Defects of the original: chapters begin and end with the publisher's announcements; they are kept.
"""

import re

from pipelines.corpora.base import Listing, Options, SourceItem
from pipelines.corpora.files import (
    base_name,
    common_directory,
    directory,
    fold,
    is_sound,
    path_id,
    read_rows,
    refuse_duplicates,
    stem,
    suffix,
    unrecorded,
)
from pipelines.corpora.splits import split_three_ways
from pipelines.errors import InputError
from pipelines.runtime.storage import FoundFile, Location
from pipelines.signals import Kind

__all__ = ["Blizzard"]

_FORMS = ("auto", "unsegmented", "segmented")
_UNSEGMENTED = re.compile(r"(?:^|/)unsegmented[^/]*/", re.IGNORECASE)
_REMEDY = "point --raw at one copy of the recordings"


class Blizzard:
    """The adapter for audiobooks of one reader."""

    name = "blizzard"
    kind: Kind = "speech"
    sample_rate: int | None = 16000
    options: Options = {"form": "auto"}
    licence = "research, by agreement with its publisher"
    url = "https://www.cstr.ed.ac.uk/projects/blizzard/2013/lessac_blizzard2013"

    def list_items(self, raw: Location, options: Options) -> Listing:
        """List the chapters or the utterances below `raw`, ordered by id.

        Raises:
            InputError: there are no recordings of the chosen form, or two files have one id.
        """
        form = options["form"]
        if form not in _FORMS:
            raise InputError(f"blizzard: no form {form!r}; choose one of {', '.join(_FORMS)}")
        files = raw.files()
        chapters, utterances = _forms([file for file in files if is_sound(file.path)])
        if chapters and form != "segmented":
            return split_three_ways(_items_by_path(raw, chapters), "chapter")
        if utterances and form != "unsegmented":
            texts = _listed_texts(raw, files)
            if texts is None:
                return split_three_ways(_items_by_path(raw, utterances), "utterance")
            named = ((stem(file.path), file) for file in utterances)
            items = [_item(name, file, texts[name] or None) for name, file in named if name in texts]
            refuse_duplicates(raw, items, what="utterance", remedy=_REMEDY)
            if not items:
                raise InputError(f"{raw}: none of the recordings that its metadata.csv lists exists; {_REMEDY}")
            missing = unrecorded(texts, items, "metadata.csv lists it, but there is no such recording")
            return split_three_ways(items, "utterance", missing)
        wanted = "" if form == "auto" else f" of the form {form}"
        raise InputError(
            f"{raw}: no Blizzard recordings{wanted}: neither chapters, unsegmented/*.mp3, nor utterances, *.wav or "
            "*.flac, below it; point --raw at the directory that holds them, or choose another form"
        )


def _forms(sounds: list[FoundFile]) -> tuple[list[FoundFile], list[FoundFile]]:
    """The chapters and the utterances."""
    if all(suffix(file.path) == ".mp3" for file in sounds):
        return sounds, []
    chapters = [file for file in sounds if _UNSEGMENTED.search(file.path)]
    rest = (file for file in sounds if not _UNSEGMENTED.search(file.path))
    return chapters, [file for file in rest if suffix(file.path) in (".wav", ".flac")]


def _item(item_id: str, file: FoundFile, text: str | None = None) -> SourceItem:
    return SourceItem(item_id, file, "train", None, item_id, text)


def _items_by_path(raw: Location, files: list[FoundFile]) -> list[SourceItem]:
    below = common_directory(directory(file.path) for file in files)
    items = [_item(path_id(file.path, below), file) for file in files]
    refuse_duplicates(raw, items, what="recording", remedy=_REMEDY)
    return items


def _listed_texts(raw: Location, files: list[FoundFile]) -> dict[str, str] | None:
    """The texts by id in all `metadata.csv` with a fitting header; None if there is no such file."""
    texts: dict[str, str] | None = None
    for file in (file for file in files if base_name(file.path) == "metadata.csv"):
        columns, rows = read_rows(raw, file, "|", quoted=False)
        if {"id", "text"} <= columns:
            texts = texts or {}
            texts.update((fold(row["id"]), row["text"]) for row in rows if row["id"])
    return texts
