"""The models: one file per family, their configuration, sizes and registry.

It may import `vrnn.nn`, `vrnn.scan` and `vrnn.errors`.
"""

from vrnn.models.base import ExactModel, SequenceModel, State, Step, Terms
from vrnn.models.config import Kind, ModelConfig
from vrnn.models.latent import LatentModel
from vrnn.models.presets import SIZES, preset
from vrnn.models.registry import MODELS, build_model

__all__ = [
    "MODELS",
    "SIZES",
    "ExactModel",
    "Kind",
    "LatentModel",
    "ModelConfig",
    "SequenceModel",
    "State",
    "Step",
    "Terms",
    "build_model",
    "preset",
]
