"""Studies whose trials run several at once, that lose processes, are stopped, extended and kept in an object store."""

import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli import study_verbs
from benchmarks.errors import FailedError, StoppedError
from benchmarks.schema.comparison import Comparison, ComparisonRow
from benchmarks.schema.suite import Suite
from benchmarks.store.mlflow_writer import open_writer
from benchmarks.study.run import run_study
from benchmarks.suites.suite import expand
from benchmarks.trials import ray_executor
from benchmarks.trials.events import EpochFinished, Event, TrialEvent, TrialFailed, TrialRetried
from benchmarks.trials.task import task_of
from pipelines.errors import InputError
from pipelines.runtime.locks import lock_directory
from pipelines.runtime.messages import Channel
from pipelines.runtime.storage import Location
from pipelines.shards.read import INDEX_NAME
from tests.benchmarks.small_studies import FAST, EventLog, logged_steps, small_suite, store_at, trial_runs, write_suite
from tests.pipelines.object_store import Store
from tests.processes import RAY_AGENTS, kill_all, named, wait_until, wait_until_gone
from vrnn.training import loop
from vrnn.training.step import StepResult
from vrnn.training.stopping import Stop

BENCH = Path(sys.executable).parent / "vrnn-bench"
REPOSITORY = Path(__file__).parents[3]
TWO_AT_ONCE = {"concurrent": 2, "resources": {"cpus_per_worker": 0.5}}
WORKER = "ray::TrialWorker.run"


@pytest.fixture(autouse=True)
def store_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_at(tmp_path))


@pytest.fixture(scope="module")
def one_after_another(ink_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    root = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store_at(root))
        patch.chdir(root)
        return run_study(small_suite(root, {"ink": ink_shards}), open_writer)


def assert_same_scores(rows: list[ComparisonRow], expected: list[ComparisonRow], within: float = 1e-9) -> None:
    assert [(row.model, row.estimator, row.seeds) for row in rows] == [
        (row.model, row.estimator, row.seeds) for row in expected
    ]
    scores = [row.nats_per_sequence for row in expected]
    assert [row.nats_per_sequence for row in rows] == pytest.approx(scores, abs=within)


def processes_of(suite: Suite) -> list[str]:
    """The processes that say, in the journals, that they did something of the study."""
    journals = Path(suite.runs).rglob("worker-*.txt")
    return [match for journal in journals for match in re.findall(r"process (\d+) on .* begins", journal.read_text())]


def test_two_at_once_share_two_processes_and_score_what_they_would_one_after_another(
    ink_shards: Path, tmp_path: Path, ray_cluster: None, one_after_another: Comparison
) -> None:
    suite = small_suite(tmp_path, {"ink": ink_shards}, seeds=(0, 1), **TWO_AT_ONCE)
    events = EventLog()
    comparison = run_study(suite, open_writer, subscribers=[events])
    assert set(events.epochs.values()) == {FAST["max_epochs"]}
    assert len(events.finished) == 4
    begun = processes_of(suite)
    assert len(begun) == 4
    assert len(set(begun)) == 2
    assert str(os.getpid()) not in begun
    runs = trial_runs(tmp_path, "small")
    assert [run.info.status for run in runs] == ["FINISHED"] * 4
    for run in runs:
        assert {name for name in run.data.metrics if name.startswith("system/")} == {
            "system/frames_per_second",
            "system/data_wait_share",
            "system/fraction_of_peak",
            "system/peak_memory_gib",
        }
        assert (Path(run.data.tags["logs"]) / "worker-0.txt").is_file()
    assert {row.seeds for row in comparison.rows} == {2}
    smaller = small_suite(tmp_path, {"ink": ink_shards}, seeds=(0,), **TWO_AT_ONCE)
    again = run_study(smaller, open_writer, subscribers=[(idle := EventLog())])
    assert idle.trained == []
    assert_same_scores(again.rows, one_after_another.rows)


def test_from_the_command_to_a_training_step_are_few_calls(
    ink_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that a reader has to read: the step is the eighth call."""
    walks: list[list[tuple[str, str]]] = []
    step, packages = loop.train_step, tuple(str(REPOSITORY / name) for name in ("benchmarks", "vrnn", "pipelines"))

    def noted(*arguments: Any, **named: Any) -> StepResult:
        callers = [(frame.filename, frame.function) for frame in inspect.stack()]
        walks.append([caller for caller in callers if caller[0].startswith(packages)])
        return step(*arguments, **named)

    monkeypatch.setattr(loop, "train_step", noted)
    study_verbs.run(write_suite(small_suite(tmp_path, {"ink": ink_shards}, models=("rnn-gauss",)), tmp_path))
    assert [function for _, function in walks[0]][::-1] == [
        "run",
        "_run",
        "run_study",
        "run_locally",
        "run_trial",
        "train_locally",
        "train",
        "train_epoch",
    ]


def spoil(shards: Path, out: Path) -> Path:
    """A copy whose signals are not what they were when it was prepared."""
    shutil.copytree(shards, out)
    for path in set(out.rglob("*.parquet")) - {out / INDEX_NAME}:
        content = bytearray(path.read_bytes())
        middle = len(content) // 3
        content[middle : middle + 64] = bytes(64)
        path.write_bytes(bytes(content))
    return out


@pytest.mark.parametrize("ways", [{}, pytest.param(TWO_AT_ONCE, marks=pytest.mark.slow)])
def test_a_trial_that_fails_leaves_the_others_alone_and_is_tried_again(
    ink_shards: Path, speech_shards: Path, tmp_path: Path, request: pytest.FixtureRequest, ways: dict[str, object]
) -> None:
    if ways:
        request.getfixturevalue("ray_cluster")
    spoilt = spoil(speech_shards, tmp_path / "spoilt")
    suite = small_suite(tmp_path, {"bad": spoilt, "ink": ink_shards}, **ways)
    events = EventLog()
    comparison = run_study(suite, open_writer, subscribers=[events])
    bad = {"bad/clean/rnn-gauss/seed0", "bad/clean/vrnn-gauss/seed0"}
    assert set(comparison.failed) == set(events.failed) == bad
    assert {row.corpus for row in comparison.rows} == {"ink"}
    assert all("\n" not in reason and reason for reason in comparison.failed.values())
    runs = trial_runs(tmp_path, "small")
    found = {run.data.tags["mlflow.runName"]: (run.info.status, run.data.tags.get("failed")) for run in runs}
    assert {name for name, (status, reason) in found.items() if status == "FAILED" and reason} == bad
    assert {
        name for name, (status, reason) in found.items() if status == "FINISHED" and not reason
    } == found.keys() - bad

    shutil.rmtree(spoilt)
    shutil.copytree(speech_shards, spoilt)
    again = EventLog()
    fixed = run_study(suite, open_writer, subscribers=[again])
    assert fixed.failed == {}
    assert set(again.trained) == bad
    runs = trial_runs(tmp_path, "small")
    assert [(run.info.status, run.data.tags.get("failed")) for run in runs] == [("FINISHED", None)] * 4


def test_a_damaged_index_is_reported_before_any_trial_begins(
    ink_shards: Path, speech_shards: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(speech_shards, damaged)
    (damaged / INDEX_NAME).write_bytes(b"")
    events = EventLog()
    with pytest.raises(InputError, match="run prepare again"):
        run_study(small_suite(tmp_path, {"ink": ink_shards, "bad": damaged}), open_writer, subscribers=[events])
    assert events.trained == []


def test_where_every_trial_fails_the_study_does(ink_shards: Path, tmp_path: Path) -> None:
    suite = small_suite(tmp_path, {"bad": spoil(ink_shards, tmp_path / "spoilt")})
    with pytest.raises(FailedError, match="every trial failed; the first failure: bad/clean/rnn-gauss/seed0: "):
        run_study(suite, open_writer)


def test_failures_are_reported_at_the_end_with_exit_1(ink_shards: Path, speech_shards: Path, tmp_path: Path) -> None:
    suite = small_suite(tmp_path, {"bad": spoil(speech_shards, tmp_path / "spoilt"), "ink": ink_shards})
    done = subprocess.run(
        [BENCH, "run", write_suite(suite, tmp_path), "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("vrnn-bench: 2 trials failed: bad/clean/rnn-gauss/seed0: ")
    assert last.endswith("run the same command to retry them")
    assert '"model": "vrnn-gauss"' in done.stdout, "the others are compared"
    assert "Traceback" not in done.stderr


def test_a_study_grows_by_seeds_and_models_and_repeats_nothing(ink_shards: Path, tmp_path: Path) -> None:
    first, second = EventLog(), EventLog()
    run_study(small_suite(tmp_path, {"ink": ink_shards}, models=("rnn-gauss",)), open_writer, subscribers=[first])
    grown = small_suite(tmp_path, {"ink": ink_shards}, models=("rnn-gauss", "rnn-gmm"), seeds=(0, 1))
    comparison = run_study(grown, open_writer, subscribers=[second])
    assert set(second.skipped) == set(first.trained) == {"ink/clean/rnn-gauss/seed0"}
    assert set(second.trained) == {"ink/clean/rnn-gauss/seed1", "ink/clean/rnn-gmm/seed0", "ink/clean/rnn-gmm/seed1"}
    assert [(row.model, row.seeds) for row in comparison.rows] == [("rnn-gauss", 2), ("rnn-gmm", 2)]


class StopsAfter(EventLog):
    """Asks to stop once so many epochs have ended."""

    def __init__(self, stop: Stop, epochs: int) -> None:
        super().__init__()
        self._stop, self._left = stop, epochs

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        self._left -= isinstance(event, EpochFinished)
        if self._left == 0:
            self._stop.signal = signal.SIGTERM


def test_a_trial_that_resumes_with_other_scoring_gets_a_run_of_its_own(ink_shards: Path, tmp_path: Path) -> None:
    """MLflow changes no parameter of a run."""
    suite, stop = small_suite(tmp_path, {"ink": ink_shards}, models=("vrnn-gauss",)), Stop()
    with pytest.raises(StoppedError):
        run_study(suite, open_writer, subscribers=[StopsAfter(stop, 1)], stop=stop)
    other = small_suite(tmp_path, {"ink": ink_shards}, models=("vrnn-gauss",), scoring={"num_samples": 3, "repeats": 1})
    comparison = run_study(other, open_writer)
    assert [(row.estimator, row.num_samples) for row in comparison.rows] == [("elbo", 1), ("iwae", 3)]
    runs = {run.info.status: run for run in trial_runs(tmp_path, "small")}
    assert runs.keys() == {"FINISHED", "KILLED"}
    assert runs["FINISHED"].data.params["scoring.num_samples"] == "3"
    assert runs["KILLED"].data.params["scoring.num_samples"] == "2"


def test_in_an_object_store_a_study_is_stopped_and_resumes(
    ink_shards: Path, tmp_path: Path, store: Store, one_after_another: Comparison
) -> None:
    suite = small_suite(tmp_path, {"ink": ink_shards}, runs=store.at("runs").uri, save_seconds=0.01)
    stop = Stop()
    first = StopsAfter(stop, 4)
    with pytest.raises(StoppedError):
        run_study(suite, open_writer, subscribers=[first], stop=stop)
    assert sorted(run.info.status for run in trial_runs(tmp_path, "small")) == ["FINISHED", "KILLED"]
    second = EventLog()
    comparison = run_study(suite, open_writer, subscribers=[second])
    assert first.epochs + second.epochs == Counter(dict.fromkeys(first.epochs, FAST["max_epochs"]))
    assert comparison.rows == one_after_another.rows
    kept = {file.path.rpartition("/")[2] for file in store.at("runs").files()}
    assert {"best.pt", "last.pt", "last-1.pt", "outcome.json", "scores.parquet", "worker-0.txt"} <= kept


def test_a_study_that_is_being_run_already_is_refused(ink_shards: Path, tmp_path: Path) -> None:
    suite = small_suite(tmp_path, {"ink": ink_shards})
    with (
        lock_directory(Location(suite.runs) / suite.study),
        pytest.raises(FailedError, match=f"is in use by another process .run or sync.: .*process {os.getpid()}"),
    ):
        run_study(suite, open_writer)


class Killer(EventLog):
    """Kills the processes of trials until it is ended."""

    def __init__(self) -> None:
        super().__init__()
        self._over = threading.Event()

    def kill(self, deaths: int) -> None:
        while not self._over.wait(0.05):
            for process in named(os.getpid(), WORKER)[:deaths]:
                os.kill(process, signal.SIGKILL)
                deaths -= 1
            if not deaths:
                return

    def end(self) -> None:
        self._over.set()

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if isinstance(event, TrialFailed):
            self.end()


@pytest.mark.slow
def test_a_trial_whose_process_is_killed_resumes_in_another(
    ink_shards: Path, tmp_path: Path, ray_cluster: None, one_after_another: Comparison
) -> None:
    suite = small_suite(tmp_path, {"ink": ink_shards}, save_seconds=0.01, **TWO_AT_ONCE)
    killer = Killer()
    killing = threading.Thread(target=killer.kill, args=(1,))
    killing.start()
    comparison = run_study(suite, open_writer, subscribers=[killer])
    killer.end()
    killing.join()
    assert list(killer.retried.values()) == ["its process died"]
    assert comparison.failed == {}
    assert_same_scores(comparison.rows, one_after_another.rows)


class DiesAtStart:
    """A worker whose process dies before it has started."""

    def __init__(self, channel: Channel) -> None:
        os._exit(1)

    def ready(self) -> None: ...


def test_where_no_worker_can_be_started_the_study_fails_in_one_line(
    ink_shards: Path, tmp_path: Path, ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_executor, "TrialWorker", DiesAtStart)
    suite = small_suite(
        tmp_path, {"ink": ink_shards}, concurrent=2, resources={"cpus_per_worker": 0.5, "max_failures": 1}
    )
    with pytest.raises(FailedError, match=r"^2 processes died before they ran any trial: \w+: "):
        run_study(suite, open_writer)
    assert trial_runs(tmp_path, "small") == []


def test_a_worker_that_runs_out_of_memory_is_no_failure_until_one_sequence_is_left(
    ink_shards: Path, tmp_path: Path, ray_cluster: None
) -> None:
    suite = small_suite(tmp_path, {"ink": ink_shards}, models=("vrnn-gauss",), resources={"max_failures": 0})
    trials = expand(suite)
    task = task_of(suite, trials[0])
    assert task.resources.sequences_at_once(FAST["batch_size"]) == 2
    events: list[TrialEvent] = []
    pool = ray_executor._WorkerPool([task], 1, events.append)
    try:
        pool._after_death(task, out_of_memory=True)
        assert isinstance(events[-1], TrialRetried)
        again = pool._waiting[0]
        assert again.resources.sequences_at_once(FAST["batch_size"]) == 1
        pool._after_death(again, out_of_memory=True)
    finally:
        pool.close()
    assert events[-1] == TrialFailed(again, "out of memory, 1 times without progress")


@pytest.mark.slow
def test_a_trial_whose_processes_die_again_and_again_fails_and_the_next_is_run(
    ink_shards: Path, tmp_path: Path, ray_cluster: None
) -> None:
    resources = {"cpus_per_worker": 0.5, "max_failures": 1}
    suite = small_suite(tmp_path, {"ink": ink_shards}, address="auto", resources=resources)
    killer = Killer()
    killing = threading.Thread(target=killer.kill, args=(1_000,))
    killing.start()
    comparison = run_study(suite, open_writer, subscribers=[killer])
    killing.join()
    (reason,) = comparison.failed.values()
    assert reason == "its process died, 2 times without progress"
    assert len(killer.finished) == 1


@pytest.mark.slow
def test_a_trial_with_workers_of_its_own_is_driven_from_a_worker(
    ink_shards: Path, tmp_path: Path, ray_cluster: None, one_after_another: Comparison
) -> None:
    resources = {"workers": 2, "cpus_per_worker": 0.5}
    suite = small_suite(tmp_path, {"ink": ink_shards}, models=("vrnn-gauss",), resources=resources)
    comparison = run_study(suite, open_writer)
    assert {path.name for path in Path(suite.runs).rglob("worker-*.txt")} == {"worker-0.txt", "worker-1.txt"}
    assert_same_scores(comparison.rows, [row for row in one_after_another.rows if row.model == "vrnn-gauss"])


@pytest.mark.slow
def test_killed_and_stopped_a_study_of_processes_ends_with_nothing_repeated_and_nothing_left(
    ink_shards: Path, tmp_path: Path
) -> None:
    suite = small_suite(tmp_path, {"ink": ink_shards}, seeds=(0, 1), save_seconds=0.05, **TWO_AT_ONCE)
    command = [str(BENCH), "run", str(write_suite(suite, tmp_path))]
    marker = f"VRNN_BENCH_TEST={uuid.uuid4().hex}"
    environment = os.environ | dict([marker.split("=")]) | {"OMP_NUM_THREADS": "1"}
    log = tmp_path / "log.txt"

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as file:
            return subprocess.Popen(command, env=environment, stderr=file, stdout=file, start_new_session=True)

    def outcomes() -> int:
        return len(list(Path(suite.runs).rglob("outcome.json")))

    try:
        process = start()
        wait_until(lambda: outcomes() >= 1, 240, "a first outcome")
        process.kill()
        process.wait()
        wait_until_gone(marker, 30, besides=RAY_AGENTS)
        written = log.stat().st_size
        process = start()
        wait_until(lambda: b": epoch " in log.read_bytes()[written:], 240, "one more epoch")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130, log.read_text()
        wait_until_gone(marker, 10, besides=RAY_AGENTS)
        assert outcomes() < 4
        assert start().wait(400) == 0, log.read_text()
        wait_until_gone(marker)
    finally:
        kill_all(marker)
    runs = trial_runs(tmp_path, "small")
    assert [run.info.status for run in runs] == ["FINISHED"] * 4
    assert len({run.data.tags["trial_key"] for run in runs}) == 4
    assert [logged_steps(tmp_path, run) for run in runs] == [[*range(1, FAST["max_epochs"] + 2)]] * 4
    epochs = Counter(re.findall(r"^ +(\S+: epoch \d+/\d+):", log.read_text(), flags=re.MULTILINE))
    assert set(epochs.values()) == {1}, "no epoch is computed twice"
