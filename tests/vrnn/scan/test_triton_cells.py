"""The GPU kernels, run by Triton's interpreter on the CPU: they compute what torch's own operations do."""

import importlib
import os
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.vrnn.cases import ragged_batch, small_model
from vrnn.likelihood.bounds import elbo
from vrnn.scan import cells

pytest.importorskip("triton", reason="Triton comes with torch's builds for GPUs on Linux only")


@pytest.fixture(scope="module")
def kernels() -> Iterator[ModuleType]:
    """The module as interpreted: Triton decides when a kernel is declared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "TRITON_INTERPRET", "1")
        sys.modules.pop("vrnn.scan.triton_cells", None)
        yield importlib.import_module("vrnn.scan.triton_cells")
    sys.modules.pop("vrnn.scan.triton_cells", None)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@settings(max_examples=20)
@given(rows=st.integers(1, 5), hidden=st.integers(1, 300), seed=st.integers(0, 99))
def test_kernels_are_torchs_operations_for_every_size(kernels: ModuleType, rows: int, hidden: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    gates, c = 3 * normal(generator, rows, 4 * hidden), normal(generator, rows, hidden)
    ours, theirs = gates.clone(), gates.clone()
    found, expected = kernels.lstm_forward(ours, c), cells.lstm_forward(theirs, c)
    torch.testing.assert_close((ours, *found), (theirs, *expected))

    dh, dc = normal(generator, rows, hidden), normal(generator, rows, hidden)
    outs = torch.empty_like(gates), torch.empty_like(gates)
    back = [
        module.lstm_backward(values, c, tanh_c, dh, dc.clone(), out)
        for module, values, tanh_c, out in zip(
            (kernels, cells), (ours, theirs), (found[2], expected[2]), outs, strict=True
        )
    ]
    torch.testing.assert_close(back[0], back[1])
    torch.testing.assert_close(outs[0], outs[1])


def test_kernels_write_gradients_in_the_precision_of_the_products(kernels: ModuleType):
    generator = torch.Generator().manual_seed(0)
    gates, c = normal(generator, 3, 28).float(), normal(generator, 3, 7).float()
    _, _, tanh_c = cells.lstm_forward(gates, c)
    dh, dc = normal(generator, 3, 7).float(), normal(generator, 3, 7).float()
    outs = torch.empty(2, 3, 28, dtype=torch.bfloat16)
    for module, out in zip((kernels, cells), outs, strict=True):
        module.lstm_backward(gates, c, tanh_c, dh, dc.clone(), out)
    torch.testing.assert_close(outs[0], outs[1])


@pytest.mark.parametrize("name", ["rnn-gauss", "vrnn-gauss+smoothing", "srnn-gauss"])
def test_a_model_on_the_kernels_is_the_model(kernels: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str):
    model = small_model(name, "speech")
    batch = ragged_batch(model, [4, 2])

    def values() -> tuple[Tensor, ...]:
        noise = batch.noise[0]
        terms = model(batch.x, batch.mask, noise if model.latent_size else None)
        value = terms.log_emission.sum() if terms.kl is None else elbo(model, batch.x, batch.mask, noise).value.sum()
        return (value, *torch.autograd.grad(value, list(model.parameters())))

    expected = values()
    monkeypatch.setattr(cells, "fused_for", lambda device: kernels)
    torch.testing.assert_close(values(), expected)
