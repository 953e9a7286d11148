"""The mathematics of variational recurrent networks: densities, networks, models and their likelihood bounds.

Importing it needs torch alone.
"""

from vrnn.bounds import Elbo, Repeated, elbo, exact, iwae, repeated
from vrnn.discretised import Quantisation
from vrnn.errors import ModelError
from vrnn.models import MODELS, LatentModel, ModelConfig, SequenceModel, Terms, build_model, preset
from vrnn.particles import fivo

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
