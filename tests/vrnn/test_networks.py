import pytest
import torch
from torch import nn

from vrnn.nn.heads import GaussianHead, MixtureHead, PenHead
from vrnn.nn.lstm import LSTM
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


@pytest.mark.parametrize(
    "head",
    [GaussianHead(9, 6, 1e-4, generator()), MixtureHead(9, 6, 3, 1e-4, generator()), PenHead(9, 3, 1e-4, generator())],
)
def test_every_std_starts_at_softplus_of_its_bias_plus_the_floor(head: GaussianHead | MixtureHead | PenHead):
    dist = head(torch.zeros(2, 9))
    stds = dist.std if isinstance(head, GaussianHead) else dist.stds
    torch.testing.assert_close(stds, torch.full_like(stds, 1.0374880 + 1e-4))
    assert (head.affine.bias == 0).sum() == head.affine.bias.numel() - stds[0].numel()


@pytest.mark.parametrize("floor", [1e-4, 0.3])
def test_the_floor_is_under_every_std_and_keeps_its_gradient(floor: float):
    head = MixtureHead(1, 2, 1, floor, generator())
    head.affine.bias.data[2:] = -12.0
    dist = head(torch.zeros(1, 1))
    assert (dist.stds > floor).all()
    dist.stds.sum().backward()
    grad = head.affine.bias.grad
    assert grad is not None
    torch.testing.assert_close(grad[2:], torch.sigmoid(torch.tensor([-12.0, -12.0])))


def test_densities_have_float32_parameters_under_autocast():
    features = torch.ones(2, 9)
    with torch.autocast("cpu", torch.bfloat16):
        latent, frame = (
            GaussianHead(9, 6, 1e-4, generator())(features),
            MixtureHead(9, 6, 3, 1e-4, generator())(features),
        )
        pen = PenHead(9, 3, 1e-4, generator())(features)
    found = [latent.mean, latent.std, frame.logits, frame.means, frame.stds, pen.logits, pen.means, pen.stds, pen.rho]
    assert {parameter.dtype for parameter in [*found, pen.pen_logit]} == {torch.float32}


def test_rho_stays_inside_its_floor_and_keeps_its_gradient():
    head = PenHead(1, 1, 1e-4, generator(), rho_floor=0.01)
    head.affine.bias.data[4] = 5.0
    dist = head(torch.zeros(1, 1))
    dist.rho.sum().backward()
    assert dist.rho.item() == pytest.approx(0.99 * 0.9999092)
    assert head.affine.bias.grad is not None
    assert head.affine.bias.grad[4] > 0
    head.affine.bias.data[4] = 1e4
    assert head(torch.zeros(1, 1)).rho.item() == pytest.approx(0.99)


def test_one_component_has_no_coefficient():
    assert MixtureHead(9, 6, 1, 1e-4, generator()).affine.bias.numel() == 12
    assert MixtureHead(9, 6, 4, 1e-4, generator()).affine.bias.numel() == 52
    assert PenHead(9, 1, 1e-4, generator()).affine.bias.numel() == 6
    assert PenHead(9, 4, 1e-4, generator()).affine.bias.numel() == 25


def test_construction_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    LSTM([3], 4, generator())
    PenHead(3, 2, 1e-4, generator())
    assert torch.equal(before, torch.get_rng_state())


def test_the_recurrence_is_torchs_lstm():
    lstm = LSTM([3, 2], 4, generator()).double()
    lstm.inputs.bias.data.uniform_(-1, 1, generator=generator(1))
    reference = nn.LSTM(5, 4, dtype=torch.float64)
    order = [0, 1, 3, 2]

    def reordered(rows: torch.Tensor) -> torch.Tensor:
        return torch.cat([rows.chunk(4)[index] for index in order])

    reference.load_state_dict(
        {
            "weight_ih_l0": reordered(torch.cat(list(lstm.inputs.weights), 1)),
            "weight_hh_l0": reordered(lstm.recurrent),
            "bias_ih_l0": reordered(lstm.inputs.bias),
            "bias_hh_l0": torch.zeros(16),
        }
    )
    x = torch.randn(6, 2, 5, generator=generator(2), dtype=torch.float64)
    before, (h, c) = lstm(lstm.project(*x.split([3, 2], -1)))
    expected, (last, cell) = reference(x)
    torch.testing.assert_close(torch.cat([before[1:], h[None]]), expected)
    torch.testing.assert_close((h, c), (last[0], cell[0]))
    assert (before[0] == 0).all()
    assert sum(p.numel() for p in lstm.parameters()) == 16 * (5 + 4 + 1)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_reading_by_the_library_is_the_time_loop_in_value_and_every_gradient(precision: str):
    dtype = getattr(torch, precision)
    lstm = LSTM([3], 4, generator()).to(dtype)
    lstm.inputs.bias.data.uniform_(-1, 1, generator=generator(1))
    x = torch.randn(6, 2, 3, generator=generator(2), dtype=dtype).requires_grad_()
    state = tuple(torch.randn(2, 4, generator=generator(seed), dtype=dtype).requires_grad_() for seed in (3, 4))
    found: list[tuple[torch.Tensor, ...]] = []
    for read in (lstm.read, lstm.read_by_library):
        before, last = read(x, state)
        weighted = sum((part * torch.arange(part.numel()).view_as(part)).sum() for part in (before, *last))
        found.append((before, *last, *torch.autograd.grad(weighted, [x, *state, *lstm.parameters()])))
    torch.testing.assert_close(found[1], found[0])


def test_a_recurrence_goes_on_from_a_state():
    lstm, projected = LSTM([3], 4, generator()), torch.randn(6, 2, 16, generator=generator(1))
    _, whole = lstm(projected)
    _, first = lstm(projected[:4])
    torch.testing.assert_close(lstm(projected[4:], first)[1], whole)
    torch.testing.assert_close(lstm.step(projected[5], lstm(projected[:5])[1]), whole)


def test_read_backwards_a_sequence_begins_at_its_own_last_frame():
    lstm, projected = LSTM([3], 4, generator()), torch.randn(6, 2, 16, generator=generator(1))
    mask = torch.arange(6)[:, None] < torch.tensor([6, 4])
    ahead = lstm.reversed(projected, mask)
    for sequence, length in enumerate([6, 4]):
        alone = projected[:length, [sequence]].flip(0)
        before, (last, _) = lstm(alone)
        torch.testing.assert_close(ahead[:length, [sequence]].flip(0), torch.cat([before[1:], last[None]]))
    assert (ahead[4:, 1] == 0).all()
