import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.oracles import kalman, particle_filter
from tests.oracles.kalman import System
from tests.oracles.linear_gaussian import LinearGaussian, Posterior
from tests.vrnn.cases import EXACT_CASES, LATENT_CASES, RaggedBatch, ragged_batch, small_model
from vrnn.errors import ModelError
from vrnn.likelihood.bounds import iwae, repeated
from vrnn.likelihood.fivo import fivo, systematic
from vrnn.models import Kind, LatentModel

NATS = 1e-9
K = 6


def linear_gaussian(posterior: Posterior, seed: int = 6, latent: int = 1, frame_size: int = 1) -> LinearGaussian:
    return LinearGaussian.random(latent, frame_size, torch.Generator().manual_seed(seed), posterior)


def latent_model(name: str, kind: Kind, seed: int = 0) -> LatentModel:
    model = small_model(name, kind, seed)
    assert isinstance(model, LatentModel)
    return model


def uniforms(length: int, sequences: int, seed: int = 5) -> Tensor:
    return torch.rand(length, sequences, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def estimate(model: LatentModel, batch: RaggedBatch, uniform: Tensor, threshold: float = 0.5) -> Tensor:
    """FIVO with `batch.noise [K, T, B, Z]` as the particles' noise."""
    return fivo(model, batch.x, batch.mask, batch.noise.transpose(0, 1), uniform, threshold)


def drawn(model: LinearGaussian, length: int, samples: int, draws: int) -> tuple[RaggedBatch, Tensor, float]:
    """One sequence of the model repeated, each time with noise of its own; uniforms; and its log p(x)."""
    x = model.sample(length, 1, torch.Generator().manual_seed(1))
    batch = ragged_batch(model, [length] * draws, samples=samples)
    truth = kalman.log_likelihood(System.of(model), x[:, 0].numpy())
    return replace(batch, x=x.repeat(1, draws, 1)), uniforms(length, draws), truth


@pytest.mark.parametrize(("name", "kind"), LATENT_CASES)
def test_without_resampling_it_is_iwae(name: str, kind: Kind):
    model = latent_model(name, kind)
    batch = ragged_batch(model, [5, 2, 4], samples=K)
    expected = iwae(model, batch.x, batch.mask, [batch.noise])
    torch.testing.assert_close(estimate(model, batch, uniforms(5, 3), threshold=0), expected, rtol=0, atol=NATS)


@pytest.mark.parametrize("posterior", ["prior", "smoothing"])
def test_without_resampling_it_is_iwae_of_the_linear_gaussian_model(posterior: Posterior):
    model = linear_gaussian(posterior, latent=2, frame_size=3)
    batch = ragged_batch(model, [5, 2, 4], samples=K)
    expected = iwae(model, batch.x, batch.mask, [batch.noise])
    torch.testing.assert_close(estimate(model, batch, uniforms(5, 3), threshold=0), expected, rtol=0, atol=NATS)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.8, 2.0])
@pytest.mark.parametrize(("posterior", "latent"), [("prior", 2), ("filtering", 1)])
def test_it_is_the_textbook_particle_filter(posterior: Posterior, latent: int, threshold: float):
    lengths, seeds = [7, 1, 4, 6], range(3)
    for seed in seeds:
        model = linear_gaussian(posterior, seed, latent, frame_size=2)
        batch, uniform = ragged_batch(model, lengths, seed, samples=K), uniforms(7, 4, seed)
        expected = [
            particle_filter.estimate(
                System.of(model),
                batch.x[:length, b].numpy(),
                batch.noise[:, :length, b].transpose(0, 1).numpy(),
                uniform[:length, b].numpy(),
                threshold,
                sees_frame=posterior == "filtering",
            )
            for b, length in enumerate(lengths)
        ]
        np.testing.assert_allclose(estimate(model, batch, uniform, threshold).numpy(), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("threshold", [0.9, 2.0])
@pytest.mark.parametrize(("name", "kind"), LATENT_CASES)
def test_a_resampled_particle_goes_on_with_all_that_its_ancestors_met(name: str, kind: Kind, threshold: float):
    model = latent_model(name, kind)
    batch, uniform = ragged_batch(model, [6, 4], samples=K), uniforms(6, 2)
    found = estimate(model, batch, uniform, threshold).tolist()
    for b, length in enumerate(batch.lengths):
        column = batch.x[:length, b], batch.noise[:, :length, b], uniform[:length, b]
        assert found[b] == pytest.approx(particle_filter.estimate_by_paths(model, *column, threshold), abs=1e-8)


@settings(max_examples=10, deadline=None)
@given(
    case=st.sampled_from(LATENT_CASES),
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_a_sequences_value_does_not_depend_on_padding_batch_or_order(
    case: tuple[str, Kind], lengths: list[int], seed: int, data: st.DataObject
):
    model = latent_model(*case, seed)
    batch, uniform = ragged_batch(model, lengths, seed, samples=K), uniforms(max(lengths), len(lengths), seed)
    garbage = replace(batch, x=batch.x.masked_fill(~batch.mask[..., None], math.nan))
    together = estimate(model, garbage, uniform, threshold=0.9)
    order = data.draw(st.permutations(range(len(lengths))))
    for chosen in (*([index] for index in range(len(lengths))), order):
        length = max(lengths[index] for index in chosen)
        part = RaggedBatch(
            batch.x[:length, chosen], batch.mask[:length, chosen], batch.noise[:, :length, chosen], lengths
        )
        found = estimate(model, part, uniform[:length, chosen], threshold=0.9)
        torch.testing.assert_close(found, together[chosen], rtol=0, atol=1e-8)


@pytest.mark.parametrize(("name", "kind"), LATENT_CASES)
def test_resampling_takes_place_and_keeps_what_one_particle_says(name: str, kind: Kind):
    model = latent_model(name, kind)
    batch, uniform = ragged_batch(model, [6, 5], samples=K), uniforms(6, 2)
    often, never = (estimate(model, batch, uniform, threshold) for threshold in (2.0, 0.0))
    assert ((often - never).abs() > 1e-6).all()
    single = replace(batch, noise=batch.noise[:1])
    expected = iwae(model, batch.x, batch.mask, [single.noise])
    torch.testing.assert_close(estimate(model, single, uniform, threshold=2.0), expected, rtol=0, atol=NATS)


@pytest.mark.parametrize(("posterior", "seed", "latent"), [("prior", 10, 1), ("filtering", 4, 2)])
def test_it_rises_with_the_particles_to_the_likelihood(posterior: Posterior, seed: int, latent: int):
    model = linear_gaussian(posterior, seed, latent)
    batch, uniform, truth = drawn(model, length=6, samples=64, draws=1500)
    values = [
        estimate(model, replace(batch, noise=batch.noise[:count]), uniform).unsqueeze(1) for count in (1, 4, 16, 64)
    ]
    for looser, tighter in itertools.pairwise(values):
        gain = repeated(tighter - looser)
        assert gain.mean > 4 * gain.standard_error
    loosest, tightest = repeated(values[0]), repeated(values[-1])
    assert truth - loosest.mean > 0.2
    assert -4 * tightest.standard_error < truth - tightest.mean < 0.05


@pytest.mark.parametrize("threshold", [0.5, 2.0])
@pytest.mark.parametrize("count", [3, 4])
def test_its_estimate_of_the_likelihood_is_unbiased(count: int, threshold: float):
    model = linear_gaussian("prior", latent=2)
    batch, uniform, truth = drawn(model, length=5, samples=count, draws=20000)
    values = estimate(model, batch, uniform, threshold)
    resampled = (values - estimate(model, batch, uniform, threshold=0)).abs() > 1e-6
    assert resampled.double().mean() > 0.3
    ratio = repeated((values - truth).exp().unsqueeze(1))
    assert ratio.standard_error < 0.02
    assert (ratio.mean - 1).abs() < 4 * ratio.standard_error


def test_resampling_helps_where_sequences_are_long():
    model = linear_gaussian("prior")
    batch, uniform, truth = drawn(model, length=30, samples=16, draws=300)
    found, without = (estimate(model, batch, uniform, threshold).unsqueeze(1) for threshold in (0.5, 0.0))
    gain = repeated(found - without)
    assert gain.mean > 10 * gain.standard_error
    assert repeated(found).mean < truth


weights = st.lists(st.floats(-30, 0), min_size=1, max_size=12).map(
    lambda raw: torch.tensor(raw, dtype=torch.float64).log_softmax(0)
)


def counts(log_weights: Tensor, uniform: Tensor) -> Tensor:
    """How often each particle is drawn, `[K, B]`, for every one of the uniforms `[B]`."""
    chosen = systematic(log_weights.unsqueeze(1).expand(-1, len(uniform)), uniform)
    return torch.zeros(chosen.shape, dtype=torch.float64).scatter_add_(0, chosen, torch.ones(chosen.shape).double())


@given(log_weights=weights, uniform=st.floats(0, 1, exclude_max=True))
def test_a_particle_is_drawn_as_often_as_its_weight_says(log_weights: Tensor, uniform: float):
    expected = len(log_weights) * log_weights.exp()
    found = counts(log_weights, torch.tensor([uniform], dtype=torch.float64))[:, 0]
    assert found.sum() == len(log_weights)
    assert ((found >= (expected - 1e-9).floor()) & (found <= (expected + 1e-9).ceil())).all()


@settings(max_examples=30)
@given(log_weights=weights)
def test_a_particle_is_drawn_k_w_times_on_average(log_weights: Tensor):
    grid = 2000
    found = counts(log_weights, (torch.arange(grid, dtype=torch.float64) + 0.5) / grid).mean(1)
    torch.testing.assert_close(found, len(log_weights) * log_weights.exp(), rtol=0, atol=2.0 / grid)


def test_sequences_are_resampled_by_their_own_weights():
    log_weights = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64).log()
    assert systematic(log_weights, torch.tensor([0.3, 0.3])).tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize(("name", "kind"), EXACT_CASES[:3])
def test_a_model_without_a_latent_is_refused(name: str, kind: Kind):
    model = small_model(name, kind)
    batch = ragged_batch(model, [2])
    with pytest.raises(ModelError, match="no latent"):
        fivo(model, batch.x, batch.mask, batch.noise, uniforms(2, 1))  # type: ignore[arg-type]


def test_wrong_shapes_are_refused():
    model = linear_gaussian("filtering", latent=2)
    batch, uniform = ragged_batch(model, [3, 2], samples=K), uniforms(3, 2)
    x, mask, noise = batch.x, batch.mask, batch.noise.transpose(0, 1)
    for arguments, message in (
        ((x, mask, noise, uniform[:2]), r"uniforms: expected \[3, 2\]"),
        ((x, mask.double(), noise, uniform), "mask: expected bool"),
        ((x, mask, noise[:2], uniform), "noise: ends before frame 3"),
        ((x, mask, noise[:, :, :1], uniform), r"noise: expected \[6, 2, 2\] for frame 1"),
        ((x, mask, noise[..., :1], uniform), r"noise: expected \[6, 2, 2\] for frame 1"),
        ((x, mask, noise[:, :0], uniform), r"noise: expected \[1, 2, 2\] for frame 1"),
        ((x, mask, [noise[0], noise[1, :3], noise[2]], uniform), r"noise: expected \[6, 2, 2\] for frame 2"),
        ((x.repeat(1, 1, 2), mask, noise, uniform), r"x: expected frames \[T, B, 1\]"),
        ((x[:0], mask[:0], noise, uniform[:0]), r"x: expected frames \[T, B, 1\] with T >= 1"),
    ):
        with pytest.raises(ModelError, match=message):
            fivo(model, *arguments)


def test_a_frame_that_no_particle_can_explain_makes_the_bound_minus_infinity_as_iwaes():
    model = small_model("vrnn-gauss", "pen")
    batch = ragged_batch(model, [5, 5], samples=4)
    batch.x[2, 0, :2] = 1e200
    found = fivo(model, batch.x, batch.mask, batch.noise.unbind(1), torch.full((5, 2), 0.5, dtype=torch.float64))
    assert found[0] == iwae(model, batch.x, batch.mask, [batch.noise])[0] == -math.inf
    assert found[1].isfinite()
