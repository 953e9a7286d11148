"""The MLflow writer: one experiment for a study, one parent run, and one child run for each trial.

It copies what is on disk (`benchmarks.store.results`). What MLflow lacks is found by a trial's key and identity and by
the steps that have metrics, so copying may stop anywhere and be repeated: nothing is written twice. Only finite numbers
are logged, because MLflow stores an infinity as a large finite number without a warning.
"""

import json
import math
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    Run,
    RunStatus,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from benchmarks.errors import StudyError, UnreachableError
from benchmarks.schema.base import File
from benchmarks.schema.comparison import Comparison
from benchmarks.schema.trial import TrialRecord
from benchmarks.store.results import StoredStudy, StoredTrial, local_artifacts
from vrnn.training.epoch_metrics import EpochRecord

__all__ = [
    "DEFAULT_STORE",
    "FINISHED",
    "REPORT",
    "OpenRun",
    "StudyWriter",
    "log_report",
    "mlflow_errors_as_study_errors",
    "mlflow_errors_as_unreachable",
    "open_writer",
    "store_client",
    "store_uri",
]

DEFAULT_STORE = "sqlite:///mlflow.db"
REPORT = "report.html"
FINISHED = RunStatus.to_string(RunStatus.FINISHED)

_DIGEST_LENGTH = 36
_PARAM_LENGTH = 500
_TAG_LENGTH = 5000
_SYSTEM_METRICS = ("frames_per_second", "data_wait_share", "fraction_of_peak", "peak_memory_gib")
"""Values of an epoch that MLflow shows among a run's system metrics."""


def store_uri() -> str:
    """The store's address: `MLFLOW_TRACKING_URI`, else `sqlite:///mlflow.db`."""
    return os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_STORE)


def store_client() -> MlflowClient:
    """A client of the store."""
    return MlflowClient(tracking_uri=store_uri())


@contextmanager
def mlflow_errors_as_unreachable() -> Iterator[None]:
    """Within the context, an error of MLflow becomes an `UnreachableError`: the study can do without the store.

    Raises:
        UnreachableError: the store does not answer.
    """
    try:
        yield
    except MlflowException as error:
        raise UnreachableError(_message(error)) from error


@contextmanager
def mlflow_errors_as_study_errors() -> Iterator[None]:
    """Within the context, an error of MLflow becomes a `StudyError`: the user has to fix the store.

    Raises:
        StudyError: the store does not answer.
    """
    try:
        yield
    except MlflowException as error:
        raise StudyError(f"{_message(error)}; check MLFLOW_TRACKING_URI") from error


def _message(error: MlflowException) -> str:
    return f"MLflow store {store_uri()}: {str(error).splitlines()[0]}"


def open_writer(study: str) -> "StudyWriter":
    """The writer of a study.

    Raises:
        StudyError: the store cannot be reached.
    """
    with mlflow_errors_as_study_errors():
        return StudyWriter(store_client(), study)


@dataclass(frozen=True)
class OpenRun:
    """A child run that is not closed, and the steps it has metrics of: epochs, and one more for the summary."""

    run_id: str
    steps: set[int]


class StudyWriter:
    """Writes a study's experiment, its parent run and its child runs."""

    def __init__(self, client: MlflowClient, study: str) -> None:
        """Find or create the experiment and the parent run, and mark the latter as running."""
        self._client = client
        experiment = client.get_experiment_by_name(study)
        self._experiment_id = experiment.experiment_id if experiment else client.create_experiment(study)
        found = client.search_runs([self._experiment_id], "tags.role = 'study'", ViewType.ACTIVE_ONLY)
        if found:
            self._parent_id = found[0].info.run_id
            client.update_run(self._parent_id, status="RUNNING")
        else:
            tags = {"study": study, "role": "study", MLFLOW_RUN_NAME: study}
            self._parent_id = client.create_run(self._experiment_id, tags=tags).info.run_id

    # The parent run.

    def tag_study(self, key: str, value: str) -> None:
        """Tag the parent run."""
        self._client.set_tag(self._parent_id, key, value)

    def log_files(self, *files: File) -> None:
        """Keep files of results on the parent run."""
        with tempfile.TemporaryDirectory() as directory:
            for file in files:
                (Path(directory) / file.file_name).write_bytes(file.to_bytes())
            self._client.log_artifacts(self._parent_id, directory)

    def finish(self, comparison: Comparison) -> None:
        """Keep the comparison on the parent run and close it."""
        self.log_files(comparison)
        self._client.set_terminated(self._parent_id, FINISHED)

    # The child runs.

    def start_run(self, record: TrialRecord) -> OpenRun:
        """Open the trial's run, or the one that an interrupted study left open.

        MLflow cannot change a parameter. Where one differs (another way to score), the old run stays and a new one is
        opened.
        """
        params = {key: value[:_PARAM_LENGTH] for key, value in record.params.items()}
        run_id = None
        for run in self._runs_of(record):
            if run.info.status != FINISHED and run.data.params.items() <= params.items():
                run_id = run.info.run_id
                self._client.update_run(run_id, status="RUNNING")
                break
        if run_id is None:
            extra = {MLFLOW_RUN_NAME: record.name, MLFLOW_PARENT_RUN_ID: self._parent_id}
            run_id = self._client.create_run(self._experiment_id, tags={**record.tags, **extra}).info.run_id
        self._client.log_batch(
            run_id,
            params=[Param(key, value) for key, value in params.items()],
            tags=[RunTag(key, value) for key, value in record.tags.items()],
        )
        # The data are the run's input, with the fingerprint as their digest.
        source = json.dumps({"uri": record.shards})
        dataset = Dataset(record.corpus, record.fingerprint[:_DIGEST_LENGTH], "local", source)
        self._client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
        logged = self._client.get_metric_history(run_id, f"system/{_SYSTEM_METRICS[0]}")
        return OpenRun(run_id, {metric.step for metric in logged})

    def _runs_of(self, record: TrialRecord) -> list[Run]:
        """The trial's runs, scored in the record's way."""
        runs = self._client.search_runs([self._experiment_id], f"tags.trial_key = '{record.key}'")
        return [run for run in runs if run.data.tags.get("identity") == record.identity]

    def log_epoch(self, run: OpenRun, epoch: EpochRecord) -> None:
        """Log an epoch's metrics, unless they are logged already."""
        metrics = {f"system/{name}": getattr(epoch, name) for name in _SYSTEM_METRICS}
        self._log_metrics(run, epoch.epoch, metrics | {"valid/nats_per_frame": epoch.valid_nats_per_frame})

    def _log_metrics(self, run: OpenRun, step: int, metrics: Mapping[str, float]) -> None:
        if step not in run.steps:
            now = int(time.time() * 1000)
            finite = [Metric(key, value, now, step) for key, value in metrics.items() if math.isfinite(value)]
            self._client.log_batch(run.run_id, metrics=finite)
            run.steps.add(step)

    def finish_run(self, run: OpenRun, trial: StoredTrial) -> None:
        """Log what the trial left and close its run."""
        record, outcome, run_id = trial.record, trial.outcome, run.run_id
        with local_artifacts(trial) as directory:
            self._client.log_artifacts(run_id, str(directory))
        for file in (record, outcome):
            self._client.log_text(run_id, file.to_bytes().decode(), file.file_name)
        # Epochs that ended after their driver was killed, or while MLflow was away, are logged now.
        curves = trial.curves()
        for epoch in [] if curves is None else curves.to_dict("records"):
            self.log_epoch(run, EpochRecord(**{str(key): value for key, value in epoch.items()}))
        if outcome.cut_off is not None:
            self._client.set_tag(run_id, "cut_off", "yes" if outcome.cut_off else "no")
        warnings = list(outcome.audit_warnings)
        while len(json.dumps(warnings)) > _TAG_LENGTH:
            warnings.pop()
        self._client.set_tag(run_id, "audit_warnings", json.dumps(warnings))
        self._log_metrics(run, int(outcome.metrics.get("train/epochs", 0)) + 1, outcome.metrics)
        if record.spec is not None:
            self._log_model(run_id, record, int(outcome.metrics["train/steps"]))
        if "failed" in self._client.get_run(run_id).data.tags:
            self._client.delete_tag(run_id, "failed")
        if trial.diverged:
            self._client.set_tag(run_id, "diverged_at_step", str(outcome.diverged_at_step))
        self._client.set_terminated(run_id, "FAILED" if trial.diverged else FINISHED)

    def _log_model(self, run_id: str, record: TrialRecord, step: int) -> None:
        """Log the trained model once, as the run's output: a logged model that names its checkpoint."""
        outputs = self._client.get_run(run_id).outputs
        if outputs is not None and outputs.model_outputs:
            return
        named = ("checkpoint", "corpus", "protocol", "seed", "trial_key", "git_commit", "fingerprint")
        model = self._client.create_logged_model(
            self._experiment_id,
            name=f"{record.model.replace('+', '-')}-{record.key}",
            source_run_id=run_id,
            tags={key: record.tags[key] for key in named},
            params={key: value[:_PARAM_LENGTH] for key, value in record.params.items() if key.startswith("model.")},
            model_type=record.model,
        )
        self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step)])
        self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)

    def fail_run(self, run: OpenRun, reason: str) -> None:
        """Close the run of a trial that failed; the next run of the study tries it again."""
        self._client.set_tag(run.run_id, "failed", reason)
        self._client.set_terminated(run.run_id, "FAILED")

    def stop_run(self, run: OpenRun) -> None:
        """Close the run of a trial that was interrupted; the next run of the study resumes it."""
        self._client.set_terminated(run.run_id, "KILLED")

    def send(self, trials: Iterable[StoredTrial]) -> Iterator[StoredTrial]:
        """Send the trials that MLflow lacks; yields each one that was sent."""
        for trial in trials:
            runs = self._runs_of(trial.record)
            if not any(run.info.status == FINISHED or "diverged_at_step" in run.data.tags for run in runs):
                self.finish_run(self.start_run(trial.record), trial)
                yield trial

    def send_study(self, study: StoredStudy, corpora: File) -> Iterator[StoredTrial]:
        """Send the study's own files and the trials that MLflow lacks; yields each trial that was sent."""
        self.log_files(study.description, corpora)
        yield from self.send(study.trials)


def log_report(study: str, html: str) -> None:
    """Keep a study's report on its parent run, where MLflow's own viewer shows it; it replaces an earlier one.

    Raises:
        StudyError: the store does not answer, or has no such study.
    """
    with mlflow_errors_as_study_errors():
        client = store_client()
        experiment = client.get_experiment_by_name(study)
        found = client.search_runs([experiment.experiment_id], "tags.role = 'study'") if experiment else []
        if not found:
            raise StudyError(f"{store_uri()} has no study {study!r}: run it, or send it with vrnn-bench sync")
        client.log_text(found[0].info.run_id, html, REPORT)
