import math

import pytest
import torch
import zuko
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, MixtureSameFamily, MultivariateNormal
from zuko.transforms import AdditiveTransform, ComposedTransform, LULinearTransform

from tests.oracles.textbook_parts import covariance
from vrnn.nn.pen import PenMixture

K = 3


def pen_mixture(seed: int, rho_scale: float = 1.0, pen_scale: float = 1.0) -> PenMixture:
    generator = torch.Generator().manual_seed(seed)
    logits, rho = torch.randn(2, 7, K, generator=generator, dtype=torch.float64).unbind()
    means, stds = torch.randn(2, 7, K, 2, generator=generator, dtype=torch.float64).unbind()
    pen_logit = torch.randn(7, generator=generator, dtype=torch.float64)
    return PenMixture(logits, means, stds.exp(), (1 - 1e-4) * (rho_scale * rho).tanh(), pen_scale * pen_logit)


def frames(seed: int, reach: float = 1.0) -> Tensor:
    x = reach * torch.randn(7, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x[:, 2] = (x[:, 2] > 0).double()
    return x


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1.0, 30.0]), st.sampled_from([1.0, 1e4]), st.sampled_from([1.0, 100.0]))
def test_density_is_that_of_torch(seed: int, rho_scale: float, reach: float, pen_scale: float):
    ours, x = pen_mixture(seed, rho_scale, pen_scale), frames(seed + 1, reach)
    assert ours.logits is not None
    offset = MixtureSameFamily(
        Categorical(logits=ours.logits), MultivariateNormal(ours.means, covariance(ours.stds, ours.rho))
    )
    truth = offset.log_prob(x[:, :2]) + Bernoulli(logits=ours.pen_logit).log_prob(x[:, 2])
    torch.testing.assert_close(ours.log_prob(x), truth, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours.mean, torch.cat([offset.mean, ours.pen_logit.sigmoid()[:, None]], -1))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1.0, 100.0]))
def test_density_is_that_of_zuko(seed: int, reach: float):
    """A flow that whitens the offset, in zuko's mixture, times the pen in zuko's product of independent parts."""
    ours, x = pen_mixture(seed), frames(seed + 1, reach)
    assert ours.logits is not None
    whitening = torch.linalg.inv(torch.linalg.cholesky(covariance(ours.stds, ours.rho)))
    offset = zuko.distributions.NormalizingFlow(
        ComposedTransform(AdditiveTransform(-ours.means), LULinearTransform(whitening)),
        zuko.distributions.DiagNormal(torch.zeros_like(ours.means), torch.ones_like(ours.means)),
    )
    by_zuko = zuko.distributions.Joint(
        zuko.distributions.Mixture(offset, ours.logits), Bernoulli(logits=ours.pen_logit)
    )
    torch.testing.assert_close(ours.log_prob(x), by_zuko.log_prob(x), rtol=1e-6, atol=1e-6)


def test_gradients_are_those_of_finite_differences():
    ours, x = pen_mixture(6), frames(7)
    assert ours.logits is not None
    inputs = [p.requires_grad_() for p in (ours.logits, ours.means, ours.stds, ours.rho, ours.pen_logit)]
    assert torch.autograd.gradcheck(lambda *p: PenMixture(*p).log_prob(x), inputs)


@pytest.mark.parametrize("rho", [0.9999, -0.9999, 0.99987, 0.9998, 0.0])
@pytest.mark.parametrize("std", [1e-4, 1.0])
@pytest.mark.parametrize("along", [0.0, 3.0, 1e4])
def test_float32_keeps_its_digits_for_a_straight_stroke(rho: float, std: float, along: float):
    correlation, scale = torch.tensor(rho), torch.tensor(std)
    u = torch.tensor(along)
    x = torch.stack([scale * u, scale * (correlation * u + 0.1), torch.tensor(1.0)])
    ours = PenMixture(None, torch.zeros(1, 2), scale.expand(1, 2), correlation[None], torch.tensor(4.0))
    stored = correlation.double()
    exact_covariance = covariance(scale.double().expand(2), stored)
    truth = MultivariateNormal(torch.zeros(2).double(), exact_covariance).log_prob(x[:2].double())
    truth = truth + Bernoulli(logits=torch.tensor(4.0).double()).log_prob(torch.tensor(1.0).double())
    # u and v carry float32's rounding; the perpendicular distance magnifies it by u / sqrt(1 - rho^2).
    noise = along * 2.0**-22 / math.sqrt((1 - stored) * (1 + stored))
    assert ours.log_prob(x).item() == pytest.approx(truth.item(), rel=1e-5, abs=1e-4 + noise + noise**2)


@pytest.mark.parametrize("pen_up", [0.0, 1.0])
@pytest.mark.parametrize("logit", [-80.0, -20.0, 20.0, 80.0])
def test_a_sure_pen_keeps_its_log_probability_and_gradient(pen_up: float, logit: float):
    raw = torch.tensor(logit, requires_grad=True)
    one = torch.ones(1, 2)
    x = torch.tensor([0.0, 0.0, pen_up])
    pen = PenMixture(None, 0 * one, one, torch.zeros(1), raw).log_prob(x) + math.log(2 * math.pi)
    pen.backward()
    sure = (logit > 0) == bool(pen_up)
    truth = -math.log1p(math.exp(-abs(logit))) - (0 if sure else abs(logit))
    assert pen.item() == pytest.approx(truth, rel=1e-5, abs=1e-6)
    assert raw.grad is not None
    assert raw.grad.item() == pytest.approx(pen_up - 1 / (1 + math.exp(-logit)), abs=1e-6)


def test_the_density_integrates_to_one_over_offsets_and_pen():
    ours = pen_mixture(4)
    assert ours.logits is not None
    one = PenMixture(ours.logits[0], ours.means[0], ours.stds[0].clamp(0.2, 2), ours.rho[0], ours.pen_logit[0])
    axis = torch.linspace(-20, 20, 1001, dtype=torch.float64)
    dx, dy = torch.meshgrid(axis, axis, indexing="ij")
    mass = [
        one.log_prob(torch.stack([dx, dy, torch.full_like(dx, pen_up)], -1)).exp().sum() * 0.04**2
        for pen_up in (0.0, 1.0)
    ]
    assert float(mass[0] + mass[1]) == pytest.approx(1.0, abs=1e-6)
    assert float(mass[1]) == pytest.approx(one.pen_logit.sigmoid().item(), abs=1e-6)


@pytest.mark.parametrize(("coefficient", "temperature"), [(True, 1.0), (False, 1.0), (True, 0.5)])
def test_samples_have_the_moments_of_the_density(coefficient: bool, temperature: float):
    count, rows = 200_000, slice(None) if coefficient else slice(0, 1)
    source = pen_mixture(8)
    assert source.logits is not None
    weights = (source.logits[0] / temperature).softmax(-1) if coefficient else torch.ones(1, dtype=torch.float64)
    means, stds, rho = source.means[0][rows], source.stds[0][rows], source.rho[0][rows]
    x = PenMixture(
        source.logits[0].expand(count, K) if coefficient else None,
        means.expand(count, *means.shape),
        stds.expand(count, *stds.shape),
        rho.expand(count, *rho.shape),
        source.pen_logit[0].expand(count),
    ).sample(torch.Generator().manual_seed(0), temperature)
    mean = (weights[:, None] * means).sum(0)
    second = (
        weights[:, None, None] * (covariance(temperature * stds, rho) + means[:, :, None] * means[:, None, :])
    ).sum(0)
    truth = second - mean[:, None] * mean
    assert ((x[:, :2].mean(0) - mean).abs() < 5 * (truth.diagonal() / count).sqrt()).all()
    assert (torch.cov(x[:, :2].T) - truth).abs().max() < 0.03 * truth.diagonal().max()
    assert set(x[:, 2].tolist()) == {0.0, 1.0}
    assert x[:, 2].mean().item() == pytest.approx(source.pen_logit[0].sigmoid().item(), abs=0.006)


def test_temperature_narrows_the_offset_and_leaves_the_pen():
    wide = PenMixture(
        None, torch.zeros(100_000, 1, 2), torch.ones(100_000, 1, 2), torch.full((100_000, 1), 0.5), torch.zeros(100_000)
    )
    x = wide.sample(torch.Generator().manual_seed(1), temperature=0.25)
    torch.testing.assert_close(x[:, :2].std(0), torch.full((2,), 0.25), rtol=0.02, atol=0)
    assert x[:, 2].mean().item() == pytest.approx(0.5, abs=0.01)
