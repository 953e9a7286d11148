"""The MLflow reader: a study or a commit's trials from the store alone, as the objects that the disk holds.

A store that does not answer raises MLflow's own error; callers choose what that means (`mlflow_writer`).
"""

import difflib
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from benchmarks.errors import StoreError, StudyError
from benchmarks.schema.base import ResultFileError, read_file
from benchmarks.schema.comparison import Comparison
from benchmarks.schema.corpus import CorpusDescriptions
from benchmarks.schema.study import StudyDescription
from benchmarks.schema.trial import Outcome, TrialRecord
from benchmarks.store.mlflow_writer import FINISHED, store_client, store_uri
from benchmarks.store.results import StoredStudy, StoredTrial

__all__ = [
    "DEFAULT_EXPERIMENT_ID",
    "RunArtifacts",
    "find_run",
    "has_study",
    "latest_of_each_trial",
    "read_commit",
    "read_comparison",
    "read_run",
    "read_study",
    "reading_store",
    "runs_of",
    "study_run",
]

DEFAULT_EXPERIMENT_ID = "0"
_STUDIES_LISTED = 12


@contextmanager
def reading_store() -> Iterator[None]:
    """Turn an error of MLflow into one line.

    Raises:
        StoreError: MLflow cannot be read.
    """
    try:
        yield
    except MlflowException as error:
        # The store's address is left out: a page shows this line, and the address may contain a password.
        raise StoreError(f"MLflow cannot be read ({str(error).splitlines()[0]}); check MLFLOW_TRACKING_URI") from error


class RunArtifacts:
    """The artifacts of one run; they are listed once, and each file is read when it is asked for."""

    def __init__(self, client: MlflowClient, run: Run) -> None:
        """Read the artifacts of `run`, which `client` found."""
        self._client, self._run = client, run

    @property
    def where(self) -> str:
        """See `benchmarks.store.results.Artifacts`."""
        return f"MLflow run {self._run.info.run_id}"

    @cached_property
    def _repository(self) -> ArtifactRepository:
        # A client would look the run up again for every listing and every file.
        uri = self._run.info.artifact_uri
        assert uri is not None, "a run has an artifact location"
        return get_artifact_repository(uri, tracking_uri=self._client.tracking_uri)

    @cached_property
    def _names(self) -> frozenset[str]:
        def below(folder: str | None) -> Iterable[str]:
            for found in self._repository.list_artifacts(folder):
                if found.is_dir:
                    yield from below(found.path)
                else:
                    yield found.path

        return frozenset(below(None))

    def names(self) -> Collection[str]:
        """See `benchmarks.store.results.Artifacts`."""
        with reading_store():
            return self._names

    def read(self, name: str) -> bytes:
        """See `benchmarks.store.results.Artifacts`."""
        with reading_store(), tempfile.TemporaryDirectory() as directory:
            return Path(self._repository.download_artifacts(name, directory)).read_bytes()


def runs_of(client: MlflowClient, experiment_ids: list[str], condition: str = "") -> list[Run]:
    """All active runs of experiments, the newest first."""
    runs: list[Run] = []
    token: str | None = None
    while True:
        order = ["attributes.start_time DESC"]
        page = client.search_runs(experiment_ids, condition, order_by=order, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def latest_of_each_trial(newest_first: Sequence[Run], preferred: Sequence[str] = (FINISHED,)) -> list[Run]:
    """One run for each trial: a run of a preferred status before others, in their order, then a newer before an older.

    A trial has several runs where it was scored in several ways, or where an interrupted run could not be continued.
    """
    rank = {status: place for place, status in enumerate(preferred)}
    chosen: dict[str, Run] = {}
    for run in sorted(newest_first, key=lambda run: rank.get(run.info.status, len(rank))):
        chosen.setdefault(run.data.tags.get("trial_key", run.info.run_id), run)
    return list(chosen.values())


def study_run(client: MlflowClient, study: str) -> tuple[Run, list[Run]]:
    """The parent run of a study, and its child runs, the newest first.

    Raises:
        StudyError: there is no such study in the store, or it was never started.
    """
    experiment = client.get_experiment_by_name(study)
    if experiment is None or experiment.lifecycle_stage != "active":
        names = sorted(e.name for e in client.search_experiments() if e.experiment_id != DEFAULT_EXPERIMENT_ID)
        more = f" and {len(names) - _STUDIES_LISTED} more" if len(names) > _STUDIES_LISTED else ""
        known = f"it has {', '.join(names[:_STUDIES_LISTED])}{more}" if names else "it has none"
        raise StudyError(f"no study {study!r} in {client.tracking_uri}; {known}")
    runs = runs_of(client, [experiment.experiment_id])
    parent = next((run for run in runs if run.data.tags.get("role") == "study"), None)
    if parent is None:
        raise StudyError(f"study {study!r} has no run in {client.tracking_uri}; start it: vrnn-bench run SUITE.toml")
    return parent, [run for run in runs if run.data.tags.get(MLFLOW_PARENT_RUN_ID) == parent.info.run_id]


def read_study(study: str, client: MlflowClient | None = None) -> StoredStudy:
    """A study: the trials that ended, of its suite as it was last run.

    Raises:
        StudyError: there is no such study in the store, or none of its trials is finished.
        ResultFileError: a file of it is damaged or of another version.
    """
    client = client or store_client()
    parent, children = study_run(client, study)
    files = RunArtifacts(client, parent)
    for name in (StudyDescription.file_name, CorpusDescriptions.file_name):
        if name not in files.names():
            raise ResultFileError(f"{files.where} has no {name}; send the study again: vrnn-bench sync RUNS/STUDY")
    description = read_file(StudyDescription, files.read(StudyDescription.file_name), files.where)
    corpora = read_file(CorpusDescriptions, files.read(CorpusDescriptions.file_name), files.where).corpora
    order = {key: place for place, key in enumerate(description.keys)}
    of_suite = [run for run in children if run.data.tags.get("trial_key") in order]
    ended = [run for run in of_suite if run.info.status == FINISHED or "diverged_at_step" in run.data.tags]
    trials = [_trial(client, run) for run in latest_of_each_trial(ended)]
    if not any(not trial.diverged for trial in trials):
        raise StudyError(f"study {study!r} has no finished trial; run it: vrnn-bench run SUITE.toml")
    trials.sort(key=lambda trial: order[trial.record.key])
    return StoredStudy(description, corpora, tuple(trials), f"study {study} in {client.tracking_uri}")


def read_comparison(study: str, client: MlflowClient | None = None) -> Comparison:
    """The comparison that was recorded when a study ended.

    Raises:
        StudyError: there is no such study, or it did not end.
        ResultFileError: the file is damaged or of another version.
    """
    client = client or store_client()
    parent, _ = study_run(client, study)
    files = RunArtifacts(client, parent)
    if Comparison.file_name not in files.names():
        raise StudyError(f"study {study!r} has no finished comparison; finish it: vrnn-bench run SUITE.toml")
    return read_file(Comparison, files.read(Comparison.file_name), files.where)


def _trial(client: MlflowClient, run: Run) -> StoredTrial:
    artifacts = RunArtifacts(client, run)
    for kind in (TrialRecord, Outcome):
        if kind.file_name not in artifacts.names():
            raise ResultFileError(f"{artifacts.where} has no {kind.file_name}; {kind.remedy}, or delete the run")
    return StoredTrial(
        record=read_file(TrialRecord, artifacts.read(TrialRecord.file_name), artifacts.where),
        outcome=read_file(Outcome, artifacts.read(Outcome.file_name), artifacts.where),
        artifacts=artifacts,
        run_id=run.info.run_id,
    )


def read_commit(commit: str) -> list[StoredTrial]:
    """The finished trials that a git commit produced, of any study.

    Raises:
        StudyError: the store has none, or several commits start with these digits.
    """
    client = store_client()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = runs_of(client, experiments, f"tags.trial_key != '' and tags.git_commit LIKE '{commit}%'")
    finished = latest_of_each_trial([run for run in runs if run.info.status == FINISHED])
    if not finished:
        raise StudyError(f"no finished trial of commit {commit} in {store_uri()}; run a suite at that commit first")
    if len(full := {run.data.tags["git_commit"] for run in finished}) > 1:
        raise StudyError(f"{commit}: {len(full)} commits start with it; give more digits")
    return [_trial(client, run) for run in sorted(finished, key=lambda run: run.info.start_time)]


def has_study(name: str) -> bool:
    """Whether the store has a study of that name."""
    return store_client().get_experiment_by_name(name) is not None


def find_run(name: str) -> str:
    """The ID of the latest finished run of a trial that is called STUDY/TRIAL; any other name is an ID already.

    Raises:
        StudyError: the study has no such finished trial.
    """
    study, slash, trial = name.partition("/")
    client = store_client()
    experiment = client.get_experiment_by_name(study) if slash and study else None
    if experiment is None:
        return name
    runs = runs_of(client, [experiment.experiment_id], "tags.trial_key != ''")
    finished = latest_of_each_trial([run for run in runs if run.info.status == FINISHED])
    by_name = {run.data.tags["mlflow.runName"]: run for run in reversed(finished)}
    if trial not in by_name:
        near = difflib.get_close_matches(trial, by_name, n=1)
        hint = f"did you mean {study}/{near[0]}?" if near else f"it has {', '.join(list(by_name)[:3])}, ..."
        raise StudyError(f"study {study} has no finished trial {trial!r}; {hint}")
    return by_name[trial].info.run_id


def read_run(run_id: str) -> StoredTrial:
    """The finished trial of a run.

    Raises:
        StudyError: there is no such run, or it is not a finished trial.
    """
    client = store_client()
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise StudyError(
            f"no run {run_id!r} in {store_uri()}; give the Run ID that MLflow shows for a trial, or STUDY/TRIAL"
        ) from error
    if run.info.status != FINISHED or "trial_key" not in run.data.tags:
        raise StudyError(f"run {run_id} is not a finished trial; give the Run ID of one")
    return _trial(client, run)
