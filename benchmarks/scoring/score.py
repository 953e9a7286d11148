"""Scoring: the log-likelihood of every sequence of a split under a trained model, each exactly once.

Estimators (all in nats per sequence, summed over real frames in float64):

- `exact`: log p(x), for models without a latent.
- `elbo`: one sample of the posterior, the KL divergence of each step in closed form. In expectation below log p(x).
- `iwae`: log of the mean of K importance weights. In expectation below log p(x) and above the ELBO, and rising with K.
- `fivo`: log of a particle filter's estimate of p(x) with K particles, resampled when the effective sample size falls
  below K/2. In expectation below log p(x).

A bound is repeated with independent noise: the score is the mean of the repetitions, and their spread gives its Monte
Carlo standard error. The noise depends on the sequence, the repetition and the number of the sample alone, so that a
score does not change with batch size, order or padding.

A score is a density of normalised frames or, with a discretised output distribution, the probability (mass) of the
recorded integers. The two are different measures and are comparable in bits per sample only.
"""

import math
from dataclasses import dataclass

import pandas as pd

from benchmarks.errors import StudyError
from benchmarks.schema.base import Measure
from benchmarks.schema.estimators import ESTIMATORS
from benchmarks.schema.units import bits_per_sample, bits_scale, nats_per_frame
from benchmarks.scoring.evaluation import Estimator, ScoreRequest, load_for_scoring, score_batches
from pipelines.batches.frames import FrameSource
from pipelines.batches.roles import split_rows
from pipelines.shards.read import ShardSet
from vrnn.models import ModelConfig
from vrnn.training import Checkpoint

__all__ = ["Estimator", "ScoreRequest", "ScoreSummary", "measure_of", "score", "scored_sequences", "summarise_scores"]


def score(checkpoint: Checkpoint, shards: ShardSet, request: ScoreRequest) -> pd.DataFrame:
    """Score every sequence of a split.

    Returns:
        One row per sequence, ordered by id: `id split estimator num_samples repeats frames samples nats
        standard_error`. `samples` counts the audio samples or pen points in the frames; `standard_error` is the Monte
        Carlo error (0 where exact, nan where unknown).

    Raises:
        StudyError: the shards are of another corpus or content, have no such split, or the estimator does not fit.
    """
    protocol, source = checkpoint.framing.protocol, scored_sequences(checkpoint, shards, request)
    with load_for_scoring(checkpoint, source, request) as (model, batches):
        table = score_batches(model, batches, request)
    # An invariant, whatever happened in between: the scored ids are those of the split, each once.
    assert sorted(table["id"]) == sorted(source.ids), "a sequence was left out or scored twice"
    assert int(table["frames"].sum()) == int(source.lengths.sum()), "a frame was left out or scored twice"
    table = table.assign(
        split=request.split,
        estimator=request.estimator,
        num_samples=request.num_samples,
        repeats=request.repeats,
        samples=table["frames"] * (protocol.frame_size if protocol.kind == "speech" else 1),
    )
    columns = ["id", "split", "estimator", "num_samples", "repeats", "frames", "samples", "nats", "standard_error"]
    return table[columns].sort_values("id", ignore_index=True)


def scored_sequences(checkpoint: Checkpoint, shards: ShardSet, request: ScoreRequest) -> FrameSource:
    """The sequences of the requested split.

    Raises:
        StudyError: as in `score`.
    """
    manifest, protocol = shards.manifest, checkpoint.framing.protocol
    if manifest.corpus != checkpoint.corpus:
        raise StudyError(
            f"the checkpoint was trained on {checkpoint.corpus}, {shards.location} contains {manifest.corpus}; "
            f"set --shards to prepared {checkpoint.corpus}"
        )
    if manifest.fingerprint != checkpoint.spec.fingerprint:
        raise StudyError(
            f"the checkpoint was trained on data {checkpoint.spec.fingerprint[:12]}, {shards.location} contains "
            f"{manifest.fingerprint[:12]}; set --shards to the data it was trained on"
        )
    _check_estimator(checkpoint.spec.model, request)
    rows = split_rows(shards, protocol, (request.split,))
    if not len(rows):
        known = ", ".join(sorted(shards.index[protocol.split_column].unique()))
        raise StudyError(f"{shards.location}: no sequence in split {request.split!r}; use one of {known}")
    return FrameSource(shards, checkpoint.framing, rows)


def _check_estimator(model: ModelConfig, request: ScoreRequest) -> None:
    if model.latent and request.estimator == "exact":
        raise StudyError(f"{model.name} has a latent, so it has no exact score; use --estimator elbo, iwae or fivo")
    if not model.latent and request.estimator != "exact":
        raise StudyError(f"{model.name} has no latent, so its score is exact; use --estimator exact")
    if request.num_samples < 1:
        raise StudyError(f"--num-samples {request.num_samples}: must be 1 or more")
    if request.num_samples > 1 and not ESTIMATORS[request.estimator].sampled:
        raise StudyError(
            f"--num-samples {request.num_samples}: {request.estimator} takes one sample; use --estimator iwae or fivo"
        )
    if request.repeats < 1:
        raise StudyError(f"--repeats {request.repeats}: must be 1 or more")


@dataclass(frozen=True)
class ScoreSummary:
    """The score of a split in the units that people use.

    Attributes:
        nats_per_sequence: mean over sequences.
        nats_per_frame: total nats over total frames.
        bits_per_sample: code length of an int16 sample; None for pen. See `bits_scale`.
        monte_carlo_error: standard error of nats_per_sequence from the bound's own randomness; nan if unknown.
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
    """What the log-likelihood of a model measures."""
    return "density" if config.quantisation is None else "mass"


def summarise_scores(table: pd.DataFrame, checkpoint: Checkpoint) -> ScoreSummary:
    """Sum up a table of `score`."""
    nats, frames = math.fsum(table["nats"]), int(table["frames"].sum())
    framing, measure = checkpoint.framing, measure_of(checkpoint.spec.model)
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
