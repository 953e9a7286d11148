import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipelines.errors import InputError
from pipelines.storage import Location
from tests.conftest import MakeSpec
from vrnn.training import load_checkpoint, train
from vrnn.training.checkpoints import BEST, LAST
from vrnn.training.errors import CheckpointError
from vrnn.training.loop import Trainer


def weights(place: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(Location(str(place))).weights


def assert_same_weights(a: Path, b: Path) -> None:
    left, right = weights(a), weights(b)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(
    ("model", "kind"), [("rnn-gauss", "pen"), ("rnn-gmm", "pen"), ("vrnn-gauss", "pen"), ("rnn-gauss", "speech")]
)
def test_training_raises_the_bound_and_keeps_the_best_epoch(
    make_spec: MakeSpec, tmp_path: Path, model: str, kind: str
) -> None:
    spec = make_spec(model, kind, max_epochs=5, batch_size=4, learning_rate=1e-3, precision="float32")
    result = train(spec, Location(str(tmp_path)))
    assert result.state.history[-1].train_nats_per_frame > result.state.history[0].train_nats_per_frame
    history = [record.valid_nats_per_frame for record in result.state.history]
    assert result.state.best_valid == max(history)
    if kind == "speech" or model == "rnn-gmm":  # one Gaussian fitted to three hands need not suit a fourth
        assert max(history) > history[0]
    assert load_checkpoint(Location(str(tmp_path))).state.best_epoch == 1 + history.index(max(history))
    kl = [record.valid_kl_nats_per_frame for record in result.state.history]
    assert all(value > 0 for value in kl) if model == "vrnn-gauss" else all(math.isnan(value) for value in kl)


def test_a_run_that_stopped_after_an_epoch_ends_with_the_same_bits_as_one_that_did_not(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    spec = make_spec(max_epochs=3)
    train(spec, Location(str(tmp_path / "whole")))
    Trainer(spec, Location(str(tmp_path / "stopped"))).run_epoch()
    train(spec, Location(str(tmp_path / "stopped")))
    for name in (BEST, LAST):
        assert_same_weights(tmp_path / "whole" / name, tmp_path / "stopped" / name)


def test_the_same_spec_gives_the_same_weights_and_another_seed_gives_others(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(make_spec(seed=seed, max_epochs=1), Location(str(tmp_path / name)))
    assert_same_weights(tmp_path / "a" / LAST, tmp_path / "b" / LAST)
    with pytest.raises(AssertionError):
        assert_same_weights(tmp_path / "a" / LAST, tmp_path / "c" / LAST)


def test_training_ends_when_validation_no_longer_improves(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec("rnn-gauss", max_epochs=30, patience=2, learning_rate=0.3)
    state = train(spec, Location(str(tmp_path))).state
    assert state.epoch < 30
    assert state.epoch == state.best_epoch + 2 or state.diverged_at_step is not None


def test_a_run_that_diverges_ends_as_such_and_names_the_step(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(make_spec("rnn-gauss"), Location(str(tmp_path)))
    trainer.run_epoch()
    with torch.no_grad():
        next(trainer.model.parameters())[0] = math.inf
    before = trainer.state.step
    trainer.run_epoch()
    assert trainer.state.finished
    assert trainer.state.diverged_at_step == before + 1
    resumed = train(trainer.spec, Location(str(tmp_path)))
    assert resumed.state.diverged_at_step == before + 1
    assert resumed.state.best_epoch == 1


def test_gradients_are_clipped_before_the_step(make_spec: MakeSpec, tmp_path: Path) -> None:
    trainer = Trainer(make_spec("rnn-gauss", clip_norm=1e-3), Location(str(tmp_path)))
    trainer.run_epoch()
    norm = torch.sqrt(
        sum((p.grad.square().sum() for p in trainer.model.parameters() if p.grad is not None), torch.zeros(()))
    )
    assert float(norm) <= 1e-3 * 1.001


def test_a_directory_of_another_trial_is_refused(make_spec: MakeSpec, tmp_path: Path) -> None:
    train(make_spec("rnn-gauss", max_epochs=1), Location(str(tmp_path)))
    with pytest.raises(CheckpointError, match="another trial"):
        train(make_spec("rnn-gauss", max_epochs=2), Location(str(tmp_path)))


def test_other_data_than_the_trials_are_refused(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec().model_copy(update={"fingerprint": "0" * 64})
    with pytest.raises(InputError, match="its fingerprint is"):
        train(spec, Location(str(tmp_path)))


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04junk"])
def test_a_damaged_checkpoint_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(Location(str(tmp_path / "x.pt")))
    assert "\n" not in str(caught.value)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"format": 1, "payload": Payload()}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError):
        load_checkpoint(Location(str(tmp_path / "x.pt")))
    assert not (tmp_path / "ran").exists()


def test_the_trial_key_follows_everything_but_the_place_of_the_data(make_spec: MakeSpec) -> None:
    base = make_spec()
    assert base.model_copy(update={"shards": "elsewhere"}).key == base.key
    others = [make_spec(seed=1), make_spec("rnn-gauss"), make_spec(learning_rate=0.5), make_spec(kind="speech")]
    assert len({base.key, *(other.key for other in others)}) == 5


def test_the_module_trains_without_ray(make_spec: MakeSpec, tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(make_spec("rnn-gauss", max_epochs=1).model_dump_json())
    code = (
        "import runpy, sys; sys.modules['ray'] = sys.modules['mlflow'] = None;"
        f"sys.argv = ['x', {str(tmp_path / 'spec.json')!r}, {str(tmp_path / 'out')!r}];"
        "runpy.run_module('vrnn.training', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epoch"] == 1
    assert (tmp_path / "out" / BEST).is_file()
