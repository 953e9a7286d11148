"""TIMIT (LDC93S1): read sentences of 630 American English speakers, 16 kHz.

Provenance: https://catalog.ldc.upenn.edu/LDC93S1 (licensed; nothing is downloaded).

Layout, in either letter case, below any directory:

    TRAIN/DR1/FCJF0/SA1.WAV  .TXT  .WRD  .PHN        TEST/...

and the flattened form in which copies circulate, `dr1-fcjf0/sa1.wav`. `.WAV` is NIST SPHERE in the original and RIFF in
converted copies; the decoder goes by the bytes, not by the suffix. `.TXT` holds `START END SENTENCE`.

Sentences: every speaker reads SA1 and SA2. The corpus's own documentation advises against using them in training and
testing, so they are left out unless the option `include_sa` is set.

Phones: the content of `.PHN`, lines `START END LABEL` in samples, is stored unchanged as the attribute `phones`.

Split: TEST is test. TIMIT has no validation set: 5 % of the training speakers, by a seeded hash, are held out as
`valid`. A copy without a TEST tree is split by speaker, 0.9 / 0.05 / 0.05, and the split rule says so.
"""

import re
from dataclasses import dataclass

from pipelines.corpora.base import Listing, Options, SourceItem, Split
from pipelines.corpora.files import find_sounds, refuse_duplicates
from pipelines.corpora.splits import hold_out, three_way_splits
from pipelines.errors import InputError
from pipelines.runtime.storage import FoundFile, Location
from pipelines.signals import Kind

__all__ = ["Timit"]

_UTTERANCE = re.compile(
    r"(?:^|/)(?:(?P<tree>train|test)/)?dr(?P<dialect>[1-8])[-/](?P<speaker>[fm][a-z]{3}[0-9])/"
    r"(?P<sentence>(?:sa|si|sx)[0-9]+)\.wav$",
    re.IGNORECASE,
)
_PHONE = re.compile(r"[0-9]+ [0-9]+ [a-z0-9#-]+")


@dataclass(frozen=True)
class _Utterance:
    file: FoundFile
    tree: str
    speaker: str
    sentence: str


class Timit:
    """The adapter for TIMIT."""

    name = "timit"
    kind: Kind = "speech"
    sample_rate: int | None = 16000
    options: Options = {"include_sa": False}
    licence = "LDC User Agreement (LDC93S1)"
    url = "https://catalog.ldc.upenn.edu/LDC93S1"

    def list_items(self, raw: Location, options: Options) -> Listing:
        """List the utterances below `raw`, ordered by id.

        Raises:
            InputError: there is no utterance, or two files have one id.
        """
        files = raw.files()
        utterances = [
            _Utterance(file, *((match[key] or "").lower() for key in ("tree", "speaker", "sentence")))
            for match, file in find_sounds(_UTTERANCE, files)
        ]
        if not utterances:
            raise InputError(
                f"{raw}: not a TIMIT tree: no TRAIN/DR?/SPKR/*.WAV (nor dr?-spkr/*.wav) below it; "
                "point --raw at the directory that holds TRAIN and TEST"
            )
        kept = [u for u in utterances if options["include_sa"] or not u.sentence.startswith("sa")]
        splits, rule = _splits(kept)
        labels = {file.path.lower(): file for file in files if file.path.lower().endswith((".txt", ".phn"))}
        items: list[SourceItem] = []
        for u in kept:
            text, phones = _labels(raw, labels, u)
            items.append(
                SourceItem(f"{u.speaker}-{u.sentence}", u.file, splits[u.speaker], u.speaker, u.speaker, text, phones)
            )
        refuse_duplicates(raw, items, what="utterance", remedy="point --raw at one copy of TIMIT")
        return Listing(sorted(items, key=lambda item: item.id), rule)


def _splits(utterances: list[_Utterance]) -> tuple[dict[str, Split], str]:
    test = {u.speaker for u in utterances if u.tree == "test"}
    rest = {u.speaker for u in utterances} - test
    if not test:
        return three_way_splits(rest), "no TEST tree: speakers 0.9 / 0.05 / 0.05 by a hash, seed 0"
    valid = hold_out(rest, 0.05)
    splits: dict[str, Split] = {speaker: "valid" if speaker in valid else "train" for speaker in rest}
    splits.update((speaker, "test") for speaker in test)
    return splits, "TEST tree is test; 5 % of the TRAIN speakers by a hash, seed 0, are valid"


def _labels(
    raw: Location, labels: dict[str, FoundFile], utterance: _Utterance
) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """The transcript and the attributes of an utterance; a malformed file counts as none."""

    def read(suffix: str) -> str:
        file = labels.get(utterance.file.path[: -len(".wav")].lower() + suffix)
        return "" if file is None else (raw / file.path).read_bytes().decode("latin-1")

    words = read(".txt").split(maxsplit=2)
    phones = [line.strip() for line in read(".phn").strip().splitlines()]
    well_formed = phones and all(_PHONE.fullmatch(line) for line in phones)
    return words[2].strip() if len(words) == 3 else None, (("phones", "\n".join(phones)),) if well_formed else ()
