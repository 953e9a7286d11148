"""A study is read from MLflow as it was written, and what is missing is said in one line."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from benchmarks.errors import StoreError, StudyError
from benchmarks.schema.base import ResultFileError
from benchmarks.schema.corpus import CorpusDescriptions
from benchmarks.schema.trial import Outcome
from benchmarks.store.mlflow_reader import read_comparison, read_study, reading_store
from tests.dashboards.corpora import corpus
from tests.dashboards.running import RunningStudy
from tests.dashboards.studies import compared, curves, description, record, speech_samples


@pytest.fixture
def client(tmp_path: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")


@pytest.fixture
def study(client: MlflowClient, tmp_path: Path) -> RunningStudy:
    return RunningStudy(client.tracking_uri, tmp_path, "demo", keys=["a"])


def finish(study: RunningStudy, key: str, status: str = "FINISHED", **changes: Any) -> str:
    """Write a run of a trial with its record and its outcome."""
    made = record(key=key, **changes)
    run = study.begin(key)
    study.files(run, record=made, outcome=Outcome(identity=made.identity, metrics={"x": 1.0}))
    study.end(key, status)
    return run


def describe(study: RunningStudy, *keys: str) -> None:
    corpora = CorpusDescriptions(corpora={"speech": corpus()})
    study.files(study.parent, study=description(keys=keys), corpora=corpora, comparison=compared())


def test_a_study_is_read_as_it_was_written(client: MlflowClient, study: RunningStudy):
    describe(study, "a")
    run = finish(study, "a")
    study.curves(run, curves("RNN-GMM", 0, 3, 1.0))
    study.samples(run, speech_samples(0))
    found = read_study("demo", client)
    (trial,) = found.trials
    assert (found.name, found.description.keys, list(found.corpora)) == ("demo", ("a",), ["speech"])
    assert (trial.record, trial.outcome.metrics, trial.run_id) == (record(key="a"), {"x": 1.0}, run)
    assert trial.artifacts.where == f"MLflow run {run}"
    frame, listed = trial.curves(), trial.samples()
    assert frame is not None
    assert listed is not None
    assert (len(frame), len(listed.samples)) == (3, 2)
    assert trial.artifacts.read("samples/real-0.flac") == speech_samples(0)[0][1]
    assert read_comparison("demo", client) == compared()


def test_an_unknown_study_is_answered_with_the_known_ones(client: MlflowClient, study: RunningStudy):
    for read in (read_study, read_comparison):
        with pytest.raises(StudyError, match=r"^no study 'absent' in sqlite.*; it has demo$") as caught:
            read("absent", client)
        assert "\n" not in str(caught.value)


def test_a_study_without_a_comparison_is_said_to_be_unfinished(client: MlflowClient, study: RunningStudy):
    with pytest.raises(StudyError, match="'demo' has no finished comparison"):
        read_comparison("demo", client)


def test_an_empty_store_has_no_studies(client: MlflowClient):
    with pytest.raises(StudyError, match="it has none"):
        read_study("demo", client)


def test_an_address_that_mlflow_does_not_know_is_refused():
    with pytest.raises(StudyError, match="MLFLOW_TRACKING_URI"), reading_store():
        read_study("demo", MlflowClient("gopher://nowhere"))


def test_a_study_that_was_deleted_is_unknown(client: MlflowClient, study: RunningStudy):
    client.delete_experiment(study.experiment)
    with pytest.raises(StudyError, match="no study 'demo'"):
        read_study("demo", client)


def test_a_failed_attempt_at_a_trial_gives_way_to_the_finished_one(client: MlflowClient, study: RunningStudy):
    describe(study, "a")
    finished = finish(study, "a")
    finish(study, "a", "FAILED")
    assert [trial.run_id for trial in read_study("demo", client).trials] == [finished]


def test_the_later_of_two_finished_runs_of_a_trial_is_read(client: MlflowClient, study: RunningStudy):
    describe(study, "a")
    finish(study, "a")
    assert read_study("demo", client).trials[0].run_id != finish(study, "a")
    assert read_study("demo", client).trials[0].run_id == study.runs["a"]


def test_trials_that_the_suite_no_longer_has_are_left_out(client: MlflowClient, study: RunningStudy):
    finish(study, "a")
    finish(study, "b")
    describe(study, "b", "a")
    assert [trial.record.key for trial in read_study("demo", client).trials] == ["b", "a"]
    describe(study, "b")
    assert [trial.record.key for trial in read_study("demo", client).trials] == ["b"]


def test_a_run_without_its_record_is_refused_by_name(client: MlflowClient, study: RunningStudy):
    describe(study, "a")
    run = study.begin("a")
    study.end("a")
    with pytest.raises(ResultFileError, match=rf"^MLflow run {run} has no record\.json; .*delete the run$"):
        read_study("demo", client)


def test_a_study_without_its_description_is_refused(client: MlflowClient, study: RunningStudy):
    finish(study, "a")
    with pytest.raises(ResultFileError, match=r"has no corpora\.json; send the study again"):
        read_study("demo", client)


def test_artifacts_that_have_disappeared_from_the_store_are_an_error_of_one_line(
    client: MlflowClient, study: RunningStudy, tmp_path: Path
):
    describe(study, "a")
    study.curves(finish(study, "a"), curves("RNN-GMM", 0, 3, 1.0))
    (trial,) = read_study("demo", client).trials
    assert "curves.parquet" in trial.artifacts.names()
    shutil.rmtree(tmp_path / "artifacts")
    with pytest.raises(StoreError, match=r"^MLflow cannot be read .*; check MLFLOW_TRACKING_URI$") as caught:
        trial.curves()
    assert "\n" not in str(caught.value)
