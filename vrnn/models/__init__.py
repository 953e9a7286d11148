"""The registered models: a configuration's name decides the class, its sizes decide the rest."""

import difflib
from collections.abc import Mapping
from typing import Protocol

import torch

from vrnn.errors import ModelError
from vrnn.models.base import SequenceModel, Terms
from vrnn.models.config import Kind, ModelConfig
from vrnn.models.presets import SIZES, preset
from vrnn.models.rnn import RNN
from vrnn.models.vrnn import VRNN

__all__ = ["MODELS", "SIZES", "Kind", "ModelConfig", "SequenceModel", "Terms", "build_model", "preset"]


class _Builder(Protocol):
    """A model's class: sizes and a source of initial weights give a model."""

    def __call__(self, config: ModelConfig, generator: torch.Generator) -> SequenceModel: ...


MODELS: Mapping[str, _Builder] = {
    "rnn-gauss": RNN,
    "rnn-gmm": RNN,
    "vrnn-gauss": VRNN,
    "vrnn-gmm": VRNN,
}


def build_model(config: ModelConfig, generator: torch.Generator) -> SequenceModel:
    """A freshly initialised model in float32 on the CPU: the same weights on every machine, to be moved after.

    In a `with torch.device("meta")` block it has shapes but no values, which is enough to count parameters.

    Args:
        config: name and sizes.
        generator: source of the initial weights, on the CPU.

    Raises:
        ModelError: the name is not registered, or the sizes do not fit the model.
    """
    if config.name not in MODELS:
        nearest = difflib.get_close_matches(config.name.lower(), MODELS, n=1, cutoff=0)[0]
        raise ModelError(f"unknown model {config.name!r}: did you mean {nearest!r}? Known: {', '.join(MODELS)}")
    return MODELS[config.name](config, generator)
