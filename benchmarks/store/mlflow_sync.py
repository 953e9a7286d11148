"""Sending results to MLflow: as they come, or later, from what is kept on disk; never twice.

A trial's directory holds all that MLflow is told (`benchmarks.store.records`). What MLflow lacks of it is found by the
trial's key and identity and by the steps that have metrics, so that sending may be cut off anywhere and begun again.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.store.mlflow_writer import StudyRecord
from benchmarks.store.records import RECORD, TrialRecord, load_record
from benchmarks.trials.trial import AUDIT, CURVES, OUTCOME, Outcome, artifacts_of, load_outcome
from pipelines.runtime.storage import Location
from vrnn.training.checkpoints import EpochRecord

__all__ = ["Kept", "OpenRun", "begin_run", "cut_off", "end_run", "kept_epochs", "kept_results", "log_epoch", "send"]

# MLflow shows metrics of this prefix among a run's system metrics.
_WATCHED = ("frames_per_second", "data_wait_share", "fraction_of_peak", "peak_memory_gib")
_TAG_LENGTH = 5000


@dataclass(frozen=True)
class OpenRun:
    """A run in MLflow that is not closed, and the steps it has the metrics of: epochs, and one more for the summary."""

    run_id: str
    steps: set[int]


@dataclass(frozen=True)
class Kept:
    """A result on disk: its record, its outcome, and the directory that holds both and its artifacts."""

    record: TrialRecord
    outcome: Outcome
    directory: Location


def kept_results(study: Location, keys: Collection[str] | None = None) -> list[Kept]:
    """The results below a study's directory, in the order of their names; where `keys` are given, of these trials."""
    found: list[Kept] = []
    for place in sorted({file.path.rpartition("/")[0] for file in study.files() if file.path.endswith(f"/{OUTCOME}")}):
        directory = study / place
        record, outcome = load_record(directory), load_outcome(directory)
        if record is None or outcome is None or record.identity != outcome.identity:
            continue
        if keys is None or record.key in keys:
            found.append(Kept(record, outcome, directory))
    return found


def begin_run(study: StudyRecord, record: TrialRecord) -> OpenRun:
    """Open the trial's run, or the one that was left open."""
    run_id = study.start_trial(record)
    return OpenRun(run_id, study.logged_steps(run_id, f"system/{_WATCHED[0]}"))


def log_epoch(study: StudyRecord, run: OpenRun, epoch: EpochRecord) -> None:
    """Log an epoch's figures, once, however often it is told of."""
    figures = {f"system/{figure}": getattr(epoch, figure) for figure in _WATCHED}
    _log(study, run, epoch.epoch, figures | {"valid/nats_per_frame": epoch.valid_nats_per_frame})


def _log(study: StudyRecord, run: OpenRun, step: int, metrics: Mapping[str, float]) -> None:
    if step not in run.steps:
        study.log_metrics(run.run_id, metrics, step)
        run.steps.add(step)


def end_run(study: StudyRecord, run: OpenRun, kept: Kept) -> None:
    """Log what the trial left and close its run.

    Of epochs that ended after their driver was killed, or while MLflow was away, nobody was told until now.
    """
    record, outcome = kept.record, kept.outcome
    with artifacts_of(kept.directory) as directory:
        study.log_files(run.run_id, directory)
        if (directory / CURVES).is_file():
            epochs = kept_epochs(directory)
            for epoch in epochs:
                log_epoch(study, run, epoch)
            study.tag_trial(run.run_id, "cut_off", cut_off(record, epochs))
        if (directory / AUDIT).is_file():
            warnings = json.loads((directory / AUDIT).read_text())["warnings"]
            study.tag_trial(run.run_id, "audit_warnings", _bounded(warnings))
    study.log_text(run.run_id, RECORD, record.model_dump_json(indent=1))
    _log(study, run, int(outcome.metrics.get("train/epochs", 0)) + 1, outcome.metrics)
    if record.spec is not None:
        study.log_model(run.run_id, record, int(outcome.metrics["train/steps"]))
    study.end_trial(run.run_id, diverged_at_step=outcome.diverged_at_step)


def kept_epochs(artifacts: Path) -> list[EpochRecord]:
    """The epochs of a trial, from its artifacts."""
    return [EpochRecord(**epoch) for epoch in pq.read_table(artifacts / CURVES).to_pylist()]


def cut_off(record: TrialRecord, epochs: Sequence[EpochRecord]) -> str:
    """`yes` where the last epoch that was allowed was the best: `max_epochs` ended the trial, and not its patience."""
    assert record.spec is not None
    best = max(epochs, key=lambda epoch: epoch.valid_nats_per_frame, default=None)
    return "yes" if best is not None and best.epoch == record.spec.optimisation.max_epochs else "no"


def _bounded(warnings: list[str]) -> str:
    """JSON of as many of the warnings as a tag holds."""
    while len(text := json.dumps(warnings)) > _TAG_LENGTH:
        warnings = warnings[:-1]
    return text


def send(study: StudyRecord, results: Collection[Kept]) -> Iterator[Kept]:
    """Send the results that MLflow lacks; yields each that was sent."""
    for kept in results:
        if not study.is_recorded(kept.record.key, kept.record.identity):
            end_run(study, begin_run(study, kept.record), kept)
            yield kept
