from pathlib import Path

import pytest
import torch

from pipelines.errors import InputError
from pipelines.storage import Location
from tests.conftest import MakeSpec
from vrnn.training import load_checkpoint
from vrnn.training.ray_driver import train_with_ray


def test_local_mode_is_the_loop_itself(make_spec: MakeSpec, tmp_path: Path) -> None:
    epochs: list[int] = []
    result = train_with_ray(make_spec("rnn-gauss"), Location(str(tmp_path)), on_epoch=lambda r: epochs.append(r.epoch))
    assert epochs == [1, 2]
    assert result.state.finished


def test_two_workers_follow_the_trajectory_of_one(make_spec: MakeSpec, tmp_path: Path, ray_cluster: None) -> None:
    spec = make_spec(max_epochs=2, batch_size=7)
    one = train_with_ray(spec, Location(str(tmp_path / "one")))
    two = train_with_ray(spec, Location(str(tmp_path / "two")), workers=2)
    assert two.state.step == one.state.step
    assert two.state.best_valid == pytest.approx(one.state.best_valid, abs=1e-9)
    left, right = (load_checkpoint(Location(str(tmp_path / name))).weights for name in ("one", "two"))
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], rtol=0, atol=1e-9)


def test_what_a_worker_finds_wrong_reaches_the_caller_by_name(
    make_spec: MakeSpec, tmp_path: Path, ray_cluster: None
) -> None:
    spec = make_spec().model_copy(update={"fingerprint": "0" * 64})
    with pytest.raises(InputError, match="its fingerprint is"):
        train_with_ray(spec, Location(str(tmp_path)), workers=1)
