"""What MLflow holds about a study that is being run, read again and again at little cost.

`dashboards.report.read_study` reads a study that is done, once and whole; here only what a live page shows is read.
What cannot change any more (the epochs and samples of a trial that ended) is kept, in caches that forget.
"""

import json
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException

from dashboards.errors import ReportError
from dashboards.live.bounded_cache import Recent
from dashboards.live.live_status import Epoch, Followed, Look, StudyLine
from dashboards.store import DEFAULT_EXPERIMENT_ID, PARENT_TAG, latest_of_each_trial, runs_of

__all__ = ["LONGEST_TEXT", "Follower"]

SPEED = "system/frames_per_second"
VALID = "valid/nats_per_frame"
CURVES = "curves.parquet"
SAMPLES = "samples/samples.json"
LONGEST_TEXT = 80
MOST_STUDIES = 200
ABOUT_SECONDS = 30.0
"""A study's plan is written when it starts, and again when it is run again."""
LARGEST_FILE = 64 * 2**20
"""Bytes; no sample is that long."""
LARGEST_VALUE = 1e15
"""MLflow stores an infinity as a large number."""
PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,200}")
_OUTCOMES = {"RUNNING": "running", "SCHEDULED": "running", "FINISHED": "done", "KILLED": "stopped"}


class Follower:
    """Reads one store; safe among threads."""

    def __init__(self, tracking_uri: str) -> None:
        """Read what `tracking_uri` holds."""
        self._client = MlflowClient(tracking_uri)
        self._epochs: Recent[tuple[Epoch, ...]] = Recent(200)
        self._listings: Recent[tuple[Mapping[str, Any], ...]] = Recent(200)
        self._drawings: Recent[bytes] = Recent(24)
        self._abouts: Recent[Mapping[str, Any]] = Recent(8)

    def studies(self) -> list[StudyLine]:
        """The studies of the store, the newest first, at most `MOST_STUDIES`."""
        found = self._client.search_experiments(max_results=MOST_STUDIES, order_by=["creation_time DESC"])
        return [self._line(e) for e in found if e.experiment_id != DEFAULT_EXPERIMENT_ID]

    def _line(self, experiment: Experiment) -> StudyLine:
        parents = self._client.search_runs([experiment.experiment_id], "tags.role = 'study'", max_results=1)
        status = parents[0].info.status if parents else ""
        return StudyLine(experiment.name, status, int(experiment.creation_time or 0))

    def experiment(self, study: str) -> Experiment:
        """The study's experiment.

        Raises:
            ReportError: there is none.
        """
        found = self._client.get_experiment_by_name(study)
        if found is None or found.lifecycle_stage != "active":
            raise ReportError(f"no study is named {study[:LONGEST_TEXT]!r}: the first page lists them")
        return found

    def look(self, study: str) -> Look:
        """How the study stands.

        Raises:
            ReportError: it is unknown, or was never begun.
        """
        runs = list(runs_of(self._client, self.experiment(study).experiment_id))
        parents = [run for run in runs if PARENT_TAG not in run.data.tags]
        parents.sort(key=lambda run: run.data.tags.get("role") != "study")
        if not parents:
            raise ReportError(f"study {study[:LONGEST_TEXT]!r} has no run yet: start it with `vrnn-bench run`")
        parent = parents[0]
        about = self._about(parent)
        keys = [str(key) for key in about.get("keys", ())]
        children = [run for run in runs if run.data.tags.get(PARENT_TAG) == parent.info.run_id]
        trials = [trial for trial in map(_followed, _latest(children)) if not keys or trial.key in keys]
        last = max((run.info.end_time or 0 for run in children), default=0)
        return Look(
            status=parent.info.status,
            planned=len(keys) or None,
            models=tuple(str(model) for model in _mapping(about.get("suite")).get("models", ())),
            trials=tuple(trials),
            version=(parent.info.run_id, parent.info.status, parent.info.end_time, len(children), last),
        )

    def _about(self, parent: Run) -> Mapping[str, Any]:
        run_id = parent.info.run_id
        return self._abouts.get((run_id, time.monotonic() // ABOUT_SECONDS), lambda: self._study_file(run_id))

    def _study_file(self, run_id: str) -> Mapping[str, Any]:
        names = {file.path for file in self._client.list_artifacts(run_id)}
        return _mapping(json.loads(self._read(run_id, "study.json"))) if "study.json" in names else {}

    def _read(self, run_id: str, name: str) -> bytes:
        with tempfile.TemporaryDirectory() as directory:
            return Path(self._client.download_artifacts(run_id, name, directory)).read_bytes()

    def epochs(self, trial: Followed) -> tuple[Epoch, ...]:
        """The epochs of a trial so far, in order."""
        if trial.outcome == "running":
            return self._logged(trial.run_id)
        return self._epochs.get((trial.run_id, trial.ended), lambda: self._kept(trial.run_id))

    def _logged(self, run_id: str) -> tuple[Epoch, ...]:
        speeds, valids = (
            {m.step: m for m in self._client.get_metric_history(run_id, name) if abs(m.value) < LARGEST_VALUE}
            for name in (SPEED, VALID)
        )
        return tuple(
            Epoch(
                step,
                (speeds.get(step) or valids[step]).timestamp,
                speeds[step].value if step in speeds else None,
                valids[step].value if step in valids else None,
            )
            for step in sorted(speeds.keys() | valids.keys())
        )

    def _kept(self, run_id: str) -> tuple[Epoch, ...]:
        """The epochs of a trial that ended, as its artifact has them: the last figures logged are of the whole run."""
        epochs = self._logged(run_id)
        if CURVES not in {file.path for file in self._client.list_artifacts(run_id)}:
            return epochs
        with tempfile.TemporaryDirectory() as directory:
            frame = pd.read_parquet(self._client.download_artifacts(run_id, CURVES, directory))
        valid = dict(zip(frame["epoch"].astype(int), frame["valid_nats_per_frame"].astype(float), strict=True))
        known = {epoch.number: epoch for epoch in epochs}
        blank = Epoch(0, 0, None, None)
        return tuple(
            Epoch(number, (known.get(number) or blank).at, (known.get(number) or blank).frames_per_second, value)
            for number, value in sorted(valid.items())
        )

    def listing(self, trial: Followed) -> tuple[Mapping[str, Any], ...]:
        """What `samples.json` of a trial that ended lists; nothing where there is none, or none that can be read."""
        return self._listings.get((trial.run_id, trial.ended), lambda: self._listing(trial.run_id))

    def _listing(self, run_id: str) -> tuple[Mapping[str, Any], ...]:
        if SAMPLES not in {file.path for file in self._client.list_artifacts(run_id, "samples")}:
            return ()
        try:
            entries = json.loads(self._read(run_id, SAMPLES))
        except json.JSONDecodeError:
            return ()
        return tuple(entry for entry in entries if isinstance(entry, dict)) if isinstance(entries, list) else ()

    def sample(self, study: str, run_id: str, file: str) -> bytes | None:
        """A sample of a run of the study; None for anything that its list of samples does not name.

        Raises:
            ReportError: the study is unknown.
        """
        experiment = self.experiment(study)
        try:
            run = self._client.get_run(run_id)
        except MlflowException:
            return None
        if run.info.experiment_id != experiment.experiment_id or run.info.lifecycle_stage != "active":
            return None
        return self._sample(run_id, file) if file in {entry.get("file") for entry in self._listing(run_id)} else None

    def drawing(self, trial: Followed, file: str) -> bytes:
        """A pen sample of a trial that ended; empty where it is not there."""
        return self._drawings.get((trial.run_id, trial.ended, file), lambda: self._sample(trial.run_id, file) or b"")

    def _sample(self, run_id: str, file: str) -> bytes | None:
        """A file right below the run's samples, if it is there and of a size that can be served."""
        if not PLAIN_NAME.fullmatch(file):
            return None
        sizes = {artifact.path: artifact.file_size for artifact in self._client.list_artifacts(run_id, "samples")}
        size = sizes.get(f"samples/{file}")
        return self._read(run_id, f"samples/{file}") if size is not None and size <= LARGEST_FILE else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _latest(newest_first: Sequence[Run]) -> list[Run]:
    """One run per trial, the newest first: one that runs stands before a finished one, that before the others."""
    chosen = latest_of_each_trial(newest_first, ("RUNNING", "FINISHED"))
    return sorted(chosen, key=lambda run: run.info.start_time, reverse=True)


def _followed(run: Run) -> Followed:
    tags, most = run.data.tags, run.data.params.get("optimisation.max_epochs", "")
    corpus, protocol, model, seed = (tags.get(k, "?")[:LONGEST_TEXT] for k in ("corpus", "protocol", "model", "seed"))
    failed = "diverged" if "diverged_at_step" in tags else "failed"
    return Followed(
        run_id=run.info.run_id,
        key=tags.get("trial_key", run.info.run_id),
        corpus=corpus,
        protocol=protocol,
        model=model,
        seed=seed,
        outcome=_OUTCOMES.get(run.info.status, failed),
        trained=bool(most) or tags.get("measure") != "mass",
        started=run.info.start_time,
        ended=run.info.end_time or 0,
        most=int(most) if most.isdecimal() else 0,
    )
