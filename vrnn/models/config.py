"""The configuration of a model: its name and its sizes."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal, Self, TypeAlias, cast, get_args

from vrnn.errors import ModelError
from vrnn.nn.discretised import Quantisation

__all__ = ["EMISSIONS", "FRAME_SIZES", "SMOOTHING", "Kind", "ModelConfig", "emission_of"]

Kind: TypeAlias = Literal["speech", "pen"]

FRAME_SIZES: Mapping[str, int] = {"speech": 200, "pen": 3}
"""A speech frame is 200 consecutive samples in the paper, a pen frame is (dx, dy, pen_up)."""

EMISSIONS = ("gauss", "gmm", "hier", "dmol", "hier-dmol")
"""The emissions: the last part of a model's name.

A Gaussian, a Gaussian mixture, the same for each group of samples inside the frame given those before it, a discretised
mixture of logistics (probabilities of integers), and the same group by group.
"""

SMOOTHING = "+smoothing"
"""The end of a model's name whose posterior smooths and could also filter."""


@dataclass(frozen=True)
class ModelConfig:
    """The sizes of one model; a size that the model does not have is 0.

    Attributes:
        name: the registered name, such as `vrnn-gauss` or `vrnn-gauss+smoothing`.
        kind: the kind of frame; it decides the family of the emission.
        frame_size: D, 3 for a pen.
        hidden: H, units of the LSTM.
        phi_x: width of the feature network of a frame.
        phi_z: width of the feature network of a latent.
        encoder: width of the network of the posterior.
        prior: width of the network of the prior.
        decoder: width of the network of the emission.
        latent: Z, 0 for a model without a latent.
        depth: ReLU layers in each of these networks.
        components: K, mixture components of the emission; 1 is a Gaussian.
        sigma_floor: what is added to every standard deviation (or logistic scale) after its softplus, in units of the
            normalised frame. On quantised or silent audio it decides the attainable density: report it.
        backward: units of the LSTM that reads the frames from the end, for a smoothing posterior; 0 for a filtering
            one.
        group: samples of a group, for an emission that is autoregressive over groups inside a frame.
        group_hidden: units of the LSTM that runs over these groups.
        context: samples or pen points that a linear model predicts from.
        quantisation: how normalised samples stand for integers, for an emission of probabilities of integers.

    Raises:
        ModelError: a value has the wrong type or range, or contradicts the name.
    """

    name: str
    kind: Kind
    frame_size: int
    hidden: int
    phi_x: int
    phi_z: int
    encoder: int
    prior: int
    decoder: int
    latent: int
    depth: int
    components: int
    sigma_floor: float = 1e-4
    backward: int = 0
    group: int = 0
    group_hidden: int = 0
    context: int = 0
    quantisation: Quantisation | None = None

    def __post_init__(self) -> None:
        if type(self.name) is not str or not self.name:
            raise ModelError(f"name: expected a model's name, got {self.name!r}")
        if self.kind not in get_args(Kind):
            raise ModelError(f"kind: expected one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        for field in fields(self):
            least = 1 if field.name in {"frame_size", "depth", "components"} else 0
            value = getattr(self, field.name)
            if field.type is int and (type(value) is not int or value < least):
                raise ModelError(f"{field.name}: expected a whole number of at least {least}, got {value!r}")
        floor = self.sigma_floor
        if type(floor) not in (int, float) or not math.isfinite(floor) or floor < 0:
            raise ModelError(f"sigma_floor: expected a finite number of at least 0, got {floor!r}")
        self._check_frame()
        self._check_emission()

    @property
    def emission(self) -> str:
        """The emission in the name, such as `gauss`; empty where the name is no model's."""
        return emission_of(self.name)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The configuration that `to_dict` wrote.

        Raises:
            ModelError: a key is unknown or missing, or a value is refused.
        """
        known = {field.name: field for field in fields(cls)}
        if unknown := sorted(values.keys() - known.keys()):
            raise ModelError(f"unknown key {', '.join(unknown)}: a model has {', '.join(sorted(known))}")
        required = {name for name, field in known.items() if field.default is MISSING}
        if missing := sorted(required - values.keys()):
            raise ModelError(f"missing key {', '.join(missing)}: every size of a model must be given")
        given: dict[str, Any] = {**values, "quantisation": _quantisation(values.get("quantisation"))}
        return cls(**given)

    def _check_frame(self) -> None:
        if self.kind == "pen" and self.frame_size != FRAME_SIZES["pen"]:
            raise ModelError(f"frame_size: a pen frame is (dx, dy, pen_up), so it is 3, not {self.frame_size}")
        if self.kind == "pen" and (self.group or self.quantisation is not None):
            raise ModelError(f"{self.name}: groups and quantisation are for samples of speech; a pen frame has neither")
        if self.group and self.frame_size % self.group:
            raise ModelError(f"group: {self.group} samples do not divide a frame of {self.frame_size}")

    def _check_emission(self) -> None:
        emission = self.emission
        if emission == "gauss" and self.components != 1:
            raise ModelError(f"components: {self.name} emits one Gaussian, so it is 1, not {self.components}")
        if emission == "gmm" and self.components == 1:
            raise ModelError(f"components: {self.name} emits a mixture, so it is at least 2, not 1")
        if emission and emission.endswith("dmol") != (self.quantisation is not None):
            raise ModelError(
                f"quantisation: {self.name} emits "
                + ("integers: give their mean and std" if self.quantisation is None else "a density: leave it out")
            )
        if emission and emission.startswith("hier") != bool(self.group and self.group_hidden):
            raise ModelError(
                f"group, group_hidden: {self.name} "
                + ("needs both" if emission.startswith("hier") else "has no groups inside a frame, so both are 0")
            )


def _quantisation(values: object) -> Quantisation | None:
    if values is None or isinstance(values, Quantisation):
        return values
    known = {field.name for field in fields(Quantisation)}
    if not isinstance(values, Mapping) or not {"mean", "std"} <= values.keys() <= known:
        raise ModelError(f"quantisation: expected mean and std (and lowest and highest), got {values!r}")
    return Quantisation(**cast(Mapping[str, Any], values))


def emission_of(name: str) -> str:
    """The emission in a model's name: one of `EMISSIONS`, or empty where it names none."""
    stem = name.removesuffix(SMOOTHING)
    return max((emission for emission in EMISSIONS if stem.endswith(f"-{emission}")), key=len, default="")
