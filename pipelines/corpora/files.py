"""What the adapters share: names of files, the corpora's own lists, the refusal of doubles.

A name in a list is looked up among the files found below the raw root and never joined into a path, so that no
list can lead out of the corpus.
"""

import csv
import io
import posixpath
import unicodedata
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from pipelines.errors import InputError
from pipelines.runtime.storage import FoundFile, Location

__all__ = [
    "base_name",
    "common_directory",
    "directory",
    "fold",
    "is_sound",
    "path_id",
    "read_rows",
    "read_text",
    "read_texts",
    "refuse_duplicates",
    "stem",
    "suffix",
]

_SOUND_SUFFIXES = (
    "aac",
    "aif",
    "aiff",
    "au",
    "caf",
    "flac",
    "m4a",
    "mp3",
    "oga",
    "ogg",
    "opus",
    "sph",
    "w64",
    "wav",
    "wma",
)
_READERS = 16


def fold(name: str) -> str:
    """`name` as it is compared: composed, since some systems decompose accents, and in lower case."""
    return unicodedata.normalize("NFC", name).lower()


def base_name(path: str) -> str:
    """What follows the last slash, folded."""
    return fold(path.rpartition("/")[2])


def stem(path: str) -> str:
    """The base name without its suffix, folded."""
    return posixpath.splitext(base_name(path))[0]


def suffix(path: str) -> str:
    """The suffix with its dot, in lower case; '' where there is none."""
    return posixpath.splitext(path)[1].lower()


def is_sound(path: str) -> bool:
    """Whether the suffix is one that sound files have; the bytes may say otherwise later."""
    return suffix(path)[1:] in _SOUND_SUFFIXES


def directory(path: str) -> str:
    """The directory of a file, or of a directory written with its slash, with a slash at its end; '' for the root."""
    return path[: path.rstrip("/").rfind("/") + 1]


def common_directory(directories: Iterable[str]) -> str:
    """The folded directory that all of `directories` (each with its slash) lie in or are; '' for the root."""
    folded = {fold(name) for name in directories}
    shared = posixpath.commonprefix((min(folded, default=""), max(folded, default="")))
    return shared[: shared.rfind("/") + 1]


def path_id(path: str, below: str = "") -> str:
    """The folded path without its suffix, relative to the folded directory `below`."""
    return posixpath.splitext(fold(path))[0][len(below) :]


def refuse_duplicates(raw: Location, named: Iterable[tuple[str, str]], *, what: str, remedy: str) -> None:
    """Refuse two files with one id.

    Args:
        raw: the raw root, for the message.
        named: the files' ids and paths.
        what: what an id names: `utterance`.
        remedy: how to mend it.

    Raises:
        InputError: an id came twice; the message names both files.
    """
    seen: dict[str, str] = {}
    for name, path in named:
        if other := seen.get(name):
            raise InputError(f"{raw}: two copies of {what} {name}: {other} and {path}; {remedy}")
        seen[name] = path


def read_text(raw: Location, file: FoundFile) -> str:
    """The text of a small file: UTF-8, with or without a byte-order mark, else Latin-1."""
    content = (raw / file.path).read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def read_texts(raw: Location, files: Sequence[FoundFile]) -> list[str]:
    """The texts of many small files, several at a time: an object store answers each only after a while."""
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(lambda file: read_text(raw, file), files))


def read_rows(
    raw: Location, file: FoundFile, delimiter: str = ",", *, quoted: bool = True
) -> tuple[frozenset[str], list[dict[str, str]]]:
    """The column names of a list with a header, stripped and folded, and its rows by column.

    Fields that a row lacks are '', fields beyond the header are left out.

    Raises:
        InputError: a field is longer than any list's.
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
