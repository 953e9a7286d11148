"""The registered models: a name is a family and an emission, and a new family is one line here.

`vrnn-gauss` is the family `vrnn` with the emission `gauss`; `vrnn-gauss+smoothing` has the posterior that also reads
later frames.
"""

import difflib
from collections.abc import Mapping
from typing import Any, TypeAlias

import torch

from vrnn.errors import ModelError
from vrnn.models.base import SequenceModel
from vrnn.models.config import EMISSIONS, SMOOTHING, ModelConfig
from vrnn.models.iid import IID
from vrnn.models.linear import Linear
from vrnn.models.rnn import RNN
from vrnn.models.srnn import SRNN
from vrnn.models.vrnn import VRNN, VRNNI

__all__ = ["FAMILIES", "MODELS", "build_model", "family_of"]


Family: TypeAlias = type[SequenceModel[Any]]
"""A class of models; each has a state of its own."""

FAMILIES: Mapping[str, Family] = {
    "iid": IID,
    "linear": Linear,
    "rnn": RNN,
    "vrnn-i": VRNNI,
    "vrnn": VRNN,
    "srnn": SRNN,
}

MODELS: Mapping[str, Family] = {
    f"{family}-{emission}{switch}": model
    for family, model in FAMILIES.items()
    for emission in EMISSIONS
    if emission in model.emissions
    for switch in (("", SMOOTHING) if model.can_smooth else ("",))
}
"""Every model by its full name."""


def family_of(name: str) -> Family:
    """The class of the model called `name`.

    Raises:
        ModelError: no model has this name; the message suggests the nearest.
    """
    if name not in MODELS:
        nearest = difflib.get_close_matches(name.lower(), MODELS, n=1, cutoff=0)[0]
        raise ModelError(f"unknown model {name!r}: did you mean {nearest!r}? Known: {', '.join(MODELS)}")
    return MODELS[name]


def build_model(config: ModelConfig, generator: torch.Generator) -> SequenceModel[Any]:
    """A newly initialised model in float32 on the CPU, with the same weights on every machine.

    In a `with torch.device("meta")` block it has shapes but no values, which is enough to count parameters.

    >>> from vrnn.models.presets import preset
    >>> model = build_model(preset("vrnn-gauss", "speech", "tiny"), torch.Generator().manual_seed(0))
    >>> sum(parameter.numel() for parameter in model.parameters())
    50736

    Args:
        config: name and sizes.
        generator: source of the initial weights, on the CPU.

    Raises:
        ModelError: the name is not registered, or the sizes do not fit the model.
    """
    return family_of(config.name)(config, generator)
