"""What is kept of a model's samples: their list, and the path of its latent over one real sequence."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from benchmarks.schema.base import Count, File, Finite, Kind, Schema

__all__ = ["LatentPath", "SampleEntry", "SampleList", "SampleRole", "Segment"]

SampleRole = Literal["real", "reconstruction", "continuation", "generated"]
Segment = tuple[int, int, str]
"""First sample, sample after the last, label."""


class SampleEntry(Schema):
    """One sound or drawing.

    Attributes:
        source: id of the real sequence that it is, continues or reconstructs.
        temperature: its frames were drawn with; None where none were drawn.
        prime_frames: recorded frames that were given to the model first.
        prime_steps: the same in samples or points.
        gain_db: gain that kept a sound below full scale; None for a drawing.
        fade_ms: fade at both ends of a sound; None for a drawing.
        pictures: files that show a drawing.
    """

    file: str
    kind: Kind
    role: SampleRole
    caption: str
    source: str | None
    temperature: Finite | None
    seed: int
    prime_frames: Count
    prime_steps: Count
    gain_db: Finite | None = None
    fade_ms: Finite | None = None
    pictures: tuple[str, ...] = ()


class SampleList(File):
    """The list of samples in a directory, written last: the files that it names exist."""

    file_name: ClassVar[str] = "samples.json"
    remedy: ClassVar[str] = "generate the samples again"

    version: int = 1
    samples: tuple[SampleEntry, ...]


class LatentPath(File):
    """The latent of a model over one real sequence, frame by frame (Chung et al. 2015, figure 1).

    Attributes:
        file: the real sample of the same frames.
        frame_size: recorded samples, or points, per frame.
        sample_rate: in Hz; None for pen.
        kl_nats: KL divergence of the posterior from the prior at each frame.
        mean_change: squared distance of the posterior's mean from the one of the frame before; None at the first frame.
        segments: phones in order; empty where they are not known.
    """

    file_name: ClassVar[str] = "latent.json"
    remedy: ClassVar[str] = "generate the samples again"

    version: int = 1
    kind: Kind
    source: str
    file: str
    frame_size: int = Field(gt=0)
    sample_rate: int | None = Field(gt=0)
    kl_nats: tuple[Finite, ...] = Field(min_length=1)
    mean_change: tuple[Annotated[float, Field(allow_inf_nan=False, ge=0)] | None, ...]
    segments: tuple[Segment, ...]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if len(self.mean_change) != len(self.kl_nats):
            raise ValueError(f"{len(self.kl_nats)} values of kl_nats, but {len(self.mean_change)} of mean_change")
        if None in self.mean_change[1:]:
            raise ValueError("mean_change is null after its first value")
        if (self.kind == "speech") != (self.sample_rate is not None):
            raise ValueError("sample_rate belongs to speech alone")
        edges = [edge for start, end, _ in self.segments for edge in (start, end)]
        if edges != sorted(edges) or any(start < 0 or start >= end for start, end, _ in self.segments):
            raise ValueError("segments are empty, overlap or are out of order")
        return self

    @property
    def extent(self) -> int:
        """Recorded samples, or points, that the frames cover."""
        return self.frame_size * len(self.kl_nats)

    @property
    def segments_within(self) -> tuple[Segment, ...]:
        """The segments up to the end of the last frame; the last one is cut there."""
        return tuple((start, min(end, self.extent), name) for start, end, name in self.segments if start < self.extent)

    @property
    def boundaries(self) -> tuple[int, ...]:
        """The samples at which a segment begins or ends within the sequence."""
        edges = {edge for start, end, _ in self.segments_within for edge in (start, end)}
        return tuple(sorted(edge for edge in edges if 0 < edge < self.extent))
