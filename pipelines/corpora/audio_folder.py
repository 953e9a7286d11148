"""Any directory of sound files, for data that has no adapter of its own.

Provenance and licence: the user's.

Layout: every file below the raw root is a source item, whatever its suffix; a file without sound becomes a reject, and
no file is ignored silently. The options `speaker_level` and `class_level` state which directory level below the root
names the speaker and the class; 1 is the first level, 0 means none:

    SPEAKER/CLASS/FILE.wav            speaker_level 1, class_level 2

A file above that level has no speaker or class. An id is the path with its suffix, so it depends on no other file.

Split: not official; by speaker if known, else by file, 0.9 / 0.05 / 0.05.
"""

from pipelines.corpora.base import Listing, Options, SourceItem
from pipelines.corpora.files import directory_at, fold, refuse_duplicates
from pipelines.corpora.splits import split_three_ways
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from pipelines.signals import Kind

__all__ = ["AudioFolder"]


class AudioFolder:
    """The adapter for any directory of sound files."""

    name = "audio_folder"
    kind: Kind = "speech"
    sample_rate: int | None = 16000
    options: Options = {"speaker_level": 0, "class_level": 0}
    licence = "the user's to know"
    url = ""

    def list_items(self, raw: Location, options: Options) -> Listing:
        """List every file below `raw`, ordered by id.

        Raises:
            InputError: there is no file, a level is negative, or two names differ in letter case alone.
        """
        speaker_level, class_level = int(options["speaker_level"]), int(options["class_level"])
        if min(speaker_level, class_level) < 0:
            raise InputError(
                "audio_folder: a level is 0 for none, 1 for the directories directly below --raw, and so on"
            )
        files = raw.files()
        if not files:
            raise InputError(f"{raw}: no files below it; point --raw at a directory of sound files")
        items: list[SourceItem] = []
        for file in files:
            item_id, speaker = fold(file.path), directory_at(file.path, speaker_level)
            class_name = directory_at(file.path, class_level)
            attributes = (("class", class_name),) if class_name else ()
            items.append(SourceItem(item_id, file, "train", speaker, speaker or item_id, attributes=attributes))
        refuse_duplicates(raw, items, what="file", remedy="rename or remove one of them")
        return split_three_ways(items, "speaker where known, else by file")
