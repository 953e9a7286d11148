"""VCTK: newspaper sentences read by 110 English speakers of many accents, 48 kHz.

Provenance: https://datashare.ed.ac.uk/handle/10283/3443 (0.92; nothing is downloaded).

Layout, in either letter case, below any directory:

    wav48_silence_trimmed/p225/p225_001_mic1.flac  _mic2.flac         0.92: two microphones
    wav48/p225/p225_001.wav                                           0.80: one
    txt/p225/p225_001.txt                                             the sentence
    speaker-info.txt                        ID AGE GENDER ACCENTS REGION, in columns of spaces; 0.80 has 225 for p225

Text and speaker-info may be missing. The option `microphone` chooses one of the two in 0.92; an utterance that only the
other microphone recorded is reported as missing.

Split: not official; by speaker, 0.9 / 0.05 / 0.05.

Defects of the original: no text for p315, no second microphone for p280 and p315. All speakers read the same two
passages in addition to their own sentences, so some texts are in every split.
"""

import re
from dataclasses import dataclass

from pipelines.corpora.base import Listing, MissingItem, Options, SourceItem
from pipelines.corpora.files import base_name, find_sounds, fold, read_text, read_texts, refuse_duplicates, stem
from pipelines.corpora.splits import split_three_ways
from pipelines.errors import InputError
from pipelines.runtime.storage import FoundFile, Location
from pipelines.signals import Kind

__all__ = ["Vctk"]

_RECORDING = re.compile(
    r"(?:^|/)wav[^/]*/(?P<speaker>[ps][0-9]+)/(?P<id>(?P=speaker)_[0-9]+)(?:_mic(?P<microphone>[12]))?\.\w+$",
    re.IGNORECASE,
)
_TEXT = re.compile(r"(?:^|/)txt/[ps][0-9]+/[ps][0-9]+_[0-9]+\.txt$", re.IGNORECASE)
_COMMENT = re.compile(r"\(.*")


@dataclass(frozen=True)
class _Recording:
    id: str
    file: FoundFile
    speaker: str
    microphone: str


class Vctk:
    """The adapter for VCTK."""

    name = "vctk"
    kind: Kind = "speech"
    sample_rate: int | None = 16000
    options: Options = {"microphone": 1}
    licence = "CC BY 4.0 (0.92), ODC-By 1.0 (0.80)"
    url = "https://datashare.ed.ac.uk/handle/10283/3443"

    def list_items(self, raw: Location, options: Options) -> Listing:
        """List one microphone's utterances below `raw`, ordered by id.

        Raises:
            InputError: there are none, or two files have one id.
        """
        files = raw.files()
        recordings = [
            _Recording(fold(match["id"]), file, fold(match["speaker"]), match["microphone"] or "1")
            for match, file in find_sounds(_RECORDING, files)
        ]
        microphone = str(options["microphone"])
        kept = [one for one in recordings if one.microphone == microphone]
        if recordings and not kept:
            raise InputError(
                f"{raw}: no recordings of microphone {microphone} below it; "
                "choose another microphone (1 or 2; VCTK 0.80 has only 1)"
            )
        if not kept:
            raise InputError(
                f"{raw}: not VCTK: neither wav48_silence_trimmed/p225/p225_001_mic1.flac nor wav48/p225/p225_001.wav "
                "or the like below it; point --raw at the directory that holds wav48_silence_trimmed or wav48"
            )
        ids = {one.id for one in kept}
        info = _speaker_info(raw, files)
        found = [file for file in files if stem(file.path) in ids and _TEXT.search(file.path)]
        texts = {stem(file.path): text.strip() for file, text in zip(found, read_texts(raw, found), strict=True)}
        items = [
            SourceItem(r.id, r.file, "train", r.speaker, r.speaker, texts.get(r.id) or None, info.get(r.speaker, ()))
            for r in kept
        ]
        refuse_duplicates(raw, items, what="utterance", remedy="point --raw at one copy of VCTK")
        message = f"microphone {microphone} did not record it, only the other"
        missing = [MissingItem(one.file.path, one.id, message) for one in recordings if one.id not in ids]
        return split_three_ways(items, "speaker", missing)


def _speaker_info(raw: Location, files: list[FoundFile]) -> dict[str, tuple[tuple[str, str], ...]]:
    """The attributes by speaker."""
    lists = [file for file in files if base_name(file.path) == "speaker-info.txt"]
    attributes: dict[str, tuple[tuple[str, str], ...]] = {}
    for line in (line for file in lists[:1] for line in read_text(raw, file).split("\n")):
        name, *fields = [*_COMMENT.sub("", line).split(maxsplit=4), ""]
        values = zip(("age", "sex", "accent", "region"), (" ".join(field.split()) for field in fields), strict=False)
        speaker = f"p{name}" if name.isdigit() else fold(name)
        attributes[speaker] = tuple((key, value) for key, value in values if value)
    return attributes
