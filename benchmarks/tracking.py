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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunStatus, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from benchmarks.errors import FailedError, StudyError

__all__ = ["DEFAULT_STORE", "FinishedTrial", "StudyRecord", "answering", "open_record", "read_study"]

DEFAULT_STORE = "sqlite:///mlflow.db"
COMPARISON = "comparison.json"
SCORES = "scores.parquet"
_DIGEST_LENGTH = 36
_PARAM_LENGTH = 500
_FINISHED = RunStatus.to_string(RunStatus.FINISHED)


@dataclass(frozen=True)
class FinishedTrial:
    """A finished child run: its tags and its per-sequence scores."""

    tags: Mapping[str, str]
    scores: pd.DataFrame


def _client() -> MlflowClient:
    return MlflowClient(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_STORE))


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

    def is_finished(self, trial_key: str) -> bool:
        """Whether the trial's run is there and finished."""
        return any(run.info.status == _FINISHED for run in self._runs_of(trial_key))

    def start_trial(self, name: str, tags: Mapping[str, str], params: Mapping[str, object]) -> str:
        """Open the trial's run, or the one that an interrupted study left; returns its id.

        MLflow changes no parameter: where one is another now (newer software, other scoring), the run that was left
        stays as it is, and a new one is opened.
        """
        flat = {key: str(value)[:_PARAM_LENGTH] for key, value in params.items()}
        run_id = self._left_run(tags["trial_key"], flat)
        if run_id is None:
            extra = {MLFLOW_RUN_NAME: name, MLFLOW_PARENT_RUN_ID: self._parent_id}
            run_id = self._client.create_run(self._experiment_id, tags={**tags, **extra}).info.run_id
        else:
            self._client.update_run(run_id, status="RUNNING")
        self._client.log_batch(
            run_id,
            params=[Param(key, value) for key, value in flat.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
        return run_id

    def _left_run(self, trial_key: str, params: Mapping[str, str]) -> str | None:
        for run in self._runs_of(trial_key):
            if run.info.status != _FINISHED and run.data.params.items() <= params.items():
                return run.info.run_id
        return None

    def log_dataset(self, run_id: str, name: str, fingerprint: str, source: str) -> None:
        """Name the data as the run's input, with the fingerprint as its digest."""
        dataset = Dataset(name, fingerprint[:_DIGEST_LENGTH], "local", json.dumps({"uri": source}))
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

    def end_trial(self, run_id: str, *, diverged_at_step: int | None = None) -> None:
        """Close the run: finished, or failed and tagged where it diverged."""
        if "failed" in self._client.get_run(run_id).data.tags:
            self._client.delete_tag(run_id, "failed")
        if diverged_at_step is not None:
            self._client.set_tag(run_id, "diverged_at_step", str(diverged_at_step))
        self._client.set_terminated(run_id, "FINISHED" if diverged_at_step is None else "FAILED")

    def fail_trial(self, run_id: str, reason: str) -> None:
        """Close the run of a trial that could not be finished; the next run of the study tries again."""
        self._client.set_tag(run_id, "failed", reason)
        self._client.set_terminated(run_id, "FAILED")

    def abandon_trial(self, run_id: str) -> None:
        """Close the run of a trial that was interrupted; the next run of the study takes it up again."""
        self._client.set_terminated(run_id, "KILLED")

    def log_comparison(self, comparison: Mapping[str, Any]) -> None:
        """Keep the table on the parent run and close it."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / COMPARISON
            path.write_text(json.dumps(comparison, indent=1))
            self._client.log_artifact(self._parent_id, str(path))
        self._client.set_terminated(self._parent_id, "FINISHED")


@contextmanager
def answering() -> Iterator[None]:
    """Within, a store that ceases to answer fails the study.

    Raises:
        FailedError: it did.
    """
    try:
        yield
    except MlflowException as error:
        raise FailedError(f"{_unreachable(error)}; what is done is kept, and the same command records it") from error


def open_record(study: str) -> StudyRecord:
    """The record of `study` in the store that `MLFLOW_TRACKING_URI` names, else in `sqlite:///mlflow.db`.

    Raises:
        StudyError: the store cannot be reached.
    """
    try:
        return StudyRecord(_client(), study)
    except MlflowException as error:
        raise _unreachable(error) from error


def read_study(study: str) -> tuple[list[FinishedTrial], list[Mapping[str, str]]]:
    """The finished trials of a study, in the order they were started, and the tags of those that diverged.

    Raises:
        StudyError: there is no such study in the store, or it has no finished trial.
    """
    client = _client()
    try:
        experiment = client.get_experiment_by_name(study)
        if experiment is None:
            known = sorted(e.name for e in client.search_experiments() if e.name != "Default")
            raise StudyError(f"no study {study!r} in the store; it has {', '.join(known) or 'none'}")
        runs = _trial_runs(client, experiment.experiment_id)
        finished = [run for run in runs if run.info.status == _FINISHED]
        if not finished:
            raise StudyError(f"study {study!r} has no finished trial; run it first: vrnn-bench run SUITE.toml")
        trials = [FinishedTrial(run.data.tags, _scores(client, run)) for run in finished]
    except MlflowException as error:
        raise _unreachable(error) from error
    return trials, [run.data.tags for run in runs if "diverged_at_step" in run.data.tags]


def _trial_runs(client: MlflowClient, experiment_id: str) -> list[Run]:
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment_id], "tags.trial_key != ''", order_by=["attributes.start_time ASC"], page_token=token
        )
        runs += page
        token = page.token
        if not token:
            return runs


def _scores(client: MlflowClient, run: Run) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as directory:
        return pd.read_parquet(client.download_artifacts(run.info.run_id, SCORES, directory))


def _unreachable(error: MlflowException) -> StudyError:
    store = os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_STORE)
    return StudyError(f"MLflow store {store}: {str(error).splitlines()[0]}; check MLFLOW_TRACKING_URI")
