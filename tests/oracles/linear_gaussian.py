"""The linear-Gaussian state-space model as a model of this package: where every bound can be held to the truth.

    prior       z_1 ~ N(m, P),  z_t | z_{t-1} ~ N(A z_{t-1}, Q)
    emission    x_t | z_t ~ N(C z_t, R),  R diagonal

Its likelihood is the Kalman filter's and its posterior is known in closed form, so that what a restricted posterior
costs is a number and not an estimate (`tests.oracles.posterior_gap`). Every posterior here weighs the prior by a
Gaussian factor,

    q(z_t | z_{t-1}, x)  ~  p(z_t | z_{t-1}) exp(-z_t' Lambda_t z_t / 2 + z_t' eta_t),

and they differ in what that factor knows of the frames:

    prior           nothing: q is the transition itself, and the particle filter with it is the bootstrap filter
    filtering       x_t: q is p(z_t | z_{t-1}, x_<=t), exactly
    best-filtering  x_t, and what x_<=t lets it expect of the later frames: of all q that see x_<=t and z_<t alone the
                    one with the highest ELBO in expectation over x ~ p
    smoothing       x_t and all later frames: q is p(z_t | z_{t-1}, x), exactly, and the bound is log p(x)

Where x_>t gives smoothing the factor M_t, w_t (`tests.oracles.latent_smoother.ahead`), best-filtering has M_t, E[w_t |
x_<=t], and that expectation is M_t E[z_t | x_<=t].

Shapes: T frames, B sequences, D frame size, Z latent size.
"""

import copy
import math
from typing import Literal, Self, TypeAlias, get_args

import torch
from torch import Tensor, nn

from tests.oracles.latent_smoother import Factor, ahead, apply, condition, filtered
from vrnn.errors import ModelError
from vrnn.models.base import State
from vrnn.models.config import ModelConfig
from vrnn.models.latent import Evidence, LatentModel, Trace, tiled
from vrnn.nn.distributions import GaussianMixture, standard_normal
from vrnn.nn.heads import FrameHead

__all__ = ["LinearGaussian", "LinearHead", "Posterior"]

Posterior: TypeAlias = Literal["prior", "filtering", "best-filtering", "smoothing"]


class LinearHead(FrameHead):
    """N(C z, R) from a latent z; `weight` is C, and R is exp(2 log_std) on the diagonal."""

    components = 1

    def __init__(self, weight: Tensor, variance: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.double())
        self.log_std = nn.Parameter(variance.double().log() / 2)

    def forward(self, features: Tensor) -> GaussianMixture:
        """The distribution over frames `[..., D]` for latents `[..., Z]`."""
        means = apply(self.weight, features).unsqueeze(-2)
        return GaussianMixture(None, means, self.log_std.exp().expand_as(means))


class LinearGaussian(LatentModel):
    """The reference model of the bounds, in float64; not registered, as it is no model of speech or ink.

    Attributes:
        posterior: which of the four; `under` gives the same model with another.
        transition: A.
        process, initial: lower triangular factors of Q and P.
        initial_mean: m.
        emission: C and R.
    """

    sizes = frozenset({"latent"})

    def __init__(
        self,
        transition: Tensor,
        process: Tensor,
        emission: Tensor,
        noise: Tensor,
        initial_mean: Tensor,
        initial: Tensor,
        posterior: Posterior = "filtering",
    ) -> None:
        """From A `[Z, Z]`, Q `[Z, Z]`, C `[D, Z]`, the diagonal of R `[D]`, m `[Z]` and P `[Z, Z]`.

        Raises:
            ModelError: a shape does not fit, a covariance is not positive definite, or there is no such posterior.
        """
        frame_size, latent = emission.shape if emission.dim() == 2 else (0, 0)
        _expect("emission: a matrix [D, Z]", emission, frame_size, latent)
        _expect("transition", transition, latent, latent)
        _expect("noise", noise, frame_size)
        _expect("initial_mean", initial_mean, latent)
        if not (noise > 0).all():
            raise ModelError(f"noise: expected positive variances, got {noise.tolist()}")
        super().__init__(_config(frame_size, latent), torch.Generator())
        self.posterior = _known(posterior)
        self.transition = nn.Parameter(transition.double())
        self.process = nn.Parameter(_factor("process", process, latent))
        self.initial_mean = nn.Parameter(initial_mean.double())
        self.initial = nn.Parameter(_factor("initial", initial, latent))
        self.emission = LinearHead(emission, noise)

    @classmethod
    def random(
        cls, latent: int, frame_size: int, generator: torch.Generator, posterior: Posterior = "filtering"
    ) -> Self:
        """A stable system drawn at random: the transition has the spectral radius 0.9."""

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=torch.float64, generator=generator)

        def covariance() -> Tensor:
            factor = normal(latent, latent)
            return factor @ factor.T / latent + 0.2 * torch.eye(latent, dtype=torch.float64)

        transition, emission = normal(latent, latent), normal(frame_size, latent) / math.sqrt(latent)
        transition *= 0.9 / torch.linalg.eigvals(transition).abs().max()
        noise = normal(frame_size).div(2).exp()
        return cls(transition, covariance(), emission, noise, normal(latent), covariance(), posterior)

    def under(self, posterior: Posterior) -> Self:
        """The same model, with the very same parameters, under another posterior."""
        twin = copy.copy(self)
        twin.posterior = _known(posterior)
        return twin

    def initial_state(self, sequences: int) -> State:
        """The law of the first latent: its mean m, `[B, Z]`, and the factor of its covariance P, `[B, Z, Z]`."""
        return self.initial_mean.expand(sequences, -1), self.initial.tril().expand(sequences, -1, -1)

    def evidence(self, x: Tensor, mask: Tensor, state: State) -> tuple[Evidence, State]:
        """The prior's factor L of every frame, and gain, offset and root of the posterior (`condition`)."""
        scale = torch.cat((state[1][None], self.process.tril().expand(len(x) - 1, *state[1].shape)))
        return (scale, *condition(scale, self._known_of(x, mask, state))), ()

    def follow(self, evidence: Evidence, noise: Tensor, state: State) -> tuple[Trace, State]:
        """The trace is z_t, mean and root of v_t, where z_t = E[z_t | z_{t-1}] + L v_t, and the mean of z_t."""
        latents: list[Tensor] = []
        means: list[Tensor] = []
        centres: list[Tensor] = []
        scale, gain, offset, root = (tiled(part, noise.shape[1]) for part in evidence)
        for t, noise_t in enumerate(noise):
            means.append(offset[t] - apply(gain[t], state[0]))
            centres.append(state[0] + apply(scale[t], means[-1]))
            latents.append(state[0] + apply(scale[t], means[-1] + apply(root[t], noise_t)))
            state = self._after(latents[-1])
        return (torch.stack(latents), torch.stack(means), root, torch.stack(centres)), state

    def decode(self, trace: Trace) -> Tensor:
        """The latent z_t, `[..., Z]`."""
        return trace[0]

    def divergence(self, trace: Trace, noise: Tensor) -> tuple[Tensor, Tensor]:
        """KL(N(mean, root root') || N(0, I)), and the log ratio at v = mean + root noise: L cancels in both."""
        _, mean, root, _ = trace
        log_det = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        kl = 0.5 * (root.square().sum((-2, -1)) - root.shape[-1] + mean.square().sum(-1)) - log_det
        standard = mean + apply(root, noise)
        return kl, 0.5 * (noise.square() - standard.square()).sum(-1) + log_det

    def posterior_mean(self, trace: Trace) -> Tensor:
        """E[z_t | z_{t-1}] + L mean of v_t."""
        return trace[3]

    def predict(self, state: State, generator: torch.Generator) -> tuple[Tensor, State]:
        """The next latent, drawn from the prior: it is the emission's features."""
        latent = state[0] + apply(state[1], standard_normal(state[0], generator))
        return latent, (latent,)

    def absorb(self, frame: Tensor, latent: State, state: State) -> State:
        """The law of the latent after this one; the frame itself changes nothing."""
        return self._after(*latent)

    def own(self, x: Tensor, mask: Tensor) -> Factor:
        """p(x_t | z_t) as a factor of z_t: C' R^-1 C and C' R^-1 x_t, 0 where the frame is padding."""
        head, real = self.emission, mask.unsqueeze(-1)
        assert isinstance(head, LinearHead)
        weighted = head.weight.T * (-2 * head.log_std).exp()
        precision = torch.where(real.unsqueeze(-1), weighted @ head.weight, 0.0)
        return precision, torch.where(real, x @ weighted.T, 0.0)

    def _known_of(self, x: Tensor, mask: Tensor, state: State) -> Factor:
        """What the posterior knows of z_t beside z_{t-1}."""
        own, process = self.own(x, mask), self.process.tril()
        if self.posterior == "prior":
            return torch.zeros_like(own[0]), torch.zeros_like(own[1])
        if self.posterior == "filtering":
            return own
        later, expected = ahead(own, self.transition, process)
        if self.posterior == "best-filtering":
            expected = apply(later, filtered(own, state, self.transition, process)[0])
        return own[0] + later, own[1] + expected

    def _after(self, latent: Tensor) -> State:
        return apply(self.transition, latent), self.process.tril().expand(*latent.shape[:-1], -1, -1)


def _config(frame_size: int, latent: int) -> ModelConfig:
    none = {"hidden": 0, "phi_x": 0, "phi_z": 0, "encoder": 0, "prior": 0, "decoder": 0}
    values = {"name": "linear-gaussian", "kind": "speech", "frame_size": frame_size, "latent": latent}
    return ModelConfig.from_dict(values | none | {"depth": 1, "components": 1})


def _known(posterior: Posterior) -> Posterior:
    if posterior not in get_args(Posterior):
        raise ModelError(f"posterior: expected one of {', '.join(get_args(Posterior))}, got {posterior!r}")
    return posterior


def _expect(name: str, tensor: Tensor, *shape: int) -> None:
    if not tensor.numel() or tensor.shape != shape:
        raise ModelError(f"{name}: expected the shape {list(shape)}, got {list(tensor.shape)}")


def _factor(name: str, covariance: Tensor, size: int) -> Tensor:
    _expect(name, covariance, size, size)
    factor, failed = torch.linalg.cholesky_ex(covariance.double())
    if failed or not torch.allclose(covariance, covariance.T):
        raise ModelError(f"{name}: expected a symmetric, positive definite covariance, got {covariance.tolist()}")
    return factor.contiguous()
