"""What MLflow holds about a finished study, as typed records; `following` reads one that is running.

A study is one experiment: a parent run with `comparison.json`, and one child run per trial. Everything is read
through the tracking client, so that a local sqlite store and a remote server give the same page. Samples are
fetched for one trial per model alone (the lowest seed that has any): they are what makes a page large.
"""

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from dashboards.comparison import KINDS, Comparison, parse_comparison
from dashboards.errors import ReportError

__all__ = ["ROLES", "Sample", "Study", "Trial", "read_study"]

ROLES = {
    "real": "Real",
    "reconstruction": "Reconstruction",
    "continuation": "Continuation",
    "generated": "Generated",
}
"""What a sample is, and what the page calls it."""
PARENT_TAG = "mlflow.parentRunId"
DEFAULT_EXPERIMENT_ID = "0"
NAMES_LISTED = 12


@dataclass(frozen=True)
class Sample:
    """One utterance or drawing.

    Attributes:
        content: the file, FLAC for speech and JSON strokes for pen.
        prime: so many of its first samples, or points, were recorded; what follows them continues them.
    """

    file: str
    kind: str
    role: str
    caption: str
    content: bytes
    prime: int = 0


@dataclass(frozen=True)
class Trial:
    """One training run.

    Attributes:
        curves: one row per epoch, or None where training stopped before the first epoch ended.
        diverged_at_step: the step at which the loss stopped being finite, if it did.
        tags: of its run, as MLflow has them.
        params: the same.
        metrics: the last value of each.
        audit: `audit.json`; None where there is none.
        latent: `samples/latent.json`, the latent state over a real sequence; None where there is none.
    """

    run_id: str
    status: str
    corpus: str
    protocol: str
    model: str
    seed: int
    trial_key: str
    fingerprint: str
    git_commit: str
    diverged_at_step: int | None
    curves: pd.DataFrame | None
    samples: tuple[Sample, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    audit: Mapping[str, Any] | None = None
    latent: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Study:
    """A study as MLflow holds it.

    Attributes:
        status: the parent run's.
        about: `study.json`: suite, protocols, code, keys, leaks and warnings; empty where there is none.
        corpora: `corpora.json`: the summary of each corpus's shards, by its name in the suite; empty where none.
    """

    name: str
    run_id: str
    status: str
    comparison: Comparison
    trials: tuple[Trial, ...]
    about: Mapping[str, Any] = field(default_factory=dict)
    corpora: Mapping[str, Any] = field(default_factory=dict)


def read_study(study: str, tracking_uri: str | None = None) -> Study:
    """Read a study's comparison, learning curves and samples.

    Args:
        study: the study's name, which is the experiment's.
        tracking_uri: the MLflow store; None takes MLflow's own default (`MLFLOW_TRACKING_URI`).

    Raises:
        ReportError: the store cannot be read, the study is unknown, it has no finished comparison, or an
            artifact is not as its writer promises.
    """
    try:
        client = MlflowClient(tracking_uri)
        experiment = _experiment(client, study)
        parent = _compared_parent(client, experiment)
        with tempfile.TemporaryDirectory() as directory:
            store = _Artifacts(client, Path(directory))
            comparison = parse_comparison(store.read(parent.info.run_id, "comparison.json").decode())
            about, corpora = (store.json(parent.info.run_id, name) or {} for name in ("study.json", "corpora.json"))
            runs = _of_the_suite(_latest_of_each_trial(_child_runs(client, experiment, parent)), about)
            trials = _with_samples(store, [_trial(store, run) for run in runs])
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise ReportError(f"MLflow cannot be read ({reason}): check MLFLOW_TRACKING_URI") from error
    return Study(study, parent.info.run_id, parent.info.status, comparison, tuple(trials), about, corpora)


def _experiment(client: MlflowClient, study: str) -> Experiment:
    found = client.get_experiment_by_name(study)
    if found is not None and found.lifecycle_stage == "active":
        return found
    names = sorted(e.name for e in client.search_experiments() if e.experiment_id != DEFAULT_EXPERIMENT_ID)
    more = f" and {len(names) - NAMES_LISTED} more" if len(names) > NAMES_LISTED else ""
    known = f"known: {', '.join(map(repr, names[:NAMES_LISTED]))}{more}" if names else "the store holds none"
    raise ReportError(f"no study is named {study!r} in {client.tracking_uri}; {known}")


def _runs(client: MlflowClient, experiment: Experiment) -> Iterable[Run]:
    """Every run of the experiment, newest first."""
    token = None
    while True:
        page = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"], page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _compared_parent(client: MlflowClient, experiment: Experiment) -> Run:
    for run in _runs(client, experiment):
        is_parent = PARENT_TAG not in run.data.tags
        if is_parent and "comparison.json" in _names(client, run.info.run_id):
            return run
    raise ReportError(f"study {experiment.name!r} has no finished comparison: run it to its end with `vrnn-bench run`")


def _child_runs(client: MlflowClient, experiment: Experiment, parent: Run) -> list[Run]:
    parent_id = parent.info.run_id
    return [run for run in _runs(client, experiment) if run.data.tags.get(PARENT_TAG) == parent_id]


def _latest_of_each_trial(newest_first: Sequence[Run]) -> list[Run]:
    """One run per trial key: a finished run stands before an abandoned one, a newer before an older."""
    chosen: dict[str, Run] = {}
    for run in sorted(newest_first, key=lambda run: run.info.status != "FINISHED"):
        chosen.setdefault(run.data.tags.get("trial_key", run.info.run_id), run)
    return list(chosen.values())


def _of_the_suite(runs: Sequence[Run], about: Mapping[str, Any]) -> list[Run]:
    """The runs of the trials that the suite had when it was last run; all where that is not recorded."""
    keys = set(about.get("keys", ()))
    return [run for run in runs if not keys or run.data.tags.get("trial_key") in keys]


def _names(client: MlflowClient, run_id: str, folder: str | None = None) -> set[str]:
    return {artifact.path for artifact in client.list_artifacts(run_id, folder)}


class _Artifacts:
    """Artifacts of any store, fetched into a folder that the caller removes.

    A client asks the store for the run anew at each listing and each file; here a run is looked up and listed once.
    """

    def __init__(self, client: MlflowClient, directory: Path) -> None:
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
        key = run_id, folder
        if key not in self._listed:
            self._listed[key] = {artifact.path for artifact in self._repository(run_id).list_artifacts(folder)}
        return self._listed[key]

    def fetch(self, run_id: str, name: str) -> Path:
        destination = self._directory / run_id
        destination.mkdir(exist_ok=True)
        return Path(self._repository(run_id).download_artifacts(name, str(destination)))

    def read(self, run_id: str, name: str) -> bytes:
        return self.fetch(run_id, name).read_bytes()

    def json(self, run_id: str, name: str) -> Mapping[str, Any] | None:
        """A JSON object among a run's artifacts; None where it is not there."""
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


def _trial(store: _Artifacts, run: Run) -> Trial:
    run_id, tags = run.info.run_id, run.data.tags
    has_curves = "curves.parquet" in store.names(run_id)
    try:
        return Trial(
            run_id=run_id,
            status=run.info.status,
            corpus=tags["corpus"],
            protocol=tags["protocol"],
            model=tags["model"],
            seed=int(tags["seed"]),
            trial_key=tags["trial_key"],
            fingerprint=tags["fingerprint"],
            git_commit=tags["git_commit"],
            diverged_at_step=int(tags["diverged_at_step"]) if "diverged_at_step" in tags else None,
            curves=pd.read_parquet(store.fetch(run_id, "curves.parquet")) if has_curves else None,
            tags=tags,
            params=run.data.params,
            metrics=run.data.metrics,
            audit=store.json(run_id, "audit.json"),
        )
    except KeyError as error:
        raise ReportError(f"MLflow run {run_id} lacks the tag {error}: delete the run, or set it") from error


def _with_samples(store: _Artifacts, trials: Sequence[Trial]) -> list[Trial]:
    """The trials in a stable order, the first of each model that has samples carrying them."""
    ordered = sorted(trials, key=lambda t: (t.corpus, t.protocol, t.model, t.seed, t.run_id))
    shown: set[tuple[str, str, str]] = set()
    result = []
    for plain in ordered:
        trial = plain
        key = (trial.corpus, trial.protocol, trial.model)
        samples = _samples(store, trial.run_id) if key not in shown else ()
        if samples:
            shown.add(key)
            trial = replace(trial, samples=samples, latent=store.json(trial.run_id, "samples/latent.json"))
        result.append(trial)
    return result


def _samples(store: _Artifacts, run_id: str) -> tuple[Sample, ...]:
    names = store.names(run_id, "samples")
    if "samples/samples.json" not in names:
        return ()
    where = f"samples/samples.json of MLflow run {run_id}"
    try:
        listing = json.loads(store.read(run_id, "samples/samples.json"))
        samples = [_listed(entry) for entry in listing]
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ReportError(f"{where} is malformed ({error!r}): generate the samples again") from error
    for sample in samples:
        file, kind, role = sample.file, sample.kind, sample.role
        if kind not in KINDS or role not in ROLES or f"samples/{file}" not in names:
            raise ReportError(f"{where}: {file!r} is absent, or of unknown kind {kind!r} or role {role!r}")
    return tuple(replace(sample, content=store.read(run_id, f"samples/{sample.file}")) for sample in samples)


def _listed(entry: Mapping[str, Any]) -> Sample:
    """A sample without its content; lists that were written before continuations were name no prime."""
    file, kind, role, caption = (str(entry[key]) for key in ("file", "kind", "role", "caption"))
    prime = int(entry.get("prime_steps", 0))
    if prime < 0:
        raise ValueError(f"prime_steps {prime}")
    return Sample(file, kind, role, caption, b"", prime)
