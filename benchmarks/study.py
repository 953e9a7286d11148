"""Running a study: every trial trained, scored, sampled and recorded, each once.

A trial's directory holds its checkpoints and, when it is scored, its artifacts; MLflow gets copies. A study that is run
again skips the trials whose record is finished and goes on with the others where they stopped.
"""

import math
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.comparison import ComparisonRow, Scored, compare_scores, rows_to_json
from benchmarks.samples import write_samples
from benchmarks.scoring import Estimator, ScoreRequest, ScoreSummary, score, summarise_scores
from benchmarks.suite import Suite, Trial, expand
from benchmarks.tracking import FinishedTrial, StudyRecord, read_study
from pipelines.shard_set import ShardSet
from pipelines.storage import Location
from vrnn.training import Checkpoint, TrainResult, TrialSpec, load_checkpoint
from vrnn.training.checkpoints import BEST, EpochRecord
from vrnn.training.ray_driver import train_with_ray

__all__ = ["Comparison", "StudyWatcher", "compare_study", "run_study"]


@dataclass(frozen=True)
class Comparison:
    """The result of a study.

    Attributes:
        study: its name.
        rows: of the table.
        diverged: corpus, model, seed and step of each trial that diverged.
        notes: what a reader must know to read the table rightly.
    """

    study: str
    rows: list[ComparisonRow]
    diverged: list[dict[str, Any]]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "study": self.study,
            "rows": rows_to_json(self.rows),
            "diverged": self.diverged,
            "notes": self.notes,
        }


class StudyWatcher:
    """What a running study tells whoever watches it; by default nobody."""

    def trial_started(self, number: int, total: int, name: str) -> None:
        """Trial `number` of `total` starts."""

    def trial_skipped(self, number: int, total: int, name: str) -> None:
        """The record holds this trial already."""

    def epoch_ended(self, name: str, record: EpochRecord, max_epochs: int) -> None:
        """An epoch of the running trial ended."""

    def trial_ended(self, name: str, summaries: dict[str, ScoreSummary]) -> None:
        """The trial is scored and recorded; no summaries if it diverged."""


def run_study(
    suite: Suite,
    open_record: Callable[[str], StudyRecord],
    *,
    workers: int = 0,
    address: str | None = None,
    watcher: StudyWatcher | None = None,
) -> Comparison:
    """Run what is left of a suite's trials and record the comparison.

    Args:
        suite: the study.
        open_record: opens the record of a study by name; called once the suite has proved valid.
        workers: processes a trial; see `train_with_ray`.
        address: of a Ray cluster.
        watcher: is told what happens.

    Raises:
        StudyError, InputError, ModelError, CheckpointError: the suite, its shards or a trial's directory are wrong.
    """
    watcher = watcher or StudyWatcher()
    trials = expand(suite)
    _git_commit()
    record = open_record(suite.study)
    for number, trial in enumerate(trials, start=1):
        if record.is_finished(trial.spec.key):
            watcher.trial_skipped(number, len(trials), trial.name)
            continue
        watcher.trial_started(number, len(trials), trial.name)
        fit = partial(train_with_ray, workers=workers, address=address, on_epoch=_epoch_teller(watcher, trial))
        watcher.trial_ended(trial.name, _record_trial(suite, trial, record, fit))
    comparison = compare_study(suite.study, keys={trial.spec.key for trial in trials})
    record.log_comparison(comparison.to_json())
    return comparison


def _epoch_teller(watcher: StudyWatcher, trial: Trial) -> Callable[[EpochRecord], None]:
    return lambda epoch: watcher.epoch_ended(trial.name, epoch, trial.spec.optimisation.max_epochs)


def _directory(suite: Suite, trial: Trial) -> Path:
    return Path(suite.runs) / suite.study / f"{trial.name.replace('/', '-')}-{trial.spec.key}"


def _record_trial(
    suite: Suite, trial: Trial, record: StudyRecord, fit: Callable[[TrialSpec, Location], TrainResult]
) -> dict[str, ScoreSummary]:
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


def _score_trial(suite: Suite, checkpoint: Checkpoint, shards: ShardSet, artifacts: Path) -> dict[str, ScoreSummary]:
    estimators: list[tuple[Estimator, int]] = [("exact", 1)]
    if checkpoint.spec.architecture.latent:
        estimators = [("elbo", 1), ("iwae", suite.scoring.num_samples)]
    tables: dict[str, pd.DataFrame] = {}
    for estimator, samples in estimators:
        request = ScoreRequest(
            split=checkpoint.report_split,
            estimator=estimator,
            num_samples=samples,
            batch_size=suite.scoring.batch_size,
            seed=suite.scoring.seed,
        )
        tables[f"{checkpoint.report_split}/{estimator}{samples if estimator == 'iwae' else ''}"] = score(
            checkpoint, shards, request
        )
    _write_parquet(artifacts / "scores.parquet", pd.concat(tables.values(), ignore_index=True))
    if suite.samples:
        write_samples(checkpoint, shards, artifacts / "samples", count=suite.samples, seed=checkpoint.spec.seed)
    return {label: summarise_scores(table, checkpoint) for label, table in tables.items()}


def _tags(suite: Suite, trial: Trial, shards: ShardSet) -> dict[str, str]:
    return {
        "study": suite.study,
        "corpus": trial.corpus.name,
        "kind": shards.manifest.kind,
        "protocol": trial.corpus.protocol,
        "model": str(trial.spec.model["name"]),
        "seed": str(trial.spec.seed),
        "fingerprint": trial.spec.fingerprint,
        "trial_key": trial.spec.key,
        "git_commit": _git_commit(),
        "checkpoint": str((_directory(suite, trial) / BEST).absolute()),
        "sample_std": repr(shards.manifest.train_moments.std[0]) if shards.manifest.kind == "speech" else "",
        "frame_size": str(trial.spec.protocol.frame_size),
    }


@cache
def _git_commit() -> str:
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
        "train/seconds": seconds,
        "train/frames_per_second": math.fsum(epoch.frames_per_second * epoch.seconds for epoch in history) / seconds,
    }


def _score_metrics(summaries: dict[str, ScoreSummary]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for label, summary in summaries.items():
        metrics[f"{label}_nats_per_sequence"] = summary.nats_per_sequence
        metrics[f"{label}_nats_per_frame"] = summary.nats_per_frame
        if summary.bits_per_sample is not None:
            metrics[f"{label}_bits_per_sample"] = summary.bits_per_sample
    return metrics


def compare_study(study: str, keys: set[str] | None = None) -> Comparison:
    """The table of a recorded study, computed anew from its per-sequence scores.

    Args:
        study: its name in the store.
        keys: the trials to compare; None for all that finished.

    Raises:
        StudyError: the store has no such study, or nothing of it is finished.
    """
    finished, diverged = read_study(study)
    trials = [_scored(trial) for trial in finished if keys is None or trial.tags["trial_key"] in keys]
    rows = compare_scores(trials)
    fallen = [_fallen(tags) for tags in diverged if keys is None or tags["trial_key"] in keys]
    return Comparison(study, rows, fallen, _notes(rows))


def _fallen(tags: Mapping[str, str]) -> dict[str, Any]:
    whole = {"seed": int(tags["seed"]), "step": int(tags["diverged_at_step"])}
    return {"corpus": tags["corpus"], "model": tags["model"], **whole}


def _scored(trial: FinishedTrial) -> Scored:
    tags = trial.tags
    size = int(tags["frame_size"])
    offset = (size, size * math.log(float(tags["sample_std"]))) if tags.get("sample_std") else None
    return Scored(
        corpus=tags["corpus"],
        kind=tags["kind"],
        protocol=tags["protocol"],
        model=tags["model"],
        seed=int(tags["seed"]),
        fingerprint=tags["fingerprint"],
        scores=trial.scores,
        bits_offset=offset,
    )


def _notes(rows: list[ComparisonRow]) -> list[str]:
    notes = [
        "Nats per sequence, higher is better. exact is log p(x); elbo is a lower bound; iwae-K is, in expectation, a "
        "lower bound too, tighter with K: compare a bound with an exact value knowing that it can only be too low.",
        "The interval is a 95 % bootstrap over sequences; the standard deviation is over training seeds.",
    ]
    if any(row.protocol == "clean" for row in rows):
        notes.append(
            "Protocol clean adds uniform noise of one quantisation step to the integers, so a density is a lower bound "
            "on the log-probability of the recorded integers."
        )
    if any(row.seeds == 1 for row in rows):
        notes.append("One seed: how much a repetition of the training would move a figure is not known.")
    return notes
