"""The textbook loop: a VRNN written like its equations, one frame after another, with torch's own layers.

It is the baseline of our speed, and the way public versions are written: every network is called once per frame, on the
concatenation of its inputs, and autograd does the rest. Its parameters are copies of a model's, so that both must give
the same bound, which is checked before they are timed. The output distribution is the model's own.

Shapes: T frames, B sequences, D frame size, Z latent size, H hidden units.
"""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from vrnn.models import Terms
from vrnn.models.vrnn import VRNN
from vrnn.nn.lstm import LSTM
from vrnn.nn.mlp import Affine

__all__ = ["TextbookVRNN"]


class TextbookVRNN(nn.Module):
    """The loop, with the parameters of a `VRNN` with a filtering posterior."""

    def __init__(self, model: VRNN) -> None:
        super().__init__()
        self.floor = model.config.sigma_floor
        self.phi_x = _network([model.phi_x.first, *model.phi_x.rest])
        self.phi_z = _network([model.phi_z.first, *model.phi_z.rest])
        self.prior = _network([model.prior_network.first, *model.prior_network.rest], model.prior.affine)
        self.posterior = _network([model.encoder.first, *model.encoder.rest], model.posterior.affine)
        self.decoder = _network([model.decoder.first, *model.decoder.rest])
        self.emission = copy.deepcopy(model.emission)
        self.cell = _cell(model.lstm)

    def forward(self, x: Tensor, noise: Tensor) -> Terms:
        """The terms of all frames from `x [T, B, D]` and `noise [T, B, Z]`."""
        h = c = x.new_zeros(x.shape[1], self.cell.hidden_size)
        log_emissions: list[Tensor] = []
        divergences: list[Tensor] = []
        log_ratios: list[Tensor] = []
        for frame, noise_t in zip(x, noise, strict=True):
            read = self.phi_x(frame)
            prior_mean, prior_std = self._gaussian(self.prior(h))
            mean, std = self._gaussian(self.posterior(torch.cat([read, h], -1)))
            z = mean + std * noise_t
            latent = self.phi_z(z)
            log_emissions.append(self.emission(self.decoder(torch.cat([latent, h], -1))).log_prob(frame))
            ratio = (std.square() + (mean - prior_mean).square()) / prior_std.square()
            divergences.append((0.5 * (ratio - 1) + prior_std.log() - std.log()).sum(-1))
            log_ratios.append(_log_normal((z - prior_mean) / prior_std, prior_std) - _log_normal(noise_t, std))
            h, c = self.cell(torch.cat([read, latent], -1), (h, c))
        return Terms(torch.stack(log_emissions), torch.stack(divergences), torch.stack(log_ratios))

    def _gaussian(self, output: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = output.to(torch.promote_types(output.dtype, torch.float32)).chunk(2, -1)
        return mean, functional.softplus(raw) + self.floor


def _log_normal(standard: Tensor, std: Tensor) -> Tensor:
    """The log-density without its constant, which cancels in the ratio."""
    return (-0.5 * standard.square() - std.log()).sum(-1)


def _network(layers: Iterable[nn.Module], head: Affine | None = None) -> nn.Sequential:
    parts: list[nn.Module] = []
    for layer in layers:
        assert isinstance(layer, Affine)
        parts += [_linear(layer), nn.ReLU()]
    return nn.Sequential(*parts, *([] if head is None else [_linear(head)]))


def _linear(layer: Affine) -> nn.Linear:
    weight = torch.cat([part.detach() for part in layer.weights], 1)
    linear = nn.Linear(weight.shape[1], len(weight), device="meta").to_empty(device=weight.device).to(weight.dtype)
    linear.load_state_dict({"weight": weight, "bias": layer.bias.detach()})
    return linear


def _cell(lstm: LSTM) -> nn.LSTMCell:
    """Torch's cell with these weights. Its gates are in the order input, forget, candidate, output."""
    weight = torch.cat([part.detach() for part in lstm.inputs.weights], 1)
    rows = torch.arange(4 * lstm.hidden, device=weight.device).view(4, -1)[[0, 1, 3, 2]].flatten()
    cell = nn.LSTMCell(weight.shape[1], lstm.hidden, device=weight.device, dtype=weight.dtype)
    cell.load_state_dict(
        {
            "weight_ih": weight[rows],
            "weight_hh": lstm.recurrent.detach()[rows],
            "bias_ih": lstm.inputs.bias.detach()[rows],
            "bias_hh": torch.zeros(4 * lstm.hidden),
        }
    )
    return cell
