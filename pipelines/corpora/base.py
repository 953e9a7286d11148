"""What a corpus adapter is: a module that turns a raw directory into source items, without decoding any.

An adapter knows provenance, layout and the official split. Decoding, verification and the shards know
nothing of corpora; so a corpus is one file and one line in the registry.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from pipelines.storage import FoundFile, Location

__all__ = ["Corpus", "Kind", "Listing", "SourceItem", "Split"]

Kind = Literal["speech", "pen"]
Split = Literal["train", "valid", "valid2", "test"]


@dataclass(frozen=True)
class SourceItem:
    """One sequence to be: where its raw file lies and what is known of it before decoding.

    Attributes:
        id: unique in the corpus and stable between copies of it (independent of letter case and root).
        file: the raw file, its path relative to the raw root.
        split: where the corpus's own lists, or the stated rule, put it.
        speaker: the speaker or writer, where the raw form names one.
        group: the unit that a split must not cut: the speaker where known, else the page.
        transcript: what is said or written, where the raw form has it.
    """

    id: str
    file: FoundFile
    split: Split
    speaker: str | None
    group: str
    transcript: str | None = None


@dataclass(frozen=True)
class Listing:
    """What an adapter found: the items in a stable order, and in words how the splits came about."""

    items: list[SourceItem]
    split_rule: str


class Corpus(Protocol):
    """A corpus adapter.

    Attributes:
        name: what users type.
        kind: `speech` or `pen`.
        sample_rate: the rate in Hz that its shards hold; None for pen.
        options: the adapter's options with their defaults; they are part of the recipe.
    """

    name: str
    kind: Kind
    sample_rate: int | None
    options: Mapping[str, bool | int]

    def list_items(self, raw: Location, options: Mapping[str, bool | int]) -> Listing:
        """List the source items below `raw`.

        Raises:
            InputError: `raw` is not a copy of this corpus.
        """
        ...
