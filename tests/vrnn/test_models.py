import io
import math

import pytest
import torch
from torch import Tensor

from tests.oracles.textbook import rnn_log_likelihood, vrnn_terms
from tests.vrnn.cases import CASES, RNN_CASES, VRNN_CASES, ragged_batch, small_config, small_model
from vrnn.bounds import elbo, exact, iwae
from vrnn.errors import ModelError
from vrnn.models import Kind, SequenceModel, build_model


def gradients(model: SequenceModel, value: Tensor) -> dict[str, Tensor]:
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad(value.sum(), list(parameters.values()), retain_graph=True)
    return dict(zip(parameters, found, strict=True))


def assert_same_value_and_gradients(model: SequenceModel, ours: Tensor, textbook: Tensor) -> None:
    torch.testing.assert_close(ours, textbook, rtol=1e-10, atol=1e-10)
    expected = gradients(model, textbook)
    for name, gradient in gradients(model, ours).items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(gradient, expected[name], rtol=1e-8, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(("name", "kind"), RNN_CASES)
def test_rnn_is_its_textbook_loop_in_value_and_every_gradient(name: str, kind: Kind, depth: int):
    model = small_model(name, kind, depth=depth)
    batch = ragged_batch(model, [5, 5, 5])
    textbook = rnn_log_likelihood(dict(model.named_parameters()), model.config, batch.x)
    assert_same_value_and_gradients(model, exact(model, batch.x, batch.mask), textbook)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(("name", "kind"), VRNN_CASES)
def test_vrnn_is_its_textbook_loop_in_value_and_every_gradient(name: str, kind: Kind, depth: int):
    model = small_model(name, kind, depth=depth)
    batch = ragged_batch(model, [5, 5, 5], samples=3)
    textbook = [
        vrnn_terms(dict(model.named_parameters()), model.config, batch.x, lambda t, q, n=noise: q.loc + q.scale * n[t])
        for noise in batch.noise
    ]
    first = textbook[0]
    bound = elbo(model, batch.x, batch.mask, batch.noise[0])
    assert_same_value_and_gradients(model, bound.value, first.log_emission - first.kl)
    torch.testing.assert_close(bound.kl, first.kl, rtol=1e-10, atol=1e-10)
    log_weights = torch.stack([s.log_emission + s.log_prior - s.log_posterior for s in textbook])
    tightened = log_weights.logsumexp(0) - math.log(3)
    assert_same_value_and_gradients(model, iwae(model, batch.x, batch.mask, [batch.noise]), tightened)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_frame_reaches_no_term_before_it(name: str, kind: Kind):
    model = small_model(name, kind)
    batch = ragged_batch(model, [6, 6])
    x, noise = batch.x.requires_grad_(), batch.noise[0].requires_grad_()
    terms = model(x, noise if model.latent_size else None)
    for term in (terms.log_emission, terms.kl, terms.log_ratio):
        if term is not None:
            gradient = torch.autograd.grad(term[:3].sum(), [x, noise], retain_graph=True, allow_unused=True)
            assert all(g is None or (g[3:] == 0).all() for g in gradient)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_weights_survive_saving(name: str, kind: Kind):
    model, other = small_model(name, kind, seed=1), small_model(name, kind, seed=2)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    batch = ragged_batch(model, [4])
    noise = batch.noise[0] if model.latent_size else None
    assert torch.equal(model(batch.x, noise).log_emission, other(batch.x, noise).log_emission)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_same_seed_gives_the_same_weights_and_samples(name: str, kind: Kind):
    def draw(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return build_model(small_config(name, kind), generator).sample(7, 3, generator)

    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))
    assert draw(0).shape == (7, 3, small_config(name, kind).frame_size)
    assert not draw(0).requires_grad


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_autocast_changes_a_density_by_no_more_than_its_products_precision(name: str, kind: Kind):
    model = small_model(name, kind).float()
    batch = ragged_batch(model, [4, 4])
    x, noise = batch.x.float(), batch.noise[0].float() if model.latent_size else None
    with torch.autocast("cpu", torch.bfloat16):
        terms = model(x, noise)
    torch.testing.assert_close(terms.log_emission, model(x, noise).log_emission, rtol=0.1, atol=0.3)


@pytest.mark.parametrize(
    ("shape", "noise_shape", "message"),
    [
        ((0, 2, 4), (0, 2, 2), "T >= 1"),
        ((3, 2, 5), (3, 2, 2), r"\[T, B, 4\]"),
        ((3, 4), (3, 2, 2), r"\[T, B, 4\]"),
        ((3, 2, 4), (3, 2, 1), r"expected noise \[3, 2, 2\]"),
        ((3, 2, 4), (4, 2, 2), r"expected noise \[3, 2, 2\]"),
        ((3, 2, 4), None, "needs noise"),
    ],
)
def test_an_input_of_the_wrong_shape_is_refused(
    shape: tuple[int, ...], noise_shape: tuple[int, ...] | None, message: str
):
    model = small_model("vrnn-gauss", "speech")
    with pytest.raises(ModelError, match=message):
        model(torch.zeros(shape).double(), None if noise_shape is None else torch.zeros(noise_shape).double())


def test_noise_for_a_model_without_latent_is_refused():
    with pytest.raises(ModelError, match="takes no noise"):
        small_model("rnn-gauss", "speech")(torch.zeros(3, 2, 4).double(), torch.zeros(3, 2, 0).double())


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_cutting_the_emission_into_blocks_changes_no_value_and_no_gradient(
    name: str, kind: Kind, monkeypatch: pytest.MonkeyPatch
):
    model = small_model(name, kind)
    batch = ragged_batch(model, [5, 5, 5])

    def value() -> Tensor:
        if not model.latent_size:
            return exact(model, batch.x, batch.mask)
        return elbo(model, batch.x, batch.mask, batch.noise[0]).value

    whole = value()
    monkeypatch.setattr("vrnn.models.base._BLOCK_ELEMENTS", 4 * model.config.frame_size * model.config.components)
    assert_same_value_and_gradients(model, value(), whole)
