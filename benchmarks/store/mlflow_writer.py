"""The record of a study in MLflow: one experiment, one parent run, one child run a trial.

The only module of this package that speaks to MLflow. Runs are found by their `trial_key`, so that a study that is run
again continues its record instead of doubling it. Only finite numbers are logged: MLflow would store an infinity
as a large finite number without a word.
"""

import json
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
from benchmarks.store.records import TrialRecord

__all__ = [
    "COMPARISON",
    "DEFAULT_STORE",
    "FINISHED",
    "REPORT",
    "StudyRecord",
    "answering",
    "asking",
    "client_of_store",
    "log_report",
    "open_record",
    "store",
]

DEFAULT_STORE = "sqlite:///mlflow.db"
COMPARISON = "comparison.json"
REPORT = "report.html"
FINISHED = RunStatus.to_string(RunStatus.FINISHED)
_DIGEST_LENGTH = 36
_PARAM_LENGTH = 500


def store() -> str:
    """Where runs are recorded: `MLFLOW_TRACKING_URI`, else `sqlite:///mlflow.db`."""
    return os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_STORE)


def client_of_store() -> MlflowClient:
    """A client of that store."""
    return MlflowClient(tracking_uri=store())


class StudyRecord:
    """A study's experiment and parent run, for writing."""

    def __init__(self, client: MlflowClient, study: str) -> None:
        """Find or create both."""
        self._client = client
        self._study = study
        experiment = client.get_experiment_by_name(study)
        self._experiment_id = experiment.experiment_id if experiment else client.create_experiment(study)
        self._parent_id = self._study_run()

    def _study_run(self) -> str:
        found = self._client.search_runs([self._experiment_id], "tags.role = 'study'", ViewType.ACTIVE_ONLY)
        if found:
            self._client.update_run(found[0].info.run_id, status="RUNNING")
            return found[0].info.run_id
        tags = {"study": self._study, "role": "study", MLFLOW_RUN_NAME: self._study}
        return self._client.create_run(self._experiment_id, tags=tags).info.run_id

    def tag_study(self, key: str, value: str) -> None:
        """Tag the parent run."""
        self._client.set_tag(self._parent_id, key, value)

    def _runs_of(self, trial_key: str) -> list[Run]:
        return self._client.search_runs([self._experiment_id], f"tags.trial_key = '{trial_key}'")

    def is_finished(self, trial_key: str, identity: str) -> bool:
        """Whether the trial's run is there and finished, and scored as is asked."""
        return any(run.info.status == FINISHED for run in self._results(trial_key, identity))

    def is_recorded(self, trial_key: str, identity: str) -> bool:
        """Whether the trial's end is recorded, good or bad."""
        runs = self._results(trial_key, identity)
        return any(run.info.status == FINISHED or "diverged_at_step" in run.data.tags for run in runs)

    def _results(self, trial_key: str, identity: str) -> list[Run]:
        return [run for run in self._runs_of(trial_key) if run.data.tags.get("identity") == identity]

    def start_trial(self, record: TrialRecord) -> str:
        """Open the trial's run, or the one that an interrupted study left; returns its id.

        MLflow changes no parameter: where one is another now (other scoring), the run that was left stays as it is,
        and a new one is opened.
        """
        flat = {key: value[:_PARAM_LENGTH] for key, value in record.params.items()}
        run_id = self._left_run(record, flat)
        if run_id is None:
            extra = {MLFLOW_RUN_NAME: record.name, MLFLOW_PARENT_RUN_ID: self._parent_id}
            run_id = self._client.create_run(self._experiment_id, tags={**record.tags, **extra}).info.run_id
        else:
            self._client.update_run(run_id, status="RUNNING")
        self._client.log_batch(
            run_id,
            params=[Param(key, value) for key, value in flat.items()],
            tags=[RunTag(key, value) for key, value in record.tags.items()],
        )
        self._log_data(run_id, record)
        return run_id

    def _left_run(self, record: TrialRecord, params: Mapping[str, str]) -> str | None:
        for run in self._results(record.key, record.identity):
            if run.info.status != FINISHED and run.data.params.items() <= params.items():
                return run.info.run_id
        return None

    def _log_data(self, run_id: str, record: TrialRecord) -> None:
        """Name the data as the run's input, with the fingerprint as its digest."""
        data = record.data
        dataset = Dataset(data.name, data.fingerprint[:_DIGEST_LENGTH], "local", json.dumps({"uri": data.uri}))
        self._client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log the finite ones of `metrics`."""
        timestamp = int(time.time() * 1000)
        finite = [Metric(key, value, timestamp, step) for key, value in metrics.items() if math.isfinite(value)]
        self._client.log_batch(run_id, metrics=finite)

    def logged_steps(self, run_id: str, metric: str) -> set[int]:
        """The steps that a metric was logged at."""
        return {logged.step for logged in self._client.get_metric_history(run_id, metric)}

    def log_files(self, run_id: str, directory: Path) -> None:
        """Keep everything below `directory` as the run's artifacts."""
        self._client.log_artifacts(run_id, str(directory))

    def log_text(self, run_id: str, name: str, text: str) -> None:
        """Keep a text as one of the run's artifacts."""
        self._client.log_text(run_id, text, name)

    def log_model(self, run_id: str, record: TrialRecord, step: int) -> None:
        """Name the fitted model as the run's output: a logged model that says where its checkpoint lies; once."""
        outputs = self._client.get_run(run_id).outputs
        if outputs is not None and outputs.model_outputs:
            return
        told = ("checkpoint", "corpus", "protocol", "seed", "trial_key", "git_commit", "fingerprint")
        params = {key: value[:_PARAM_LENGTH] for key, value in record.params.items() if key.startswith("model.")}
        model = self._client.create_logged_model(
            self._experiment_id,
            name=f"{record.tags['model'].replace('+', '-')}-{record.key}",
            source_run_id=run_id,
            tags={key: record.tags[key] for key in told},
            params=params,
            model_type=record.tags["model"],
        )
        self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step)])
        self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)

    def tag_trial(self, run_id: str, key: str, value: str) -> None:
        """Tag a trial's run."""
        self._client.set_tag(run_id, key, value)

    def end_trial(self, run_id: str, *, diverged_at_step: int | None = None) -> None:
        """Close the run: finished, or failed and tagged where it diverged."""
        if "failed" in self._client.get_run(run_id).data.tags:
            self._client.delete_tag(run_id, "failed")
        if diverged_at_step is not None:
            self._client.set_tag(run_id, "diverged_at_step", str(diverged_at_step))
        self._client.set_terminated(run_id, FINISHED if diverged_at_step is None else "FAILED")

    def fail_trial(self, run_id: str, reason: str) -> None:
        """Close the run of a trial that could not be finished; the next run of the study tries again."""
        self._client.set_tag(run_id, "failed", reason)
        self._client.set_terminated(run_id, "FAILED")

    def abandon_trial(self, run_id: str) -> None:
        """Close the run of a trial that was interrupted; the next run of the study takes it up again."""
        self._client.set_terminated(run_id, "KILLED")

    def log_study_files(self, files: Mapping[str, Any]) -> None:
        """Keep JSON values, by file name, on the parent run."""
        with tempfile.TemporaryDirectory() as directory:
            for name, content in files.items():
                (Path(directory) / name).write_text(json.dumps(content, indent=1))
            self._client.log_artifacts(self._parent_id, directory)

    def log_comparison(self, comparison: Mapping[str, Any]) -> None:
        """Keep the table on the parent run and close it."""
        self.log_study_files({COMPARISON: comparison})
        self._client.set_terminated(self._parent_id, FINISHED)


def log_report(study: str, html: str) -> None:
    """Keep a study's report on its parent run, where MLflow's own viewer shows it; a later one takes its place.

    Raises:
        StudyError: the store does not answer, or has no such study.
    """
    with asking():
        client = client_of_store()
        experiment = client.get_experiment_by_name(study)
        found = client.search_runs([experiment.experiment_id], "tags.role = 'study'") if experiment else []
        if not found:
            raise StudyError(f"{store()} has no study {study!r}: run it, or send it with vrnn-bench sync")
        client.log_text(found[0].info.run_id, html, REPORT)


@contextmanager
def answering() -> Iterator[None]:
    """Within, a store that ceases to answer is told by one error.

    Raises:
        UnreachableError: it did.
    """
    try:
        yield
    except MlflowException as error:
        raise UnreachableError(_told(error)) from error


@contextmanager
def asking() -> Iterator[None]:
    """Within, a store that does not answer is the user's to mend.

    Raises:
        StudyError: it does not.
    """
    try:
        yield
    except MlflowException as error:
        raise StudyError(f"{_told(error)}; check MLFLOW_TRACKING_URI") from error


def _told(error: MlflowException) -> str:
    return f"MLflow store {store()}: {str(error).splitlines()[0]}"


def open_record(study: str) -> StudyRecord:
    """The record of `study` in the store that `MLFLOW_TRACKING_URI` names, else in `sqlite:///mlflow.db`.

    Raises:
        StudyError: the store cannot be reached.
    """
    with asking():
        return StudyRecord(client_of_store(), study)
