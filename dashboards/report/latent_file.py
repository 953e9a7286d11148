"""`samples/latent.json`: what a model's latent does over one real sequence, frame by frame."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dashboards.errors import ReportError
from dashboards.report.study_record import Trial

__all__ = ["Latent", "parse_latent"]

Finite = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[float, Field(allow_inf_nan=False, ge=0)]


class Latent(BaseModel):
    """The file's content.

    Attributes:
        version: of the format.
        kind: of the corpus.
        source: the sequence's id.
        file: the real sample that holds the sequence.
        frame_size: recorded samples, or points, a frame.
        sample_rate: in Hz; None for pen.
        kl_nats: KL divergence of the approximate posterior from the prior at each frame.
        mean_change: squared distance of the posterior's mean from that of the frame before; None at the first.
        segments: (first sample, sample after the last, label) of each phone, in order; empty where unknown.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    version: int = Field(ge=1, le=1)
    kind: Literal["speech", "pen"]
    source: str
    file: str
    frame_size: int = Field(gt=0)
    sample_rate: int | None = Field(gt=0)
    kl_nats: tuple[Finite, ...] = Field(min_length=1)
    mean_change: tuple[NotNegative | None, ...]
    segments: tuple[tuple[int, int, str], ...]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
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
    def within(self) -> tuple[tuple[int, int, str], ...]:
        """The segments up to the end of the last frame; the last is cut there."""
        return tuple((start, min(end, self.extent), name) for start, end, name in self.segments if start < self.extent)

    @property
    def boundaries(self) -> tuple[int, ...]:
        """Where a segment begins or ends within the sequence, in samples."""
        edges = {edge for start, end, _ in self.within for edge in (start, end)}
        return tuple(sorted(edge for edge in edges if 0 < edge < self.extent))


def parse_latent(trial: Trial) -> Latent | None:
    """The latent file of a trial; None where it has none.

    Raises:
        ReportError: it is malformed, or belongs to no real sample of the trial.
    """
    if trial.latent is None:
        return None
    where = f"samples/latent.json of MLflow run {trial.run_id}"
    latent = _validated(trial.latent, where)
    if not any(s.file == latent.file and s.role == "real" and s.kind == latent.kind for s in trial.samples):
        raise ReportError(f"{where}: {latent.file!r} is no real {latent.kind} sample: generate the samples again")
    return latent


def _validated(document: Mapping[str, Any], where: str) -> Latent:
    try:
        return Latent.model_validate_json(json.dumps(document))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        reason = f"{place}: {first['msg']}" if place else first["msg"]
        raise ReportError(f"{where} is malformed ({reason}): generate the samples again") from error
