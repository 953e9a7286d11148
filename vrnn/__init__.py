"""The mathematics of variational recurrent networks: densities, networks, models and their likelihood bounds.

It needs torch alone; `vrnn.training`, which needs more, is imported by name.
"""

from vrnn.errors import ModelError
from vrnn.likelihood import Elbo, Repeated, elbo, exact, fivo, frame_terms, iwae, repeated
from vrnn.models import (
    MODELS,
    ExactModel,
    LatentModel,
    ModelConfig,
    SequenceModel,
    State,
    Step,
    Terms,
    build_model,
    preset,
)
from vrnn.nn.discretised import Quantisation

__all__ = [
    "MODELS",
    "Elbo",
    "ExactModel",
    "LatentModel",
    "ModelConfig",
    "ModelError",
    "Quantisation",
    "Repeated",
    "SequenceModel",
    "State",
    "Step",
    "Terms",
    "build_model",
    "elbo",
    "exact",
    "fivo",
    "frame_terms",
    "iwae",
    "preset",
    "repeated",
]

__version__ = "0.1.0"
