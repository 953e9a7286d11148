"""One trial of a study: trained, scored, sampled and recorded, or a reference that needs no training.

A trial's directory holds its checkpoints and, when it is scored, its artifacts; MLflow gets copies.
"""

import math
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch

from benchmarks.references import REFERENCES
from benchmarks.samples import write_samples
from benchmarks.scoring import Estimator, ScoreRequest, ScoreSummary, measure_of, score, summarise_scores
from benchmarks.suite import CorpusEntry, Reference, Suite, Trial
from benchmarks.tracking import StudyRecord
from pipelines.protocol import Framing, Protocol
from pipelines.roles import assign_roles
from pipelines.shard_set import ShardSet
from pipelines.storage import Location
from vrnn.models import ModelConfig, build_model
from vrnn.training import Checkpoint, TrainResult, TrialSpec, load_checkpoint
from vrnn.training.checkpoints import BEST

__all__ = ["Fit", "git_commit", "record_reference", "record_trial"]

Fit = Callable[[TrialSpec, Location], TrainResult]


def _directory(suite: Suite, trial: Trial) -> Path:
    return Path(suite.runs) / suite.study / f"{trial.name.replace('/', '-')}-{trial.spec.key}"


def record_trial(suite: Suite, trial: Trial, record: StudyRecord, fit: Fit) -> dict[str, ScoreSummary]:
    """Train, score and record one trial; its summaries by estimator, none if it diverged."""
    shards = ShardSet(Location(trial.spec.shards))
    directory = _directory(suite, trial)
    run_id = record.start_trial(trial.name, _tags(suite, trial, shards), _params(trial, suite))
    with _abandoned_on_error(record, run_id):
        record.log_dataset(run_id, trial.corpus.name, trial.spec.fingerprint, trial.spec.shards)
        result = fit(trial.spec, Location(str(directory)))
        summaries: dict[str, ScoreSummary] = {}
        artifacts = directory / "artifacts"
        artifacts.mkdir(parents=True, exist_ok=True)
        _write_parquet(artifacts / "curves.parquet", pd.DataFrame([asdict(epoch) for epoch in result.state.history]))
        if result.checkpoint is not None and result.state.diverged_at_step is None:
            summaries = _score_trial(suite, load_checkpoint(result.checkpoint), shards, artifacts)
        record.log_files(run_id, artifacts)
        record.log_metrics(run_id, _training_metrics(result) | _score_metrics(summaries))
        record.end_trial(run_id, diverged_at_step=result.state.diverged_at_step)
    return summaries


@contextmanager
def _abandoned_on_error(record: StudyRecord, run_id: str) -> Iterator[None]:
    done = False
    try:
        yield
        done = True
    finally:
        if not done:
            record.abandon_trial(run_id)


def _write_parquet(path: Path, table: pd.DataFrame) -> None:
    partial = path.with_suffix(".partial")
    table.to_parquet(partial, index=False)
    partial.replace(path)


def record_reference(suite: Suite, reference: Reference, record: StudyRecord) -> None:
    """Score and record what needs no training, such as a lossless coder on the same sequences."""
    shards, protocol = ShardSet(Location(reference.corpus.shards)), reference.protocol
    split = assign_roles(shards, protocol).report_split
    tags = _common_tags(suite, reference.corpus, shards, protocol)
    tags |= {"model": reference.model, "seed": "0", "trial_key": reference.key, "measure": "mass"}
    run_id = record.start_trial(reference.name, tags, {"protocol": protocol.model_dump(), "split": split})
    with _abandoned_on_error(record, run_id), tempfile.TemporaryDirectory() as directory:
        table = REFERENCES[reference.model](shards, protocol, split)
        _write_parquet(Path(directory) / "scores.parquet", table)
        record.log_dataset(run_id, reference.corpus.name, shards.manifest.fingerprint, reference.corpus.shards)
        record.log_files(run_id, Path(directory))
        bits = -math.fsum(table["nats"]) / (float(table["samples"].sum()) * math.log(2))
        record.log_metrics(run_id, {f"{split}/code_bits_per_sample": bits})
        record.end_trial(run_id)


def _score_trial(suite: Suite, checkpoint: Checkpoint, shards: ShardSet, artifacts: Path) -> dict[str, ScoreSummary]:
    tables: dict[str, pd.DataFrame] = {}
    for estimator, samples in _estimators(suite, checkpoint.spec.architecture):
        request = ScoreRequest(
            split=checkpoint.report_split,
            estimator=estimator,
            num_samples=samples,
            batch_size=suite.scoring.batch_size,
            seed=suite.scoring.seed,
            repeats=suite.scoring.repeats,
        )
        label = f"{estimator}{samples if estimator in ('iwae', 'fivo') else ''}"
        tables[f"{checkpoint.report_split}/{label}"] = score(checkpoint, shards, request)
    _write_parquet(artifacts / "scores.parquet", pd.concat(tables.values(), ignore_index=True))
    if suite.samples:
        write_samples(checkpoint, shards, artifacts / "samples", count=suite.samples, seed=checkpoint.spec.seed)
    return {label: summarise_scores(table, checkpoint) for label, table in tables.items()}


def _estimators(suite: Suite, config: ModelConfig) -> list[tuple[Estimator, int]]:
    """The estimators of a model, each with its K."""
    if not config.latent:
        return [("exact", 1)]
    return [(name, 1 if name == "elbo" else suite.scoring.num_samples) for name in suite.scoring.estimators]


def _tags(suite: Suite, trial: Trial, shards: ShardSet) -> dict[str, str]:
    config = trial.spec.architecture
    return _common_tags(suite, trial.corpus, shards, trial.spec.protocol) | {
        "model": config.name,
        "seed": str(trial.spec.seed),
        "trial_key": trial.spec.key,
        "checkpoint": str((_directory(suite, trial) / BEST).absolute()),
        "measure": measure_of(config),
        "parameters": str(_parameter_count(config)),
        "sigma_floor": repr(config.sigma_floor),
    }


def _common_tags(suite: Suite, corpus: CorpusEntry, shards: ShardSet, protocol: Protocol) -> dict[str, str]:
    speech = shards.manifest.kind == "speech"
    return {
        "study": suite.study,
        "corpus": corpus.name,
        "kind": shards.manifest.kind,
        "protocol": corpus.protocol,
        "fingerprint": shards.manifest.fingerprint,
        "git_commit": git_commit(),
        "sample_std": repr(Framing.fit(protocol, shards.manifest).std[0]) if speech else "",
        "frame_size": str(protocol.frame_size),
    }


def _parameter_count(config: ModelConfig) -> int:
    with torch.device("meta"):
        model = build_model(config, torch.Generator())
    return sum(parameter.numel() for parameter in model.parameters())


@cache
def git_commit() -> str:
    """The commit of the code that runs, `unknown` outside a checkout; asked once, as the code is loaded once."""
    here = Path(__file__).parent
    done = subprocess.run(  # noqa: S603
        ["git", "-C", str(here), "rev-parse", "HEAD"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def _params(trial: Trial, suite: Suite) -> dict[str, object]:
    spec = trial.spec
    parts = {
        "model": spec.model,
        "optimisation": spec.optimisation.model_dump(),
        "protocol": spec.protocol.model_dump(),
        "scoring": suite.scoring.model_dump(),
        "software": {package: version(package) for package in ("vrnn-bench", "torch", "ray", "mlflow", "pyarrow")},
    }
    flat = {f"{part}.{key}": value for part, values in parts.items() for key, value in values.items()}
    return flat | {"seed": spec.seed, "shards": spec.shards}


def _training_metrics(result: TrainResult) -> dict[str, float]:
    history = result.state.history
    seconds = math.fsum(epoch.seconds for epoch in history)
    return {
        "valid/best_nats_per_frame": result.state.best_valid,
        "train/epochs": float(result.state.epoch),
        "train/steps": float(result.state.step),
        "train/skipped_steps": float(sum(epoch.skipped_steps for epoch in history)),
        "train/seconds": seconds,
        "train/frames_per_second": math.fsum(epoch.frames_per_second * epoch.seconds for epoch in history) / seconds,
        "train/data_wait_share": math.fsum(epoch.data_wait_share * epoch.seconds for epoch in history) / seconds,
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
