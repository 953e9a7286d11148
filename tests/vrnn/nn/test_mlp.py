import torch
from torch import nn

from vrnn.nn.mlp import MLP, Affine


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_affine_of_several_inputs_is_one_affine_of_their_concatenation():
    layer, x, y = Affine([3, 4], 5, generator()), torch.randn(2, 6, 3), torch.randn(2, 6, 4)
    layer.bias.data.uniform_()
    joint = nn.functional.linear(torch.cat([x, y], -1), torch.cat(list(layer.weights), 1), layer.bias)
    torch.testing.assert_close(layer(x, y), joint)
    torch.testing.assert_close(layer.add(layer(x)[0], 1, y[0]), joint[0])


def test_mlp_has_depth_relu_layers_and_its_split_form_is_the_same():
    network, x = MLP([3], 5, 4, generator()), torch.randn(7, 3)
    assert sum(isinstance(module, Affine) for module in network.modules()) == 4
    assert (network(x) >= 0).all()
    torch.testing.assert_close(network.activate(network.first(x)), network(x))
