"""A whole study on two corpora, against sqlite and against a real MLflow server over HTTP."""

import json
import math
import os
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

import benchmarks.trials
from benchmarks.errors import StudyError
from benchmarks.output import comparison_table
from benchmarks.study import StudyWatcher, compare_study, run_study
from benchmarks.suite import Suite, load_suite
from benchmarks.tracking import open_record
from dashboards.report import write_report
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
    "trial_key",
    "measure",
    "parameters",
}


def store_at(root: Path) -> str:
    return f"sqlite:///{root / 'mlflow.db'}"


class Diary(StudyWatcher):
    def __init__(self) -> None:
        self.trained: list[str] = []
        self.skipped: list[str] = []

    def trial_skipped(self, number: int, total: int, name: str) -> None:
        self.skipped.append(name)

    def epoch_ended(self, name: str, record: EpochRecord, max_epochs: int) -> None:
        self.trained.append(name)


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
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    children = client.search_runs([experiment.experiment_id], "tags.trial_key != ''")
    coder, *children = sorted(children, key=lambda run: run.data.tags["model"] != "flac")
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
        assert names == {"curves.parquet", "scores.parquet", "samples"}
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
    real = benchmarks.trials.write_samples
    calls = 0

    def fail_on_the_second(*arguments: object, **named: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(benchmarks.trials, "write_samples", fail_on_the_second)
    first = Diary()
    with pytest.raises(KeyboardInterrupt):
        run_study(suite, open_record, watcher=first)
    second = Diary()
    run_study(suite, open_record, watcher=second)
    assert len(first.trained) == 2
    assert len(second.skipped) == 1
    assert len(second.trained) == 3, "the trial that was trained but not recorded is not trained again"
    client = MlflowClient(store_at(tmp_path))
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.trial_key != ''")
    assert sorted(run.info.status for run in runs) == ["FINISHED"] * 6


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = f"sqlite:///{tmp_path / 'server.db'}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store, "--artifacts-destination", str(tmp_path / "server-artifacts")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    uri = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=1):
                break
        except OSError:
            time.sleep(0.5)
    yield uri
    os.killpg(server.pid, 15)
    server.wait(timeout=30)


@pytest.mark.slow
def test_an_mlflow_server_holds_the_record_and_the_report_reads_it(
    suite: Suite, mlflow_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    small = suite.model_copy(update={"corpora": suite.corpora[1:], "models": ("rnn-gauss",)})
    comparison = run_study(small, open_record)
    assert compare_study("tiny") == comparison
    assert json.loads(json.dumps(comparison.to_json()))["rows"][0]["model"] == "rnn-gauss"
    write_report("tiny", tmp_path / "report.html", mlflow_server)
    assert "rnn-gauss" in (tmp_path / "report.html").read_text()


def test_a_store_that_does_not_answer_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StudyError, match="check MLFLOW_TRACKING_URI") as caught:
        compare_study("tiny")
    assert "\n" not in str(caught.value)
