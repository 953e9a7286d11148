"""What MLflow's store holds: the finished trials of a study or of a commit, each with its per-sequence scores.

A store that does not answer raises MLflow's own error: whoever asks knows whose it is to mend
(`benchmarks.store.mlflow_writer`).
"""

import difflib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from benchmarks.errors import StudyError
from benchmarks.store.mlflow_writer import FINISHED, client_of_store, store
from benchmarks.trials.trial import SCORES

__all__ = [
    "FinishedTrial",
    "RecordedStudy",
    "artifacts_of_run",
    "find_run",
    "is_commit",
    "known_study",
    "read_commit",
    "read_study",
]

_SHORTEST_COMMIT = 7


@dataclass(frozen=True)
class FinishedTrial:
    """A finished trial: its tags and its per-sequence scores."""

    tags: Mapping[str, str]
    scores: pd.DataFrame


@dataclass(frozen=True)
class RecordedStudy:
    """What is recorded of a study.

    Attributes:
        trials: finished, in the order they were started.
        diverged: the tags of those that diverged.
        files: JSON values kept on the study's own run, by file name.
    """

    trials: Sequence[FinishedTrial]
    diverged: Sequence[Mapping[str, str]] = ()
    files: Mapping[str, Any] = field(default_factory=dict)


def read_study(study: str, files: Sequence[str] = ()) -> RecordedStudy:
    """The trials of a study, and those of `files` that its own run has.

    Raises:
        StudyError: there is no such study in the store, or it has no finished trial.
    """
    client = client_of_store()
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        raise StudyError(f"no study {study!r} in the store; it has {', '.join(_studies(client)) or 'none'}")
    runs = _trial_runs(client, [experiment.experiment_id])
    finished = _newest(run for run in runs if run.info.status == FINISHED)
    if not finished:
        raise StudyError(f"study {study!r} has no finished trial; run it first: vrnn-bench run SUITE.toml")
    diverged = _newest(run for run in runs if "diverged_at_step" in run.data.tags)
    found = _study_files(client, experiment.experiment_id, files)
    return RecordedStudy(_read(client, finished), [run.data.tags for run in diverged], found)


def read_commit(commit: str) -> RecordedStudy:
    """The finished trials that a git commit made, of whatever study.

    Raises:
        StudyError: the store has none, or more than one commit begins so.
    """
    client = client_of_store()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = _trial_runs(client, experiments, f" and tags.git_commit LIKE '{commit}%'")
    finished = _newest(run for run in runs if run.info.status == FINISHED)
    if not finished:
        raise StudyError(f"no finished trial of commit {commit} in {store()}; run a suite at that commit first")
    if len(full := {run.data.tags["git_commit"] for run in finished}) > 1:
        raise StudyError(f"{commit}: {len(full)} commits begin so; give more digits")
    return RecordedStudy(_read(client, finished))


def is_commit(text: str) -> bool:
    """Whether a text can be the beginning of a commit's name."""
    return _SHORTEST_COMMIT <= len(text) <= 40 and set(text) <= set("0123456789abcdef")


def known_study(name: str) -> bool:
    """Whether the store has a study of that name."""
    client = client_of_store()
    return client.get_experiment_by_name(name) is not None


def _studies(client: MlflowClient) -> list[str]:
    return sorted(found.name for found in client.search_experiments() if found.name != "Default")


def _trial_runs(client: MlflowClient, experiments: list[str], more: str = "") -> list[Run]:
    """The runs of trials, in the order they were started."""
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            experiments, f"tags.trial_key != ''{more}", order_by=["attributes.start_time ASC"], page_token=token
        )
        runs += page
        token = page.token
        if not token:
            return runs


def _newest(runs: Iterator[Run]) -> list[Run]:
    """The newest run of each trial, at the place of its first: a trial that was scored anew has several."""
    found: dict[str, Run] = {}
    for run in runs:
        found[run.data.tags["trial_key"]] = run
    return list(found.values())


def _read(client: MlflowClient, runs: Sequence[Run]) -> list[FinishedTrial]:
    with tempfile.TemporaryDirectory() as directory:
        return [
            FinishedTrial(run.data.tags, pd.read_parquet(_fetch(client, run.info.run_id, SCORES, Path(directory))))
            for run in runs
        ]


def _fetch(client: MlflowClient, run_id: str, name: str, directory: Path) -> Path:
    place = directory / run_id
    place.mkdir(exist_ok=True)
    return Path(client.download_artifacts(run_id, name, str(place)))


def _study_files(client: MlflowClient, experiment_id: str, names: Sequence[str]) -> dict[str, Any]:
    parents = client.search_runs([experiment_id], "tags.role = 'study'")
    if not parents or not names:
        return {}
    run_id = parents[0].info.run_id
    there = {artifact.path for artifact in client.list_artifacts(run_id)}
    with tempfile.TemporaryDirectory() as directory:
        paths = {name: _fetch(client, run_id, name, Path(directory)) for name in names if name in there}
        return {name: json.loads(path.read_text()) for name, path in paths.items()}


def find_run(name: str) -> str:
    """The ID of the newest finished run of a trial that is called STUDY/TRIAL; any other name is an ID already.

    Raises:
        StudyError: the study has no such finished trial.
    """
    study, slash, trial = name.partition("/")
    client = client_of_store()
    experiment = client.get_experiment_by_name(study) if slash and study else None
    if experiment is None:
        return name
    runs = _trial_runs(client, [experiment.experiment_id])
    finished = {run.data.tags["mlflow.runName"]: run for run in runs if run.info.status == FINISHED}
    if trial not in finished:
        near = difflib.get_close_matches(trial, finished, n=1)
        hint = f"did you mean {study}/{near[0]}?" if near else f"it has {', '.join(list(finished)[:3])}, ..."
        raise StudyError(f"study {study} has no finished trial {trial!r}; {hint}")
    return finished[trial].info.run_id


@contextmanager
def artifacts_of_run(run_id: str) -> Iterator[Path]:
    """All artifacts of a trial's run, in a local directory, within.

    Raises:
        StudyError: there is no such run, or it is not a trial that finished.
    """
    client = client_of_store()
    with tempfile.TemporaryDirectory() as directory:
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise StudyError(
                f"no run {run_id!r} in {store()}; give the Run ID that MLflow shows of a trial, or STUDY/TRIAL"
            ) from error
        if run.info.status != FINISHED or "trial_key" not in run.data.tags:
            raise StudyError(f"run {run_id} is not a finished trial; give the Run ID of one")
        place = Path(client.download_artifacts(run_id, "", directory))
        yield place
