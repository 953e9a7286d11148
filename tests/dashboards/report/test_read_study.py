"""A study is read as it was written, and what is not there is said in one line."""

import json
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from dashboards.errors import ReportError
from dashboards.report.read_study import read_study
from tests.dashboards.studies import (
    HOSTILE_STUDY,
    MODELS,
    STUDY,
    UNFINISHED_STUDY,
    Store,
    Writer,
    comparison,
    curves,
    pen_samples,
    speech_samples,
)


def test_trials_and_curves_are_read(store: Store):
    study = read_study(STUDY, store.uri)
    assert [(t.corpus, t.model, t.seed) for t in study.trials] == [
        ("handwriting", "RNN-GMM", 0),
        ("handwriting", "VRNN-Gauss", 0),
        *[("speech", model, seed) for model in sorted(MODELS) for seed in (0, 1)],
    ]
    for trial in study.trials:
        if trial.corpus == "speech":
            epochs = 30 if trial.diverged_at_step is not None else 40
            assert trial.curves is not None
            pd.testing.assert_frame_equal(trial.curves, curves(trial.model, trial.seed, epochs, 120.0))


def test_only_the_lowest_seed_of_a_model_carries_samples(store: Store):
    trials = read_study(STUDY, store.uri).trials
    shown = [trial for trial in trials if trial.samples]
    assert len(shown) == len(MODELS) + 2
    assert {trial.seed for trial in shown} == {0}
    real, generated = shown[0].samples
    assert (real.role, generated.role) == ("real", "generated")
    assert real.content == pen_samples(0)[0][1]


def test_an_unknown_study_is_answered_with_the_known_ones(store: Store):
    with pytest.raises(ReportError) as caught:
        read_study("absent", store.uri)
    message = str(caught.value)
    assert "\n" not in message
    assert "'absent'" in message
    assert repr(STUDY) in message
    assert repr(UNFINISHED_STUDY) in message
    assert "Default" not in message


def test_a_study_without_a_comparison_is_said_to_be_unfinished(store: Store):
    with pytest.raises(ReportError, match=r"unfinished.*no finished comparison") as caught:
        read_study(UNFINISHED_STUDY, store.uri)
    assert "\n" not in str(caught.value)


def test_an_empty_store_holds_no_studies(store: Store):
    with pytest.raises(ReportError, match="holds none"):
        read_study(STUDY, store.empty_uri)


def test_an_address_that_mlflow_does_not_know_is_refused():
    with pytest.raises(ReportError, match="MLFLOW_TRACKING_URI"):
        read_study(STUDY, "gopher://nowhere")


def test_a_study_that_was_deleted_is_unknown(store: Store, tmp_path: Path):
    client = MlflowClient(store.uri)
    writer = Writer(client, "deleted", tmp_path)
    client.delete_experiment(writer.experiment)
    with pytest.raises(ReportError, match="no study is named 'deleted'"):
        read_study("deleted", store.uri)


def test_an_abandoned_attempt_at_a_trial_gives_way_to_the_finished_one(store: Store, tmp_path: Path):
    writer = Writer(MlflowClient(store.uri), "retried", tmp_path)
    parent = writer.parent(comparison("retried"))
    tags = {"corpus": "speech", "model": "RNN-GMM", "seed": 0}
    finished = writer.child(parent, **tags)
    writer.child(parent, status="FAILED", **tags)
    writer.parent(None)
    study = read_study("retried", store.uri)
    assert [trial.run_id for trial in study.trials] == [finished]
    assert study.trials[0].curves is None
    assert study.run_id == parent


def test_a_listed_sample_that_is_absent_is_refused(store: Store, tmp_path: Path):
    writer = Writer(MlflowClient(store.uri), "gone", tmp_path)
    run = writer.child(writer.parent(comparison("gone")), corpus="speech", model="RNN-GMM", seed=0)
    entry = speech_samples(0)[0][0] | {"file": "../../../comparison.json"}
    writer.client.log_text(run, json.dumps([entry]), "samples/samples.json")
    with pytest.raises(ReportError, match="absent"):
        read_study("gone", store.uri)


def test_where_a_recorded_beginning_ends_is_read_and_older_lists_have_none(store: Store, tmp_path: Path):
    writer = Writer(MlflowClient(store.uri), "continued", tmp_path)
    run = writer.child(writer.parent(comparison("continued")), corpus="speech", model="RNN-GMM", seed=0)
    (real, first), (made, second) = speech_samples(0)
    writer.samples(run, [(real, first), (made | {"role": "continuation", "prime_steps": 4000}, second)])
    (trial,) = read_study("continued", store.uri).trials
    assert [(sample.role, sample.prime) for sample in trial.samples] == [("real", 0), ("continuation", 4000)]


@pytest.mark.parametrize("change", [{"prime_steps": -1}, {"prime_steps": None}, {"role": "imagined"}])
def test_a_listed_sample_that_is_malformed_is_refused(store: Store, tmp_path: Path, change: dict[str, object]):
    name = f"malformed {change}"
    writer = Writer(MlflowClient(store.uri), name, tmp_path)
    run = writer.child(writer.parent(comparison(name)), corpus="speech", model="RNN-GMM", seed=0)
    entry, content = speech_samples(0)[0]
    writer.samples(run, [(entry | change, content)])
    with pytest.raises(ReportError, match=r"samples\.json") as caught:
        read_study(name, store.uri)
    assert "\n" not in str(caught.value)


def test_a_child_without_its_tags_is_refused_by_name(store: Store, tmp_path: Path):
    writer = Writer(MlflowClient(store.uri), "untagged", tmp_path)
    run = writer.child(writer.parent(comparison("untagged")), corpus="speech", model="RNN-GMM", seed=0)
    writer.client.delete_tag(run, "git_commit")
    with pytest.raises(ReportError, match=rf"{run}.*git_commit"):
        read_study("untagged", store.uri)


def test_names_are_read_as_written_however_odd(store: Store):
    assert read_study(HOSTILE_STUDY, store.uri).comparison.study == HOSTILE_STUDY


def test_trials_that_the_suite_no_longer_has_are_left_out(tmp_path: Path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    writer = Writer(MlflowClient(uri), "narrowed", tmp_path / "artifacts")
    parent = writer.parent(comparison("narrowed"))
    for model in ("RNN-GMM", "VRNN-GMM"):
        writer.child(parent, corpus="speech", model=model, seed=0)
    assert [trial.model for trial in read_study("narrowed", uri).trials] == ["RNN-GMM", "VRNN-GMM"]
    writer.client.log_text(parent, json.dumps({"keys": ["speech-VRNN-GMM-0"]}), "study.json")
    assert [trial.model for trial in read_study("narrowed", uri).trials] == ["VRNN-GMM"]
