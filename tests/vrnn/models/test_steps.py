"""The eager step is the reference: every faster pass gives its terms, states and gradients.

The LSTM's own passes are replaced by loops over `LSTM.step` here, so that the reference has no scan in it at all.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from tests.vrnn.cases import CASES, LATENT_CASES, RaggedBatch, ragged_batch, small_config, small_model
from vrnn.models import Kind, LatentModel, SequenceModel, State, Terms
from vrnn.nn.lstm import LSTM, LSTMState
from vrnn.scan.time_loop import tile

LENGTHS = [6, 1, 4]


def forward(lstm: LSTM, projected: Tensor, state: LSTMState | None = None) -> tuple[Tensor, LSTMState]:
    state, before = lstm.initial_state(projected.shape[1]) if state is None else state, []
    for projected_t in projected:
        before.append(state.h)
        state = lstm.step(projected_t, state)
    return torch.stack(before), state


def read_backwards(lstm: LSTM, projected: Tensor, mask: Tensor) -> Tensor:
    state, found = lstm.initial_state(projected.shape[1]), []
    for projected_t, real in zip(projected.flip(0), mask.flip(0), strict=True):
        state = lstm.step(projected_t, state).map(lambda part, real=real: torch.where(real[:, None], part, 0.0))
        found.append(state.h)
    return torch.stack(found[::-1])


@contextmanager
def no_scan() -> Iterator[None]:
    def refuse(*arguments: object) -> None:
        raise AssertionError("the reference ran a scan")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LSTM, "forward", forward)
        patch.setattr(LSTM, "read_backwards", read_backwards)
        patch.setattr("vrnn.scan.time_loop._Scan.apply", refuse)
        yield


def everything(model: SequenceModel, terms: Terms, mask: Tensor) -> tuple[Tensor, ...]:
    """The terms of real frames, the states of sequences that have not ended, and the gradient of every parameter."""
    values = [terms.log_emission, *(() if terms.kl is None or terms.log_ratio is None else (terms.kl, terms.log_ratio))]
    mask = tile(mask, values[0].shape[1], 1)
    found = [value[mask] for value in values] + [part[mask[-1]] for part in terms.state.tensors()]
    weighted = sum((part * torch.linspace(1, 2, part.numel()).view_as(part)).sum() for part in found)
    parameters = list(model.parameters())
    assert isinstance(weighted, Tensor)
    return *found, *torch.autograd.grad(weighted, parameters)


def assert_fast_is_reference(
    model: SequenceModel, batch: RaggedBatch, noise: Tensor | None, state: State | None
) -> None:
    fast = everything(model, model(batch.x, batch.mask, noise, state), batch.mask)
    with no_scan():
        reference = everything(model, model.forward_by_steps(batch.x, batch.mask, noise, state), batch.mask)
    torch.testing.assert_close(fast, reference, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_fast_pass_is_the_loop_over_the_step(name: str, kind: Kind, depth: int):
    model = small_model(name, kind, depth=depth)
    batch = ragged_batch(model, LENGTHS)
    assert_fast_is_reference(model, batch, batch.noise[0] if model.latent_size else None, None)


@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if not small_config(*case).backward])
def test_the_fast_pass_is_the_loop_from_any_state(name: str, kind: Kind):
    model = small_model(name, kind)
    batch = ragged_batch(model, LENGTHS, samples=2)
    noises = batch.noise if model.latent_size else [None, None]
    with torch.no_grad():
        state = model(batch.x, batch.mask, noises[0]).state
    assert_fast_is_reference(model, batch, noises[1], state)


@pytest.mark.parametrize(("name", "kind"), LATENT_CASES)
def test_the_fast_pass_over_several_samples_is_the_loop(name: str, kind: Kind):
    model = small_model(name, kind)
    batch = ragged_batch(model, LENGTHS, samples=3)
    assert_fast_is_reference(model, batch, batch.noise.transpose(0, 1).flatten(1, 2), None)


@pytest.mark.parametrize(("name", "kind"), LATENT_CASES)
def test_the_means_that_a_report_shows_are_the_loops(name: str, kind: Kind):
    model = small_model(name, kind)
    assert isinstance(model, LatentModel)
    batch = ragged_batch(model, LENGTHS)
    _, fast = model.latent_path(batch.x, batch.mask, batch.noise[0])
    with no_scan():
        state = model.initial_state(len(LENGTHS))
        future = model.read_future(batch.x, batch.mask, state)
        frames, _ = model.run_steps(batch.x, state, batch.noise[0], future)
    assert frames.posterior_mean is not None
    torch.testing.assert_close(fast[batch.mask], frames.posterior_mean[batch.mask])
