"""What defines a model: its name and its sizes, and the presets that name whole sets of sizes."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, TypeAlias, get_args

from vrnn.errors import ModelError

__all__ = ["FRAME_SIZES", "Kind", "ModelConfig"]

Kind: TypeAlias = Literal["speech", "pen"]

FRAME_SIZES: Mapping[str, int] = {"speech": 200, "pen": 3}
"""A speech frame is 200 consecutive samples in the paper, a pen frame is (dx, dy, pen_up)."""


@dataclass(frozen=True)
class ModelConfig:
    """The sizes of one model; a size that the model does not have is 0.

    Attributes:
        name: the registered name, such as `vrnn-gauss`.
        kind: what a frame is; it decides the family of the emission.
        frame_size: D, 3 for a pen.
        hidden: H, units of the LSTM.
        phi_x: width of the network that reads a frame.
        phi_z: width of the network that reads a latent.
        encoder: width of the network of the posterior.
        prior: width of the network of the prior.
        decoder: width of the network of the emission.
        latent: Z, 0 for a model without a latent.
        depth: ReLU layers in each of these networks.
        components: K, mixture components of the emission; 1 is a Gaussian.
        sigma_floor: what is added to every standard deviation after its softplus, in the units of the
            normalised frame. On quantised or silent audio it decides the attainable density: state it.

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

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ModelError(f"name: expected a model's name, got {self.name!r}")
        if self.kind not in get_args(Kind):
            raise ModelError(f"kind: expected one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        for field in fields(self):
            if field.type is int:
                self._check_size(field.name)
        self._check_floor()
        self._check_emission()

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The configuration that `to_dict` wrote.

        Raises:
            ModelError: a key is unknown or missing, or a value is refused.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise ModelError(f"unknown key {', '.join(unknown)}: a model has {', '.join(sorted(known))}")
        if missing := sorted(known - values.keys() - {"sigma_floor"}):
            raise ModelError(f"missing key {', '.join(missing)}: every size of a model must be given")
        return cls(**values)

    def _check_size(self, name: str) -> None:
        optional = name in {"phi_z", "encoder", "prior", "latent"}
        value = getattr(self, name)
        if type(value) is not int or value < (0 if optional else 1):
            raise ModelError(f"{name}: expected a {'whole' if optional else 'positive whole'} number, got {value!r}")

    def _check_floor(self) -> None:
        floor = self.sigma_floor
        if type(floor) not in (int, float) or not math.isfinite(floor) or floor < 0:
            raise ModelError(f"sigma_floor: expected a finite number of at least 0, got {floor!r}")

    def _check_emission(self) -> None:
        if self.kind == "pen" and self.frame_size != FRAME_SIZES["pen"]:
            raise ModelError(f"frame_size: a pen frame is (dx, dy, pen_up), so it is 3, not {self.frame_size}")
        if self.name.endswith("-gauss") and self.components != 1:
            raise ModelError(f"components: {self.name} emits one Gaussian, so it is 1, not {self.components}")
        if self.name.endswith("-gmm") and self.components == 1:
            raise ModelError(f"components: {self.name} emits a mixture, so it is at least 2, not 1")
