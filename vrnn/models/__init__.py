"""The registered models: a configuration's name decides the class, its sizes decide the rest."""

from vrnn.models.base import SequenceModel, State, Terms
from vrnn.models.config import Kind, ModelConfig
from vrnn.models.latent import LatentModel
from vrnn.models.presets import SIZES, preset
from vrnn.models.registry import MODELS, build_model

__all__ = [
    "MODELS",
    "SIZES",
    "Kind",
    "LatentModel",
    "ModelConfig",
    "SequenceModel",
    "State",
    "Terms",
    "build_model",
    "preset",
]
