import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipelines.errors import InputError
from pipelines.storage import Location
from tests.conftest import MakeSpec
from vrnn.training import Optimisation, load_checkpoint
from vrnn.training.errors import RunFailedError
from vrnn.training.gradients import Share
from vrnn.training.plan import plan_trial
from vrnn.training.ray_driver import train_with_ray
from vrnn.training.resources import Resources


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


def test_a_run_that_gets_nowhere_is_given_up_and_told(make_spec: MakeSpec, tmp_path: Path) -> None:
    """Its memory runs out at the first step, with whatever it does at once."""
    spec = make_spec(batch_size=8)
    asked: list[int] = []

    def no_memory(self: Share, *arguments: object) -> None:
        asked.append(len(self._parts))
        raise MemoryError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Share, "add_gradients", no_memory)
        with pytest.raises(RunFailedError, match="given up after 3 failures at step 0, the last: out of memory"):
            train_with_ray(spec, Location(str(tmp_path)), Resources(max_failures=2))
        assert asked == sorted(set(asked)), "fewer sequences at once, so more parts, each time"
        with pytest.raises(RunFailedError, match="out of memory with one sequence at once; use --truncate-frames"):
            train_with_ray(spec, Location(str(tmp_path)), Resources(max_failures=9))
    assert train_with_ray(spec, Location(str(tmp_path))).state.finished


@pytest.mark.slow
def test_a_batch_that_does_not_fit_in_memory_is_taken_in_parts(speech_shards: Path, tmp_path: Path) -> None:
    """A real limit. Blocks are mapped one by one, so that what is freed counts as free by the limit's count too."""
    rules = Optimisation(max_epochs=1, batch_size=16, precision="float64")
    spec = plan_trial(str(speech_shards), "clean", "vrnn-gauss", "small", rules, 0)
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.hungry", tmp_path / "spec.json", tmp_path / "out", "200"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "out of memory; going on from step 0" in done.stderr
    assert_same_weights(tmp_path / "out-before", tmp_path / "out", within=1e-9)
