"""The estimator loop: batches cut to fit memory, and one value per sequence and repetition of a bound.

Shapes: T frames, B sequences.
"""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import torch
from torch import Tensor

from pipelines.batches.epoch_plan import plan_evaluation
from pipelines.batches.frames import Batch, FrameSource
from vrnn.device.device import computing_device, padded_frames
from vrnn.device.precision import Precision, allow_tf32, arithmetic, parameter_dtype
from vrnn.likelihood.bounds import Repeated, elbo, exact, frame_terms, iwae, repeated
from vrnn.likelihood.fivo import fivo
from vrnn.models import LatentModel, SequenceModel
from vrnn.scan.packed_weights import unchanging_weights
from vrnn.training import Checkpoint
from vrnn.training.data_loading import BatchLoader, loader_threads, prefetch
from vrnn.training.noise import latent_noise, particle_noise, resampling_uniforms

__all__ = [
    "Estimator",
    "ScoreRequest",
    "evaluation_mode",
    "fit_to_memory",
    "frame_nats",
    "load_for_scoring",
    "score_batches",
]

Estimator = Literal["exact", "elbo", "iwae", "fivo"]

_ELEMENTS = 2**25
"""Frames times sequences times samples times hidden units evaluated at once: this bounds the memory."""


@dataclass(frozen=True)
class ScoreRequest:
    """What to score, and how.

    Attributes:
        split: of the shards.
        estimator: see `benchmarks.scoring.score`.
        num_samples: K; only `iwae` and `fivo` take more than one.
        batch_size: sequences per batch.
        seed: of the latent noise.
        precision: of the model's arithmetic.
        repeats: independent repetitions of a bound; with one, its Monte Carlo error is unknown.
    """

    split: str
    estimator: Estimator
    num_samples: int = 1
    batch_size: int = 32
    seed: int = 0
    precision: Precision = "float32"
    repeats: int = 2


@contextmanager
def load_for_scoring(
    checkpoint: Checkpoint, source: FrameSource, request: ScoreRequest
) -> Iterator[tuple[SequenceModel, Iterator[Batch]]]:
    """The model on the device of this process, and the batches to score, longest first."""
    device, dtype = computing_device(), parameter_dtype(request.precision)
    allow_tf32(request.precision)
    model, loader = checkpoint.model(device, dtype), BatchLoader(source, 0, device, dtype)
    plan = plan_evaluation(source.lengths, request.batch_size)
    with closing(loader.load(plan, ("evaluate",), None)) as loaded_batches:
        yield model, (loaded.batch for loaded in loaded_batches)


@contextmanager
def evaluation_mode(model: SequenceModel, request: ScoreRequest) -> Iterator[None]:
    """A block in which a model is evaluated as for scores: no gradients, constant weights, the requested precision."""
    device = next(model.parameters()).device
    with torch.no_grad(), unchanging_weights(), arithmetic(device, request.precision):
        yield


def score_batches(model: SequenceModel, batches: Iterable[Batch], request: ScoreRequest) -> pd.DataFrame:
    """Score batches: `id frames nats standard_error`, in the order of the batches."""
    parts: list[pd.DataFrame] = []
    with evaluation_mode(model, request):
        for batch in fit_to_memory(model, batches, request):
            found = _estimate(model, batch, request)
            columns = {
                "id": batch.ids,
                "frames": batch.lengths.cpu().numpy(),
                "nats": found.mean.cpu().numpy(),
                "standard_error": found.standard_error.cpu().numpy(),
            }
            parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def fit_to_memory(model: SequenceModel, batches: Iterable[Batch], request: ScoreRequest) -> Iterator[Batch]:
    """Cut batches into ones small enough for memory, on the device and in the precision of the model."""
    parameter = next(model.parameters())
    width = max(model.config.hidden, model.config.decoder, 1)
    for batch in batches:
        # Cut by sequences, until one sample of all frames, and one frame of all samples, fits.
        size = max(1, _ELEMENTS // (width * max(len(batch.mask), request.num_samples)))
        for start in range(0, len(batch.ids), size):
            part = slice(start, start + size)
            frames = padded_frames(batch.frames.device)(int(batch.lengths[part].max()))
            cut = Batch(batch.ids[part], batch.frames[:frames, part], batch.mask[:frames, part], batch.lengths[part])
            yield cut.to(parameter.device, parameter.dtype)


def frame_nats(model: SequenceModel, batch: Batch, request: ScoreRequest) -> Tensor:
    """The contribution of each frame to the score of its sequence, float64 `[T, B]`, 0 where padded.

    The sum is the score by `exact`, or by `elbo` in its first repetition. Other bounds are not sums over frames.
    """
    if not isinstance(model, LatentModel):
        return frame_terms(model, batch.frames, batch.mask)
    noise = latent_noise(batch, model.latent_size, "score", request.seed, 0)
    return frame_terms(model, batch.frames, batch.mask, noise)


def _estimate(model: SequenceModel, batch: Batch, request: ScoreRequest) -> Repeated:
    """The mean over repetitions and its standard error, `[B]` each."""
    if not isinstance(model, LatentModel):
        value = exact(model, batch.frames, batch.mask)
        return Repeated(value, torch.zeros_like(value))
    return repeated(_bound(model, batch, request, repetition) for repetition in range(request.repeats))


def _bound(model: LatentModel, batch: Batch, request: ScoreRequest, repetition: int) -> Tensor:
    """One repetition of a bound, `[B]`."""
    samples, latent = request.num_samples, model.latent_size
    if request.estimator == "fivo":
        key = ("score", request.seed, repetition)
        noise = particle_noise(batch, latent, samples, *key)
        return fivo(model, batch.frames, batch.mask, noise, resampling_uniforms(batch, *key))

    def draw(number: int) -> Tensor:
        return latent_noise(batch, latent, "score", request.seed, number)

    if request.estimator == "elbo":
        return elbo(model, batch.frames, batch.mask, draw(repetition)).value
    # Repetition r takes the samples r K to (r + 1) K - 1, so that repetitions are independent.
    numbers = range(repetition * samples, (repetition + 1) * samples)
    at_once = max(1, _ELEMENTS // (batch.mask.numel() * max(model.config.hidden, 1)))  # as many as fit into memory
    with closing(prefetch(draw, numbers, loader_threads(batch.frames.device))) as draws:
        chunks = iter(lambda: list(itertools.islice(draws, at_once)), [])  # ends when no draw is left
        return iwae(model, batch.frames, batch.mask, map(torch.stack, chunks))
