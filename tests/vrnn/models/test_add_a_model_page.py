"""docs/add-a-model.md: the models that the page adds pass the checks of the shared tests."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.vrnn.cases import ragged_batch, small_model
from tests.vrnn.models.test_models import assert_same_value_and_gradients
from vrnn.likelihood import elbo, exact, fivo, iwae
from vrnn.models import Kind, LatentModel, SequenceModel, preset, registry

PAGE = Path(__file__).parents[3] / "docs" / "add-a-model.md"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the page's programs define, its models registered under every emission."""
    names: dict[str, Any] = {"__name__": "page"}
    programs = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    for program in programs:
        exec(compile(program, str(PAGE), "exec"), names)
    for family, model in (("elman", names["Elman"]), ("dmm", names["DMM"])):
        for emission in model.emissions:
            monkeypatch.setitem(registry.MODELS, f"{family}-{emission}", model)
    return names


def assert_it_samples_and_continues(model: SequenceModel) -> None:
    drawn = model.sample(4, 2, torch.Generator().manual_seed(0))
    assert drawn.shape == (4, 2, model.config.frame_size)
    batch = ragged_batch(model, [6, 6])
    noise = batch.noise[0] if model.latent_size else None
    whole = model(batch.x, batch.mask, noise)
    first = model(batch.x[:2], batch.mask[:2], None if noise is None else noise[:2])
    second = model(batch.x[2:], batch.mask[2:], None if noise is None else noise[2:], first.state)
    torch.testing.assert_close(torch.cat([first.log_emission, second.log_emission]), whole.log_emission)
    torch.testing.assert_close(second.state.tensors(), whole.state.tensors())


@pytest.mark.parametrize(("name", "kind"), [("elman-gauss", "speech"), ("elman-hier", "speech"), ("elman-gmm", "pen")])
def test_the_pages_exact_model_is_its_textbook_and_samples(page: dict[str, Any], name: str, kind: Kind):
    model = small_model(name, kind)
    batch = ragged_batch(model, [5, 5])
    textbook = page["_elman"](dict(model.named_parameters()), model.config, batch.x)
    assert_same_value_and_gradients(model, exact(model, batch.x, batch.mask), textbook)
    assert_it_samples_and_continues(model)
    config = preset(name, kind, "small")
    assert (config.latent, config.encoder) == (0, 0)


@pytest.mark.parametrize(("name", "kind"), [("dmm-gauss", "speech"), ("dmm-hier-dmol", "speech"), ("dmm-gmm", "pen")])
def test_the_pages_latent_model_is_its_textbook_and_has_bounds_presets_and_samples(
    page: dict[str, Any], name: str, kind: Kind
):
    model = small_model(name, kind)
    assert isinstance(model, LatentModel)
    batch = ragged_batch(model, [5, 5], samples=3)
    parameters = dict(model.named_parameters())
    terms = page["_dmm"](parameters, model.config, batch.x, lambda t, q: q.loc + q.scale * batch.noise[0][t])
    bound = elbo(model, batch.x, batch.mask, batch.noise[0])
    assert_same_value_and_gradients(model, bound.value, terms.log_emission - terms.kl)
    importance = iwae(model, batch.x, batch.mask, [batch.noise])
    filtered = fivo(model, batch.x, batch.mask, batch.noise.unbind(1), torch.zeros(5, 2).double(), threshold=0.0)
    torch.testing.assert_close(filtered, importance.detach())
    assert model.reconstruct(batch.x, batch.mask, batch.noise[0]).shape == batch.x.shape
    assert_it_samples_and_continues(model)
    config = preset(name, kind, "small", model.config.quantisation)
    assert (config.hidden, config.phi_x) == (0, 0)
