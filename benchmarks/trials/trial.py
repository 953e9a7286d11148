"""Running one trial: the model is fitted, scored, audited and sampled into its task's directory, without MLflow."""

import math
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import ray

from benchmarks.audit.audit import audit
from benchmarks.samples.write_samples import write_samples
from benchmarks.schema.audit import Audit
from benchmarks.schema.suite import Scoring
from benchmarks.schema.trial import Outcome
from benchmarks.scoring.score import Estimator, ScoreRequest, ScoreSummary, score, summarise_scores
from benchmarks.store.results import CURVES, SAMPLES, SCORES, write_outcome
from benchmarks.trials.events import EpochFinished, OnTrialEvent, ScoringStarted
from benchmarks.trials.task import TrialTask, finished_outcome
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from vrnn.models import ModelConfig
from vrnn.training import Checkpoint, TrainResult, load_checkpoint
from vrnn.training.checkpoints import TrainingState
from vrnn.training.ray_train import train_with_ray
from vrnn.training.retries import train_locally

__all__ = ["estimators_of", "run_trial"]


def run_trial(task: TrialTask, on_event: OnTrialEvent, stop: Callable[[], bool]) -> Outcome | None:
    """Run what is left of a trial.

    Args:
        task: the trial.
        on_event: called after each epoch and when scoring starts.
        stop: asked all the time while the model is fitted; scoring is short and writes nothing until its end, so a
            caller that cannot wait may kill it.

    Returns:
        The outcome; None where it was stopped.

    Raises:
        InputError, StudyError, ModelError, CheckpointError: shards or directory are wrong.
        FailedError, RunFailedError: it cannot be finished.
    """
    if (outcome := finished_outcome(task)) is not None:
        return outcome
    fit = train_with_ray if task.resources.most_workers else train_locally
    result = fit(
        task.spec,
        task.directory,
        task.resources,
        on_epoch=lambda record: on_event(EpochFinished(task, record)),
        policy=task.policy,
        stop=stop,
    )
    if not result.state.finished:
        return None
    on_event(ScoringStarted(task))
    if not task.resources.most_workers:
        return _finish(task, result)
    # This process holds no resources where the trial has workers: score in a Ray task that takes those of one worker.
    needs = task.resources.per_worker
    options = {"num_cpus": needs["CPU"], "num_gpus": needs.get("GPU", 0)}
    return ray.get(ray.remote(_finish).options(**options).remote(task, result))


def _finish(task: TrialTask, result: TrainResult) -> Outcome:
    """Score, audit and sample the fitted model and write the outcome."""
    state, metrics = result.state, _training_metrics(result.state)
    with tempfile.TemporaryDirectory() as directory:
        artifacts = Path(directory)
        pd.DataFrame([asdict(epoch) for epoch in state.history]).to_parquet(artifacts / CURVES, index=False)
        warnings: tuple[str, ...] = ()
        if result.checkpoint is not None and state.diverged_at_step is None:
            summaries, audited = _score(task, load_checkpoint(result.checkpoint), artifacts)
            for label, summary in summaries.items():
                for name in ("nats_per_sequence", "nats_per_frame", "monte_carlo_error", "bits_per_sample"):
                    if (value := getattr(summary, name)) is not None:  # pen has no bits per sample
                        metrics[f"{label}_{name}"] = value
            warnings = audited.warnings
        outcome = Outcome(
            identity=task.identity,
            metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
            diverged_at_step=state.diverged_at_step,
            cut_off=state.best_epoch == task.spec.optimisation.max_epochs,
            audit_warnings=warnings,
        )
        write_outcome(task.directory, outcome, artifacts)
    return outcome


def _score(task: TrialTask, checkpoint: Checkpoint, artifacts: Path) -> tuple[dict[str, ScoreSummary], Audit]:
    shards = ShardSet(Location(task.spec.shards))
    tables: dict[str, pd.DataFrame] = {}
    for estimator, samples in estimators_of(task.scoring, checkpoint.spec.model):
        request = ScoreRequest(
            split=checkpoint.report_split,
            estimator=estimator,
            num_samples=samples,
            batch_size=task.scoring.batch_size,
            seed=task.scoring.seed,
            repeats=task.scoring.repeats,
        )
        label = f"{estimator}{samples if estimator in ('iwae', 'fivo') else ''}"
        tables[f"{checkpoint.report_split}/{label}"] = score(checkpoint, shards, request)
    pd.concat(tables.values(), ignore_index=True).to_parquet(artifacts / SCORES, index=False)
    audited = audit(checkpoint, shards, batch_size=task.scoring.batch_size, seed=task.scoring.seed)
    (artifacts / Audit.file_name).write_bytes(audited.to_bytes())
    if task.samples:
        write_samples(checkpoint, shards, artifacts / SAMPLES, count=task.samples, seed=checkpoint.spec.seed)
    return {label: summarise_scores(table, checkpoint) for label, table in tables.items()}, audited


def estimators_of(scoring: Scoring, config: ModelConfig) -> list[tuple[Estimator, int]]:
    """The estimators that score a model, each with its number of samples K."""
    if not config.latent:
        return [("exact", 1)]
    return [(name, 1 if name == "elbo" else scoring.num_samples) for name in scoring.estimators]


def _training_metrics(state: TrainingState) -> dict[str, float]:
    """Metrics of the whole run: rates and shares are means over its time, `valid` is that of the weights scored."""
    seconds = math.fsum(epoch.seconds for epoch in state.history)

    def mean(metric: str) -> float:
        return math.fsum(getattr(epoch, metric) * epoch.seconds for epoch in state.history) / seconds

    return {
        "valid/nats_per_frame": state.best_valid,
        "train/epochs": float(state.epoch),
        "train/steps": float(state.step),
        "train/seconds": seconds,
        **{f"system/{name}": mean(name) for name in ("frames_per_second", "data_wait_share", "fraction_of_peak")},
        "system/peak_memory_gib": max(epoch.peak_memory_gib for epoch in state.history),
    }
