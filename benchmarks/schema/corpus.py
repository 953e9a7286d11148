"""What a corpus's shards hold: `corpora.json` of a study, and the page of one corpus.

`pipelines.shards.summary.describe` computes it, and says what each value is. A description that lacks a field, holds an
impossible value, or whose parts do not add up is refused.
"""

from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from benchmarks.schema.base import Count, File, Finite, Kind, Schema

__all__ = [
    "ByRule",
    "CorpusDescription",
    "CorpusDescriptions",
    "Histogram",
    "Lengths",
    "RejectRow",
    "SpeakerRow",
    "SplitRow",
]

_Length = Annotated[int, Field(gt=0)]


class Lengths(Schema):
    """Quantiles of the sequences' lengths, in samples or points; a sequence has at least one."""

    min: _Length
    p05: _Length
    median: _Length
    p95: _Length
    max: _Length


class Histogram(Schema):
    """How many sequences of each split have a length from an edge up to but not including the next."""

    edges: list[Count]
    counts: dict[str, list[Count]]


class SpeakerRow(Schema):
    """One speaker, or writer, in one split; the sequences of no named one are one such row.

    Attributes:
        length: in samples or points, of all `sequences`; so are `shortest`, `median` and `longest` of one.
        seconds: of all sequences; None for pen.
    """

    speaker: str | None
    split: str
    sequences: Count
    length: Count
    shortest: Count
    median: Finite
    longest: Count
    seconds: Finite | None


class ByRule(Schema):
    """A split of the rule that cuts by sequence: how many sequences, and samples or points."""

    sequences: Count
    samples: Count


class SplitRow(Schema):
    """One split; `lengths` is None where it is empty."""

    name: str
    sequences: int
    samples: int
    seconds: Finite | None
    lengths: Lengths | None
    speakers: int
    without_speaker: int
    shards: int
    bytes: int


class RejectRow(Schema):
    """Why source files were rejected: how many, and the path and message of one."""

    code: str
    count: int
    path: str
    message: str


class CorpusDescription(Schema):
    """A set of shards; mappings are by split unless they are by reject code.

    Attributes:
        mean: of the training split: of the samples for speech, `[dx, dy]` for pen; None where it has no sequence.
        std: the same.
    """

    corpus: str
    kind: Kind
    fingerprint: str
    schema_version: int
    sample_rate: Annotated[int, Field(gt=0)] | None
    split_rule: str
    sequences: dict[str, Count]
    samples: dict[str, Count]
    seconds: dict[str, Finite | None]
    lengths: dict[str, Lengths]
    speakers: dict[str, Count]
    without_speaker: dict[str, Count]
    shards: dict[str, Count]
    bytes: dict[str, Count]
    histogram: Histogram
    by_sequence: dict[str, ByRule]
    by_speaker: list[SpeakerRow]
    speaker_rows: Count
    rejects: dict[str, Count]
    reject_examples: dict[str, str]
    reject_paths: dict[str, str]
    mean: Finite | list[Finite] | None
    std: Finite | list[Finite] | None
    licence: str
    url: str
    options: dict[str, bool | int | str]
    software: dict[str, str]

    @model_validator(mode="after")
    def _adds_up(self) -> "CorpusDescription":
        names = set(self.sequences)
        by_split = (self.samples, self.seconds, self.speakers, self.without_speaker, self.shards, self.bytes)
        if any(set(part) != names for part in (*by_split, self.histogram.counts)):
            raise ValueError("not every value is given for the same splits")
        if (self.sample_rate is None) != (self.kind == "pen"):
            raise ValueError(f"sample_rate {self.sample_rate} of {self.kind}")
        seconds = (*self.seconds.values(), *(row.seconds for row in self.by_speaker))
        if any((value is None) != (self.kind == "pen") for value in seconds):
            raise ValueError(f"seconds are given or missing, unlike for {self.kind}")
        if set(self.lengths) != {name for name, count in self.sequences.items() if count}:
            raise ValueError("lengths are not of the splits that hold sequences")
        bins, edges = max(len(self.histogram.edges) - 1, 0), self.histogram.edges
        if any(low >= high for low, high in pairwise(edges)):
            raise ValueError("the histogram's edges do not grow")
        for name, counts in self.histogram.counts.items():
            if len(counts) != bins or sum(counts) != self.sequences[name]:
                raise ValueError(f"the histogram of {name} does not add up to its {self.sequences[name]} sequences")
        return self

    @property
    def splits(self) -> list[SplitRow]:
        """Every split, in the order of the shards' manifest."""
        return [
            SplitRow(
                name=name,
                sequences=count,
                samples=self.samples[name],
                seconds=self.seconds[name],
                lengths=self.lengths.get(name),
                speakers=self.speakers[name],
                without_speaker=self.without_speaker[name],
                shards=self.shards[name],
                bytes=self.bytes[name],
            )
            for name, count in self.sequences.items()
        ]

    @property
    def rejected(self) -> list[RejectRow]:
        """Every reject code, the most frequent first."""
        paths, messages = self.reject_paths, self.reject_examples
        found = [
            RejectRow(code=code, count=count, path=paths.get(code, ""), message=messages.get(code, ""))
            for code, count in self.rejects.items()
        ]
        return sorted(found, key=lambda reject: (-reject.count, reject.code))


class CorpusDescriptions(File):
    """The corpora of a study, by their names in the suite."""

    file_name: ClassVar[str] = "corpora.json"
    remedy: ClassVar[str] = "run the study again with this version"

    version: int = 1
    corpora: dict[str, CorpusDescription]
