"""The linear-Gaussian state-space model as a model of this package: the truth that every bound is compared with.

    prior       z_1 ~ N(m, P),  z_t | z_{t-1} ~ N(A z_{t-1}, Q)
    emission    x_t | z_t ~ N(C z_t, R),  R diagonal

Its likelihood is the Kalman filter's and its posterior is known in closed form, so that the cost of a restricted
posterior is a number and not an estimate (`tests.oracles.posterior_gap`). It has no scan of its own: the bounds run it
by the loop over its eager step. Every posterior here multiplies the prior by a Gaussian factor,

    q(z_t | z_{t-1}, x)  ~  p(z_t | z_{t-1}) exp(-z_t' Lambda_t z_t / 2 + z_t' eta_t),

and they differ in what that factor knows of the frames:

    prior           nothing: q is the transition itself, and the particle filter with it is the bootstrap filter
    filtering       x_t: q is exactly p(z_t | z_{t-1}, x_<=t)
    best-filtering  x_t, and what x_<=t says about the later frames: of all q that see x_<=t and z_<t alone, the one
                    with the highest ELBO in expectation over x ~ p
    smoothing       x_t and all later frames: q is exactly p(z_t | z_{t-1}, x), and the bound is log p(x)

The later frames give smoothing the factor M_t, w_t (`tests.oracles.latent_smoother.future_factor`). Best-filtering has
M_t, E[w_t | x_<=t] instead, and that expectation is M_t E[z_t | x_<=t].

Shapes: T frames, B sequences, D frame size, Z latent size.
"""

import copy
import math
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias, get_args

import torch
from torch import Tensor, nn

from tests.oracles.latent_smoother import Factor, apply, condition, filtered_moments, future_factor
from vrnn.errors import ModelError
from vrnn.models.base import State
from vrnn.models.config import ModelConfig
from vrnn.models.latent import LatentModel
from vrnn.nn.distributions import GaussianMixture, standard_normal
from vrnn.nn.heads import FrameHead
from vrnn.nn.named_tensors import NamedTensors

__all__ = ["LinearGaussian", "LinearHead", "Posterior"]

Posterior: TypeAlias = Literal["prior", "filtering", "best-filtering", "smoothing"]


@dataclass(frozen=True, eq=False)
class LatentState(State):
    """The distribution N(mean, factor factor') of the next latent, given those before it.

    Attributes:
        mean: `[B, Z]`.
        factor: lower triangular, `[B, Z, Z]`.
    """

    mean: Tensor
    factor: Tensor


@dataclass(frozen=True, eq=False)
class Conditional(NamedTensors):
    """The posterior of every frame as an affine function of the prior's mean u = E[z_t | z_{t-1}].

    z_t = u + L v_t with v_t ~ N(offset - gain u, root root').

    Attributes:
        scale: L, `[T, B, Z, Z]`.
        gain: `[T, B, Z, Z]`.
        offset: `[T, B, Z]`.
        root: `[T, B, Z, Z]`.
    """

    scale: Tensor
    gain: Tensor
    offset: Tensor
    root: Tensor


@dataclass(frozen=True, eq=False)
class LatentGaussian:
    """z = centre + scale v with v ~ N(offset, root root'): prior (offset 0, root I) and posterior of a latent."""

    centre: Tensor
    scale: Tensor
    offset: Tensor
    root: Tensor

    @property
    def mean(self) -> Tensor:
        return self.at(torch.zeros_like(self.centre))

    def at(self, noise: Tensor) -> Tensor:
        return self.centre + apply(self.scale, self.offset + apply(self.root, noise))

    def sample(self, generator: torch.Generator) -> Tensor:
        return self.at(standard_normal(self.centre, generator))

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density of `z [..., Z]`, `[...]`."""
        v = torch.linalg.solve_triangular(self.scale, (z - self.centre).unsqueeze(-1), upper=False)
        noise = torch.linalg.solve_triangular(self.root, v - self.offset.unsqueeze(-1), upper=True)
        return self.log_prob_at(noise.squeeze(-1))

    def log_prob_at(self, noise: Tensor) -> Tensor:
        """Log density of `at(noise)`, `[...]`."""
        log_det = log_determinant(self.scale) + log_determinant(self.root)
        return -0.5 * (noise.square() + math.log(2 * math.pi)).sum(-1) - log_det

    def kl(self, prior: "LatentGaussian") -> Tensor:
        """KL(self || prior) where the prior has the same centre and scale: both cancel, and v's prior is N(0, I)."""
        assert prior.centre is self.centre
        squares = self.root.square().sum((-2, -1)) + self.offset.square().sum(-1)
        return 0.5 * (squares - self.root.shape[-1]) - log_determinant(self.root)


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


class LinearGaussian(LatentModel[LatentState]):
    """The reference model of the bounds, in float64; it is not registered, as it is no model of speech or ink.

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

    def initial_state(self, sequences: int) -> LatentState:
        """z_1 ~ N(m, P)."""
        return LatentState(self.initial_mean.expand(sequences, -1), self.initial.tril().expand(sequences, -1, -1))

    def prior_at(self, state: LatentState) -> LatentGaussian:
        """p(z_t | z_{t-1})."""
        identity = torch.eye(self.latent_size, dtype=torch.float64).expand_as(state.factor)
        return LatentGaussian(state.mean, state.factor, torch.zeros_like(state.mean), identity)

    def posterior_at(self, x_t: Tensor, state: LatentState, future_t: Tensor | None) -> LatentGaussian:
        """q(z_t | z_{t-1}, x); all that it knows of the frames is in `future_t`."""
        assert future_t is not None
        size = self.latent_size
        gain, root, offset = future_t.split([size, size, 1], -1)
        return LatentGaussian(state.mean, state.factor, offset.squeeze(-1) - apply(gain, state.mean), root)

    def decode(self, z_t: Tensor, state: LatentState) -> Tensor:
        """The latent itself is what the emission reads."""
        return z_t

    def update_state(self, x_t: Tensor, z_t: Tensor, state: LatentState) -> LatentState:
        """z_{t+1} ~ N(A z_t, Q)."""
        return LatentState(apply(self.transition, z_t), self.process.tril().expand(*z_t.shape[:-1], -1, -1))

    def read_future(self, x: Tensor, mask: Tensor, state: LatentState) -> Tensor:
        """`Conditional` without its scale, `[T, B, Z, 2 Z + 1]`."""
        q = self.conditional(x, mask, state)
        return torch.cat([q.gain, q.root, q.offset.unsqueeze(-1)], -1)

    def conditional(self, x: Tensor, mask: Tensor, state: LatentState) -> Conditional:
        """The posterior of every frame of `x [T, B, D]`."""
        scale = torch.cat((state.factor[None], self.process.tril().expand(len(x) - 1, *state.factor.shape)))
        return Conditional(scale, *condition(scale, self._known_of(x, mask, state)))

    def own(self, x: Tensor, mask: Tensor) -> Factor:
        """p(x_t | z_t) as a factor of z_t: C' R^-1 C and C' R^-1 x_t, 0 where the frame is padding."""
        head, real = self.emission, mask.unsqueeze(-1)
        assert isinstance(head, LinearHead)
        weighted = head.weight.T * (-2 * head.log_std).exp()
        precision = torch.where(real.unsqueeze(-1), weighted @ head.weight, 0.0)
        return precision, torch.where(real, x @ weighted.T, 0.0)

    def _known_of(self, x: Tensor, mask: Tensor, state: LatentState) -> Factor:
        """What the posterior knows of z_t besides z_{t-1}."""
        own, process = self.own(x, mask), self.process.tril()
        if self.posterior == "prior":
            return torch.zeros_like(own[0]), torch.zeros_like(own[1])
        if self.posterior == "filtering":
            return own
        later, expected = future_factor(own, self.transition, process)
        if self.posterior == "best-filtering":
            expected = apply(later, filtered_moments(own, (state.mean, state.factor), self.transition, process)[0])
        return own[0] + later, own[1] + expected


def log_determinant(triangular: Tensor) -> Tensor:
    """Log determinant, `[...]`, of triangular matrices `[..., Z, Z]` with a positive diagonal."""
    return triangular.diagonal(dim1=-2, dim2=-1).log().sum(-1)


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
