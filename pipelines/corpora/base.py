"""What a corpus adapter is: it turns a raw directory into source items, without decoding any of them.

An adapter knows provenance, layout and the official split. Decoding, verification and the shards know nothing of
corpora, so a new corpus is one module and one line in the registry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pipelines.runtime.storage import FoundFile, Location
from pipelines.signals import Kind

__all__ = ["Corpus", "Listing", "MissingItem", "Options", "SourceItem", "Split"]

Split = Literal["train", "valid", "valid2", "test"]
Options = Mapping[str, bool | int | str]


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One future sequence: where its raw bytes are, and what is known of it before decoding.

    The repr of an item is part of its shard task's key: renaming a field makes all shards be written again.

    Attributes:
        id: unique in the corpus, and the same in every copy of it (independent of letter case and root).
        file: the raw file; its path is relative to the raw root.
        split: the split by the corpus's own lists or by the stated rule, which never cuts a group.
        speaker: the speaker or writer, if the raw form names one.
        group: the unit that a split must not cut: the speaker if known, else the page or the recording.
        transcript: what is said or written, if the raw form has it.
        attributes: what else the raw form states, as names and values: sex, age, class, native language.
        split_by_sequence: for a corpus without an official split, the split by sequence, as the paper made it; None
            for a corpus with an official split, which serves as both.
        start: the sequence's first byte in its file.
        length: the sequence's bytes; None for the whole file.
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
        """The number of its raw bytes."""
        return self.file.size if self.length is None else self.length


@dataclass(frozen=True, slots=True)
class MissingItem:
    """A sequence that the corpus's own lists name and whose file does not exist; it counts as a reject."""

    path: str
    id: str
    message: str


@dataclass(frozen=True)
class Listing:
    """What an adapter found.

    Attributes:
        items: the source items, in a stable order.
        split_rule: how the splits were made, in words.
        missing: the sequences that the corpus's lists name in vain.
    """

    items: list[SourceItem]
    split_rule: str
    missing: Sequence[MissingItem] = ()


class Corpus(Protocol):
    """A corpus adapter.

    Attributes:
        name: the name that users type.
        kind: `speech` or `pen`.
        sample_rate: the rate of its shards, in Hz; None for pen.
        options: the adapter's options with their defaults; a default's type is the option's type.
        licence: the licence, as its publisher states it.
        url: where the corpus comes from.
    """

    name: str
    kind: Kind
    sample_rate: int | None
    options: Options
    licence: str
    url: str

    def list_items(self, raw: Location, options: Options) -> Listing:
        """List the source items below `raw` without decoding any.

        Raises:
            InputError: `raw` is not a copy of this corpus.
        """
        ...
