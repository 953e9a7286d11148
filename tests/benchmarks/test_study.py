"""A whole study on two corpora, against sqlite and against a real MLflow server over HTTP."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

import benchmarks.trials.trial
from benchmarks.cli.study_tables import comparison_table
from benchmarks.errors import StudyError
from benchmarks.store.mlflow_writer import open_record
from benchmarks.store.provenance import code
from benchmarks.study.run import run_study, sync_study
from benchmarks.study.summary import compare_study
from benchmarks.suites.suite import Suite, load_suite
from dashboards.report.study_report import write_report
from pipelines.runtime.storage import Location
from tests.benchmarks.postgres import postgres
from tests.benchmarks.small_studies import Diary, store_at, trial_runs
from vrnn.training.checkpoints import EpochRecord

SUITE = """
study = "tiny"
models = ["rnn-gauss", "vrnn-gauss"]
seeds = [0]
runs = "{runs}"
samples = 1
references = ["flac"]
scoring = {{ num_samples = 4, estimators = ["elbo", "iwae", "fivo"] }}
[[corpora]]
name = "speech"
shards = "{speech}"
size = "tiny"
models = ["rnn-gauss", "vrnn-gauss", "rnn-dmol"]
optimisation = {{ max_epochs = 1, learning_rate = 3e-3 }}
[[corpora]]
name = "ink"
shards = "{ink}"
size = "tiny"
optimisation = {{ max_epochs = 1, learning_rate = 3e-3 }}
"""


TAGS = {
    "study",
    "corpus",
    "protocol",
    "model",
    "seed",
    "fingerprint",
    "git_commit",
    "git_clean",
    "lock_sha256",
    "dataset",
    "identity",
    "audit_warnings",
    "trial_key",
    "measure",
    "parameters",
}


@pytest.fixture
def suite(tmp_path: Path, speech_shards: Path, ink_shards: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    path = tmp_path / "tiny.toml"
    path.write_text(SUITE.format(runs=tmp_path / "runs", speech=speech_shards, ink=ink_shards))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_at(tmp_path))
    return load_suite(path)


def test_a_study_ends_in_a_table_a_record_and_a_report_and_is_not_run_twice(suite: Suite, tmp_path: Path) -> None:
    diary = Diary()
    comparison = run_study(suite, open_record, watcher=diary)
    bounded = [("rnn-gauss", "exact"), ("vrnn-gauss", "elbo"), ("vrnn-gauss", "iwae"), ("vrnn-gauss", "fivo")]
    spoken = [("speech", *rest) for rest in (("flac", "code"), *bounded, ("rnn-dmol", "exact"))]
    expected = spoken + [("ink", *rest) for rest in bounded]
    assert [(row.corpus, row.model, row.estimator) for row in comparison.rows] == expected
    assert all(math.isfinite(row.nats_per_sequence) for row in comparison.rows)
    assert [row.bits_per_sample is not None for row in comparison.rows] == [True] * 6 + [False] * 4
    assert {row.model for row in comparison.rows if row.measure == "mass"} == {"flac", "rnn-dmol"}
    assert all((row.monte_carlo_error or 0) > 0 for row in comparison.rows if row.model == "vrnn-gauss")
    assert comparison_table(comparison).row_count == 10

    client = MlflowClient(store_at(tmp_path))
    coder, *children = sorted(trial_runs(tmp_path, "tiny"), key=lambda run: run.data.tags["model"] != "flac")
    assert coder.data.metrics["test/code_bits_per_sample"] == pytest.approx(comparison.rows[0].bits_per_sample)
    assert len(children) == 5
    for run in children:
        assert run.data.tags.keys() >= TAGS
        assert run.info.status == "FINISHED"
        assert Path(run.data.tags["checkpoint"]).is_file()
        assert len(run.data.metrics) <= 20
        assert all(math.isfinite(value) for value in run.data.metrics.values())
        (dataset,) = run.inputs.dataset_inputs
        assert run.data.tags["fingerprint"].startswith(dataset.dataset.digest)
        names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
        kept = {"curves.parquet", "scores.parquet", "samples", "audit.json", "environment.json", "record.json"}
        assert names == kept
        (output,) = run.outputs.model_outputs
        model = client.get_logged_model(output.model_id)
        assert (model.tags["checkpoint"], model.source_run_id) == (run.data.tags["checkpoint"], run.info.run_id)
        assert model.model_type == run.data.tags["model"]
    vrnn = next(
        run for run in children if run.data.tags["model"] == "vrnn-gauss" and run.data.tags["corpus"] == "speech"
    )
    scores = pd.read_parquet(client.download_artifacts(vrnn.info.run_id, "scores.parquet", str(tmp_path)))
    iwae = scores[scores["estimator"] == "iwae"]
    assert vrnn.data.metrics["test/iwae4_nats_per_sequence"] == pytest.approx(iwae["nats"].mean())

    again = Diary()
    assert run_study(suite, open_record, watcher=again) == comparison == compare_study("tiny")
    assert (again.trained, len(again.skipped)) == ([], 5)
    write_report("tiny", tmp_path / "report.html", store_at(tmp_path))
    page = (tmp_path / "report.html").read_text()
    assert all(name in page for name in ("vrnn-gauss", "rnn-gauss", "speech", "ink", "audio/flac"))


def test_a_study_that_was_cut_off_goes_on_where_it_stopped(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = benchmarks.trials.trial.write_samples
    calls = 0

    def fail_on_the_second(*arguments: object, **named: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(benchmarks.trials.trial, "write_samples", fail_on_the_second)
    first = Diary()
    with pytest.raises(KeyboardInterrupt):
        run_study(suite, open_record, watcher=first)
    second = Diary()
    run_study(suite, open_record, watcher=second)
    assert len(first.trained) == 2
    assert len(second.skipped) == 1
    assert len(second.trained) == 3, "the trial that was trained but not recorded is not trained again"
    assert [run.info.status for run in trial_runs(tmp_path, "tiny")] == ["FINISHED"] * 6


class Server:
    """An MLflow server on loopback, sqlite behind it unless another is named.

    Started anew, it has the same address and store.
    """

    def __init__(self, root: Path, backend: str | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{port}"
        self._command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        self._command += ["--workers", "1", "--backend-store-uri", backend or f"sqlite:///{root / 'server.db'}"]
        self._command += ["--artifacts-destination", str(root / "server-artifacts")]
        self.start()

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdout=quiet, stderr=quiet, start_new_session=True)
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.5)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)
        self._process.wait(timeout=30)


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.stop()


def records_and_reads(suite: Suite, uri: str, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    small = suite.model_copy(update={"corpora": suite.corpora[1:], "models": ("rnn-gauss",)})
    comparison = run_study(small, open_record)
    assert compare_study("tiny") == comparison
    assert json.loads(json.dumps(comparison.to_json()))["rows"][0]["model"] == "rnn-gauss"
    assert sync_study(Location(suite.runs) / "tiny", open_record, pytest.fail) == comparison
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "tags.trial_key != ''")
    assert client.get_logged_model(run.outputs.model_outputs[0].model_id).tags["checkpoint"]
    write_report("tiny", root / "report.html", uri)
    assert "rnn-gauss" in (root / "report.html").read_text()


@pytest.mark.slow
def test_an_mlflow_server_holds_the_record_and_the_report_reads_it(
    suite: Suite, mlflow_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    records_and_reads(suite, mlflow_server.uri, monkeypatch, tmp_path)


@pytest.mark.slow
def test_a_server_with_postgresql_behind_it_does_too(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with postgres() as backend:
        server = Server(tmp_path, backend)
        try:
            records_and_reads(suite, server.uri, monkeypatch, tmp_path)
        finally:
            server.stop()


class Kills(Diary):
    """Kills the server once a first trial is recorded and the second is being trained."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def epoch_ended(self, name: str, record: EpochRecord, max_epochs: int) -> None:
        super().epoch_ended(name, record, max_epochs)
        if len(set(self.trained)) == 2:
            self._server.stop(signal.SIGKILL)


@pytest.mark.slow
def test_a_server_that_dies_costs_no_trial_and_is_told_later(
    suite: Suite, mlflow_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    diary, sent = Kills(mlflow_server), list[str]()
    untold = run_study(suite, open_record, watcher=diary)
    assert mlflow_server.uri in str(untold.unsent)
    assert "\n" not in str(untold.unsent)
    assert len(diary.ended) == 5, "the trials after the server's death are run all the same"
    mlflow_server.start()
    told = sync_study(Location(suite.runs) / "tiny", open_record, sent.append)
    assert told == compare_study("tiny")
    assert {key: told.to_json()[key] for key in ("rows", "differences", "warnings")} == {
        key: untold.to_json()[key] for key in ("rows", "differences", "warnings")
    }, "what was on disk is what MLflow holds"
    assert 1 <= len(sent) <= 4
    assert sync_study(Location(suite.runs) / "tiny", open_record, sent.append) == told
    client = MlflowClient(mlflow_server.uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.trial_key != ''")
    assert [run.info.status for run in runs] == ["FINISHED"] * 6
    assert all(len(client.get_metric_history(run.info.run_id, "train/steps")) <= 1 for run in runs)
    assert len(set(sent)) == len(sent)


def test_a_store_that_does_not_answer_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StudyError, match="check MLFLOW_TRACKING_URI") as caught:
        compare_study("tiny")
    assert "\n" not in str(caught.value)


def test_without_git_the_commit_is_what_the_container_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("VRNN_BENCH_COMMIT", "abc123")
    assert code.__wrapped__().commit == "abc123"
    monkeypatch.delenv("VRNN_BENCH_COMMIT")
    assert (code.__wrapped__().commit, code.__wrapped__().clean) == ("unknown", "unknown")
