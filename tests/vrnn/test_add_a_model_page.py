"""docs/add-a-model.md: the model that the page adds is a model, by the shared tests' own measure."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.vrnn.cases import ragged_batch, small_model
from tests.vrnn.test_models import assert_same_value_and_gradients
from vrnn.likelihood.bounds import elbo, iwae
from vrnn.models import Kind, preset, registry

PAGE = Path(__file__).parents[2] / "docs" / "add-a-model.md"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the page's programs define, its model registered under every emission."""
    names: dict[str, Any] = {"__name__": "page"}
    programs = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    for program in programs:
        exec(compile(program, str(PAGE), "exec"), names)
    for emission in names["VAE"].emissions:
        monkeypatch.setitem(registry.MODELS, f"vae-{emission}", names["VAE"])
    return names


@pytest.mark.parametrize(("name", "kind"), [("vae-gauss", "speech"), ("vae-hier-dmol", "speech"), ("vae-gmm", "pen")])
def test_the_pages_model_is_its_textbook_and_has_bounds_presets_and_samples(
    page: dict[str, Any], name: str, kind: Kind
):
    model = small_model(name, kind)
    batch = ragged_batch(model, [5, 5], samples=3)
    parameters = dict(model.named_parameters())
    terms = page["_vae"](parameters, model.config, batch.x, lambda t, q: q.loc + q.scale * batch.noise[0][t])
    bound = elbo(model, batch.x, batch.mask, batch.noise[0])
    assert_same_value_and_gradients(model, bound.value, terms.log_emission - terms.kl)
    assert iwae(model, batch.x, batch.mask, [batch.noise]).isfinite().all()
    assert model.sample(4, 2, torch.Generator().manual_seed(0)).shape == (4, 2, model.config.frame_size)
    config = preset(name, kind, "small", model.config.quantisation)
    assert (config.hidden, config.phi_x) == (0, 0)
