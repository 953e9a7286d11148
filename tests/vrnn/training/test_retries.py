import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from ray.train import TrainingFailedError

from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from tests.conftest import MakeSpec
from vrnn.errors import RunFailedError
from vrnn.training import Optimisation, TrialSpec, load_checkpoint, loop, ray_train
from vrnn.training.checkpoints import LAST
from vrnn.training.ray_train import train_with_ray
from vrnn.training.resources import Resources
from vrnn.training.retries import train_locally
from vrnn.training.spec import plan_trial


def test_a_local_run_is_the_loop_itself(make_spec: MakeSpec, tmp_path: Path) -> None:
    epochs: list[int] = []
    result = train_locally(make_spec("rnn-gauss"), Location(str(tmp_path)), on_epoch=lambda r: epochs.append(r.epoch))
    assert epochs == [1, 2]
    assert result.state.finished


def assert_same_weights(one: Path, other: Path, within: float) -> None:
    left, right = (load_checkpoint(Location(str(place))).weights for place in (one, other))
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], rtol=0, atol=within)


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_workers_take_the_steps_of_one(make_spec: MakeSpec, tmp_path: Path, ray_cluster: None, workers: int) -> None:
    spec = make_spec(max_epochs=2, batch_size=7)
    one = train_locally(spec, Location(str(tmp_path / "one")))
    several = train_with_ray(
        spec, Location(str(tmp_path / "several")), Resources(workers=workers, cpus_per_worker=2 / workers)
    )
    assert several.state.step == one.state.step
    assert several.state.best_valid == pytest.approx(one.state.best_valid, abs=1e-12)
    assert {record.workers for record in several.state.history} == {workers}
    assert_same_weights(tmp_path / "one", tmp_path / "several", within=1e-12)


@pytest.mark.slow
def test_an_input_error_in_a_worker_reaches_the_caller(make_spec: MakeSpec, tmp_path: Path, ray_cluster: None) -> None:
    spec = make_spec().model_copy(update={"fingerprint": "0" * 64})
    with pytest.raises(InputError, match="its fingerprint is"):
        train_with_ray(spec, Location(str(tmp_path)), Resources(workers=1))


def test_too_little_memory_is_met_with_ever_smaller_micro_batches_however_few_failures_are_allowed(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def runs_out(*arguments: object, micro_batch: int, **others: object) -> None:
        sizes.append(micro_batch)
        raise MemoryError

    monkeypatch.setattr(loop, "train_step", runs_out)
    with pytest.raises(RunFailedError, match="out of memory with one sequence at once; use --truncate-frames"):
        train_locally(make_spec(batch_size=8), Location(str(tmp_path)), Resources(max_failures=0))
    assert sizes == [0, 4, 2, 1], "all 8 at once, and half as many each time"
    monkeypatch.undo()
    assert train_locally(make_spec(batch_size=8), Location(str(tmp_path))).state.finished


def test_a_run_whose_workers_die_without_progress_is_given_up_with_the_reason(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def dies(spec: TrialSpec, out: Location, resources: Resources, *others: object) -> None:
        sizes.append(resources.sequences_at_once(8))
        raise TrainingFailedError

    monkeypatch.setattr(ray_train, "_run_workers", dies)
    monkeypatch.setattr(ray_train, "ray_session", lambda cores, address, gpus: nullcontext())
    with pytest.raises(RunFailedError, match="given up after 3 failures at step 0, the last: TrainingFailedError"):
        train_with_ray(make_spec(batch_size=8), Location(str(tmp_path)), Resources(workers=1, max_failures=2))
    assert sizes == [8, 8, 4], "the kernel may kill a process for lack of memory without a message"


def test_a_local_run_that_fails_in_another_way_is_not_retried(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[int] = []

    def fails(*arguments: object, **others: object) -> None:
        attempts.append(1)
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(loop, "train_step", fails)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train_locally(make_spec(), Location(str(tmp_path)))
    assert len(attempts) == 1


@pytest.mark.slow
def test_a_batch_that_does_not_fit_in_memory_is_computed_in_micro_batches(speech_shards: Path, tmp_path: Path) -> None:
    """With a real limit. Each block is mapped alone, so that freed memory is no longer counted by the limit."""
    rules = Optimisation(max_epochs=1, batch_size=16, precision="float64")
    spec = plan_trial(str(speech_shards), "clean", "vrnn-gauss", "small", rules, 0)
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    done = subprocess.run(
        [sys.executable, "-m", "tests.vrnn.training.hungry", tmp_path / "spec.json", tmp_path / "out", "200"],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "4096", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "out of memory; resuming from step 0" in done.stderr
    assert 1 <= load_checkpoint(Location(str(tmp_path / "out" / LAST))).state.micro_batch <= 8
    assert_same_weights(tmp_path / "out-before", tmp_path / "out", within=1e-9)
