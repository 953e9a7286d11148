"""Scoring: the log-likelihood of every sequence of a split under a trained model, each exactly once.

Estimators (all in nats per sequence, summed over real frames in float64):

- `exact`: models without a latent. log p(x).
- `elbo`: one sample of the posterior, KL analytic at each step. In expectation below log p(x).
- `iwae`: log of the mean of K importance weights. In expectation below log p(x) and above the ELBO, rising with K.
- `fivo`: log of a particle filter's estimate of p(x), K particles, resampled where half of them count for nothing.
  In expectation below log p(x).

A bound is repeated with independent noise: the score is the mean of the repetitions, and their spread gives its Monte
Carlo standard error. The noise belongs to the sequence, the repetition and the sample's number, so that a score does
not change with batch size, order or padding.

What is scored is a density of normalised frames, or, under a discretised emission, the probability (mass) of the
recorded integers: two measures in one unit, told apart by `measure` and comparable in bits per sample only.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import torch
from torch import Tensor

from benchmarks.errors import StudyError
from benchmarks.schema.units import Measure, bits_per_sample, bits_scale, nats_per_frame
from pipelines.batches.frames import Batch, FrameSource, plan_evaluation
from pipelines.batches.roles import split_rows
from pipelines.shards.read import ShardSet
from vrnn.device.device import computing_device, padded_frames
from vrnn.device.precision import Precision, allow_tf32, arithmetic, parameter_dtype
from vrnn.likelihood.bounds import Repeated, elbo, exact, frame_terms, iwae, repeated
from vrnn.likelihood.fivo import fivo
from vrnn.models import LatentModel, ModelConfig, SequenceModel
from vrnn.scan.packed_weights import unchanging_weights
from vrnn.training import Checkpoint
from vrnn.training.data_loading import Feeder, feeding_threads, made_ahead
from vrnn.training.noise import latent_noise, particle_noise, resampling_uniforms

__all__ = [
    "Estimator",
    "Measure",
    "ScoreRequest",
    "ScoreSummary",
    "bits_scale",
    "evaluating",
    "frame_nats",
    "measure_of",
    "pieces",
    "score",
    "score_batches",
    "scored_batches",
    "source_of",
    "summarise_scores",
]

Estimator = Literal["exact", "elbo", "iwae", "fivo"]

_SAMPLED = ("iwae", "fivo")
_ELEMENTS = 2**25
"""Frames times sequences times samples times hidden units evaluated at once: what bounds the memory."""


@dataclass(frozen=True)
class ScoreRequest:
    """What to score.

    Attributes:
        split: of the shards.
        estimator: see the module's text.
        num_samples: K; only `iwae` and `fivo` take more than one.
        batch_size: sequences at once.
        seed: of the latent noise.
        precision: of the model's arithmetic, as `vrnn.device.precision` says.
        repeats: independent repetitions of a bound; one alone leaves its Monte Carlo error unknown.
    """

    split: str
    estimator: Estimator
    num_samples: int = 1
    batch_size: int = 32
    seed: int = 0
    precision: Precision = "float32"
    repeats: int = 2


def score(checkpoint: Checkpoint, shards: ShardSet, request: ScoreRequest) -> pd.DataFrame:
    """Score every sequence of a split.

    Returns:
        One row a sequence, ordered by id: `id split estimator num_samples repeats frames samples nats
        standard_error`, where `samples` counts the audio samples or pen points that the frames cover, and
        `standard_error` is Monte Carlo's (0 where exact, nan where not known).

    Raises:
        StudyError: the shards are of another corpus or content, have no such split, or the estimator does not fit.
    """
    protocol, source = checkpoint.framing.protocol, source_of(checkpoint, shards, request)
    with scored_batches(checkpoint, source, request) as (model, batches):
        table = score_batches(model, batches, request)
    _check_complete(table, source)
    covered = table["frames"] * (protocol.frame_size if protocol.kind == "speech" else 1)
    table = table.assign(
        split=request.split,
        estimator=request.estimator,
        num_samples=request.num_samples,
        repeats=request.repeats,
        samples=covered,
    )
    columns = ["id", "split", "estimator", "num_samples", "repeats", "frames", "samples", "nats", "standard_error"]
    return table[columns].sort_values("id", ignore_index=True)


def source_of(checkpoint: Checkpoint, shards: ShardSet, request: ScoreRequest) -> FrameSource:
    """The sequences that a request asks to score.

    Raises:
        StudyError: as `score` says.
    """
    _check(checkpoint, shards, request)
    protocol = checkpoint.framing.protocol
    rows = split_rows(shards, protocol, (request.split,))
    if not len(rows):
        known = ", ".join(sorted(shards.index[protocol.split_column].unique()))
        raise StudyError(f"{shards.location}: nothing to score in split {request.split!r}; it has {known}")
    return FrameSource(shards, checkpoint.framing, rows)


@contextmanager
def scored_batches(
    checkpoint: Checkpoint, source: FrameSource, request: ScoreRequest
) -> Iterator[tuple[SequenceModel, Iterator[Batch]]]:
    """The model on this process's device, and the batches that it is scored on, longest first."""
    device, dtype = computing_device(), parameter_dtype(request.precision)
    allow_tf32(request.precision)
    model, feeder = checkpoint.model(device, dtype), Feeder(source, 0, device, dtype)
    plan = plan_evaluation(source.lengths, request.batch_size)
    with closing(feeder.portions(plan, ("evaluate",), None)) as portions:
        yield model, (portion.batch for portion in portions)


def score_batches(model: SequenceModel, batches: Iterable[Batch], request: ScoreRequest) -> pd.DataFrame:
    """Score batches with a model: `id frames nats standard_error`, in the order of the batches."""
    parts: list[pd.DataFrame] = []
    with evaluating(model, request):
        for piece in pieces(model, batches, request):
            found = _estimate(model, piece, request)
            columns = {
                "id": piece.ids,
                "frames": piece.lengths.cpu().numpy(),
                "nats": found.mean.cpu().numpy(),
                "standard_error": found.standard_error.cpu().numpy(),
            }
            parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


@contextmanager
def evaluating(model: SequenceModel, request: ScoreRequest) -> Iterator[None]:
    """A block in which a model is evaluated as scores are: without gradients, weights unchanging, in that precision."""
    device = next(model.parameters()).device
    with torch.no_grad(), unchanging_weights(), arithmetic(device, request.precision):
        yield


def pieces(model: SequenceModel, batches: Iterable[Batch], request: ScoreRequest) -> Iterator[Batch]:
    """The batches in pieces that fit into memory, where the model is and in its precision."""
    parameter = next(model.parameters())
    for batch in batches:
        for piece in _pieces(batch, model.config, request.num_samples):
            yield piece.to(parameter.device, parameter.dtype)


def frame_nats(model: SequenceModel, batch: Batch, request: ScoreRequest) -> Tensor:
    """What each frame adds to the sequence's score, float64 `[T, B]`, 0 where padded.

    The sum is the score by `exact`, or by `elbo` in its first repetition; other bounds are no sums over frames.
    """
    if not isinstance(model, LatentModel):
        return frame_terms(model, batch.frames, batch.mask)
    noise = latent_noise(batch, model.latent_size, "score", request.seed, 0)
    return frame_terms(model, batch.frames, batch.mask, noise)


def _pieces(batch: Batch, config: ModelConfig, samples: int) -> Iterator[Batch]:
    """The batch in pieces of so many sequences that one sample of each, or one frame of all samples, fits."""
    width = max(config.hidden, config.decoder, 1)
    size = max(1, _ELEMENTS // (width * max(len(batch.mask), samples)))
    for start in range(0, len(batch.ids), size):
        part = slice(start, start + size)
        frames = padded_frames(batch.frames.device)(int(batch.lengths[part].max()))
        yield Batch(batch.ids[part], batch.frames[:frames, part], batch.mask[:frames, part], batch.lengths[part])


def _estimate(model: SequenceModel, batch: Batch, request: ScoreRequest) -> Repeated:
    if not isinstance(model, LatentModel):
        value = exact(model, batch.frames, batch.mask)
        return Repeated(value, torch.zeros_like(value))
    return repeated(_draw(model, batch, request, repetition) for repetition in range(request.repeats))


def _draw(model: LatentModel, batch: Batch, request: ScoreRequest, repetition: int) -> Tensor:
    """One repetition of a bound, `[B]`."""
    samples, latent = request.num_samples, model.latent_size
    if request.estimator == "fivo":
        key = ("score", request.seed, repetition)
        noise = particle_noise(batch, latent, samples, *key)
        return fivo(model, batch.frames, batch.mask, noise, resampling_uniforms(batch, *key))
    numbers = range(repetition * samples, (repetition + 1) * samples)

    def draw(number: int) -> Tensor:
        return latent_noise(batch, latent, "score", request.seed, number)

    if request.estimator == "elbo":
        return elbo(model, batch.frames, batch.mask, draw(repetition)).value
    with closing(made_ahead(draw, numbers, feeding_threads(batch.frames.device))) as draws:
        return iwae(model, batch.frames, batch.mask, _chunks(draws, batch, model.config.hidden))


def _chunks(noise: Iterator[Tensor], batch: Batch, hidden: int) -> Iterator[Tensor]:
    size = max(1, _ELEMENTS // (batch.mask.numel() * max(hidden, 1)))
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
        raise StudyError(
            f"{name} has a latent, so its likelihood is bounded, not exact; use --estimator elbo, iwae or fivo"
        )
    if not latent and request.estimator != "exact":
        raise StudyError(f"{name} has no latent, so its likelihood is exact; use --estimator exact")
    if request.num_samples < 1:
        raise StudyError(f"--num-samples {request.num_samples}: at least 1 is needed")
    if request.num_samples > 1 and request.estimator not in _SAMPLED:
        raise StudyError(f"--num-samples {request.num_samples}: {request.estimator} takes 1, iwae and fivo take more")
    if request.repeats < 1:
        raise StudyError(f"--repeats {request.repeats}: at least 1 is needed")


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
        bits_per_sample: code length of an int16 sample; None for pen. See `bits_scale`.
        monte_carlo_error: standard error of nats_per_sequence from the bound's own randomness; nan if not known.
        measure: `density` of normalised frames, or `mass` of recorded integers.
    """

    sequences: int
    frames: int
    nats_per_sequence: float
    nats_per_frame: float
    bits_per_sample: float | None
    monte_carlo_error: float
    measure: Measure


def measure_of(config: ModelConfig) -> Measure:
    """What a model's log-likelihood measures."""
    return "density" if config.quantisation is None else "mass"


def summarise_scores(table: pd.DataFrame, checkpoint: Checkpoint) -> ScoreSummary:
    """Total a table of scores."""
    nats, frames = math.fsum(table["nats"]), int(table["frames"].sum())
    framing, measure = checkpoint.framing, measure_of(checkpoint.spec.architecture)
    per_frame, bits = nats_per_frame(nats, frames), None
    if framing.protocol.kind == "speech":
        bits = bits_per_sample(per_frame, bits_scale(framing.protocol.frame_size, framing.std[0], measure))
    return ScoreSummary(
        sequences=len(table),
        frames=frames,
        nats_per_sequence=nats / len(table),
        nats_per_frame=per_frame,
        bits_per_sample=bits,
        monte_carlo_error=math.sqrt(math.fsum(table["standard_error"] ** 2)) / len(table),
        measure=measure,
    )
