"""Reads a running study from MLflow, repeatedly and at little cost.

`benchmarks.store.mlflow_reader` reads a finished study once and completely; this module reads only what a live page
shows. What can no longer change (epochs and samples of a trial that ended) is kept in bounded caches.
"""

import functools
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from benchmarks.errors import StudyError
from benchmarks.schema.base import ResultFileError, read_file
from benchmarks.schema.live_status import LiveEpoch, LiveStudy, LiveTrial, StudyEntry, TrialStatus
from benchmarks.schema.samples import SampleEntry, SampleList
from benchmarks.schema.study import StudyDescription
from benchmarks.store.mlflow_reader import DEFAULT_EXPERIMENT_ID, latest_of_each_trial, reading_store, runs_of
from benchmarks.store.results import CURVES, SAMPLES

__all__ = ["LONGEST_TEXT", "LiveReader"]

LONGEST_TEXT = 80
_DESCRIPTION_SECONDS = 30.0
"""How long a study's description is kept: it changes only when the study is started again."""
_LARGEST_FILE = 64 * 2**20
"""In bytes; no sample is that large."""
_LARGEST_VALUE = 1e15
"""MLflow stores an infinity as a larger finite number."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,200}")
_STATUS: dict[str, TrialStatus] = {
    "RUNNING": "running",
    "SCHEDULED": "running",
    "FINISHED": "done",
    "KILLED": "stopped",
}


class LiveReader:
    """Reads the studies of one MLflow store; safe among threads."""

    def __init__(self, tracking_uri: str) -> None:
        """Read the store at `tracking_uri`."""
        self._client = MlflowClient(tracking_uri)
        # The second argument of each is the time at which the trial ended: a trial that is run again is read again.
        self._ended_epochs = functools.lru_cache(200)(self._read_ended_epochs)
        self._ended_samples = functools.lru_cache(200)(self._read_sample_list)
        self._ended_drawing: Callable[[str, int, str], bytes] = functools.lru_cache(24)(
            lambda run_id, ended, file: self._read_sample(run_id, file) or b""
        )
        self._description = functools.lru_cache(8)(self._read_description)

    @reading_store()
    def studies(self) -> list[StudyEntry]:
        """The studies of the store, the newest first, at most 200."""
        found = self._client.search_experiments(max_results=200, order_by=["creation_time DESC"])
        entries: list[StudyEntry] = []
        for experiment in found:
            if experiment.experiment_id == DEFAULT_EXPERIMENT_ID:
                continue
            parents = self._client.search_runs([experiment.experiment_id], "tags.role = 'study'", max_results=1)
            status = parents[0].info.status if parents else ""
            started = int(experiment.creation_time or 0)
            entries.append(StudyEntry(name=experiment.name, status=status, started=started))
        return entries

    @reading_store()
    def experiment(self, study: str) -> Experiment:
        """The study's experiment.

        Raises:
            StudyError: there is no such study.
        """
        found = self._client.get_experiment_by_name(study)
        if found is None or found.lifecycle_stage != "active":
            raise StudyError(f"no study is named {study[:LONGEST_TEXT]!r}: the start page lists all studies")
        return found

    @reading_store()
    def study(self, study: str) -> LiveStudy:
        """The current state of a study.

        Raises:
            StudyError: the study is unknown or was never started.
        """
        runs = runs_of(self._client, [self.experiment(study).experiment_id])
        parents = [run for run in runs if MLFLOW_PARENT_RUN_ID not in run.data.tags]
        if not parents:
            raise StudyError(f"study {study[:LONGEST_TEXT]!r} has no run yet: start it with `vrnn-bench run`")
        parent = min(parents, key=lambda run: run.data.tags.get("role") != "study")
        description = self._description(parent.info.run_id, int(time.monotonic() // _DESCRIPTION_SECONDS))
        keys = description.keys if description else ()
        children = [run for run in runs if run.data.tags.get(MLFLOW_PARENT_RUN_ID) == parent.info.run_id]
        latest = latest_of_each_trial(children, ("RUNNING", "FINISHED"))
        latest.sort(key=lambda run: run.info.start_time, reverse=True)
        trials = [trial for trial in map(_live_trial, latest) if not keys or trial.key in keys]
        last = max((run.info.end_time or 0 for run in children), default=0)
        return LiveStudy(
            status=parent.info.status,
            planned=len(keys) or None,
            models=description.suite.models if description else (),
            trials=tuple(trials),
            version=(parent.info.run_id, parent.info.status, parent.info.end_time, len(children), last),
        )

    def _read_description(self, run_id: str, _period: int) -> StudyDescription | None:
        name = StudyDescription.file_name
        if name not in {file.path for file in self._client.list_artifacts(run_id)}:
            return None
        return read_file(StudyDescription, self._read(run_id, name), f"MLflow run {run_id}")

    def _read(self, run_id: str, name: str) -> bytes:
        with tempfile.TemporaryDirectory() as directory:
            return Path(self._client.download_artifacts(run_id, name, directory)).read_bytes()

    @reading_store()
    def epochs(self, trial: LiveTrial) -> tuple[LiveEpoch, ...]:
        """The epochs of a trial so far, in order."""
        if trial.status == "running":
            return self._read_logged_epochs(trial.run_id)
        return self._ended_epochs(trial.run_id, trial.ended)

    def _read_logged_epochs(self, run_id: str) -> tuple[LiveEpoch, ...]:
        speeds, valids = (
            {m.step: m for m in self._client.get_metric_history(run_id, name) if abs(m.value) < _LARGEST_VALUE}
            for name in ("system/frames_per_second", "valid/nats_per_frame")
        )
        return tuple(
            LiveEpoch(
                number=step,
                at=(speeds.get(step) or valids[step]).timestamp,
                frames_per_second=speeds[step].value if step in speeds else None,
                valid=valids[step].value if step in valids else None,
            )
            for step in sorted(speeds.keys() | valids.keys())
        )

    def _read_ended_epochs(self, run_id: str, _ended: int) -> tuple[LiveEpoch, ...]:
        """The epochs of a trial that ended, with the validation scores of `curves.parquet`.

        The last values that were logged are those of the whole run, not of its last epoch.
        """
        epochs = self._read_logged_epochs(run_id)
        if CURVES not in {file.path for file in self._client.list_artifacts(run_id)}:
            return epochs
        with tempfile.TemporaryDirectory() as directory:
            frame = pd.read_parquet(self._client.download_artifacts(run_id, CURVES, directory))
        logged = {epoch.number: epoch for epoch in epochs}
        blank = LiveEpoch(number=0, at=0, frames_per_second=None, valid=None)
        valid = dict(zip(frame["epoch"].astype(int), frame["valid_nats_per_frame"].astype(float), strict=True))
        return tuple(
            logged.get(number, blank).model_copy(update={"number": number, "valid": value})
            for number, value in sorted(valid.items())
        )

    @reading_store()
    def samples(self, trial: LiveTrial) -> tuple[SampleEntry, ...]:
        """The samples of a trial that ended; empty if there are none, or their list cannot be read."""
        return self._ended_samples(trial.run_id, trial.ended)

    def _read_sample_list(self, run_id: str, _ended: int = 0) -> tuple[SampleEntry, ...]:
        name = f"{SAMPLES}/{SampleList.file_name}"
        if name not in {file.path for file in self._client.list_artifacts(run_id, SAMPLES)}:
            return ()
        try:
            return read_file(SampleList, self._read(run_id, name), f"MLflow run {run_id}: {SAMPLES}").samples
        except ResultFileError:
            return ()

    @reading_store()
    def sample(self, study: str, run_id: str, file: str) -> bytes | None:
        """A sample of a run of the study; None if the run's list of samples does not name it.

        Raises:
            StudyError: the study is unknown.
        """
        experiment = self.experiment(study)
        try:
            run = self._client.get_run(run_id)
        except MlflowException:
            return None
        if run.info.experiment_id != experiment.experiment_id or run.info.lifecycle_stage != "active":
            return None
        is_listed = file in {entry.file for entry in self._read_sample_list(run_id)}
        return self._read_sample(run_id, file) if is_listed else None

    @reading_store()
    def drawing(self, trial: LiveTrial, file: str) -> bytes:
        """A drawing of a trial that ended; empty if it does not exist."""
        return self._ended_drawing(trial.run_id, trial.ended, file)

    def _read_sample(self, run_id: str, file: str) -> bytes | None:
        """A file in the run's folder of samples; None if it does not exist or is too large to serve."""
        if not _PLAIN_NAME.fullmatch(file):
            return None
        sizes = {artifact.path: artifact.file_size for artifact in self._client.list_artifacts(run_id, SAMPLES)}
        size = sizes.get(f"{SAMPLES}/{file}")
        return self._read(run_id, f"{SAMPLES}/{file}") if size is not None and size <= _LARGEST_FILE else None


def _live_trial(run: Run) -> LiveTrial:
    tags, max_epochs = run.data.tags, run.data.params.get("optimisation.max_epochs", "")
    corpus, protocol, model, seed = (tags.get(k, "?")[:LONGEST_TEXT] for k in ("corpus", "protocol", "model", "seed"))
    failed: TrialStatus = "diverged" if "diverged_at_step" in tags else "failed"
    return LiveTrial(
        run_id=run.info.run_id,
        key=tags.get("trial_key", run.info.run_id),
        corpus=corpus,
        protocol=protocol,
        model=model,
        seed=seed,
        status=_STATUS.get(run.info.status, failed),
        trained=bool(max_epochs) or tags.get("measure") != "mass",
        started=run.info.start_time,
        ended=run.info.end_time or 0,
        max_epochs=int(max_epochs) if max_epochs.isdecimal() else 0,
    )
