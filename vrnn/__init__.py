"""The mathematics of variational recurrent networks: densities, networks, models and their likelihood bounds.

Importing it needs torch alone.
"""

from vrnn.errors import ModelError
from vrnn.likelihood.bounds import Elbo, Repeated, elbo, exact, iwae, repeated
from vrnn.likelihood.fivo import fivo
from vrnn.models import MODELS, LatentModel, ModelConfig, SequenceModel, Terms, build_model, preset
from vrnn.nn.discretised import Quantisation

__all__ = [
    "MODELS",
    "Elbo",
    "LatentModel",
    "ModelConfig",
    "ModelError",
    "Quantisation",
    "Repeated",
    "SequenceModel",
    "Terms",
    "build_model",
    "elbo",
    "exact",
    "fivo",
    "iwae",
    "preset",
    "repeated",
]
