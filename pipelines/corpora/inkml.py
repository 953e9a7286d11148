"""Any directory of W3C InkML files, such as those of online handwriting and of mathematical expressions.

Provenance and licence: the user's.

Layout: every `*.inkml` below the raw root, in either letter case, is one sequence; other files are passed over. The
option `writer_level` says which directory level below the root names the writer, 1 being the first and 0 none. A file
that does not lie that deep has no writer.

`scale` is what coordinates are multiplied by, for files with decimals: 100 keeps two of them. A file whose coordinates
are no integers then is rejected.

Split: none is official; by writer where known, else by file, 0.9 / 0.05 / 0.05.
"""

from pipelines.corpora.base import Listing, Options, SourceItem
from pipelines.corpora.files import fold, path_id, refuse_duplicates, suffix
from pipelines.corpora.splits import split_three_ways
from pipelines.errors import InputError
from pipelines.runtime.storage import FoundFile, Location
from pipelines.signals import Kind

__all__ = ["Inkml", "check_scale"]

_LARGEST_SCALE = 10**6


class Inkml:
    """The adapter for any directory of InkML files."""

    name = "inkml"
    kind: Kind = "pen"
    sample_rate: int | None = None
    options: Options = {"scale": 1, "writer_level": 0}
    licence = "the user's to know"
    url = "https://www.w3.org/TR/InkML"

    def list_items(self, raw: Location, options: Options) -> Listing:
        """List the InkML files below `raw`, ordered by id.

        Raises:
            InputError: there is none, an option is out of range, or two names differ in letter case alone.
        """
        check_scale(self.name, options)
        level = int(options["writer_level"])
        if level < 0:
            raise InputError("inkml: writer_level is 0 (none), or 1 for the directories right below --raw and so on")
        items = [_item(file, level) for file in raw.files() if suffix(file.path) == ".inkml"]
        if not items:
            raise InputError(f"{raw}: no *.inkml below it; point --raw at a directory of InkML files")
        named = ((item.id, item.file.path) for item in items)
        refuse_duplicates(raw, named, what="file", remedy="rename or remove one of them")
        return split_three_ways(items, "writer where known, else by file")


def check_scale(corpus: str, options: Options) -> None:
    """Refuse a scale that coordinates cannot be multiplied by.

    Raises:
        InputError: it is below 1 or absurdly large.
    """
    if not 1 <= int(options["scale"]) <= _LARGEST_SCALE:
        raise InputError(
            f"{corpus}: scale={options['scale']} is not from 1 to {_LARGEST_SCALE}; 100 keeps two decimals"
        )


def _item(file: FoundFile, level: int) -> SourceItem:
    folders = fold(file.path).split("/")[:-1]
    writer = folders[level - 1] if 0 < level <= len(folders) else None
    item_id = path_id(file.path)
    return SourceItem(item_id, file, "train", writer, writer or item_id)
