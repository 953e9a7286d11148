"""A whole study on two corpora, against sqlite and against a real MLflow server over HTTP."""

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
from benchmarks.schema.base import to_json
from benchmarks.schema.comparison import Comparison
from benchmarks.schema.suite import Suite
from benchmarks.store.locate import open_study
from benchmarks.store.mlflow_reader import read_study
from benchmarks.store.mlflow_writer import open_writer
from benchmarks.store.provenance import code
from benchmarks.study.run import run_study, sync_study
from benchmarks.study.summary import compare_study
from benchmarks.suites.suite import load_suite
from benchmarks.trials.events import EpochFinished, Event
from dashboards.report.study_report import build_report
from pipelines.runtime.storage import Location
from tests.benchmarks.postgres import postgres
from tests.benchmarks.small_studies import EventLog, store_at, trial_runs

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
    log = EventLog()
    comparison = run_study(suite, open_writer, subscribers=[log])
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
    codec, *children = sorted(trial_runs(tmp_path, "tiny"), key=lambda run: run.data.tags["model"] != "flac")
    assert codec.data.metrics["test/code_bits_per_sample"] == pytest.approx(comparison.rows[0].bits_per_sample)
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
        kept = {
            "curves.parquet",
            "scores.parquet",
            "samples",
            "audit.json",
            "environment.json",
            "record.json",
            "outcome.json",
        }
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

    again = EventLog()
    assert (
        run_study(suite, open_writer, subscribers=[again])
        == comparison
        == compare_study(open_study("tiny"))
        == compare_study(read_study("tiny"))
    )
    assert (again.trained, len(again.skipped)) == ([], 5)
    page = build_report(open_study("tiny"), comparison)
    assert all(name in page for name in ("vrnn-gauss", "rnn-gauss", "speech", "ink", "audio/flac"))


def test_a_study_that_was_cut_off_resumes(suite: Suite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = benchmarks.trials.trial.write_samples
    calls = 0

    def fail_on_the_second(*arguments: object, **named: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(benchmarks.trials.trial, "write_samples", fail_on_the_second)
    first = EventLog()
    with pytest.raises(KeyboardInterrupt):
        run_study(suite, open_writer, subscribers=[first])
    second = EventLog()
    run_study(suite, open_writer, subscribers=[second])
    assert len(first.trained) == 2
    assert len(second.skipped) == 1
    assert len(second.trained) == 3, "the trial that was trained but not recorded is not trained again"
    assert [run.info.status for run in trial_runs(tmp_path, "tiny")] == ["FINISHED"] * 6


class Server:
    """An MLflow server on loopback, sqlite behind it unless another is named.

    Restarted, it has the same address and store.
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


def records_and_reads(suite: Suite, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    small = suite.model_copy(update={"corpora": suite.corpora[1:], "models": ("rnn-gauss",)})
    comparison = run_study(small, open_writer)
    assert compare_study(read_study("tiny")) == comparison
    assert Comparison.model_validate(to_json(comparison)).rows[0].model == "rnn-gauss"
    assert sync_study(Location(suite.runs) / "tiny", open_writer, pytest.fail) == comparison
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "tags.trial_key != ''")
    assert client.get_logged_model(run.outputs.model_outputs[0].model_id).tags["checkpoint"]
    assert "rnn-gauss" in build_report(read_study("tiny"), comparison)


@pytest.mark.slow
def test_an_mlflow_server_holds_the_record_and_the_report_reads_it(
    suite: Suite, mlflow_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    records_and_reads(suite, mlflow_server.uri, monkeypatch)


@pytest.mark.slow
def test_a_server_with_postgresql_behind_it_does_too(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with postgres() as backend:
        server = Server(tmp_path, backend)
        try:
            records_and_reads(suite, server.uri, monkeypatch)
        finally:
            server.stop()


class Kills(EventLog):
    """Kills the server once a first trial is recorded and the second is being trained."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if isinstance(event, EpochFinished) and len(set(self.trained)) == 2:
            self._server.stop(signal.SIGKILL)


@pytest.mark.slow
def test_a_server_that_dies_costs_no_trial_and_gets_the_results_later(
    suite: Suite, mlflow_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    log, sent = Kills(mlflow_server), list[str]()
    held_back = run_study(suite, open_writer, subscribers=[log])
    assert mlflow_server.uri in str(held_back.unsent)
    assert "\n" not in str(held_back.unsent)
    assert len(log.finished) == 5, "the trials after the server's death are run all the same"
    mlflow_server.start()
    sent_later = sync_study(Location(suite.runs) / "tiny", open_writer, sent.append)
    assert sent_later == held_back.model_copy(update={"unsent": None}) == compare_study(read_study("tiny"))
    assert 1 <= len(sent) <= 4
    assert sync_study(Location(suite.runs) / "tiny", open_writer, sent.append) == sent_later
    client = MlflowClient(mlflow_server.uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.trial_key != ''")
    assert [run.info.status for run in runs] == ["FINISHED"] * 6
    assert all(len(client.get_metric_history(run.info.run_id, "train/steps")) <= 1 for run in runs)
    assert len(set(sent)) == len(sent)


def test_a_store_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StudyError, match="check MLFLOW_TRACKING_URI") as caught:
        open_study("tiny")
    assert "\n" not in str(caught.value)


def test_without_git_the_commit_is_what_the_container_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("VRNN_BENCH_COMMIT", "abc123")
    assert code.__wrapped__().commit == "abc123"
    monkeypatch.delenv("VRNN_BENCH_COMMIT")
    assert (code.__wrapped__().commit, code.__wrapped__().clean) == ("unknown", "unknown")
