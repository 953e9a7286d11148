"""Reads what MLflow holds about a finished study; `following` reads one that is running.

A study is one experiment: a parent run with `comparison.json`, and one child run per trial. Everything is read
through the tracking client, so that a local sqlite store and a remote server give the same page. Samples are
fetched for one trial per model alone (the lowest seed that has any): they are what makes a page large.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException

from dashboards.errors import ReportError
from dashboards.report.comparison_file import KINDS, parse_comparison
from dashboards.report.study_record import ROLES, Sample, Study, Trial
from dashboards.store import DEFAULT_EXPERIMENT_ID, PARENT_TAG, Artifacts, latest_of_each_trial, runs_of

__all__ = ["read_study"]

NAMES_LISTED = 12


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
        everything = list(runs_of(client, experiment.experiment_id))
        with tempfile.TemporaryDirectory() as directory:
            store = Artifacts(client, Path(directory))
            parent = _compared_parent(store, everything, study)
            comparison = parse_comparison(store.read(parent.info.run_id, "comparison.json").decode())
            about, corpora = (store.json(parent.info.run_id, name) or {} for name in ("study.json", "corpora.json"))
            children = [run for run in everything if run.data.tags.get(PARENT_TAG) == parent.info.run_id]
            runs = _of_the_suite(latest_of_each_trial(children, ("FINISHED",)), about)
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


def _compared_parent(store: Artifacts, runs: Sequence[Run], study: str) -> Run:
    for run in runs:
        if PARENT_TAG not in run.data.tags and "comparison.json" in store.names(run.info.run_id):
            return run
    raise ReportError(f"study {study!r} has no finished comparison: run it to its end with `vrnn-bench run`")


def _of_the_suite(runs: Sequence[Run], about: Mapping[str, Any]) -> list[Run]:
    """The runs of the trials that the suite had when it was last run; all where that is not recorded."""
    keys = set(about.get("keys", ()))
    return [run for run in runs if not keys or run.data.tags.get("trial_key") in keys]


def _trial(store: Artifacts, run: Run) -> Trial:
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


def _with_samples(store: Artifacts, trials: Sequence[Trial]) -> list[Trial]:
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


def _samples(store: Artifacts, run_id: str) -> tuple[Sample, ...]:
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
