import math
from collections.abc import Callable

import pytest
import torch
import zuko
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, distributions
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from vrnn.nn.distributions import DiagonalGaussian, GaussianMixture

D, K = 5, 4
FEW = settings(max_examples=25, deadline=None)
SEEDS = st.integers(0, 2**31)


def draws(seed: int, *shape: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian(seed: int, scale: float = 1.0) -> DiagonalGaussian:
    return DiagonalGaussian(draws(seed, 7, D, scale=scale), draws(seed + 1, 7, D, scale=scale).exp())


def mixture(seed: int, scale: float = 1.0) -> GaussianMixture:
    return GaussianMixture(
        draws(seed, 7, K, scale=scale),
        draws(seed + 1, 7, K, D, scale=scale),
        draws(seed + 2, 7, K, D, scale=scale).exp(),
    )


@FEW
@given(SEEDS, st.sampled_from([0.1, 1.0, 3.0]), st.sampled_from([1.0, 1e3, 1e6]))
def test_gaussian_density_is_that_of_torch_and_zuko(seed: int, scale: float, reach: float):
    ours, x = gaussian(seed, scale), draws(seed + 9, 7, D, scale=reach)
    torch.testing.assert_close(ours.log_prob(x), Independent(Normal(ours.mean, ours.std), 1).log_prob(x))
    torch.testing.assert_close(ours.log_prob(x), zuko.distributions.DiagNormal(ours.mean, ours.std).log_prob(x))


@FEW
@given(SEEDS, st.sampled_from([0.1, 1.0, 3.0]))
def test_log_prob_at_noise_is_torchs_density_of_the_reparameterised_sample(seed: int, scale: float):
    ours, noise = gaussian(seed, scale), draws(seed + 9, 7, D)
    by_torch = Independent(Normal(ours.mean, ours.std), 1).log_prob(ours.mean + noise * ours.std)
    torch.testing.assert_close(ours.log_prob_at(noise), by_torch)
    torch.testing.assert_close(ours.log_prob(ours.at(noise)), by_torch)


@FEW
@given(SEEDS, st.sampled_from([0.1, 1.0, 3.0]), st.sampled_from([1.0, 1e3, 1e6]))
def test_mixture_density_is_that_of_torch_and_zuko(seed: int, scale: float, reach: float):
    ours, x = mixture(seed, scale), draws(seed + 9, 7, D, scale=reach)
    assert ours.logits is not None
    by_torch = MixtureSameFamily(Categorical(logits=ours.logits), Independent(Normal(ours.means, ours.stds), 1))
    by_zuko = zuko.distributions.Mixture(zuko.distributions.DiagNormal(ours.means, ours.stds), ours.logits)
    torch.testing.assert_close(ours.log_prob(x), by_torch.log_prob(x))
    torch.testing.assert_close(ours.log_prob(x), by_zuko.log_prob(x))
    torch.testing.assert_close(ours.mean, by_torch.mean)


def test_a_mixture_without_coefficient_is_its_one_gaussian():
    one, x = gaussian(3), draws(4, 7, D)
    ours = GaussianMixture(None, one.mean.unsqueeze(-2), one.std.unsqueeze(-2))
    torch.testing.assert_close(ours.log_prob(x), one.log_prob(x), rtol=0, atol=0)
    torch.testing.assert_close(ours.mean, one.mean, rtol=0, atol=0)
    with_coefficient = GaussianMixture(torch.full((7, 1), 3.7, dtype=torch.float64), ours.means, ours.stds)
    torch.testing.assert_close(with_coefficient.log_prob(x), ours.log_prob(x))


def test_density_at_a_tiny_std_and_a_far_frame_is_finite_in_float32_with_its_gradient():
    raw = torch.tensor([1e-4, 1e-4], requires_grad=True)
    logits, means = torch.tensor([500.0, -500.0]), torch.zeros(2, 1)
    log_prob = GaussianMixture(logits, means, raw.unsqueeze(-1)).log_prob(torch.tensor([1000.0]))
    log_prob.backward()
    assert log_prob.item() == pytest.approx(-0.5e14, rel=1e-5)
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()


@pytest.mark.parametrize(
    "value",
    [
        lambda mean, std, *_: DiagonalGaussian(mean, std).at(draws(2, 7, D)),
        lambda mean, std, *_: DiagonalGaussian(mean, std).log_prob(draws(2, 7, D)),
        lambda mean, std, *_: DiagonalGaussian(mean, std).log_prob_at(draws(2, 7, D)),
        lambda mean, std, other, spread, _: DiagonalGaussian(mean, std).kl(DiagonalGaussian(other, spread)),
        lambda mean, std, other, spread, logits: GaussianMixture(
            logits, torch.stack([mean, other], 1), torch.stack([std, spread], 1)
        ).log_prob(draws(2, 7, D)),
    ],
    ids=["at", "log_prob", "log_prob_at", "kl", "mixture"],
)
def test_gradients_are_those_of_finite_differences(value: Callable[..., Tensor]):
    one, other = gaussian(20), gaussian(30)
    inputs = [p.requires_grad_() for p in (one.mean, one.std, other.mean, other.std, draws(40, 7, 2))]
    assert torch.autograd.gradcheck(value, inputs)


def test_log_prob_at_keeps_the_digits_that_log_prob_of_the_sample_loses():
    noise = draws(1, 200)
    tight = DiagonalGaussian(torch.full((200,), 3.0), torch.full((200,), 1e-4))
    truth = Normal(3.0, 1e-4).log_prob(3.0 + 1e-4 * noise).sum()
    assert abs(tight.log_prob_at(noise.float()) - truth) < 1e-3
    assert abs(tight.log_prob(tight.at(noise.float())) - truth) > 1e-3


@FEW
@given(SEEDS, SEEDS, st.sampled_from([0.01, 1.0, 4.0]))
def test_kl_is_that_of_torch_and_not_negative(seed: int, other_seed: int, scale: float):
    one, other = gaussian(seed, scale), gaussian(other_seed, scale)
    by_torch = distributions.kl_divergence(
        Independent(Normal(one.mean, one.std), 1), Independent(Normal(other.mean, other.std), 1)
    )
    torch.testing.assert_close(one.kl(other), by_torch, rtol=1e-9, atol=1e-12)
    assert (one.kl(other) >= 0).all()


def test_kl_is_zero_where_the_two_are_equal_and_nowhere_else():
    one = gaussian(5)
    assert (one.kl(DiagonalGaussian(one.mean.clone(), one.std.clone())) == 0).all()
    assert (one.kl(DiagonalGaussian(one.mean + 1e-6, one.std)) > 0).all()
    assert (one.kl(DiagonalGaussian(one.mean, one.std * (1 + 1e-5))) > 0).all()


@pytest.mark.parametrize("step", [2.0**-10, -(2.0**-12), 2.0**-13, -(2.0**-14)])
def test_kl_of_nearly_equal_gaussians_keeps_its_digits_in_float32(step: float):
    one = DiagonalGaussian(torch.zeros(200), torch.ones(200))
    near = DiagonalGaussian(torch.zeros(200), torch.full((200,), 1 + step))
    ratio = 1 / (1 + step)
    assert one.kl(near).item() == pytest.approx(200 * 0.5 * (ratio**2 - 1 - 2 * math.log(ratio)), rel=1e-3)


def test_kl_is_the_monte_carlo_mean_of_the_log_ratio():
    one, other = DiagonalGaussian(draws(1, D), draws(2, D).exp()), DiagonalGaussian(draws(3, D), draws(4, D).exp())
    noise = draws(5, 200_000, D)
    ratios = one.log_prob_at(noise) - other.log_prob(one.at(noise))
    assert abs(ratios.mean() - one.kl(other)) < 5 * ratios.std() / math.sqrt(len(ratios))


@pytest.mark.parametrize(("components", "temperature"), [(K, 1.0), (K, 0.5), (1, 0.5)])
def test_mixture_samples_have_the_moments_of_the_density(components: int, temperature: float):
    """One coefficient a frame couples its values: they correlate, though every component is diagonal."""
    count = 200_000
    parameters = mixture(11)
    assert parameters.logits is not None
    logits, means, stds = (p[0, :components] for p in (parameters.logits, parameters.means, parameters.stds))
    rows = [p.expand(count, *p.shape) for p in (means, stds)]
    coefficient = logits.expand(count, components) if components > 1 else None
    x = GaussianMixture(coefficient, *rows).sample(torch.Generator().manual_seed(0), temperature)
    weights = (logits / temperature).softmax(-1)[:, None]
    mean = (weights * means).sum(0)
    within, away = (weights * (temperature * stds).square()).sum(0).diag(), means - mean
    covariance = within + (weights * away).T @ away
    variance = covariance.diagonal()
    assert ((x.mean(0) - mean).abs() < 5 * (variance / count).sqrt()).all()
    assert ((torch.cov(x.T) - covariance).abs() < 0.03 * torch.outer(variance, variance).sqrt()).all()


def test_gaussian_samples_have_the_moments_of_the_density():
    one = gaussian(2)
    wide = DiagonalGaussian(one.mean[0].expand(100_000, D), one.std[0].expand(100_000, D))
    z = wide.sample(torch.Generator().manual_seed(0))
    assert ((z.mean(0) - one.mean[0]).abs() < 5 * one.std[0] / math.sqrt(len(z))).all()
    torch.testing.assert_close(z.std(0), one.std[0], rtol=0.02, atol=0)
