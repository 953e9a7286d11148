"""LibriSpeech: read English from LibriVox audiobooks, 16 kHz.

Provenance: https://www.openslr.org/12 (nothing is downloaded).

Layout, in either letter case, below any directory:

    LibriSpeech/train-clean-100/SPEAKER/CHAPTER/SPEAKER-CHAPTER-UTTERANCE.flac       dev-clean/... test-other/...
    LibriSpeech/train-clean-100/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt            `UTTERANCE-ID TEXT` a line
    LibriSpeech/SPEAKERS.TXT                                                         `ID | SEX | SUBSET | ...` a line

Transcripts and SPEAKERS.TXT may be missing. Utterances that a transcript lists and that do not exist are reported as
missing.

Split: official: `train-*` is train, `dev-*` is valid, `test-*` is test; no speaker is in two splits. A copy with only
some of the subsets has only their splits.

Defects of the original: the speech was aligned to its text automatically; the `other` subsets are the harder ones.
"""

import re

from pipelines.corpora.base import Listing, Options, SourceItem, Split
from pipelines.corpora.files import base_name, find_sounds, fold, read_text, read_texts, refuse_duplicates, unrecorded
from pipelines.errors import InputError
from pipelines.runtime.storage import FoundFile, Location
from pipelines.signals import Kind

__all__ = ["Librispeech"]

_UTTERANCE = re.compile(
    r"(?:^|/)(?P<subset>(?P<tree>train|dev|test)-[\w-]+)/(?P<speaker>[0-9]+)/(?P<chapter>[0-9]+)/"
    r"(?P<id>(?P=speaker)-(?P=chapter)-[0-9]+)\.\w+$",
    re.IGNORECASE,
)
_TRANSCRIPT = re.compile(r"(?:^|/)[0-9]+-[0-9]+\.trans\.txt$", re.IGNORECASE)
_SPLITS: dict[str, Split] = {"train": "train", "dev": "valid", "test": "test"}


class Librispeech:
    """The adapter for LibriSpeech."""

    name = "librispeech"
    kind: Kind = "speech"
    sample_rate: int | None = 16000
    options: Options = {}
    licence = "CC BY 4.0"
    url = "https://www.openslr.org/12"

    def list_items(self, raw: Location, options: Options) -> Listing:
        """List the utterances below `raw`, ordered by id.

        Raises:
            InputError: there is no utterance, or two files have one id.
        """
        files = raw.files()
        found = find_sounds(_UTTERANCE, files)
        if not found:
            raise InputError(
                f"{raw}: not a LibriSpeech tree: no dev-clean/84/121123/84-121123-0000.flac or the like below it; "
                "point --raw at the directory LibriSpeech, which holds train-clean-100 and the other subsets"
            )
        transcripts = read_texts(raw, [file for file in files if _TRANSCRIPT.search(file.path)])
        lines = (line.partition(" ") for text in transcripts for line in text.split("\n"))
        texts = {fold(name.strip()): words.strip() for name, _, words in lines if name.strip()}
        sexes = _sexes(raw, files)
        items: list[SourceItem] = []
        for match, file in found:
            item_id, speaker, split = fold(match["id"]), match["speaker"], _SPLITS[fold(match["tree"])]
            sex = (("sex", sexes[speaker]),) if speaker in sexes else ()
            attributes = (("subset", fold(match["subset"])), *sex)
            items.append(SourceItem(item_id, file, split, speaker, speaker, texts.get(item_id) or None, attributes))
        refuse_duplicates(raw, items, what="utterance", remedy="point --raw at one copy of LibriSpeech")
        missing = unrecorded(texts, items, "its chapter's transcript lists it, but there is no recording")
        rule = "the corpus's own subsets: train-* is train, dev-* valid, test-* test"
        return Listing(sorted(items, key=lambda item: item.id), rule, missing)


def _sexes(raw: Location, files: list[FoundFile]) -> dict[str, str]:
    lists = [file for file in files if base_name(file.path) == "speakers.txt"]
    lines = (line for file in lists[:1] for line in read_text(raw, file).split("\n") if not line.startswith(";"))
    rows = (line.split("|") for line in lines)
    return {row[0].strip(): row[1].strip() for row in rows if len(row) > 1 and row[1].strip()}
