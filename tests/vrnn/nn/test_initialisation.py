"""The initial weights of all networks."""

import pytest
import torch

from vrnn.nn.heads import PenHead
from vrnn.nn.lstm import LSTM
from vrnn.nn.mlp import MLP, Affine


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_initialisation_is_that_of_the_released_code():
    network, lstm = MLP([40], 50, 2, generator()), LSTM([30], 20, generator())
    for affine in (network.first, network.rest[0], lstm.inputs):
        assert isinstance(affine, Affine)
        assert affine.weights[0].abs().max() <= 0.08
        assert affine.weights[0].std().item() == pytest.approx(0.08 / 3**0.5, rel=0.1)
        assert (affine.bias == 0).all()
    blocks = lstm.recurrent.unflatten(0, (4, 20))
    torch.testing.assert_close(blocks @ blocks.mT, torch.eye(20).expand(4, 20, 20), rtol=0, atol=1e-5)
    assert not torch.equal(blocks[0], blocks[1])


def test_construction_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    LSTM([3], 4, generator())
    PenHead(3, 2, 1e-4, generator())
    assert torch.equal(before, torch.get_rng_state())
