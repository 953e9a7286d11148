"""IAM-OnDB: lines of English text written on a whiteboard, as pen trajectories.

Provenance: https://fki.tic.heia-fr.ch/databases/iam-on-line-handwriting-database (registration; nothing is
downloaded).

Layout, below the raw root:

    lineStrokes/a01/a01-000/a01-000u-01.xml     one line of form a01-000u: strokes of integer points
    ascii/a01/a01-000/a01-000u.txt              transcription; section `CSR:` has one text line per line file
    splits/trainset.txt  testset_v.txt  testset_t.txt  testset_f.txt      form ids, one per line

The split lists may be anywhere below the root. Their names are the corpus's own: `trainset` is train, `testset_v` is
valid, `testset_t` is a second validation set (valid2), `testset_f` is test. Forms in no list belong to no split and are
left out, as in the corpus's own protocol.

Defects of the original: some forms have more line files than text lines (their lines get no transcription, since the
right one is not known); in some lines time runs backwards (they are kept; the models do not see time).
"""

import re
from collections import defaultdict

from pipelines.corpora.base import Listing, Options, SourceItem, Split
from pipelines.errors import InputError
from pipelines.runtime.storage import FoundFile, Location
from pipelines.signals import Kind

__all__ = ["IamOndb"]

_LINE = re.compile(r"(?:^|/)lineStrokes/\w+/[\w-]+/(?P<form>\w+-\w+)-(?P<number>\d+)\.xml$")
_FORM = re.compile(r"^\w+-\w+$")
_LISTS: dict[str, Split] = {
    "trainset.txt": "train",
    "testset_v.txt": "valid",
    "testset_t.txt": "valid2",
    "testset_f.txt": "test",
}


class IamOndb:
    """The adapter for IAM-OnDB."""

    name = "iam_ondb"
    kind: Kind = "pen"
    sample_rate: int | None = None
    options: Options = {}
    licence = "research, non-commercial"
    url = "https://fki.tic.heia-fr.ch/databases/iam-on-line-handwriting-database"

    def list_items(self, raw: Location, options: Options) -> Listing:
        """List the lines of the forms that a split list names, ordered by id.

        Raises:
            InputError: there are no line files or no split lists, or a form is in two lists.
        """
        files = raw.files()
        lines: dict[str, dict[int, FoundFile]] = defaultdict(dict)
        for file in files:
            if match := _LINE.search(file.path):
                lines[match["form"]][int(match["number"])] = file
        if not lines:
            raise InputError(
                f"{raw}: not an IAM-OnDB tree: no lineStrokes/a01/a01-000/a01-000u-01.xml or the like below it; "
                "point --raw at the directory that holds lineStrokes"
            )
        splits = _splits(raw, files)
        texts = {file.path.rpartition("/")[2]: file for file in files if "/ascii/" in f"/{file.path}"}
        items: list[SourceItem] = []
        for form in sorted(lines.keys() & splits.keys()):
            transcripts = _transcripts(raw, texts.get(f"{form}.txt"), max(lines[form]))
            for number, file in sorted(lines[form].items()):
                line_id = file.path.rpartition("/")[2].removesuffix(".xml")
                items.append(SourceItem(line_id, file, splits[form], None, form, transcripts.get(number)))
        return Listing(items, "the corpus's own lists; forms in none are left out")


def _splits(raw: Location, files: list[FoundFile]) -> dict[str, Split]:
    found = {file.path.rpartition("/")[2]: file for file in files if file.path.rpartition("/")[2] in _LISTS}
    if not found:
        raise InputError(f"{raw}: no split list ({', '.join(_LISTS)}) below it; copy the corpus's own lists there")
    splits: dict[str, Split] = {}
    for name, file in sorted(found.items()):
        for form in (raw / file.path).read_bytes().decode("latin-1").split():
            if not _FORM.match(form):
                raise InputError(f"{raw / file.path}: {form!r} is not a form id such as a01-000u; restore the list")
            if form in splits:
                raise InputError(f"{raw / file.path}: form {form} is in two split lists; restore the official lists")
            splits[form] = _LISTS[name]
    return splits


def _transcripts(raw: Location, file: FoundFile | None, last_line: int) -> dict[int, str]:
    if file is None:
        return {}
    _, _, section = (raw / file.path).read_bytes().decode("latin-1").partition("CSR:")
    texts = [line.strip() for line in section.splitlines() if line.strip()]
    # With another number of texts than lines, no text can be assigned safely.
    return dict(enumerate(texts, start=1)) if len(texts) == last_line else {}
