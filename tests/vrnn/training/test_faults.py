"""Workers and drivers of a training run that are killed or asked to stop: real processes, the installed command.

Whatever happens, the same command ends with the bits of a run that nothing happened to.
"""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipelines.runtime.storage import Location
from tests.processes import RAY_AGENTS, kill_all, named, wait_until, wait_until_gone
from vrnn.training import load_checkpoint
from vrnn.training.checkpoints import LAST

pytestmark = pytest.mark.slow

BENCH = Path(sys.executable).parent / "vrnn-bench"
WORKER = "RayTrainWorker"
TWO_WORKERS = ("--workers", "2", "--cpus-per-worker", "0.5")


class Runs:
    """Starts `train` on the shards, and knows every process that came of it."""

    def __init__(self, shards: Path) -> None:
        self.marker = f"VRNN_BENCH_TEST={uuid.uuid4().hex}"
        name, value = self.marker.split("=")
        self._environment = os.environ | {name: value, "OMP_NUM_THREADS": "1"}
        self._command = [BENCH, "train", "--shards", shards, "--model", "vrnn-gauss", "--size", "tiny"]
        self._command += ["--max-epochs", 12, "--batch-size", 2, "--precision", "float64", "--save-seconds", 0.01]

    def start(self, out: Path, *options: str) -> subprocess.Popen[str]:
        command = [str(part) for part in (*self._command, "--out", out, *options)]
        return subprocess.Popen(
            command, env=self._environment, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def finish(self, out: Path, *options: str) -> str:
        return end(self.start(out, *options))


def end(process: subprocess.Popen[str], status: int = 0) -> str:
    stderr = process.communicate(timeout=240)[1]
    assert process.returncode == status, stderr
    return stderr


@pytest.fixture(scope="module")
def runs(ink_shards: Path) -> Iterator[Runs]:
    started = Runs(ink_shards)
    yield started
    kill_all(started.marker)


@pytest.fixture(scope="module")
def whole_of_two(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "two"
    runs.finish(out, *TWO_WORKERS)
    return out


@pytest.fixture(scope="module")
def whole_of_one(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "one"
    runs.finish(out)
    return out


def step_of(out: Path) -> int:
    return load_checkpoint(Location(str(out / LAST))).state.step


def wait_for_a_new_checkpoint(out: Path) -> None:
    def stamp() -> int:
        try:
            return (out / LAST).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    before = stamp()
    wait_until(lambda: stamp() > before, 180, f"a new {out / LAST}")


def assert_same_end(left: Path, right: Path) -> None:
    one, other = (load_checkpoint(Location(str(place / LAST))) for place in (left, right))
    assert one.state.finished
    assert other.state.finished
    assert one.state.best_valid == other.state.best_valid
    assert [r.valid_nats_per_frame for r in one.state.history] == [r.valid_nats_per_frame for r in other.state.history]
    assert one.weights.keys() == other.weights.keys()
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


def test_a_killed_worker_costs_the_steps_since_the_last_checkpoint(
    runs: Runs, whole_of_two: Path, tmp_path: Path
) -> None:
    process = runs.start(tmp_path, *TWO_WORKERS)
    wait_for_a_new_checkpoint(tmp_path)
    os.kill(named(process.pid, WORKER)[-1], signal.SIGKILL)
    stderr = end(process)
    assert "resuming from step" in stderr
    assert_same_end(whole_of_two, tmp_path)
    wait_until_gone(runs.marker)


@pytest.mark.parametrize("options", [(), TWO_WORKERS])
def test_a_killed_driver_leaves_no_process_and_the_same_command_resumes(
    runs: Runs, whole_of_one: Path, whole_of_two: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    process = runs.start(tmp_path, *options)
    wait_for_a_new_checkpoint(tmp_path)
    process.kill()
    process.wait()
    wait_until_gone(runs.marker, 30, besides=RAY_AGENTS)
    assert not load_checkpoint(Location(str(tmp_path / LAST))).state.finished
    runs.finish(tmp_path, *options)
    assert_same_end(whole_of_two if options else whole_of_one, tmp_path)
    wait_until_gone(runs.marker)


@pytest.mark.parametrize(("options", "number"), [((), signal.SIGTERM), (TWO_WORKERS, signal.SIGINT)])
def test_asked_to_stop_it_saves_itself_within_seconds(
    runs: Runs, whole_of_one: Path, whole_of_two: Path, tmp_path: Path, options: tuple[str, ...], number: signal.Signals
) -> None:
    process = runs.start(tmp_path, *options, "--save-seconds", "1000")
    wait_for_a_new_checkpoint(tmp_path)
    asked = time.monotonic()
    process.send_signal(number)
    stderr = end(process, 128 + number)
    assert time.monotonic() - asked < 20
    step = step_of(tmp_path)
    assert f"stopped at step {step}" in stderr
    assert not load_checkpoint(Location(str(tmp_path / LAST))).state.finished
    wait_until_gone(runs.marker)
    runs.finish(tmp_path, *options)
    assert_same_end(whole_of_two if options else whole_of_one, tmp_path)


def test_asked_twice_it_ends_at_once(runs: Runs, tmp_path: Path) -> None:
    process = runs.start(tmp_path, *TWO_WORKERS)
    wait_for_a_new_checkpoint(tmp_path)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    process.wait(60)
    assert process.returncode == 130
    assert time.monotonic() - asked < 20
    wait_until_gone(runs.marker)
