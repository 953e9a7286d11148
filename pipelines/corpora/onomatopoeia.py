"""Onomatopoeia: human sounds that are not words (coughs, laughs, sighs), with one directory for each class.

Provenance: the collection of the VRNN paper was never published. Any tree of sound files with a class level can take
its place, such as the Nonverbal Vocalization Dataset, https://www.openslr.org/99 (nothing is downloaded).

Layout, in either letter case, below any directory:

    CLASS/FILE.wav                                                                  or any other sound file
    dataset/CLASS/SPEAKER_CLASS#_TRIAL_SEX_AGE_LOCATION_QUALITY_NOISE.wav           the Nonverbal Vocalization Dataset

In the second form the file name states the speaker and the attributes; sex, location, quality and noise are number
codes of the publisher and are kept as they are. The class is the name of the directory.

Split: not official; by speaker if the name states one, else by file, 0.9 / 0.05 / 0.05.

Defects of the original: it was recorded on the speakers' own telephones; classes and speakers differ in size.
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
    refuse_duplicates,
    stem,
)
from pipelines.corpora.splits import split_three_ways
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from pipelines.signals import Kind

__all__ = ["Onomatopoeia"]

_NONVERBAL = re.compile(
    r"(?P<speaker>[0-9a-z]{4})_[0-9]{1,2}_(?P<trial>[0-9]{1,2})_(?P<sex>[01])_(?P<age>[0-9]{1,3})"
    r"_(?P<location>[0-9])_(?P<quality>[0-9])_(?P<noise>[0-9])"
)


class Onomatopoeia:
    """The adapter for trees of sounds with a class level."""

    name = "onomatopoeia"
    kind: Kind = "speech"
    sample_rate: int | None = 16000
    options: Options = {}
    licence = "each collection's own; Nonverbal Vocalization Dataset: CC BY-NC-ND 4.0"
    url = "https://www.openslr.org/99"

    def list_items(self, raw: Location, options: Options) -> Listing:
        """List the sounds below `raw`, ordered by id.

        Raises:
            InputError: no sound is in a directory of its class, or two files have one id.
        """
        sounds = [file for file in raw.files() if is_sound(file.path)]
        if not any(directory(file.path) for file in sounds):
            raise InputError(
                f"{raw}: no CLASS/FILE.wav or the like below it; point --raw at the directory with one directory for "
                "each class, or use audio_folder for sounds without classes"
            )
        below = common_directory(directory(directory(file.path)) for file in sounds)
        items: list[SourceItem] = []
        for file in sounds:
            sound_id, speaker = path_id(file.path, below), None
            class_name = base_name(directory(file.path).rstrip("/"))
            attributes = {"class": class_name} if class_name else {}
            if match := _NONVERBAL.fullmatch(stem(file.path)):
                attributes |= match.groupdict()
                speaker = fold(attributes.pop("speaker"))
            described = tuple(attributes.items())
            items.append(SourceItem(sound_id, file, "train", speaker, speaker or sound_id, attributes=described))
        refuse_duplicates(raw, items, what="sound", remedy="keep one of them, or point --raw at one copy")
        return split_three_ways(items, "speaker where known, else by file")
