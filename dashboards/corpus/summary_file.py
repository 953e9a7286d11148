"""What a corpus's shards hold, read strictly: `corpora.json` beside a study, or one such summary by itself.

`pipelines.shards.summary.describe` writes it. The pages repeat its figures, so a summary that lacks a field, holds a
figure that cannot be, or whose parts do not add up is refused instead of being drawn.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dashboards.errors import ReportError

__all__ = ["ByRule", "Corpus", "Histogram", "Lengths", "Reject", "Speaker", "SplitRow", "parse_corpora", "parse_corpus"]

Count = Annotated[int, Field(ge=0)]
Length = Annotated[int, Field(gt=0)]


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class Lengths(_Read):
    """Quantiles of the sequences' lengths, in samples or points; a sequence has at least one."""

    min: Length
    p05: Length
    median: Length
    p95: Length
    max: Length


class Histogram(_Read):
    """How many sequences of each split have a length from an edge up to but not including the next."""

    edges: list[Count]
    counts: dict[str, list[Count]]


class Speaker(_Read):
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
    median: float
    longest: Count
    seconds: float | None


class ByRule(_Read):
    """A split of the rule that cuts by sequence: how many sequences, and samples or points."""

    sequences: Count
    samples: Count


class SplitRow(_Read):
    """One split; `lengths` is None where it is empty."""

    name: str
    sequences: int
    samples: int
    seconds: float | None
    lengths: Lengths | None
    speakers: int
    without_speaker: int
    shards: int
    bytes: int


class Reject(_Read):
    """Why source files were rejected: how many, and the path and message of one."""

    code: str
    count: int
    path: str
    message: str


class Corpus(_Read):
    """A set of shards, by split where a mapping is by split; see `pipelines.shards.summary` for what each figure is.

    Attributes:
        mean: of the training split: of the samples for speech, `[dx, dy]` for pen; None where it has no sequence.
        std: the same.
    """

    corpus: str
    kind: Literal["speech", "pen"]
    fingerprint: str
    schema_version: int
    sample_rate: Annotated[int, Field(gt=0)] | None
    split_rule: str
    sequences: dict[str, Count]
    samples: dict[str, Count]
    seconds: dict[str, float | None]
    lengths: dict[str, Lengths]
    speakers: dict[str, Count]
    without_speaker: dict[str, Count]
    shards: dict[str, Count]
    bytes: dict[str, Count]
    histogram: Histogram
    by_sequence: dict[str, ByRule]
    by_speaker: list[Speaker]
    speaker_rows: Count
    rejects: dict[str, Count]
    reject_examples: dict[str, str]
    reject_paths: dict[str, str]
    mean: float | list[float] | None
    std: float | list[float] | None
    licence: str
    url: str
    options: dict[str, bool | int | str]
    software: dict[str, str]

    @model_validator(mode="after")
    def _adds_up(self) -> "Corpus":
        names = set(self.sequences)
        by_split = (self.samples, self.seconds, self.speakers, self.without_speaker, self.shards, self.bytes)
        if any(set(part) != names for part in (*by_split, self.histogram.counts)):
            raise ValueError("not every figure is given for the same splits")
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
    def rejected(self) -> list[Reject]:
        """Every reject code, the most frequent first."""
        found = [
            Reject(
                code=code,
                count=count,
                path=self.reject_paths.get(code, ""),
                message=self.reject_examples.get(code, ""),
            )
            for code, count in self.rejects.items()
        ]
        return sorted(found, key=lambda reject: (-reject.count, reject.code))


def parse_corpus(document: Any, where: str) -> Corpus:  # noqa: ANN401 (JSON)
    """Read one corpus's summary.

    Args:
        document: JSON values.
        where: what an error calls them.

    Raises:
        ReportError: a field is missing, of another type, or contradicts another.
    """
    try:
        return Corpus.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "as a whole"
        raise ReportError(f"{where}: {place}: {first['msg']}; run the study, or inspect, again") from error


def parse_corpora(documents: Mapping[str, Any]) -> dict[str, Corpus]:
    """Read `corpora.json`: the corpora of a study by their names in the suite.

    Raises:
        ReportError: as `parse_corpus`.
    """
    return {name: parse_corpus(document, f"corpora.json, corpus {name!r}") for name, document in documents.items()}
