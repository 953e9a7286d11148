from pathlib import Path

import torch
from torch import multiprocessing

from pipelines.runtime.storage import Location
from tests.conftest import MakeSpec
from tests.vrnn.training.options import ALL_OPTIONS
from tests.vrnn.training.ranks import train_as_rank
from vrnn.training import load_checkpoint, train
from vrnn.training.checkpoints import BEST, LAST


def test_two_ranks_take_the_steps_of_one_with_every_option(make_spec: MakeSpec, tmp_path: Path) -> None:
    """Thirteen sequences in batches of six: a rank has none of the last batch, nor of some last segments."""
    spec = make_spec(max_epochs=2, **ALL_OPTIONS | {"truncate_frames": 56, "batch_size": 6})
    one = train(spec, Location(str(tmp_path / "one"))).state
    out = str(tmp_path / "two")
    multiprocessing.spawn(train_as_rank, (2, spec.model_dump_json(), out), nprocs=2)
    two = load_checkpoint(Location(out) / LAST).state
    assert two.step == one.step
    for ours, theirs in zip(one.history, two.history, strict=True):
        assert abs(ours.train_nats_per_frame - theirs.train_nats_per_frame) < 1e-9
        assert abs(ours.train_kl_nats_per_frame - theirs.train_kl_nats_per_frame) < 1e-9
        assert abs(ours.valid_nats_per_frame - theirs.valid_nats_per_frame) < 1e-9
        assert abs(ours.gradient_norm_mean - theirs.gradient_norm_mean) < 1e-9
        assert ours.clipped_share == theirs.clipped_share
        assert ours.learning_rate == theirs.learning_rate
    for name in (BEST, LAST):
        left, right = (load_checkpoint(Location(str(tmp_path / run / name))).weights for run in ("one", "two"))
        for weight, value in left.items():
            torch.testing.assert_close(value, right[weight], rtol=0, atol=1e-9)
