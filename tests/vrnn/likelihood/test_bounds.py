import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.oracles.quadrature import log_marginal
from tests.vrnn.cases import CASES, EXACT_CASES, LATENT_CASES, RaggedBatch, ragged_batch, small_config, small_model
from vrnn.errors import ModelError
from vrnn.likelihood.bounds import elbo, exact, iwae
from vrnn.models import Kind, SequenceModel

SAMPLES = 3
NATS = 1e-6


def values(model: SequenceModel, batch: RaggedBatch) -> Tensor:
    """Every per-sequence value that the model has, `[estimators, B]`."""
    if not model.latent_size:
        return exact(model, batch.x, batch.mask)[None]
    bound = elbo(model, batch.x, batch.mask, batch.noise[0])
    return torch.stack([bound.value, bound.log_emission, bound.kl, iwae(model, batch.x, batch.mask, [batch.noise])])


def columns(batch: RaggedBatch, chosen: list[int]) -> RaggedBatch:
    """Those sequences alone, trimmed to the longest of them."""
    length = max(batch.lengths[index] for index in chosen)
    return RaggedBatch(
        batch.x[:length, chosen],
        batch.mask[:length, chosen],
        batch.noise[:, :length, chosen],
        [batch.lengths[index] for index in chosen],
    )


@settings(max_examples=6, deadline=None)
@given(
    case=st.sampled_from(CASES),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_a_sequences_value_does_not_depend_on_its_batch(
    case: tuple[str, Kind], lengths: list[int], seed: int, data: st.DataObject
):
    model = small_model(*case, seed=seed)
    batch = ragged_batch(model, lengths, seed, SAMPLES)
    together = values(model, batch)
    alone = torch.cat([values(model, columns(batch, [index])) for index in range(len(lengths))], 1)
    torch.testing.assert_close(together, alone, rtol=0, atol=NATS)
    order = data.draw(st.permutations(range(len(lengths))))
    torch.testing.assert_close(values(model, columns(batch, order)), together[:, order], rtol=0, atol=NATS)


@pytest.mark.parametrize("garbage", [1e30, -1e300, math.inf, math.nan])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_what_padded_frames_hold_reaches_no_value_and_no_gradient(name: str, kind: Kind, garbage: float):
    model = small_model(name, kind)
    batch = ragged_batch(model, [2, 6, 4], samples=SAMPLES)
    clean = values(model, batch)
    clean_gradients = torch.autograd.grad(clean.sum(), list(model.parameters()))
    dirty = values(model, RaggedBatch(batch.x.masked_fill(~batch.mask[..., None], garbage), *_rest(batch)))
    assert torch.equal(dirty, clean)
    for ours, expected in zip(torch.autograd.grad(dirty.sum(), list(model.parameters())), clean_gradients, strict=True):
        assert torch.equal(ours, expected)


def _rest(batch: RaggedBatch) -> tuple[Tensor, Tensor, list[int]]:
    return batch.mask, batch.noise, batch.lengths


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_padded_frame_adds_nothing(name: str, kind: Kind):
    model = small_model(name, kind)
    batch = ragged_batch(model, [5], samples=SAMPLES)
    shorter = RaggedBatch(batch.x, batch.mask & (torch.arange(5) < 3)[:, None], batch.noise, [3])
    assert not torch.equal(values(model, shorter), values(model, batch))
    torch.testing.assert_close(values(model, shorter), values(model, columns(shorter, [0])), rtol=0, atol=NATS)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_sums_over_frames_are_float64_and_differentiable_in_a_float32_model(name: str, kind: Kind):
    model = small_model(name, kind).float()
    batch = ragged_batch(model, [3, 5], samples=SAMPLES)
    found = values(model, RaggedBatch(batch.x.float(), batch.mask, batch.noise.float(), batch.lengths))
    assert found.dtype == torch.float64
    found.sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


@settings(max_examples=8, deadline=None)
@given(case=st.sampled_from(LATENT_CASES), seed=st.integers(0, 2**31), cuts=st.sets(st.integers(1, 6)))
def test_cutting_the_samples_into_chunks_does_not_change_iwae(case: tuple[str, Kind], seed: int, cuts: set[int]):
    model = small_model(*case, seed=seed)
    batch = ragged_batch(model, [4, 2, 5], seed, samples=7)
    chunks = torch.tensor_split(batch.noise, sorted(cuts))
    whole = iwae(model, batch.x, batch.mask, [batch.noise])
    torch.testing.assert_close(iwae(model, batch.x, batch.mask, iter(chunks)), whole, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "kind"), LATENT_CASES)
def test_one_sample_iwae_is_the_log_weight_of_that_sample(name: str, kind: Kind):
    model = small_model(name, kind)
    batch = ragged_batch(model, [4, 2])
    terms = model(batch.x, batch.mask, batch.noise[0])
    log_weight = ((terms.log_emission + terms.log_ratio) * batch.mask).sum(0)
    torch.testing.assert_close(iwae(model, batch.x, batch.mask, [batch.noise]), log_weight)


@pytest.mark.parametrize(("name", "kind"), LATENT_CASES)
def test_elbo_is_its_parts_and_kl_is_positive(name: str, kind: Kind):
    model = small_model(name, kind)
    batch = ragged_batch(model, [4, 2])
    bound = elbo(model, batch.x, batch.mask, batch.noise[0])
    torch.testing.assert_close(bound.value, bound.log_emission - bound.kl)
    assert (bound.kl > 0).all()


@pytest.mark.parametrize(("name", "kind"), LATENT_CASES)
@torch.no_grad()
def test_bounds_stand_to_the_integrated_likelihood_as_theory_says(name: str, kind: Kind):
    draws, samples = 2000, 16
    changes = {"frame_size": 1} if kind == "speech" and not small_config(name, kind).group else {}
    model = small_model(name, kind, seed=3, spread=0.15, latent=1, hidden=3, depth=1, **changes)
    pair = ragged_batch(model, [2], samples=draws * samples)
    truth = log_marginal(model, pair.x).item()
    x, mask = pair.x.repeat(1, draws, 1), pair.mask.repeat(1, draws)
    noise = pair.noise.squeeze(2).unflatten(0, (samples, draws)).transpose(1, 2)
    by_count = {count: iwae(model, x, mask, [noise[:count]]) for count in (1, 4, samples)}

    likelihood = (by_count[samples] - truth).exp()
    assert abs(likelihood.mean() - 1) < 4 * likelihood.std() / math.sqrt(draws)
    assert likelihood.std() / math.sqrt(draws) < 0.02

    bound = elbo(model, x, mask, noise[0]).value
    difference = bound - by_count[1]
    assert abs(difference.mean()) < 4 * difference.std() / math.sqrt(draws)
    rising = [bound, by_count[4], by_count[samples], torch.full_like(bound, truth)]
    for lower, higher in pairwise(rising):
        gain = higher - lower
        assert gain.mean() > -4 * gain.std() / math.sqrt(draws)
    assert bound.mean() < min(by_count[samples].mean(), truth)


def test_kl_of_a_posterior_that_ignores_the_frame_closes_the_gap():
    model = small_model("vrnn-gauss", "speech", latent=1, frame_size=1)
    with torch.no_grad():
        for target, source in (("posterior", "prior"), ("phi_z", None)):
            for parameter in model.get_submodule(target).parameters():
                parameter.zero_()
            if source:
                for parameter in model.get_submodule(source).parameters():
                    parameter.zero_()
    batch = ragged_batch(model, [6, 3], samples=5)
    bound = elbo(model, batch.x, batch.mask, batch.noise[0])
    assert (bound.kl == 0).all()
    torch.testing.assert_close(iwae(model, batch.x, batch.mask, [batch.noise]), bound.value)


@pytest.mark.parametrize(("name", "kind"), LATENT_CASES)
def test_exact_refuses_a_latent_model(name: str, kind: Kind):
    model = small_model(name, kind)
    batch = ragged_batch(model, [2])
    with pytest.raises(ModelError, match="bounded, not exact"):
        exact(model, batch.x, batch.mask)


@pytest.mark.parametrize(("name", "kind"), EXACT_CASES)
def test_bounds_refuse_a_model_without_latent(name: str, kind: Kind):
    model = small_model(name, kind)
    batch = ragged_batch(model, [2])
    with pytest.raises(ModelError, match="exact"):
        elbo(model, batch.x, batch.mask, batch.noise[0])
    with pytest.raises(ModelError, match="exact"):
        iwae(model, batch.x, batch.mask, [batch.noise])


def test_wrong_masks_and_noise_are_refused():
    model = small_model("vrnn-gauss", "speech")
    batch = ragged_batch(model, [3, 2])
    with pytest.raises(ModelError, match="mask: expected bool"):
        elbo(model, batch.x, batch.mask.double(), batch.noise[0])
    with pytest.raises(ModelError, match=r"mask: expected bool \[3, 2\]"):
        elbo(model, batch.x, batch.mask.T, batch.noise[0])
    with pytest.raises(ModelError, match="at least one importance sample"):
        iwae(model, batch.x, batch.mask, [])
    with pytest.raises(ModelError, match="expected chunks"):
        iwae(model, batch.x, batch.mask, [batch.noise[0]])
