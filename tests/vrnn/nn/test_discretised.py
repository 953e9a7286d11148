import decimal
import itertools
import math
from decimal import Decimal

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import AffineTransform, SigmoidTransform, TransformedDistribution, Uniform

from vrnn.errors import ModelError
from vrnn.nn.discretised import DiscretisedMixture, Quantisation

FEW = settings(max_examples=25, deadline=None)
SEEDS = st.integers(0, 2**31)
SMALL = Quantisation(mean=0.3, std=2.5, lowest=-8, highest=7)
SPEECH = Quantisation(mean=0.037, std=548.136)


def draws(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mixture(seed: int, grid: Quantisation, components: int = 3, size: int = 2, spread: float = 1.0):
    means, scales = draws(seed, 2, components, size).unbind()
    logits = draws(seed + 1, components) if components > 1 else None
    return DiscretisedMixture(logits, means, spread * scales.exp(), grid)


def repeated(one: DiscretisedMixture, count: int) -> DiscretisedMixture:
    logits = None if one.logits is None else one.logits.expand(count, *one.logits.shape)
    means, scales = (parameter.expand(count, *parameter.shape) for parameter in (one.means, one.scales))
    return DiscretisedMixture(logits, means, scales, one.quantisation)


def all_frames(grid: Quantisation, size: int) -> Tensor:
    """Every frame `[N, size]` of integers."""
    return torch.tensor(list(itertools.product(range(grid.lowest, grid.highest + 1), repeat=size)), dtype=torch.float64)


def seen(integers: Tensor, grid: Quantisation) -> Tensor:
    return (integers - grid.mean) / grid.std


def logistic(means: Tensor, scales: Tensor) -> TransformedDistribution:
    return TransformedDistribution(
        Uniform(torch.zeros_like(means), 1.0), [SigmoidTransform().inv, AffineTransform(means, scales)]
    )


def exact_log_mass(integer: int, mean: Decimal, scale: Decimal, grid: Quantisation) -> Decimal:
    """Log of the bin's mass in the context's precision, as a difference of the distribution function in the tail."""

    def end(shift: str) -> Decimal:
        return ((integer + Decimal(shift) - Decimal(grid.mean)) / Decimal(grid.std) - mean) / scale

    def sigmoid(x: Decimal) -> Decimal:
        return 1 / (1 + (-x).exp())

    lower, upper = end("-0.5"), end("0.5")
    if integer == grid.lowest:
        return sigmoid(upper).ln()
    if integer == grid.highest:
        return sigmoid(-lower).ln()
    if lower + upper > 0:
        lower, upper = -upper, -lower
    return (sigmoid(upper) - sigmoid(lower)).ln()


@FEW
@given(SEEDS, st.sampled_from([1e-3, 0.1, 1.0, 100.0]), st.sampled_from([1, 3]))
def test_the_probabilities_of_all_frames_sum_to_one(seed: int, spread: float, components: int):
    log_prob = mixture(seed, SMALL, components, spread=spread).log_prob(seen(all_frames(SMALL, 2), SMALL))
    assert log_prob.exp().sum().item() == pytest.approx(1.0, abs=1e-12)


@FEW
@given(SEEDS)
def test_probability_is_a_difference_of_torchs_logistic_distribution_function(seed: int):
    ours, frames = mixture(seed, SMALL), all_frames(SMALL, 2).unsqueeze(-2)
    assert ours.logits is not None
    by_torch = logistic(ours.means, ours.scales.clamp(0.3, 3))
    upper, lower = (by_torch.cdf(seen(frames + half, SMALL)) for half in (0.5, -0.5))
    mass = torch.where(frames == SMALL.highest, 1.0, upper) - torch.where(frames == SMALL.lowest, 0.0, lower)
    truth = (ours.logits.softmax(-1) * mass.prod(-1)).sum(-1).log()
    ours = DiscretisedMixture(ours.logits, ours.means, ours.scales.clamp(0.3, 3), SMALL)
    torch.testing.assert_close(ours.log_prob(seen(frames.squeeze(-2), SMALL)), truth, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("dtype", "digits"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
@pytest.mark.parametrize("scale", [1e-6, 6.3e-4, 1e-3, 3e-3, 0.1, 1.0, 1e3, 1e9])
@pytest.mark.parametrize("integer", [-32768, -32767, -4000, -1, 0, 7, 300, 32766, 32767])
def test_value_and_gradient_keep_their_digits_however_far_the_tail(
    integer: int, scale: float, dtype: torch.dtype, digits: float
):
    """Up to 6e7 scales from the mean, where a difference of sigmoids is 0."""
    mean, spread = (torch.tensor([[value]], dtype=dtype, requires_grad=True) for value in (0.0123, scale))
    x = SPEECH.normalised(torch.tensor([integer], dtype=dtype))
    log_prob = DiscretisedMixture(None, mean, spread, SPEECH).log_prob(x)
    log_prob.backward()
    with decimal.localcontext(prec=100, Emin=-(10**12), Emax=10**12):
        m, s, step = Decimal(mean.item()), Decimal(spread.item()), Decimal("1e-20")
        truth = float(exact_log_mass(integer, m, s, SPEECH))
        ends = [exact_log_mass(integer, m + sign * step * s, s, SPEECH) for sign in (1, -1)]
        by_mean = float((ends[0] - ends[1]) / (2 * step))
        ends = [exact_log_mass(integer, m, s * (1 + sign * step), SPEECH) for sign in (1, -1)]
        by_log_scale = float((ends[0] - ends[1]) / (2 * step))
    assert log_prob.item() == pytest.approx(truth, rel=digits, abs=digits)
    assert mean.grad is not None
    assert spread.grad is not None
    assert scale * mean.grad.item() == pytest.approx(by_mean, rel=digits, abs=digits)
    assert scale * spread.grad.item() == pytest.approx(by_log_scale, rel=digits, abs=digits)
    if abs(by_log_scale) > digits:
        assert spread.grad.item() != 0


def test_gradients_are_those_of_finite_differences_for_every_integer():
    ours, x = mixture(5, SMALL), seen(all_frames(SMALL, 2), SMALL)
    assert ours.logits is not None
    inputs = [parameter.clone().requires_grad_() for parameter in (ours.logits, ours.means, ours.scales)]
    assert torch.autograd.gradcheck(lambda *p: DiscretisedMixture(*p, SMALL).log_prob(x), inputs)


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.sampled_from([1e-6, 1e-2, 1.0, 1e6]), st.sampled_from([1.0, 1e3]), st.sampled_from([1, 2, 20]))
def test_a_probability_is_never_above_one_and_its_gradient_finite(
    seed: int, spread: float, reach: float, components: int
):
    ours = mixture(seed, SPEECH, components, spread=spread)
    parameters = [p.float().requires_grad_() for p in (ours.logits, ours.means, ours.scales) if p is not None]
    logits, means, scales = parameters if components > 1 else [None, *parameters]
    assert means is not None
    assert scales is not None
    at_a_mean = means.detach()[0]
    x = torch.cat([at_a_mean.expand(50, 2), reach * draws(seed + 2, 50, 2).float()])
    log_prob = DiscretisedMixture(logits, means, scales, SPEECH).log_prob(x)
    log_prob.sum().backward()
    assert (log_prob <= 0).all()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in parameters)


def test_a_sure_probability_is_not_above_one_by_the_rounding_of_its_coefficients():
    logits = draws(3, 500, 20).float()
    sure = DiscretisedMixture(logits, torch.zeros(500, 20, 2), torch.full((500, 20, 2), 1e-6), SPEECH)
    log_prob = sure.log_prob(SPEECH.normalised(torch.zeros(500, 2)))
    assert (log_prob <= 0).all()
    assert (log_prob > -1e-6).all()


def test_log_probability_tends_to_the_log_density_as_the_bins_shrink():
    fine = Quantisation(mean=0.3, std=1e6, lowest=-(10**9), highest=10**9)
    ours, integers = mixture(3, fine), torch.round(1e6 * draws(4, 50, 2))
    assert ours.logits is not None
    x = seen(integers, fine)
    components = logistic(ours.means, ours.scales).log_prob(x.unsqueeze(-2)).sum(-1)
    density = torch.logsumexp(ours.logits.log_softmax(-1) + components, -1)
    torch.testing.assert_close(ours.log_prob(x) + 2 * math.log(fine.std), density, rtol=0, atol=1e-8)


@pytest.mark.parametrize("components", [1, 3])
def test_mean_is_the_expectation_where_bins_are_narrow_and_ends_far(components: int):
    grid = Quantisation(mean=0.3, std=50.0, lowest=-4000, highest=4000)
    ours, x = mixture(7, grid, components, size=1), seen(all_frames(grid, 1), grid)
    torch.testing.assert_close(ours.mean, (ours.log_prob(x).exp()[:, None] * x).sum(0), rtol=0, atol=1e-6)


def test_a_mixture_without_coefficient_is_one_of_a_single_component():
    one, x = mixture(9, SMALL, components=1), seen(all_frames(SMALL, 2), SMALL)
    with_coefficient = DiscretisedMixture(torch.tensor([3.7], dtype=torch.float64), one.means, one.scales, SMALL)
    torch.testing.assert_close(one.log_prob(x), with_coefficient.log_prob(x))
    torch.testing.assert_close(one.mean, with_coefficient.mean)


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_samples_are_as_frequent_as_they_are_probable(components: int, temperature: float):
    grid = Quantisation(mean=0.3, std=2.5, lowest=-3, highest=3)
    one = mixture(12, grid, components, spread=0.5)
    x = repeated(one, 200_000).sample(torch.Generator().manual_seed(0), temperature)
    frames = all_frames(grid, 2)
    integers = torch.round(x * grid.std + grid.mean)
    torch.testing.assert_close(x, seen(integers, grid), rtol=0, atol=0)
    counts = (integers.unsqueeze(1) == frames).all(-1).sum(0)
    assert counts.sum() == len(x)

    def surprise(of: float) -> float:
        logits = None if one.logits is None else one.logits / of
        expected = (
            len(x) * DiscretisedMixture(logits, one.means, of * one.scales, grid).log_prob(seen(frames, grid)).exp()
        )
        likely = expected > 5
        rest = torch.stack([counts[~likely].sum(), expected[~likely].sum()])
        observed, truth = torch.cat([torch.stack([counts, expected])[:, likely], rest[:, None]], 1).numpy()
        return float(scipy.stats.chisquare(observed + 1e-9, truth + 1e-9, sum_check=False).pvalue)

    assert surprise(temperature) > 1e-3
    assert surprise(1.6 - temperature) < 1e-9


def test_samples_are_the_recordings_own_values_and_stay_in_range():
    wide = DiscretisedMixture(None, torch.zeros(5_000, 1, 4), torch.full((5_000, 1, 4), 30.0), SPEECH)
    x = wide.sample(torch.Generator().manual_seed(3))
    integers = np.round(x.double().numpy() * SPEECH.std + SPEECH.mean)
    assert (integers.min(), integers.max()) == (-32768, 32767)
    assert len(np.unique(integers)) > 5_000
    assert (((integers - SPEECH.mean) / SPEECH.std).astype(np.float32) == x.numpy()).all()


def test_the_generator_alone_decides_a_sample():
    one = repeated(mixture(1, SPEECH), 100)
    first, again, other = (one.sample(torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("mean", [0.0, 0.037, -0.09])
def test_every_int16_survives_normalisation_to_float32(mean: float):
    grid = Quantisation(mean, 548.136)
    integers = np.arange(-32768, 32768)
    x = torch.from_numpy(((integers - mean) / grid.std).astype(np.float32))
    assert (grid.integers(x).numpy() == integers).all()
    assert torch.equal(grid.normalised(grid.integers(x)), x)


def test_a_value_off_the_grid_counts_as_the_nearest_integer_of_the_range():
    ours = mixture(2, SMALL, size=1)
    integers = torch.tensor([[3.0], [-8.0], [7.0]], dtype=torch.float64)
    between = torch.tensor([[3.4], [-90.0], [7.6]], dtype=torch.float64)
    assert torch.equal(ours.log_prob(seen(integers, SMALL)), ours.log_prob(seen(between, SMALL)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean", math.nan),
        ("mean", math.inf),
        ("mean", True),
        ("mean", "0"),
        ("std", 0.0),
        ("std", -1.0),
        ("std", math.inf),
        ("std", math.nan),
        ("std", True),
        ("lowest", 1.0),
        ("lowest", False),
        ("highest", None),
        ("highest", -32768),
        ("highest", -40000),
    ],
)
def test_a_quantisation_that_means_nothing_is_refused_by_the_name_of_its_field(name: str, value: object):
    with pytest.raises(ModelError, match=rf"^quantisation\.{name}: expected .*{value!r}$") as refusal:
        Quantisation(**{"mean": 0.0, "std": 1.0, name: value})
    assert "\n" not in str(refusal.value)
