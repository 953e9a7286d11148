"""Truncated back-propagation: what it changes and what not, and the whole loop compared with a plain one."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines.batches.epoch_plan import plan_epoch
from pipelines.runtime.storage import Location
from tests.conftest import MakeSpec
from tests.vrnn.training.epochs import run_epoch
from tests.vrnn.training.options import ALL_OPTIONS
from vrnn.models import Terms, build_model
from vrnn.training import TrialSpec
from vrnn.training.loop import Run, open_run
from vrnn.training.noise import latent_noise

STILL = 1e-300
"""A learning rate that changes no result."""


def one_epoch(spec: TrialSpec, out: Path) -> Run:
    run = open_run(spec, Location(str(out)))
    run_epoch(run)
    return run


def assert_same_weights(left: Run, right: Run) -> None:
    ours, theirs = left.model.state_dict(), right.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("model", ["vrnn-gauss", "vrnn-gauss+smoothing", "rnn-gmm"])
def test_segments_as_long_as_the_whole_change_no_bit(make_spec: MakeSpec, tmp_path: Path, model: str) -> None:
    whole = one_epoch(make_spec(model, max_epochs=1), tmp_path / "whole")
    longest = int(whole.train_source.lengths.max())
    cut = one_epoch(make_spec(model, max_epochs=1, truncate_frames=longest), tmp_path / "cut")
    assert cut.state.step == whole.state.step
    assert_same_weights(whole, cut)


@pytest.mark.parametrize("model", ["vrnn-gauss", "vrnn-i-gauss", "rnn-gauss", "linear-gmm", "iid-gauss"])
def test_the_bounds_of_segments_sum_to_the_whole_where_the_posterior_filters(
    make_spec: MakeSpec, tmp_path: Path, model: str
) -> None:
    runs = [
        one_epoch(make_spec(model, learning_rate=STILL, truncate_frames=frames), tmp_path / str(frames))
        for frames in (0, 20)
    ]
    whole, cut = (run.state.history[0] for run in runs)
    assert cut.step > 5 * whole.step
    assert cut.train_nats_per_frame == pytest.approx(whole.train_nats_per_frame, abs=1e-10)
    assert cut.train_kl_nats_per_frame == pytest.approx(whole.train_kl_nats_per_frame, abs=1e-10, nan_ok=True)
    assert cut.valid_nats_per_frame == whole.valid_nats_per_frame


def test_a_smoothing_posterior_sees_its_own_segment_in_training_and_all_in_validation(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    whole, cut = (
        one_epoch(
            make_spec("vrnn-gauss+smoothing", learning_rate=STILL, truncate_frames=frames), tmp_path / str(frames)
        ).state.history[0]
        for frames in (0, 20)
    )
    assert cut.train_nats_per_frame != pytest.approx(whole.train_nats_per_frame, abs=1e-7)
    assert cut.valid_nats_per_frame == whole.valid_nats_per_frame


def test_a_state_that_is_not_carried_on_would_be_noticed(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(learning_rate=STILL, truncate_frames=20)
    carried = one_epoch(spec, tmp_path / "carried").state.history[0]
    run = open_run(spec, Location(str(tmp_path / "dropped")))
    forward = run.model.forward

    def forgetful(x: Tensor, mask: Tensor, noise: Tensor | None = None, state: object = None) -> Terms:
        return forward(x, mask, noise)

    monkeypatch.setattr(run.model, "forward", forgetful)
    assert run_epoch(run).train_nats_per_frame != pytest.approx(carried.train_nats_per_frame, abs=1e-6)


def rate_of(step: int, planned: int) -> float:
    """ALL_OPTIONS' learning rate in a step counted from 0."""
    if step < 3:
        return 1e-3 * (step + 1) / 3
    return 1e-3 * (0.1 + 0.9 * (1 + math.cos(math.pi * (step - 3) / (planned - 3))) / 2)


def plain_training(spec: TrialSpec, run: Run, epochs: int, planned: int) -> tuple[list[Tensor], list[Tensor]]:
    """The weights, and their average, of a training with ALL_OPTIONS that uses nothing of the loop but its data."""
    model = build_model(spec.model, torch.Generator().manual_seed(spec.seed)).double()
    parameters = list(model.parameters())
    adam = torch.optim.Adam(parameters)
    seen: list[list[Tensor]] = []
    for epoch in range(epochs):
        for positions in plan_epoch(run.train_source.lengths, 5, spec.seed, epoch):
            key = ("train", spec.seed, epoch)
            batch = run.train_source.batch(positions, *key).to(torch.device("cpu"), torch.float64)
            noise, state = latent_noise(batch, model.latent_size, *key), None
            for start in range(0, len(batch.mask), 60):
                x, mask, z = (part[start : start + 60] for part in (batch.frames, batch.mask, noise))
                terms = model(x, mask, z, state)
                state = terms.state.detach()
                kl = torch.maximum(terms.kl, torch.tensor(4e-5, dtype=torch.float64))
                loss = -(terms.log_emission - min(1, len(seen) / 7) * kl)[mask].sum() / mask.sum()
                adam.zero_grad()
                loss.backward()
                adam.param_groups[0]["lr"] = rate_of(len(seen), planned)
                norm = math.sqrt(sum(float(p.grad.square().sum()) for p in parameters if p.grad is not None))
                for parameter in parameters:
                    assert parameter.grad is not None
                    parameter.grad.mul_(min(1.0, 1.0 / (norm + 1e-6)))
                adam.step()
                seen.append([parameter.detach().clone() for parameter in parameters])
    shares = [0.9 ** (len(seen) - 1 - past) for past in range(len(seen))]
    average = [
        sum((share * past[index] for share, past in zip(shares, seen, strict=True)), torch.zeros(())) / sum(shares)
        for index in range(len(parameters))
    ]
    return seen[-1], average


def test_the_loop_with_every_option_equals_one_written_out_plainly(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(**ALL_OPTIONS)
    run = open_run(spec, Location(str(tmp_path)))
    records = [run_epoch(run) for _ in range(2)]
    planned = run.state.step
    trained, averaged = plain_training(spec, run, 2, planned)
    for ours, theirs in zip(run.model.parameters(), trained, strict=True):
        torch.testing.assert_close(ours.detach(), theirs, rtol=0, atol=1e-9)
    for ours, theirs in zip(run.optimiser.scored_model.parameters(), averaged, strict=True):
        torch.testing.assert_close(ours.detach(), theirs, rtol=0, atol=1e-9)
    assert records[-1].learning_rate == pytest.approx(1e-4)
    assert records[-1].kl_factor == 1
