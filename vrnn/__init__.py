"""The mathematics of variational recurrent networks: densities, networks, models and their likelihood bounds.

Importing it needs torch alone.
"""

from vrnn.bounds import Elbo, elbo, exact, iwae
from vrnn.errors import ModelError
from vrnn.models import ModelConfig, SequenceModel, Terms, build_model, preset

__all__ = [
    "Elbo",
    "ModelConfig",
    "ModelError",
    "SequenceModel",
    "Terms",
    "build_model",
    "elbo",
    "exact",
    "iwae",
    "preset",
]
