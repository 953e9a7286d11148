import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.batches.epoch_plan import plan_evaluation
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from tests.conftest import MakeSpec
from tests.vrnn.training.epochs import run_epoch
from tests.vrnn.training.options import ALL_OPTIONS
from vrnn.errors import CheckpointError
from vrnn.likelihood.bounds import elbo
from vrnn.training import load_checkpoint, step, train
from vrnn.training.checkpoints import BEST, LAST
from vrnn.training.loop import open_run
from vrnn.training.noise import latent_noise


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


def metrics(place: Path) -> list[dict[str, float]]:
    """The history of a run without what the clock says; nan as a string, so that it equals itself."""
    history = load_checkpoint(Location(str(place))).state.history
    kept = [
        {
            k: v
            for k, v in asdict(record).items()
            if not k.startswith(("seconds", "frames", "data_wait", "fraction", "peak"))
        }
        for record in history
    ]
    return [{name: str(value) if math.isnan(value) else value for name, value in record.items()} for record in kept]


@pytest.mark.parametrize("options", [{}, ALL_OPTIONS])
def test_a_run_that_stopped_after_an_epoch_ends_with_the_same_bits_as_one_that_did_not(
    make_spec: MakeSpec, tmp_path: Path, options: dict[str, object]
) -> None:
    spec = make_spec(max_epochs=3, **options)
    train(spec, Location(str(tmp_path / "whole")))
    run_epoch(open_run(spec, Location(str(tmp_path / "stopped"))))
    train(spec, Location(str(tmp_path / "stopped")))
    for name in (BEST, LAST):
        assert_same_weights(tmp_path / "whole" / name, tmp_path / "stopped" / name)
    assert metrics(tmp_path / "whole" / LAST) == metrics(tmp_path / "stopped" / LAST)


@pytest.mark.parametrize("options", [{}, ALL_OPTIONS])
def test_the_same_spec_gives_the_same_weights_and_another_seed_gives_others(
    make_spec: MakeSpec, tmp_path: Path, options: dict[str, object]
) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(make_spec(seed=seed, max_epochs=1, **options), Location(str(tmp_path / name)))
    assert_same_weights(tmp_path / "a" / LAST, tmp_path / "b" / LAST)
    with pytest.raises(AssertionError):
        assert_same_weights(tmp_path / "a" / LAST, tmp_path / "c" / LAST)


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 99])
@pytest.mark.parametrize("options", [{}, ALL_OPTIONS])
def test_in_micro_batches_of_any_size_a_batch_gives_the_same_step(
    make_spec: MakeSpec, tmp_path: Path, options: dict[str, object], micro_batch: int
) -> None:
    """Seven sequences in two, three or seven micro-batches, the last of them smaller."""
    spec = make_spec(max_epochs=2, **options | {"batch_size": 7})
    train(spec, Location(str(tmp_path / "whole")))
    train(spec, Location(str(tmp_path / "parts")), micro_batch=micro_batch)
    whole, parts = weights(tmp_path / "whole" / LAST), weights(tmp_path / "parts" / LAST)
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, rtol=0, atol=1e-11)
    for one, other in zip(metrics(tmp_path / "whole" / LAST), metrics(tmp_path / "parts" / LAST), strict=True):
        assert one == pytest.approx(other, rel=1e-11)


def test_training_ends_when_validation_no_longer_improves(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec("rnn-gauss", max_epochs=30, patience=2, learning_rate=0.3)
    state = train(spec, Location(str(tmp_path))).state
    assert state.epoch < 30
    assert state.epoch == state.best_epoch + 2 or state.diverged_at_step is not None


def test_a_run_that_diverges_ends_as_such_and_names_the_step(make_spec: MakeSpec, tmp_path: Path) -> None:
    run = open_run(make_spec("rnn-gauss", max_epochs=9, max_nonfinite=2), Location(str(tmp_path)))
    run_epoch(run)
    with torch.no_grad():
        next(run.model.parameters())[0] = math.inf
    before = run.state.step
    for _ in range(2):  # two steps an epoch, both skipped; the third one in a row is too many
        assert not run.state.finished
        run_epoch(run)
    assert run.state.finished
    assert run.state.step == before + 3
    assert run.state.diverged_at_step == before + 1
    resumed = train(run.spec, Location(str(tmp_path)))
    assert resumed.state.diverged_at_step == before + 1
    assert resumed.state.best_epoch == 1


def test_gradients_are_clipped_before_the_step(make_spec: MakeSpec, tmp_path: Path) -> None:
    run = open_run(make_spec("rnn-gauss", clip_norm=1e-3), Location(str(tmp_path)))
    record = run_epoch(run)
    norm = torch.sqrt(
        sum((p.grad.square().sum() for p in run.model.parameters() if p.grad is not None), torch.zeros(()))
    )
    assert float(norm) <= 1e-3 * 1.001
    assert record.gradient_norm_max >= record.gradient_norm_mean > 1e-3
    assert record.clipped_share == 1


def poisoned(monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
    """Let the objective of these steps, counted from 1, be nan."""
    calls, objective = 0, step.objective

    def sometimes_nan(*arguments: object) -> Tensor:
        nonlocal calls
        calls += 1
        return objective(*arguments) * (math.nan if calls in steps else 1.0)  # type: ignore[arg-type]

    monkeypatch.setattr(step, "objective", sometimes_nan)


def test_a_step_that_is_not_finite_is_skipped_and_counted(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(batch_size=13, learning_rate=0.01, max_nonfinite=1)
    poisoned(monkeypatch, 1)
    run = open_run(spec, Location(str(tmp_path)))
    before = {name: weight.clone() for name, weight in run.model.state_dict().items()}
    record = run_epoch(run)
    assert (record.step, record.skipped_steps) == (1, 1)
    assert all(torch.equal(weight, before[name]) for name, weight in run.model.state_dict().items())
    assert math.isnan(record.train_nats_per_frame)
    record = run_epoch(run)
    assert (record.step, record.skipped_steps) == (2, 0)
    assert run.state.diverged_at_step is None
    assert math.isfinite(record.train_nats_per_frame)
    assert not all(torch.equal(weight, before[name]) for name, weight in run.model.state_dict().items())


def test_steps_in_a_row_are_counted_across_epochs_and_stops(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec("rnn-gauss", batch_size=13, max_epochs=9, max_nonfinite=2)
    poisoned(monkeypatch, 2, 4, 5, 6)
    for _ in range(4):
        run_epoch(open_run(spec, Location(str(tmp_path))))
    state = train(spec, Location(str(tmp_path))).state
    assert (state.diverged_at_step, state.step, state.epoch) == (4, 6, 6)
    assert [record.skipped_steps for record in state.history] == [0, 1, 0, 1, 1, 1]
    assert all(weight.isfinite().all() for weight in weights(tmp_path / LAST).values())


def test_a_segment_that_is_not_finite_ends_its_batch(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(make_spec("rnn-gauss", batch_size=13, truncate_frames=60), Location(str(tmp_path)))
    poisoned(monkeypatch, 2)
    record = run_epoch(run)
    assert (record.step, record.skipped_steps) == (2, 1)


def test_validation_is_the_bound_of_the_weights_that_are_kept(make_spec: MakeSpec, tmp_path: Path) -> None:
    options = ALL_OPTIONS | {"kl_warmup_steps": 10_000, "free_nats": 3.0, "learning_rate": 0.01}
    run = open_run(make_spec(max_epochs=1, **options), Location(str(tmp_path)))
    record = run_epoch(run)
    best = load_checkpoint(Location(str(tmp_path)))
    assert any(not torch.equal(weight, best.weights[name]) for name, weight in run.model.state_dict().items())
    nats, kl_nats, frames = 0.0, 0.0, 0
    with torch.no_grad():
        source = run.valid_source
        for batch in (source.batch(share, "evaluate") for share in plan_evaluation(source.lengths, 4)):
            double = batch.to(torch.device("cpu"), torch.float64)
            noise = latent_noise(double, run.model.latent_size, "validate")
            bound = elbo(best.model(dtype=torch.float64), double.frames, double.mask, noise)
            nats, kl_nats = nats + float(bound.value.sum()), kl_nats + float(bound.kl.sum())
            frames += int(batch.lengths.sum())
    assert record.valid_nats_per_frame == pytest.approx(nats / frames, abs=1e-10)
    assert record.valid_kl_nats_per_frame == pytest.approx(kl_nats / frames, abs=1e-10)
    assert 0 < record.kl_factor < 0.01


def test_training_reads_no_sequence_of_the_split_that_is_reported(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: set[int] = set()
    signal: Callable[[ShardSet, int], object] = ShardSet.signal
    monkeypatch.setattr(ShardSet, "signal", lambda shards, row: read.add(row) or signal(shards, row))
    run = open_run(make_spec("rnn-gauss"), Location(str(tmp_path)))
    run_epoch(run)
    assert read == {*run.roles.fit.tolist(), *run.roles.select.tolist()}
    reported = np.flatnonzero(ShardSet(Location(run.spec.shards)).index["split"] == run.roles.report_split)
    assert len(reported)
    assert read.isdisjoint(reported.tolist())


def test_a_directory_of_another_trial_is_refused(make_spec: MakeSpec, tmp_path: Path) -> None:
    train(make_spec("rnn-gauss", max_epochs=1), Location(str(tmp_path)))
    with pytest.raises(CheckpointError, match="another trial"):
        train(make_spec("rnn-gauss", max_epochs=2), Location(str(tmp_path)))


def test_other_data_than_the_trials_are_refused(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec().model_copy(update={"fingerprint": "0" * 64})
    with pytest.raises(InputError, match="its fingerprint is"):
        train(spec, Location(str(tmp_path)))


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04junk"])
def test_a_damaged_checkpoint_is_reported_in_one_line(tmp_path: Path, content: bytes) -> None:
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


def test_the_trial_key_depends_on_everything_but_where_the_data_are(make_spec: MakeSpec) -> None:
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
