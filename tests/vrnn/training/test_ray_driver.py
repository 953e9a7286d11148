import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ray.train import TrainingFailedError

from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from tests.conftest import MakeSpec
from vrnn.training import Optimisation, load_checkpoint
from vrnn.training.checkpoints import LAST
from vrnn.training.errors import RunFailedError
from vrnn.training.ray_train import train_with_ray
from vrnn.training.resources import Resources
from vrnn.training.step import Share
from vrnn.training.trial_plan import plan_trial

Failing = Callable[[type[Exception]], list[int]]


def test_local_mode_is_the_loop_itself(make_spec: MakeSpec, tmp_path: Path) -> None:
    epochs: list[int] = []
    result = train_with_ray(make_spec("rnn-gauss"), Location(str(tmp_path)), on_epoch=lambda r: epochs.append(r.epoch))
    assert epochs == [1, 2]
    assert result.state.finished


def assert_same_weights(one: Path, other: Path, within: float) -> None:
    left, right = (load_checkpoint(Location(str(place))).weights for place in (one, other))
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], rtol=0, atol=within)


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_workers_follow_the_trajectory_of_one(
    make_spec: MakeSpec, tmp_path: Path, ray_cluster: None, workers: int
) -> None:
    spec = make_spec(max_epochs=2, batch_size=7)
    one = train_with_ray(spec, Location(str(tmp_path / "one")))
    several = train_with_ray(
        spec, Location(str(tmp_path / "several")), Resources(workers=workers, cpus_per_worker=2 / workers)
    )
    assert several.state.step == one.state.step
    assert several.state.best_valid == pytest.approx(one.state.best_valid, abs=1e-12)
    assert {record.workers for record in several.state.history} == {workers}
    assert_same_weights(tmp_path / "one", tmp_path / "several", within=1e-12)


@pytest.mark.slow
def test_what_a_worker_finds_wrong_reaches_the_caller_by_name(
    make_spec: MakeSpec, tmp_path: Path, ray_cluster: None
) -> None:
    spec = make_spec().model_copy(update={"fingerprint": "0" * 64})
    with pytest.raises(InputError, match="its fingerprint is"):
        train_with_ray(spec, Location(str(tmp_path)), Resources(workers=1))


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    """Makes every first step fail; what it returns has the parts that the batch was taken in, attempt by attempt."""

    def fail_with(error: type[Exception]) -> list[int]:
        asked: list[int] = []

        def add_gradients(self: Share, *arguments: object) -> None:
            asked.append(len(self._parts))
            raise error

        monkeypatch.setattr(Share, "add_gradients", add_gradients)
        return asked

    return fail_with


def test_too_little_memory_is_met_with_ever_smaller_parts_however_few_failures_are_allowed(
    make_spec: MakeSpec, tmp_path: Path, failing: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = failing(MemoryError)
    with pytest.raises(RunFailedError, match="out of memory with one sequence at once; use --truncate-frames"):
        train_with_ray(make_spec(batch_size=8), Location(str(tmp_path)), Resources(max_failures=0))
    assert len(asked) == 4
    assert asked == sorted(set(asked)), "8, 4, 2, 1 at once: in more parts each time"
    monkeypatch.undo()
    assert train_with_ray(make_spec(batch_size=8), Location(str(tmp_path))).state.finished


def test_a_run_whose_workers_die_without_getting_on_is_given_up_and_told(
    make_spec: MakeSpec, tmp_path: Path, failing: Failing
) -> None:
    asked = failing(TrainingFailedError)
    with pytest.raises(RunFailedError, match="given up after 3 failures at step 0, the last: TrainingFailedError"):
        train_with_ray(make_spec(batch_size=8), Location(str(tmp_path)), Resources(max_failures=2))
    assert asked == [1, 1, 2], "a second death in a row may be the kernel's answer to too little memory"


@pytest.mark.slow
def test_a_batch_that_does_not_fit_in_memory_is_taken_in_parts(speech_shards: Path, tmp_path: Path) -> None:
    """A real limit. Blocks are mapped one by one, so that what is freed counts as free by the limit's count too."""
    rules = Optimisation(max_epochs=1, batch_size=16, precision="float64")
    spec = plan_trial(str(speech_shards), "clean", "vrnn-gauss", "small", rules, 0)
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    done = subprocess.run(
        [sys.executable, "-m", "tests.vrnn.training.hungry", tmp_path / "spec.json", tmp_path / "out", "200"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "4096", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "out of memory; going on from step 0" in done.stderr
    assert 1 <= load_checkpoint(Location(str(tmp_path / "out" / LAST))).state.micro_batch <= 8
    assert_same_weights(tmp_path / "out-before", tmp_path / "out", within=1e-9)
