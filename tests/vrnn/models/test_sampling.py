"""Samples against densities: where x ~ p, the expected score E[d log p(x) / d theta] is zero.

The score along a random direction of all parameters is a scalar a sample, so its mean has a standard error.
Samples of another temperature are the control: they must fail the same test.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.oracles.quadrature import log_marginal
from tests.oracles.textbook import mean_path
from tests.vrnn.cases import CASES, EXACT_CASES, small_model
from vrnn.errors import ModelError
from vrnn.likelihood.bounds import exact
from vrnn.models import Kind, SequenceModel


def mean_scores(model: SequenceModel, log_prob: Callable[[], Tensor]) -> list[float]:
    """The mean score in standard errors, along two random directions, by central differences."""
    return [_mean_score(model, log_prob, seed) for seed in range(2)]


@torch.no_grad()
def _mean_score(model: SequenceModel, log_prob: Callable[[], Tensor], seed: int, step: float = 1e-5) -> float:
    generator = torch.Generator().manual_seed(seed)
    parameters = list(model.parameters())
    start = [parameter.clone() for parameter in parameters]
    direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]

    def value_at(distance: float) -> Tensor:
        for parameter, origin, way in zip(parameters, start, direction, strict=True):
            parameter.copy_(origin + distance * way)
        return log_prob()

    scores = (value_at(step) - value_at(-step)) / (2 * step)
    value_at(0.0)
    return abs(float(scores.mean() / scores.std())) * math.sqrt(len(scores))


@pytest.mark.parametrize(("name", "kind"), EXACT_CASES)
def test_exact_models_samples_come_from_the_density_and_tempered_ones_do_not(name: str, kind: Kind):
    model, mask = small_model(name, kind), torch.ones(3, 5_000, dtype=torch.bool)
    for temperature, agrees in ((1.0, True), (0.6, False)):
        x = model.sample(3, 5_000, torch.Generator().manual_seed(0), temperature)
        scores = mean_scores(model, lambda x=x: exact(model, x, mask))
        assert (max(scores) < 4) is agrees, scores


@pytest.mark.parametrize(
    ("name", "kind"), [("vrnn-gauss", "speech"), ("vrnn-gmm", "pen"), ("vrnn-i-gauss", "pen"), ("srnn-gmm", "speech")]
)
def test_latent_samples_come_from_the_marginal_and_tempered_ones_do_not(name: str, kind: Kind):
    changes = {"frame_size": 1} if kind == "speech" else {}
    model = small_model(name, kind, latent=1, hidden=3, depth=1, **changes)
    for temperature, agrees in ((1.0, True), (0.6, False)):
        x = model.sample(2, 300, torch.Generator().manual_seed(0), temperature)
        scores = mean_scores(model, lambda x=x: log_marginal(model, x, points=17, reach=5.0))
        assert (max(scores) < 4) is agrees, scores


@pytest.mark.parametrize("name", ["rnn-gauss", "vrnn-gauss", "srnn-gauss"])
def test_without_its_noise_a_sample_follows_the_textbooks_means(name: str):
    model = small_model(name, "speech", spread=0.6, sigma_floor=0.0)
    parameters = dict(model.named_parameters())
    if model.latent_size:
        with torch.no_grad():
            parameters["prior.affine.bias"][model.latent_size :] = -60.0
    x = model.sample(9, 2, torch.Generator().manual_seed(0), temperature=1e-15)
    expected = mean_path(parameters, model.config, length=9)
    torch.testing.assert_close(x, expected[:, None].expand_as(x), rtol=1e-9, atol=1e-9)
    assert (expected[1:] - expected[:-1]).abs().amax(-1).min() > 1e-3


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize(
    ("length", "count", "temperature"), [(0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.0), (1, 1, math.nan), (1, 1, math.inf)]
)
def test_what_cannot_be_sampled_is_refused(name: str, kind: Kind, length: int, count: int, temperature: float):
    with pytest.raises(ModelError, match="expected"):
        small_model(name, kind).sample(length, count, torch.Generator(), temperature)
