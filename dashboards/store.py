"""The MLflow store as the pages read it: all runs of a study, one of each trial, and artifacts at little cost."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from dashboards.errors import ReportError

__all__ = ["DEFAULT_EXPERIMENT_ID", "PARENT_TAG", "Artifacts", "latest_of_each_trial", "runs_of"]

PARENT_TAG = "mlflow.parentRunId"
DEFAULT_EXPERIMENT_ID = "0"


def runs_of(client: MlflowClient, experiment_id: str) -> Iterable[Run]:
    """Every run of an experiment, the newest first."""
    token = None
    while True:
        page = client.search_runs([experiment_id], order_by=["attributes.start_time DESC"], page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def latest_of_each_trial(newest_first: Sequence[Run], preferred: Sequence[str]) -> list[Run]:
    """One run per trial key: one of a preferred status before others, in their order; then a newer before an older."""
    rank = {status: place for place, status in enumerate(preferred)}
    chosen: dict[str, Run] = {}
    for run in sorted(newest_first, key=lambda run: rank.get(run.info.status, len(rank))):
        chosen.setdefault(run.data.tags.get("trial_key", run.info.run_id), run)
    return list(chosen.values())


class Artifacts:
    """Artifacts of any store, fetched into a folder that the caller removes.

    A client asks the store for the run anew at each listing and each file; here a run is looked up and listed once.
    """

    def __init__(self, client: MlflowClient, directory: Path) -> None:
        """Fetch from the client's store into `directory`."""
        self._client = client
        self._directory = directory
        self._repositories: dict[str, ArtifactRepository] = {}
        self._listed: dict[tuple[str, str | None], set[str]] = {}

    def _repository(self, run_id: str) -> ArtifactRepository:
        if run_id not in self._repositories:
            uri = self._client.get_run(run_id).info.artifact_uri
            assert uri is not None
            self._repositories[run_id] = get_artifact_repository(uri, tracking_uri=self._client.tracking_uri)
        return self._repositories[run_id]

    def names(self, run_id: str, folder: str | None = None) -> set[str]:
        """The paths of a run's artifacts, at its root or right below a folder."""
        key = run_id, folder
        if key not in self._listed:
            self._listed[key] = {artifact.path for artifact in self._repository(run_id).list_artifacts(folder)}
        return self._listed[key]

    def fetch(self, run_id: str, name: str) -> Path:
        """The file, on this machine."""
        destination = self._directory / run_id
        destination.mkdir(exist_ok=True)
        return Path(self._repository(run_id).download_artifacts(name, str(destination)))

    def read(self, run_id: str, name: str) -> bytes:
        """The file's content."""
        return self.fetch(run_id, name).read_bytes()

    def json(self, run_id: str, name: str) -> Mapping[str, Any] | None:
        """A JSON object among a run's artifacts; None where it is not there.

        Raises:
            ReportError: it is not JSON, or no object.
        """
        folder, _, _ = name.rpartition("/")
        if name not in self.names(run_id, folder or None):
            return None
        try:
            content = json.loads(self.read(run_id, name))
        except json.JSONDecodeError as error:
            raise ReportError(f"{name} of MLflow run {run_id} is not JSON ({error}): run the study again") from error
        if not isinstance(content, dict):
            raise ReportError(f"{name} of MLflow run {run_id} is not a JSON object: run the study again")
        return content
