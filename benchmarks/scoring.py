"""Scoring: the log-likelihood of every sequence of a split under a trained model, each exactly once.

Estimators (all in nats per sequence, summed over real frames in float64):

- `exact`: models without a latent. log p(x).
- `elbo`: one sample of the posterior, KL analytic at each step. In expectation below log p(x).
- `iwae`: log of the mean of K importance weights. In expectation below log p(x) and above the ELBO, rising with K.

The noise belongs to the sequence and the sample's number, so a score does not change with batch size,
order or padding, and the first K samples of a larger K are the same.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import torch
from torch import Tensor

from benchmarks.errors import StudyError
from pipelines.batches import Batch, FrameSource
from pipelines.roles import split_rows
from pipelines.shard_set import ShardSet
from vrnn.bounds import elbo, exact, iwae
from vrnn.models import SequenceModel
from vrnn.training import Checkpoint
from vrnn.training.noise import latent_noise

__all__ = ["Estimator", "ScoreRequest", "ScoreSummary", "score", "score_batches", "summarise_scores"]

Estimator = Literal["exact", "elbo", "iwae"]

_PARTICLE_ELEMENTS = 2**25
"""Frames times samples times hidden units evaluated at once: what bounds the memory of `iwae`."""


@dataclass(frozen=True)
class ScoreRequest:
    """What to score.

    Attributes:
        split: of the shards.
        estimator: see the module's text.
        num_samples: K; only `iwae` takes more than one.
        batch_size: sequences at once.
        seed: of the latent noise.
        precision: of the model's arithmetic.
    """

    split: str
    estimator: Estimator
    num_samples: int = 1
    batch_size: int = 32
    seed: int = 0
    precision: Literal["float32", "float64"] = "float32"


def score(checkpoint: Checkpoint, shards: ShardSet, request: ScoreRequest) -> pd.DataFrame:
    """Score every sequence of a split.

    Returns:
        One row a sequence, ordered by id: `id split estimator num_samples frames samples nats`, where `samples`
        counts the audio samples or pen points that the frames cover.

    Raises:
        StudyError: the shards are of another corpus or content, have no such split, or the estimator does not fit.
    """
    _check(checkpoint, shards, request)
    protocol = checkpoint.framing.protocol
    rows = split_rows(shards, protocol, (request.split,))
    if not len(rows):
        known = ", ".join(sorted(shards.index[protocol.split_column].unique()))
        raise StudyError(f"{shards.location}: nothing to score in split {request.split!r}; it has {known}")
    source = FrameSource(shards, checkpoint.framing, rows)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = checkpoint.model(device, getattr(torch, request.precision))
    table = score_batches(model, source.evaluation_batches(request.batch_size), request)
    _check_complete(table, source)
    covered = table["frames"] * (protocol.frame_size if protocol.kind == "speech" else 1)
    table = table.assign(
        split=request.split, estimator=request.estimator, num_samples=request.num_samples, samples=covered
    )
    columns = ["id", "split", "estimator", "num_samples", "frames", "samples", "nats"]
    return table[columns].sort_values("id", ignore_index=True)


def score_batches(model: SequenceModel, batches: Iterable[Batch], request: ScoreRequest) -> pd.DataFrame:
    """Score batches with a model: `id frames nats`, in the order of the batches."""
    parameter = next(model.parameters())
    parts: list[pd.DataFrame] = []
    with torch.no_grad():
        for cpu_batch in batches:
            batch = cpu_batch.to(parameter.device, parameter.dtype)
            nats = _estimate(model, batch, request)
            columns = {"id": batch.ids, "frames": cpu_batch.lengths.numpy(), "nats": nats.cpu().numpy()}
            parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def _estimate(model: SequenceModel, batch: Batch, request: ScoreRequest) -> Tensor:
    if request.estimator == "exact":
        return exact(model, batch.frames, batch.mask)
    noise = _noise(model, batch, request)
    if request.estimator == "elbo":
        return elbo(model, batch.frames, batch.mask, next(noise)).value
    return iwae(model, batch.frames, batch.mask, _chunks(noise, batch, model.config.hidden))


def _noise(model: SequenceModel, batch: Batch, request: ScoreRequest) -> Iterator[Tensor]:
    for sample in range(request.num_samples):
        yield latent_noise(batch, model.latent_size, "score", request.seed, sample)


def _chunks(noise: Iterator[Tensor], batch: Batch, hidden: int) -> Iterator[Tensor]:
    size = max(1, _PARTICLE_ELEMENTS // (batch.mask.numel() * hidden))
    while chunk := list(itertools.islice(noise, size)):
        yield torch.stack(chunk)


def _check(checkpoint: Checkpoint, shards: ShardSet, request: ScoreRequest) -> None:
    manifest = shards.manifest
    if manifest.corpus != checkpoint.corpus:
        raise StudyError(
            f"the checkpoint was trained on {checkpoint.corpus}, {shards.location} holds {manifest.corpus}; "
            f"point --shards at prepared {checkpoint.corpus}"
        )
    if manifest.fingerprint != checkpoint.spec.fingerprint:
        raise StudyError(
            f"the checkpoint was trained on data {checkpoint.spec.fingerprint[:12]}, {shards.location} holds "
            f"{manifest.fingerprint[:12]}; point --shards at the data it was trained on"
        )
    _check_estimator(checkpoint, request)


def _check_estimator(checkpoint: Checkpoint, request: ScoreRequest) -> None:
    name, latent = checkpoint.spec.architecture.name, checkpoint.spec.architecture.latent
    if latent and request.estimator == "exact":
        raise StudyError(f"{name} has a latent, so its likelihood is bounded, not exact; use --estimator elbo or iwae")
    if not latent and request.estimator != "exact":
        raise StudyError(f"{name} has no latent, so its likelihood is exact; use --estimator exact")
    if request.num_samples < 1 or (request.num_samples > 1 and request.estimator != "iwae"):
        raise StudyError(f"--num-samples {request.num_samples}: {request.estimator} takes 1, iwae takes 1 or more")


def _check_complete(table: pd.DataFrame, source: FrameSource) -> None:
    """Ids scored are the ids there are, each once: an invariant, whatever happened in between."""
    assert sorted(table["id"]) == sorted(source.ids), "a sequence was left out or scored twice"
    assert int(table["frames"].sum()) == int(source.lengths.sum()), "a frame was left out or scored twice"


@dataclass(frozen=True)
class ScoreSummary:
    """A split's score in the units that people use.

    Attributes:
        sequences: scored.
        frames: scored.
        nats_per_sequence: mean over sequences.
        nats_per_frame: total nats over total frames.
        bits_per_sample: code length of an int16 sample, (D ln std - nats per frame) / (D ln 2); None for pen.
    """

    sequences: int
    frames: int
    nats_per_sequence: float
    nats_per_frame: float
    bits_per_sample: float | None


def summarise_scores(table: pd.DataFrame, checkpoint: Checkpoint) -> ScoreSummary:
    """Total a table of scores. The normalisation's std turns a density of frames into one of int16 samples."""
    nats, frames = math.fsum(table["nats"]), int(table["frames"].sum())
    framing = checkpoint.framing
    bits = None
    if framing.protocol.kind == "speech":
        size = framing.protocol.frame_size
        bits = (size * math.log(framing.std[0]) - nats / frames) / (size * math.log(2))
    return ScoreSummary(len(table), frames, nats / len(table), nats / frames, bits)
