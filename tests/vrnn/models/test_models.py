import io
import math

import pytest
import torch
from torch import Tensor

from tests.oracles.textbook import latent_terms, log_likelihood
from tests.vrnn.cases import CASES, EXACT_CASES, LATENT_CASES, ragged_batch, small_config, small_model
from vrnn.errors import ModelError
from vrnn.likelihood.bounds import elbo, exact, iwae
from vrnn.models import Kind, SequenceModel, State, Terms, build_model


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
@pytest.mark.parametrize(("name", "kind"), EXACT_CASES)
def test_an_exact_model_is_its_textbook_loop_in_value_and_every_gradient(name: str, kind: Kind, depth: int):
    model = small_model(name, kind, depth=depth)
    batch = ragged_batch(model, [5, 5, 5])
    textbook = log_likelihood(dict(model.named_parameters()), model.config, batch.x)
    assert_same_value_and_gradients(model, exact(model, batch.x, batch.mask), textbook)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(("name", "kind"), LATENT_CASES)
def test_a_latent_model_is_its_textbook_loop_in_value_and_every_gradient(name: str, kind: Kind, depth: int):
    model = small_model(name, kind, depth=depth)
    batch = ragged_batch(model, [5, 5, 5], samples=3)
    textbook = [
        latent_terms(
            dict(model.named_parameters()), model.config, batch.x, lambda t, q, n=noise: q.loc + q.scale * n[t]
        )
        for noise in batch.noise
    ]
    first = textbook[0]
    bound = elbo(model, batch.x, batch.mask, batch.noise[0])
    assert_same_value_and_gradients(model, bound.value, first.log_emission - first.kl)
    torch.testing.assert_close(bound.kl, first.kl, rtol=1e-10, atol=1e-10)
    log_weights = torch.stack([s.log_emission + s.log_prior - s.log_posterior for s in textbook])
    tightened = log_weights.logsumexp(0) - math.log(3)
    assert_same_value_and_gradients(model, iwae(model, batch.x, batch.mask, [batch.noise]), tightened)


def terms_of(model: SequenceModel, x: Tensor, noise: Tensor | None, state: State | None = None) -> Terms:
    mask = torch.ones(x.shape[:2], dtype=torch.bool)
    return model(x, mask, noise if model.latent_size else None, state)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_frame_reaches_no_density_before_it(name: str, kind: Kind):
    """A smoothing posterior reads later frames by design; the densities at given latents never do."""
    model = small_model(name, kind)
    batch = ragged_batch(model, [6, 6])
    x, noise = batch.x.requires_grad_(), batch.noise[0].requires_grad_()
    terms = terms_of(model, x, noise)
    causal = [terms.log_emission] if model.config.backward else [terms.log_emission, terms.kl, terms.log_ratio]
    for term in (term for term in causal if term is not None):
        inputs = [noise] if model.config.backward else [x, noise]
        gradient = torch.autograd.grad(term[:3].sum(), inputs, retain_graph=True, allow_unused=True)
        assert all(g is None or (g[3:] == 0).all() for g in gradient)


@pytest.mark.parametrize(
    ("name", "kind"), [case for case in LATENT_CASES if "+smoothing" in case[0] or "srnn" in case[0]]
)
def test_a_smoothing_posterior_sees_every_later_frame_and_its_law_of_frames_does_not(name: str, kind: Kind):
    model = small_model(name, kind)
    batch = ragged_batch(model, [5])
    x = batch.x.requires_grad_()
    terms = terms_of(model, x, batch.noise[0])
    assert terms.kl is not None
    (seen,) = torch.autograd.grad(terms.kl[0].sum(), x)
    if model.config.quantisation is None:
        assert (seen.abs().amax((1, 2)) > 0).all()


@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if not small_config(*case).backward])
def test_two_passes_in_a_row_are_one_pass(name: str, kind: Kind):
    model = small_model(name, kind)
    batch = ragged_batch(model, [7, 7])
    whole = terms_of(model, batch.x, batch.noise[0])
    first = terms_of(model, batch.x[:3], batch.noise[0][:3])
    second = terms_of(model, batch.x[3:], batch.noise[0][3:], first.state)
    torch.testing.assert_close(torch.cat([first.log_emission, second.log_emission]), whole.log_emission)
    if whole.kl is not None:
        assert first.kl is not None
        assert second.kl is not None
        torch.testing.assert_close(torch.cat([first.kl, second.kl]), whole.kl)
    torch.testing.assert_close(second.state.tensors(), whole.state.tensors())


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_sample_continues_from_the_state_that_its_beginning_left(name: str, kind: Kind):
    model = small_model(name, kind)
    batch = ragged_batch(model, [4, 4])
    with torch.no_grad():
        state = terms_of(model, batch.x, batch.noise[0]).state
    first, again = (model.sample(3, 2, torch.Generator().manual_seed(1), state=state) for _ in range(2))
    assert torch.equal(first, again)
    if not name.startswith("iid"):
        first_steps = []
        for before in (state, model.initial_state(2)):
            future = model.read_future(batch.x[:1], batch.mask[:1], before)
            noise = batch.noise[0][:1] if model.latent_size else None
            first_steps.append(model.run_steps(batch.x[:1], before, noise, future)[0])
        assert not torch.equal(first_steps[0].features, first_steps[1].features)


@pytest.mark.parametrize(("name", "kind"), LATENT_CASES)
def test_a_reconstruction_is_the_expected_frame_at_the_posteriors_latents(name: str, kind: Kind):
    model = small_model(name, kind)
    batch = ragged_batch(model, [5, 3])
    found = model.reconstruct(batch.x, batch.mask, batch.noise[0])
    assert found.shape == batch.x.shape
    shifted = model.reconstruct(batch.x + 0.5 * (torch.arange(5) == 2)[:, None, None], batch.mask, batch.noise[0])
    assert not torch.equal(found[2], shifted[2])


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_weights_survive_saving(name: str, kind: Kind):
    model, other = small_model(name, kind, seed=1), small_model(name, kind, seed=2)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    batch = ragged_batch(model, [4])
    noise = batch.noise[0]
    assert torch.equal(terms_of(model, batch.x, noise).log_emission, terms_of(other, batch.x, noise).log_emission)


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
    x, noise = batch.x.float(), batch.noise[0].float()
    with torch.autocast("cpu", torch.bfloat16):
        terms = terms_of(model, x, noise)
    torch.testing.assert_close(terms.log_emission, terms_of(model, x, noise).log_emission, rtol=0.1, atol=0.3)


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
    noise = None if noise_shape is None else torch.zeros(noise_shape).double()
    with pytest.raises(ModelError, match=message):
        model(torch.zeros(shape).double(), torch.ones(shape[:2], dtype=torch.bool), noise)


def test_noise_for_a_model_without_latent_is_refused():
    with pytest.raises(ModelError, match="takes no noise"):
        small_model("rnn-gauss", "speech")(
            torch.zeros(3, 2, 4).double(), torch.ones(3, 2, dtype=torch.bool), torch.zeros(3, 2, 0).double()
        )


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
    monkeypatch.setattr("vrnn.models.emission._BLOCK_ELEMENTS", 4 * model.config.frame_size * model.config.components)
    assert_same_value_and_gradients(model, value(), whole)
