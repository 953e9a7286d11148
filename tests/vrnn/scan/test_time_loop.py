"""The time loop by itself: its derivative, its memory, its recordings."""

import gc
import logging
import weakref
from collections.abc import Callable
from typing import TypeVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.vrnn.cases import ragged_batch, small_model
from tests.vrnn.scan.recorder import EagerRecorder
from vrnn.likelihood.bounds import elbo
from vrnn.models import LatentModel
from vrnn.nn.lstm import LSTM, LSTMState
from vrnn.scan.cuda_graphs import Recordings, bucketed, recording_by
from vrnn.scan.time_loop import activation_checkpointing

T = TypeVar("T")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def small_lstm() -> LSTM:
    return LSTM([3, 2], 4, torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("frames", [0, 1, 2, 5])
def test_gradcheck_of_the_lstm_and_of_the_state_it_starts_from(frames: int):
    lstm = small_lstm()

    def run(projected: Tensor, h: Tensor, c: Tensor, recurrent: Tensor) -> tuple[Tensor, ...]:
        with activation_checkpointing(frames):
            before, last = torch.func.functional_call(lstm, {"recurrent": recurrent}, (projected, LSTMState(h, c)))
        return before, *last.tensors()

    inputs = [normal(5, 2, 16), normal(2, 4, seed=1), normal(2, 4, seed=2), normal(16, 4, seed=3)]
    assert torch.autograd.gradcheck(run, [tensor.requires_grad_() for tensor in inputs])


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("name", ["rnn-gauss", "vrnn-gauss", "vrnn-gauss+smoothing", "vrnn-i-gmm", "srnn-gauss"])
def test_gradcheck_of_every_parameter_of_a_model(name: str, fast: bool):
    few = dict.fromkeys(("hidden", "encoder", "decoder", "phi_x", "phi_z", "prior", "latent", "backward"), 2)
    config = small_model(name, "speech").config
    few = {size: width for size, width in few.items() if getattr(config, size)}
    model = small_model(name, "speech", depth=1, **few)
    batch = ragged_batch(model, [3, 2])
    names, values = zip(*model.named_parameters(), strict=True)

    def terms_of(x: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        given_ = (x, batch.mask, batch.noise[0] if model.latent_size else None)
        terms = torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), given_)
        return terms.log_emission, *(() if terms.kl is None else (terms.kl, terms.log_ratio)), *terms.state.tensors()

    inputs = [batch.x, *(value.detach().clone() for value in values)]
    assert torch.autograd.gradcheck(terms_of, [tensor.requires_grad_() for tensor in inputs], fast_mode=fast)


@given(length=st.integers(1, 9), frames=st.integers(0, 10), samples=st.integers(1, 3), seed=st.integers(0, 99))
def test_checkpointing_changes_nothing(length: int, frames: int, samples: int, seed: int):
    model = small_model("vrnn-gauss", "speech", seed=seed)
    batch = ragged_batch(model, [length, max(1, length // 2)], seed=seed, samples=samples)
    noise = batch.noise.transpose(0, 1).flatten(1, 2)

    def values() -> tuple[Tensor, ...]:
        terms = model(batch.x, batch.mask, noise)
        assert terms.kl is not None
        value = (terms.log_emission - terms.kl).sum()
        return (value, *torch.autograd.grad(value, list(model.parameters())))

    whole = values()
    with activation_checkpointing(frames):
        torch.testing.assert_close(values(), whole, rtol=1e-10, atol=1e-10)


def test_checkpointing_stores_fewer_activations():
    lstm = small_lstm()
    projected = normal(64, 2, 16).requires_grad_()

    def kept(frames: int) -> int:
        seen: list[int] = []
        with activation_checkpointing(frames), torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
            before, _ = lstm(projected)
            tape = before.grad_fn.tape  # type: ignore[union-attr]
            seen.append(sum(tensor.numel() for frame in tape.frames or [] for tensor in frame.values.values()))
            seen.append(sum(tensor.numel() for start in tape.starts for tensor in start.values()))
        return sum(seen)

    assert kept(8) < kept(0) / 10


def test_a_second_backward_pass_gives_the_same():
    model = small_model("srnn-gmm", "pen")
    batch = ragged_batch(model, [4, 3])
    value = elbo(model, batch.x, batch.mask, batch.noise[0]).value.sum()
    first = torch.autograd.grad(value, list(model.parameters()), retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(value, list(model.parameters())), first, rtol=0, atol=0)


def test_nothing_of_a_pass_outlives_it():
    """The results lead to the tape, so the tape may not lead to the results: no collector is needed to free it."""
    gc.collect()
    gc.disable()
    try:
        for name in ("rnn-gauss", "vrnn-gauss+smoothing", "srnn-gauss"):
            model = small_model(name, "speech")
            batch = ragged_batch(model, [4, 3])
            terms = model(batch.x, batch.mask, batch.noise[0] if model.latent_size else None)
            nodes = [weakref.ref(node) for node in _scans(terms.log_emission)]
            assert nodes
            terms.log_emission.sum().backward()
            del terms
            assert all(node() is None for node in nodes)
    finally:
        gc.enable()


def _scans(value: Tensor) -> list[object]:
    """The tapes' owners among the nodes that lead to a value."""
    found, waiting, seen = [], [value.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
        if hasattr(node, "holder"):
            found.append(node.holder)
    return found


class Failing(EagerRecorder):
    def record(self, function: Callable[[], T], *, warm_up: bool) -> tuple[T, Callable[[], None]]:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")


def test_a_recording_follows_inputs_and_weights_and_is_made_once():
    model = small_model("vrnn-gmm", "speech")
    made = EagerRecorder.recordings
    for seed in range(4):
        batch = ragged_batch(model, [5, 3], seed=seed)

        def values(batch=batch) -> tuple[Tensor, ...]:
            value = elbo(model, batch.x, batch.mask, batch.noise[0]).value
            return (value.detach(), *torch.autograd.grad(value.sum(), list(model.parameters())))

        expected = values()
        with recording_by(EagerRecorder):
            torch.testing.assert_close(values(), expected, rtol=1e-12, atol=1e-12)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.9)
    assert EagerRecorder.recordings - made == 2  # one forward pass, one backward pass


def test_a_recording_in_use_is_not_overwritten():
    model = small_model("rnn-gauss", "speech")
    batches = [ragged_batch(model, [5, 3], seed=seed) for seed in range(3)]

    def summed() -> tuple[Tensor, ...]:
        values = [model(batch.x, batch.mask).log_emission.sum() for batch in batches]
        return torch.autograd.grad(torch.stack(values).prod(), list(model.parameters()))

    expected = summed()
    with recording_by(EagerRecorder):
        torch.testing.assert_close(summed(), expected)
        torch.testing.assert_close(summed(), expected)


def test_results_of_a_recording_outlive_the_next_replay():
    lstm, first, second = small_lstm(), normal(4, 2, 16), normal(4, 2, 16, seed=1)
    with recording_by(EagerRecorder), torch.no_grad():
        before, last = lstm(first)
        results = (before, *last.tensors())
        copies = [part.clone() for part in results]
        lstm(second)
        for part, copy in zip(results, copies, strict=True):
            assert torch.equal(part, copy)


def test_where_recording_fails_the_loop_runs_and_the_log_says_why(caplog: pytest.LogCaptureFixture):
    lstm, projected = small_lstm(), normal(4, 2, 16)
    expected, _ = lstm(projected)
    with caplog.at_level(logging.WARNING, "vrnn.scan.cuda_graphs"), recording_by(Failing):
        for _ in range(2):
            assert torch.equal(lstm(projected)[0], expected)
    assert [record.getMessage() for record in caplog.records] == [
        "a time loop could not be recorded, and runs kernel by kernel: operation not permitted when stream is capturing"
    ]


def test_only_the_last_recordings_are_kept():
    recordings = Recordings(EagerRecorder, limit=2)
    made: list[str] = []
    for key in ("a", "b", "a", "c", "a", "b"):
        recordings.get(key, lambda recorder, key=key: made.append(key))  # type: ignore[arg-type, return-value]
    assert made == ["a", "b", "c", "b"]
    assert len(recordings) == 2


@given(length=st.integers(1, 100_000))
def test_lengths_are_rounded_to_few(length: int):
    rounded = bucketed(length)
    assert length <= rounded < max(length + 8, length * 1.125 + 1)
    assert bucketed(rounded) == rounded
    octave = {bucketed(n) for n in range(512, 1025)}
    assert len(octave) <= 9


@pytest.mark.parametrize("path", [None, EagerRecorder])
def test_a_particle_filter_runs_frame_by_frame_on_a_recording(path: type[EagerRecorder] | None):
    from vrnn.likelihood.fivo import fivo

    model = small_model("srnn-gauss", "speech")
    assert isinstance(model, LatentModel)
    batch = ragged_batch(model, [6, 4])
    noise = [normal(5, 2, model.latent_size, seed=t) for t in range(6)]
    uniforms = torch.rand(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = fivo(model, batch.x, batch.mask, noise, uniforms)
    with recording_by(path):
        torch.testing.assert_close(fivo(model, batch.x, batch.mask, noise, uniforms), plain)
