"""Any directory of W3C InkML files, such as online handwriting or mathematical expressions.

Provenance and licence: the user's.

Layout: every `*.inkml` below the raw root, in either letter case, is one sequence; other files are ignored. The option
`writer_level` states which directory level below the root names the writer; 1 is the first level, 0 means none. A file
above that level has no writer.

Coordinates are multiplied by the option `scale`, for files with decimals: 100 keeps two of them. A file whose
coordinates are not integers after that is rejected.

Split: not official; by writer if known, else by file, 0.9 / 0.05 / 0.05.
"""

from pipelines.corpora.base import Listing, Options, SourceItem
from pipelines.corpora.files import directory_at, path_id, refuse_duplicates, suffix
from pipelines.corpora.splits import split_three_ways
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
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
            InputError: there is no such file, an option is out of range, or two names differ in letter case alone.
        """
        check_scale(self.name, options)
        level = int(options["writer_level"])
        if level < 0:
            raise InputError("inkml: writer_level is 0 for none, 1 for the directories directly below --raw, and so on")
        items: list[SourceItem] = []
        for file in (file for file in raw.files() if suffix(file.path) == ".inkml"):
            writer, item_id = directory_at(file.path, level), path_id(file.path)
            items.append(SourceItem(item_id, file, "train", writer, writer or item_id))
        if not items:
            raise InputError(f"{raw}: no *.inkml below it; point --raw at a directory of InkML files")
        refuse_duplicates(raw, items, what="file", remedy="rename or remove one of them")
        return split_three_ways(items, "writer where known, else by file")


def check_scale(corpus: str, options: Options) -> None:
    """Check the option `scale`.

    Raises:
        InputError: it is below 1 or too large.
    """
    if not 1 <= int(options["scale"]) <= _LARGEST_SCALE:
        raise InputError(
            f"{corpus}: scale={options['scale']} is not from 1 to {_LARGEST_SCALE}; 100 keeps two decimals"
        )
