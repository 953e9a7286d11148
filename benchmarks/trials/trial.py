"""The work of one trial: fitted, scored and sampled, into a directory; it knows nothing of MLflow.

It can be done in this process or in another, on any machine that reaches the directory. `outcome.json` is written last:
work that has one is never done again, however often whoever asked for it was killed in between.
"""

import hashlib
import json
import logging
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import ray

from benchmarks.audit.audit import audit
from benchmarks.samples.write_samples import write_samples
from benchmarks.scoring.score import Estimator, ScoreRequest, ScoreSummary, score, summarise_scores
from benchmarks.store.provenance import environment
from benchmarks.suites.suite import Scoring
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from vrnn.models import ModelConfig
from vrnn.training import Checkpoint, TrainResult, TrialSpec, load_checkpoint
from vrnn.training.checkpointing import Saving
from vrnn.training.checkpoints import EpochRecord, TrainingState
from vrnn.training.ray_train import train_with_ray
from vrnn.training.resources import Resources

__all__ = [
    "AUDIT",
    "CURVES",
    "ENVIRONMENT",
    "OUTCOME",
    "SCORES",
    "Outcome",
    "Work",
    "artifacts_of",
    "estimators_of",
    "keep_outcome",
    "kept_outcome",
    "load_outcome",
    "perform",
]

AUDIT = "audit.json"
CURVES = "curves.parquet"
ENVIRONMENT = "environment.json"
OUTCOME = "outcome.json"
SCORES = "scores.parquet"
_ARTIFACTS = "artifacts"
_VERSION = 3
"""Of what an outcome and its artifacts hold: those of another are made again, from the fitted model."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What is to be done for a trial.

    Attributes:
        name: what a person calls it.
        spec: the trial.
        directory: its checkpoints, its artifacts and its outcome; no other trial's.
        scoring: how the fitted model is scored.
        samples: how many sounds or drawings are kept.
        resources: that it takes.
        saving: how it is saved while it is fitted.
    """

    name: str
    spec: TrialSpec
    directory: Location
    scoring: Scoring
    samples: int
    resources: Resources
    saving: Saving

    @property
    def identity(self) -> str:
        """16 hex digits that an outcome must carry to be this work's."""
        content = json.dumps([_VERSION, self.spec.key, self.scoring.model_dump(), self.samples], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        identity: of the work.
        metrics: by name, finite.
        diverged_at_step: None where it did not.
    """

    identity: str
    metrics: dict[str, float]
    diverged_at_step: int | None = None


def perform(
    work: Work,
    on_epoch: Callable[[EpochRecord], None],
    on_scoring: Callable[[], None],
    stop: Callable[[], bool],
) -> Outcome | None:
    """Do what is left of the work.

    Args:
        work: to be done.
        on_epoch: called after each epoch.
        on_scoring: called when the model is fitted.
        stop: asked all the time while the model is fitted; scoring is short, and whoever cannot wait may kill it.

    Returns:
        The outcome; None where the work was stopped.

    Raises:
        InputError, StudyError, ModelError, CheckpointError: shards or directory are wrong.
        FailedError, RunFailedError: it cannot be done.
    """
    if (outcome := kept_outcome(work)) is not None:
        return outcome
    result = train_with_ray(work.spec, work.directory, work.resources, on_epoch=on_epoch, saving=work.saving, stop=stop)
    if not result.state.finished:
        return None
    on_scoring()
    if not work.resources.most_workers:
        return _conclude(work, result)
    needs = work.resources.per_worker
    options = {"num_cpus": needs["CPU"], "num_gpus": needs.get("GPU", 0)}
    return ray.get(ray.remote(_conclude).options(**options).remote(work, result))


def kept_outcome(work: Work) -> Outcome | None:
    """The outcome of work that is done already."""
    outcome = load_outcome(work.directory)
    return outcome if outcome is not None and outcome.identity == work.identity else None


def load_outcome(directory: Location) -> Outcome | None:
    """The outcome in a directory; None where there is none that can be read."""
    place = directory / OUTCOME
    if not place.is_file():
        return None
    try:
        return Outcome(**json.loads(place.read_bytes()))
    except (ValueError, TypeError) as error:
        _log.warning("%s: cannot be read (%s); the trial is scored again", place, error)
        return None


def keep_outcome(directory: Location, outcome: Outcome, artifacts: Path) -> None:
    """Keep what is below `artifacts`, where it was made, and then the outcome."""
    (artifacts / ENVIRONMENT).write_text(environment().model_dump_json(indent=1))
    for path in artifacts.rglob("*"):
        if path.is_file():
            name = path.relative_to(artifacts).as_posix()
            (directory / _ARTIFACTS / name).write_bytes(path.read_bytes())
    (directory / OUTCOME).write_bytes(json.dumps(asdict(outcome), indent=1).encode())


def _conclude(work: Work, result: TrainResult) -> Outcome:
    """Score, audit and sample the fitted model and write the outcome."""
    state, metrics = result.state, _training_metrics(result.state)
    with tempfile.TemporaryDirectory() as directory:
        artifacts = Path(directory)
        pd.DataFrame([asdict(epoch) for epoch in state.history]).to_parquet(artifacts / CURVES, index=False)
        if result.checkpoint is not None and state.diverged_at_step is None:
            metrics |= _score_metrics(_score(work, load_checkpoint(result.checkpoint), artifacts))
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        outcome = Outcome(work.identity, finite, state.diverged_at_step)
        keep_outcome(work.directory, outcome, artifacts)
    return outcome


def _score(work: Work, checkpoint: Checkpoint, artifacts: Path) -> dict[str, ScoreSummary]:
    shards = ShardSet(Location(work.spec.shards))
    tables: dict[str, pd.DataFrame] = {}
    for estimator, samples in estimators_of(work.scoring, checkpoint.spec.architecture):
        request = ScoreRequest(
            split=checkpoint.report_split,
            estimator=estimator,
            num_samples=samples,
            batch_size=work.scoring.batch_size,
            seed=work.scoring.seed,
            repeats=work.scoring.repeats,
        )
        label = f"{estimator}{samples if estimator in ('iwae', 'fivo') else ''}"
        tables[f"{checkpoint.report_split}/{label}"] = score(checkpoint, shards, request)
    pd.concat(tables.values(), ignore_index=True).to_parquet(artifacts / SCORES, index=False)
    audited = audit(checkpoint, shards, batch_size=work.scoring.batch_size, seed=work.scoring.seed)
    (artifacts / AUDIT).write_text(json.dumps(audited.to_json(), indent=1))
    if work.samples:
        write_samples(checkpoint, shards, artifacts / "samples", count=work.samples, seed=checkpoint.spec.seed)
    return {label: summarise_scores(table, checkpoint) for label, table in tables.items()}


def estimators_of(scoring: Scoring, config: ModelConfig) -> list[tuple[Estimator, int]]:
    """The estimators of a model, each with its K."""
    if not config.latent:
        return [("exact", 1)]
    return [(name, 1 if name == "elbo" else scoring.num_samples) for name in scoring.estimators]


def _training_metrics(state: TrainingState) -> dict[str, float]:
    """Of the whole run; shares and rates are means over its time, and `valid` is of the weights that are scored."""
    seconds = math.fsum(epoch.seconds for epoch in state.history)

    def mean(figure: str) -> float:
        return math.fsum(getattr(epoch, figure) * epoch.seconds for epoch in state.history) / seconds

    return {
        "valid/nats_per_frame": state.best_valid,
        "train/epochs": float(state.epoch),
        "train/steps": float(state.step),
        "train/seconds": seconds,
        **{f"system/{figure}": mean(figure) for figure in ("frames_per_second", "data_wait_share", "fraction_of_peak")},
        "system/peak_memory_gib": max(epoch.peak_memory_gib for epoch in state.history),
    }


def _score_metrics(summaries: dict[str, ScoreSummary]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for label, summary in summaries.items():
        metrics[f"{label}_nats_per_sequence"] = summary.nats_per_sequence
        metrics[f"{label}_nats_per_frame"] = summary.nats_per_frame
        metrics[f"{label}_monte_carlo_error"] = summary.monte_carlo_error
        if summary.bits_per_sample is not None:
            metrics[f"{label}_bits_per_sample"] = summary.bits_per_sample
    return metrics


@contextmanager
def artifacts_of(directory: Location) -> Iterator[Path]:
    """The artifacts of the trial in a directory, in a local one, within."""
    place = directory / _ARTIFACTS
    if place.is_local:
        yield Path(place.path)
        return
    with tempfile.TemporaryDirectory() as local:
        for file in place.files():
            path = Path(local) / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((place / file.path).read_bytes())
        yield Path(local)
