"""VRNN-Gauss and VRNN-GMM (Chung et al. 2015, equations 5 to 9 and 11).

    prior       z_t | h_{t-1}       ~ N(mu_p, diag sigma_p^2)   from prior(h_{t-1})
    emission    x_t | z_t, h_{t-1}  ~ emission(decoder(phi_z(z_t), h_{t-1}))
    recurrence  h_t = LSTM([phi_x(x_t), phi_z(z_t)], h_{t-1}),  h_0 = 0
    posterior   z_t | x_t, h_{t-1}  ~ N(mu_q, diag sigma_q^2)   from encoder(phi_x(x_t), h_{t-1})

As in the released code, only h (never the cell) feeds the networks. Only the posterior, phi_z and the LSTM
depend on the step before: they make the time loop. phi_x, its products with the encoder and the LSTM, the
prior, the decoder, the divergence and the likelihood run once on all frames.

Shapes: T frames, B sequences, D frame size, Z latent size, H hidden units.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vrnn.distributions import DiagonalGaussian
from vrnn.errors import ModelError
from vrnn.models.base import SequenceModel, Terms, emission_head, log_emission
from vrnn.models.config import ModelConfig
from vrnn.networks import MLP, GaussianHead
from vrnn.recurrence import LSTM

__all__ = ["VRNN"]


@dataclass(frozen=True, eq=False)
class _Path:
    """What one pass through time leaves behind, for all frames.

    Attributes:
        hidden: h_{t-1}, `[T, B, H]`.
        features: phi_z(z_t), `[T, B, phi_z]`.
        posterior: q(z_t | x_t, h_{t-1}), `[T, B, Z]`.
    """

    hidden: Tensor
    features: Tensor
    posterior: DiagonalGaussian


class VRNN(SequenceModel):
    """The VRNN with a learned prior; `config.components` tells Gauss from GMM."""

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__(config)
        if not (config.latent and config.phi_z and config.encoder and config.prior):
            raise ModelError(f"{config.name} has a latent: latent, phi_z, encoder and prior must be positive")
        depth, floor = config.depth, config.sigma_floor
        self.phi_x = MLP([config.frame_size], config.phi_x, depth, generator)
        self.phi_z = MLP([config.latent], config.phi_z, depth, generator)
        self.lstm = LSTM([config.phi_x, config.phi_z], config.hidden, generator)
        self.encoder = MLP([config.phi_x, config.hidden], config.encoder, depth, generator)
        self.posterior = GaussianHead(config.encoder, config.latent, floor, generator)
        self.prior_network = MLP([config.hidden], config.prior, depth, generator)
        self.prior = GaussianHead(config.prior, config.latent, floor, generator)
        self.decoder = MLP([config.phi_z, config.hidden], config.decoder, depth, generator)
        self.emission = emission_head(config, generator)

    def forward(self, x: Tensor, noise: Tensor | None) -> Terms:
        """The terms at z_t = mu_q + sigma_q * noise_t; see `SequenceModel.forward`."""
        self._check_input(x, noise)
        assert noise is not None
        path = self._unroll(self.phi_x(x), noise)
        posterior, prior = path.posterior, self.prior(self.prior_network(path.hidden))
        return Terms(
            log_emission=log_emission(self.emission, self.decoder(path.features, path.hidden), x),
            kl=posterior.kl(prior),
            log_ratio=prior.log_prob(posterior.at(noise)) - posterior.log_prob_at(noise),
        )

    @torch.no_grad()
    def sample(self, length: int, count: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Latents from the prior and frames from them, one after another; see `SequenceModel.sample`."""
        self._check_sampling(length, count, temperature)
        state = self.lstm.initial_state(count)
        frames: list[Tensor] = []
        for _ in range(length):
            features = self.phi_z(self.prior(self.prior_network(state[0])).sample(generator))
            frame = self.emission(self.decoder(features, state[0])).sample(generator, temperature)
            state = self.lstm.step(self.lstm.project(self.phi_x(frame), features), state)
            frames.append(frame)
        return torch.stack(frames)

    def _unroll(self, frames: Tensor, noise: Tensor) -> _Path:
        """The time loop over `frames = phi_x(x) [T, B, phi_x]`."""
        state = self.lstm.initial_state(frames.shape[1])
        hidden: list[Tensor] = []
        features: list[Tensor] = []
        posteriors: list[DiagonalGaussian] = []
        for encoded, projected, noise_t in zip(
            self.encoder.first(frames).unbind(), self.lstm.project(frames).unbind(), noise.unbind(), strict=True
        ):
            posterior = self.posterior(self.encoder.activate(self.encoder.first.add(encoded, 1, state[0])))
            features_t = self.phi_z(posterior.at(noise_t))
            hidden.append(state[0])
            features.append(features_t)
            posteriors.append(posterior)
            state = self.lstm.step(self.lstm.inputs.add(projected, 1, features_t), state)
        return _Path(torch.stack(hidden), torch.stack(features), _stack(posteriors))


def _stack(distributions: list[DiagonalGaussian]) -> DiagonalGaussian:
    return DiagonalGaussian(
        torch.stack([distribution.mean for distribution in distributions]),
        torch.stack([distribution.std for distribution in distributions]),
    )
