"""Speech Accent Archive: one English paragraph, read by speakers of many native languages.

Provenance: https://accent.gmu.edu (nothing is downloaded).

Layout, in either letter case, below any directory:

    recordings/afrikaans1.mp3 ...
    speakers.csv            filename,native_language,sex,age,age_onset,birthplace,country,speakerid
    speakers_all.csv        the same columns in another order, `file_missing?`, and some without a name

One list is enough; if both exist, `speakers_all.csv` is used. Columns are read by name. `filename` is the recording's
name without suffix. Each recording has its own speaker. Recordings that the list does not name have no attributes;
speakers without a recording are reported as missing.

Split: not official; by speaker, 0.9 / 0.05 / 0.05.

Defects of the original: the list names speakers whose recording was lost, and marks only some of them; sample rates
vary from 16 to 48 kHz.
"""

import re

from pipelines.corpora.base import Listing, MissingItem, Options, SourceItem
from pipelines.corpora.files import base_name, fold, is_sound, read_rows, refuse_duplicates, stem
from pipelines.corpora.splits import split_three_ways
from pipelines.errors import InputError
from pipelines.runtime.storage import FoundFile, Location
from pipelines.signals import Kind

__all__ = ["Accent"]

_RECORDING = re.compile(r"(?:^|/)recordings/[^/]+$", re.IGNORECASE)
_LISTS = ("speakers_all.csv", "speakers.csv")
_ATTRIBUTES = ("native_language", "sex", "age", "age_onset", "birthplace", "country")


class Accent:
    """The adapter for the Speech Accent Archive."""

    name = "accent"
    kind: Kind = "speech"
    sample_rate: int | None = 16000
    options: Options = {}
    licence = "CC BY-NC-SA 2.0"
    url = "https://accent.gmu.edu"

    def list_items(self, raw: Location, options: Options) -> Listing:
        """List the recordings below `raw`, ordered by id.

        Raises:
            InputError: there are no recordings or no list of speakers, the list contradicts itself, or two recordings
                have one id.
        """
        files = raw.files()
        recordings = [file for file in files if is_sound(file.path) and _RECORDING.search(file.path)]
        if not recordings:
            raise InputError(
                f"{raw}: not the Speech Accent Archive: no recordings/afrikaans1.mp3 or the like below it; "
                "point --raw at the directory that holds recordings and the list of speakers"
            )
        speakers = _speakers(raw, files)
        items: list[SourceItem] = []
        for name, file in ((stem(file.path), file) for file in recordings):
            row = speakers.get(name, {})
            attributes = tuple((key, row[key]) for key in _ATTRIBUTES if row.get(key))
            items.append(SourceItem(name, file, "train", name, name, attributes=attributes))
        refuse_duplicates(raw, items, what="recording", remedy="point --raw at one copy of the archive")
        missing: list[MissingItem] = []
        for name in sorted(speakers.keys() - {item.id for item in items}):
            row = speakers[name]
            marks = "marks" if row.get("file_missing?", "").upper() == "TRUE" else "does not mark"
            message = f"no such recording; the list {marks} it as missing"
            missing.append(MissingItem(row["filename"], name, message))
        return split_three_ways(items, "speaker", missing)


def _speakers(raw: Location, files: list[FoundFile]) -> dict[str, dict[str, str]]:
    """The rows of the list by file name."""
    lists = {base_name(file.path): file for file in reversed(files) if base_name(file.path) in _LISTS}
    if not lists:
        raise InputError(f"{raw}: no {' or '.join(_LISTS)} below it; copy the archive's own list there")
    file = lists.get(_LISTS[0]) or lists[_LISTS[1]]
    columns, rows = read_rows(raw, file)
    if "filename" not in columns:
        raise InputError(f"{raw / file.path}: no column `filename`; restore the archive's own list, with its header")
    speakers: dict[str, dict[str, str]] = {}
    for row in rows:
        if (name := fold(row["filename"])) and speakers.setdefault(name, row) != row:
            raise InputError(f"{raw / file.path}: two different rows for {name!r}; restore the archive's own list")
    return speakers
