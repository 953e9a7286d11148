"""The bounds against a model whose likelihood and posterior are known: the Kalman filter and the RTS smoother."""

import itertools
import math
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.oracles import kalman as oracle
from tests.oracles.kalman import System
from tests.oracles.latent_smoother import filtered_moments
from tests.oracles.linear_gaussian import LinearGaussian, Posterior
from tests.oracles.posterior_gap import filtering_remainder, latent_moments, posterior_gap
from tests.vrnn.cases import RaggedBatch, ragged_batch
from vrnn.errors import ModelError
from vrnn.likelihood.bounds import elbo, iwae, repeated, total

POSTERIORS = get_args(Posterior)
FILTERING = ("prior", "filtering", "best-filtering")
LENGTHS = [6, 1, 4]
NATS = 1e-9


def system(seed: int = 3, latent: int = 2, frame_size: int = 2, posterior: Posterior = "smoothing") -> LinearGaussian:
    return LinearGaussian.random(latent, frame_size, torch.Generator().manual_seed(seed), posterior)


def from_model(model: LinearGaussian, lengths: list[int], seed: int = 0, samples: int = 1) -> RaggedBatch:
    """Frames drawn from the model, and noise `[samples, T, B, Z]`."""
    batch = ragged_batch(model, lengths, seed, samples)
    x = model.sample(max(lengths), len(lengths), torch.Generator().manual_seed(seed))
    return RaggedBatch(x * batch.mask[..., None], batch.mask, batch.noise, lengths)


def truths(model: LinearGaussian, batch: RaggedBatch) -> Tensor:
    reference = System.of(model)
    columns = [batch.x[:length, index].numpy() for index, length in enumerate(batch.lengths)]
    return torch.tensor([oracle.log_likelihood(reference, column) for column in columns], dtype=torch.float64)


@torch.no_grad()
def elbos(model: LinearGaussian, batch: RaggedBatch, draws: int, seed: int = 7) -> Tensor:
    """Independent values of the ELBO, `[draws, B]`."""
    noise = ragged_batch(model, batch.lengths * draws, seed).noise[0]
    values = elbo(model, batch.x.repeat(1, draws, 1), batch.mask.repeat(1, draws), noise).value
    return values.unflatten(0, (draws, -1))


@pytest.mark.parametrize("length", [1, 2, 5])
def test_the_kalman_filter_is_the_dense_gaussian(length: int):
    model = system(latent=3, frame_size=2)
    x = ragged_batch(model, [length]).x[:, 0].numpy()
    reference = System.of(model)
    assert oracle.log_likelihood(reference, x) == pytest.approx(oracle.dense_log_likelihood(reference, x), abs=NATS)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    latent=st.integers(1, 3),
    frame_size=st.integers(1, 3),
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4),
)
def test_every_weight_of_the_smoothing_posterior_is_the_likelihood(
    seed: int, latent: int, frame_size: int, lengths: list[int]
):
    model = system(seed, latent, frame_size)
    batch = ragged_batch(model, lengths, seed, samples=2)
    for noise in batch.noise:
        torch.testing.assert_close(
            iwae(model, batch.x, batch.mask, [noise[None]]), truths(model, batch), rtol=1e-9, atol=NATS
        )


def test_the_smoothing_posterior_has_the_smoothers_moments():
    model = system(latent=3)
    batch = ragged_batch(model, LENGTHS)
    means, covariances = latent_moments(model, batch.x, batch.mask)
    for index, length in enumerate(LENGTHS):
        found = means[:length, index].numpy(), covariances[:length, index].numpy()
        smoothed = oracle.rts_smoother(System.of(model), batch.x[:length, index].numpy())
        for ours, expected in zip(found, smoothed, strict=True):
            np.testing.assert_allclose(ours, np.array(expected), atol=1e-10)


def test_filtered_moments_are_the_kalman_filters():
    model = system(latent=3)
    batch = ragged_batch(model, LENGTHS)
    own, state = model.own(batch.x, batch.mask), model.initial_state(len(LENGTHS))
    means, covariances = filtered_moments(own, (state.mean, state.factor), model.transition, model.process.tril())
    for index, length in enumerate(LENGTHS):
        _, *expected = oracle.kalman_filter(System.of(model), batch.x[:length, index].numpy())
        np.testing.assert_allclose(means[:length, index].detach().numpy(), np.array(expected[0]), atol=1e-10)
        np.testing.assert_allclose(covariances[:length, index].detach().numpy(), np.array(expected[1]), atol=1e-10)


def test_the_elbo_of_the_smoothing_posterior_is_the_likelihood_on_average():
    model = system()
    batch = from_model(model, LENGTHS)
    found = repeated(elbos(model, batch, 4000).unbind())
    assert (found.standard_error < 0.05).all()
    assert ((found.mean - truths(model, batch)).abs() < 4 * found.standard_error).all()
    assert posterior_gap(model, batch.x, batch.mask).abs().max() < NATS


@pytest.mark.parametrize("posterior", FILTERING)
@pytest.mark.parametrize("seed", [4, 6])
def test_the_mean_elbo_falls_short_of_the_likelihood_by_the_closed_form_gap(posterior: Posterior, seed: int):
    model = system(seed, posterior=posterior)
    batch = from_model(model, [6, 5, 4], seed)
    gap = posterior_gap(model, batch.x, batch.mask)
    found = repeated(elbos(model, batch, 8000).unbind())
    assert ((truths(model, batch) - gap - found.mean).abs() < 4 * found.standard_error).all()
    assert (gap > 20 * found.standard_error).all()


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_gaps_and_moments_do_not_depend_on_padding(posterior: Posterior):
    model = system(posterior=posterior)
    batch = ragged_batch(model, LENGTHS)
    x = batch.x.masked_fill(~batch.mask[..., None], math.nan)
    together, remainder = posterior_gap(model, x, batch.mask), filtering_remainder(model, batch.mask)
    for index, length in enumerate(LENGTHS):
        alone = x[:length, index : index + 1], batch.mask[:length, index : index + 1]
        torch.testing.assert_close(posterior_gap(model, *alone)[0], together[index], rtol=1e-9, atol=NATS)
        torch.testing.assert_close(filtering_remainder(model, alone[1])[0], remainder[index], rtol=1e-9, atol=NATS)


def test_a_filtering_posterior_is_exact_at_the_last_frame_and_where_no_frame_depends_on_the_latents_before():
    model = system(posterior="filtering")
    batch = ragged_batch(model, [1, 1])
    assert posterior_gap(model, batch.x, batch.mask).abs().max() < NATS
    with torch.no_grad():
        model.transition.zero_()
    batch = ragged_batch(model, LENGTHS)
    assert posterior_gap(model, batch.x, batch.mask).abs().max() < NATS
    assert filtering_remainder(model, batch.mask).abs().max() < NATS


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_best_filtering_posterior_leaves_the_remainder_and_the_others_more(seed: int):
    model = system(seed)
    batch = from_model(model, [6] * 4000, seed)
    remainder = filtering_remainder(model, batch.mask[:, :1])
    gaps = {name: posterior_gap(model.under(name), batch.x, batch.mask) for name in POSTERIORS}
    best = repeated(gaps["best-filtering"].unsqueeze(1))
    assert remainder > 20 * best.standard_error
    assert (best.mean - remainder).abs() < 4 * best.standard_error
    for other in ("filtering", "prior"):
        excess = repeated((gaps[other] - gaps["best-filtering"]).unsqueeze(1))
        assert excess.mean > 4 * excess.standard_error


@pytest.mark.parametrize("smooths", [False, True])
def test_no_affine_posterior_that_filters_leaves_less_than_the_remainder(smooths: bool):
    """The least expected gap of all q: z = F z + G x + c + S noise, found by minimising it on the dense Gaussians.

    F is strictly lower block triangular; G is lower block triangular where q filters, and full where it smooths.
    """
    length, latent, frame_size = 3, 2, 1
    model = system(seed=6, latent=latent, frame_size=frame_size)
    mean, covariance = (torch.from_numpy(part) for part in oracle.stacked(System.of(model), length))
    past = torch.ones(length, length, dtype=torch.float64).tril()
    masks = {
        "F": torch.kron(past.tril(-1), torch.ones(latent, latent)),
        "G": torch.kron(torch.ones_like(past) if smooths else past, torch.ones(latent, frame_size)),
        "S": torch.kron(torch.eye(length), torch.ones(latent, latent)).tril().double(),
    }
    free = {name: torch.zeros_like(part, requires_grad=True) for name, part in masks.items()}
    free["c"] = torch.zeros(length * latent, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(free.values(), max_iter=300, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def expected_gap() -> Tensor:
        size = length * latent
        weights = {name: free[name] * part for name, part in masks.items()}
        root = weights["S"] - weights["S"].diag().diag() + weights["S"].diag().exp().diag()
        eye = torch.eye(size, dtype=torch.float64)
        mixed = torch.linalg.inv(eye - weights["F"])
        from_x, from_noise = mixed @ weights["G"], mixed @ root
        q_mean = torch.cat([from_x @ mean[size:] + mixed @ free["c"], mean[size:]])
        spread = covariance[size:, size:]
        lift = torch.cat([from_x, torch.eye(len(spread), dtype=torch.float64)])
        q_covariance = lift @ spread @ lift.T
        q_covariance = q_covariance + torch.nn.functional.pad(from_noise @ from_noise.T, (0, len(spread)) * 2)
        distance = q_mean - mean
        precision = torch.linalg.inv(covariance)
        quadratic = (precision * q_covariance).sum() + distance @ precision @ distance
        entropies = 2 * weights["S"].diag().sum() + torch.logdet(spread)
        return 0.5 * (quadratic - len(covariance) + torch.logdet(covariance) - entropies)

    def closure() -> Tensor:
        optimiser.zero_grad()
        gap = expected_gap()
        gap.backward()
        return gap

    optimiser.step(closure)
    expected = 0.0 if smooths else filtering_remainder(model, torch.ones(length, 1, dtype=torch.bool)).item()
    assert smooths or expected > 0.1
    assert expected_gap().item() == pytest.approx(expected, abs=1e-7)


def test_iwae_rises_with_the_samples_to_the_likelihood():
    model = system(seed=6, posterior="prior", latent=1, frame_size=1)
    batch = from_model(model, [5], seed=1)
    draws, truth = 2000, truths(model, batch).item()
    noise = ragged_batch(model, [5] * draws, samples=64).noise
    x, mask = batch.x.repeat(1, draws, 1), batch.mask.repeat(1, draws)
    with torch.no_grad():
        values = [iwae(model, x, mask, [noise[:count]]).unsqueeze(1) for count in (1, 4, 16, 64)]
    for looser, tighter in itertools.pairwise(values):
        gain = repeated(tighter - looser)
        assert gain.mean > 4 * gain.standard_error
    loosest, tightest = repeated(values[0]), repeated(values[-1])
    assert truth - loosest.mean > 0.5
    assert -4 * tightest.standard_error < truth - tightest.mean < 0.05


def test_the_importance_sampled_likelihood_is_unbiased():
    model = system(seed=6, posterior="prior", latent=1, frame_size=1)
    batch = from_model(model, [5], seed=1)
    draws = 20000
    noise = ragged_batch(model, [5] * draws, samples=4).noise
    with torch.no_grad():
        values = iwae(model, batch.x.repeat(1, draws, 1), batch.mask.repeat(1, draws), [noise])
    ratio = repeated((values - truths(model, batch)).exp().unsqueeze(1))
    assert ratio.standard_error < 0.02
    assert (ratio.mean - 1).abs() < 4 * ratio.standard_error


def test_gradients_of_the_bounds_under_the_exact_posterior_are_the_likelihoods():
    model = system()
    batch = from_model(model, [5, 3])
    names, parameters = zip(*model.named_parameters(), strict=True)
    expected = [_finite_differences(model, parameter, batch) for parameter in parameters]
    value = iwae(model, batch.x, batch.mask, [batch.noise]).sum()
    for name, ours, truth in zip(names, torch.autograd.grad(value, parameters), expected, strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-6, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")

    blocks, size = 60, 100
    x, mask = batch.x.repeat(1, size, 1), batch.mask.repeat(1, size)
    noises = ragged_batch(model, batch.lengths * size, samples=blocks).noise
    gradients = [torch.autograd.grad(elbo(model, x, mask, noise).value.sum() / size, parameters) for noise in noises]
    for name, ours, truth in zip(names, zip(*gradients, strict=True), expected, strict=True):
        found = repeated(ours)
        assert ((found.mean - truth).abs() < 4.5 * found.standard_error + 1e-6).all(), name


def _finite_differences(model: LinearGaussian, parameter: Tensor, batch: RaggedBatch, step: float = 1e-5) -> Tensor:
    """The gradient of the summed Kalman log-likelihood in one parameter."""
    gradient, flat = torch.zeros_like(parameter), parameter.detach().view(-1)
    for index in range(parameter.numel()):
        for sign in (1, -1):
            flat[index] += sign * step
            gradient.view(-1)[index] += sign * truths(model, batch).sum() / (2 * step)
            flat[index] -= sign * step
    return gradient


def test_samples_have_the_models_moments():
    model = system(latent=2, frame_size=2)
    length, count = 3, 40000
    mean, covariance = oracle.stacked(System.of(model), length)
    x = model.sample(length, count, torch.Generator().manual_seed(0)).transpose(0, 1).flatten(1)
    expected, spread = torch.from_numpy(mean[6:]), torch.from_numpy(covariance[6:, 6:])
    assert ((x.mean(0) - expected).abs() < 4.5 * (spread.diag() / count).sqrt()).all()
    error = ((spread.diag().outer(spread.diag()) + spread.square()) / count).sqrt()
    assert ((x.T.cov() - spread).abs() < 4.5 * error).all()


@pytest.mark.parametrize("posterior", ["prior", "filtering"])
def test_a_state_continues_where_an_earlier_part_ended(posterior: Posterior):
    model = system(posterior=posterior)
    batch = ragged_batch(model, [6, 6])
    whole = model(batch.x, batch.mask, batch.noise[0])
    first = model(batch.x[:2], batch.mask[:2], batch.noise[0, :2])
    second = model(batch.x[2:], batch.mask[2:], batch.noise[0, 2:], first.state)
    for name in ("log_emission", "kl", "log_ratio"):
        parts = [total(getattr(terms, name), torch.ones(len(terms.kl), 2).bool()) for terms in (first, second)]
        torch.testing.assert_close(sum(parts), total(getattr(whole, name), batch.mask), rtol=0, atol=NATS)


def test_copies_under_other_posteriors_share_the_parameters():
    model = system(posterior="prior")
    twin = model.under("smoothing")
    assert (model.posterior, twin.posterior) == ("prior", "smoothing")
    assert all(ours is theirs for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True))


def test_wrong_systems_are_refused():
    eye, ones = torch.eye(2), torch.ones(2)
    good = {"transition": eye, "process": eye, "emission": eye, "noise": ones, "initial_mean": ones, "initial": eye}
    LinearGaussian(**good)
    for change, message in (
        ({"transition": torch.eye(3)}, r"transition: expected the shape \[2, 2\]"),
        ({"emission": ones}, "emission: a matrix"),
        ({"noise": torch.zeros(2)}, "noise: expected positive variances"),
        ({"noise": torch.ones(3)}, r"noise: expected the shape \[2\]"),
        ({"initial_mean": torch.ones(1)}, "initial_mean"),
        ({"process": -eye}, "process: expected a symmetric, positive definite"),
        ({"initial": torch.tensor([[1.0, 0.5], [0.0, 1.0]])}, "initial: expected a symmetric"),
        ({"posterior": "forward"}, "posterior: expected one of prior, filtering"),
    ):
        with pytest.raises(ModelError, match=message):
            LinearGaussian(**(good | change))
    with pytest.raises(ModelError, match="posterior: expected"):
        LinearGaussian(**good).under("forward")  # type: ignore[arg-type]


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_the_mean_of_the_latent_is_the_latent_without_noise(posterior: Posterior):
    model = system(posterior=posterior)
    batch = from_model(model, LENGTHS)
    still = torch.zeros_like(batch.noise[0])
    encoded, state = model.encode(batch.x, batch.mask, model.initial_state(len(LENGTHS)))
    frames, _ = model.infer_latents(encoded, still, state)
    torch.testing.assert_close(frames.posterior_mean, frames.features)
    torch.testing.assert_close(model.latent_path(batch.x, batch.mask, still)[1], frames.features)
