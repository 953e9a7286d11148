import pytest
import torch

from vrnn.nn.heads import GaussianHead, MixtureHead, PenHead


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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
