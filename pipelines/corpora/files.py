"""What the adapters share: names of files, reading the corpora's own lists, refusing duplicates.

A name in a list is looked up among the files that were found below the raw root. It is never joined into a path, so no
list can lead out of the corpus.
"""

import csv
import io
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from pipelines.corpora.base import MissingItem, SourceItem
from pipelines.errors import InputError
from pipelines.runtime.storage import FoundFile, Location

__all__ = [
    "base_name",
    "common_directory",
    "directory",
    "directory_at",
    "find_sounds",
    "fold",
    "is_sound",
    "path_id",
    "read_rows",
    "read_text",
    "read_texts",
    "refuse_duplicates",
    "stem",
    "suffix",
    "unrecorded",
]

_SOUND = re.compile(r"\.(?:aac|aiff?|au|caf|flac|m4a|mp3|og[ag]|opus|sph|w64|wav|wma)")
_READERS = 16


def fold(name: str) -> str:
    """`name` in the form for comparisons: composed Unicode, since some systems decompose accents, in lower case."""
    return unicodedata.normalize("NFC", name).lower()


def base_name(path: str) -> str:
    """The part after the last slash, folded."""
    return fold(path.rpartition("/")[2])


def stem(path: str) -> str:
    """The base name without its suffix, folded."""
    return posixpath.splitext(base_name(path))[0]


def suffix(path: str) -> str:
    """The suffix with its dot, in lower case; '' if there is none."""
    return posixpath.splitext(path)[1].lower()


def is_sound(path: str) -> bool:
    """Whether the suffix is one of sound files; decoding may find otherwise."""
    return _SOUND.fullmatch(suffix(path)) is not None


def find_sounds(pattern: re.Pattern[str], files: Iterable[FoundFile]) -> list[tuple[re.Match[str], FoundFile]]:
    """The sound files in whose path `pattern` is found, with the match."""
    matches = ((pattern.search(file.path), file) for file in files if is_sound(file.path))
    return [(match, file) for match, file in matches if match]


def directory(path: str) -> str:
    """The directory that holds a file, or a directory with a slash at its end; it ends in a slash; '' for the root."""
    return path[: path.rstrip("/").rfind("/") + 1]


def common_directory(directories: Iterable[str]) -> str:
    """The deepest folded directory that contains all of `directories` (each with its slash); '' for the root."""
    folded = {fold(name) for name in directories}
    # In sorted order, the first and the last name differ no later than any two others.
    shared = posixpath.commonprefix((min(folded, default=""), max(folded, default="")))
    return shared[: shared.rfind("/") + 1]


def path_id(path: str, below: str = "") -> str:
    """The folded path without its suffix, relative to the folded directory `below`."""
    return posixpath.splitext(fold(path))[0][len(below) :]


def directory_at(path: str, level: int) -> str | None:
    """The folded name of the directory at `level` of a path, counted from 1; None if there is none."""
    names = fold(path).split("/")[:-1]
    return names[level - 1] if 0 < level <= len(names) else None


def refuse_duplicates(raw: Location, items: Iterable[SourceItem], *, what: str, remedy: str) -> None:
    """Refuse two items with one id.

    Args:
        raw: the raw root, for the message.
        items: the items.
        what: the noun for an item, such as `utterance`.
        remedy: how to fix it, for the message.

    Raises:
        InputError: two items have one id; the message names both files.
    """
    seen: dict[str, str] = {}
    for item in items:
        place = item.file.path if item.length is None else f"{item.file.path} at byte {item.start}"
        if other := seen.get(item.id):
            raise InputError(f"{raw}: two copies of {what} {item.id}: {other} and {place}; {remedy}")
        seen[item.id] = place


def unrecorded(listed: Iterable[str], items: Iterable[SourceItem], message: str) -> list[MissingItem]:
    """The listed ids without an item, in order, as missing items with `message`."""
    return [MissingItem(name, name, message) for name in sorted(set(listed) - {item.id for item in items})]


def read_text(raw: Location, file: FoundFile) -> str:
    """The text of a small file: UTF-8 with or without a byte-order mark, or else Latin-1."""
    content = (raw / file.path).read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def read_texts(raw: Location, files: Sequence[FoundFile]) -> list[str]:
    """The texts of many small files, read concurrently, because each request to an object store takes a while."""
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(lambda file: read_text(raw, file), files))


def read_rows(
    raw: Location, file: FoundFile, delimiter: str = ",", *, quoted: bool = True
) -> tuple[frozenset[str], list[dict[str, str]]]:
    """The column names of a CSV file with a header, stripped and folded, and its rows as dictionaries.

    Missing fields are '', fields beyond the header are ignored.

    Raises:
        InputError: the file is not a CSV list.
    """
    text = io.StringIO(read_text(raw, file), newline="")
    lines = csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
    try:
        header = [fold(name.strip()) for name in next(lines, [])]
        empty = dict.fromkeys(header, "")
        rows = [empty | dict(zip(header, map(str.strip, fields), strict=False)) for fields in lines if fields]
    except csv.Error as error:
        raise InputError(f"{raw / file.path}: line {lines.line_num}: {error}; restore the corpus's list") from error
    return frozenset(header), rows
