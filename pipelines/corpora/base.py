"""What a corpus adapter is: a module that turns a raw directory into source items, without decoding any.

An adapter knows provenance, layout and the official split. Decoding, verification and the shards know
nothing of corpora; so a corpus is one file and one line in the registry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pipelines.runtime.storage import FoundFile, Location

__all__ = ["Absent", "Corpus", "Kind", "Listing", "Options", "SourceItem", "Split"]

Kind = Literal["speech", "pen"]
Split = Literal["train", "valid", "valid2", "test"]
Options = Mapping[str, bool | int | str]


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One sequence to be: where its raw bytes lie and what is known of it before decoding.

    Attributes:
        id: unique in the corpus and stable between copies of it (independent of letter case and root).
        file: the raw file, its path relative to the raw root.
        split: where the corpus's own lists, or the stated rule, put it; the rule never cuts a group.
        speaker: the speaker or writer, where the raw form names one.
        group: the unit that a split must not cut: the speaker where known, else the page or the recording.
        transcript: what is said or written, where the raw form has it.
        attributes: what else the raw form says of it, as names and values: sex, age, class, native language.
        split_by_sequence: the split of corpora without an official one as the paper made it, by sequence; None where
            there is an official one, and both are the same.
        start: the first byte of the sequence in its file.
        length: its bytes; None for the whole file.
    """

    id: str
    file: FoundFile
    split: Split
    speaker: str | None
    group: str
    transcript: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    split_by_sequence: Split | None = None
    start: int = 0
    length: int | None = None

    @property
    def bytes(self) -> int:
        """How many raw bytes it is made of."""
        return self.file.size if self.length is None else self.length


@dataclass(frozen=True, slots=True)
class Absent:
    """A sequence that the corpus's own lists name and whose file is not there; it is counted as a reject."""

    path: str
    id: str
    message: str


@dataclass(frozen=True)
class Listing:
    """What an adapter found.

    Attributes:
        items: in a stable order.
        split_rule: in words, how the splits came about.
        absent: what should have been there.
    """

    items: list[SourceItem]
    split_rule: str
    absent: Sequence[Absent] = ()


class Corpus(Protocol):
    """A corpus adapter.

    Attributes:
        name: what users type.
        kind: `speech` or `pen`.
        sample_rate: the rate in Hz that its shards hold; None for pen.
        options: the adapter's options with their defaults, whose types are the options' types; part of the recipe.
        licence: as its publisher states it.
        url: where the corpus comes from.
    """

    name: str
    kind: Kind
    sample_rate: int | None
    options: Options
    licence: str
    url: str

    def list_items(self, raw: Location, options: Options) -> Listing:
        """List the source items below `raw`, decoding none.

        Raises:
            InputError: `raw` is not a copy of this corpus.
        """
        ...
