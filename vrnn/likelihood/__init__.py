"""Likelihoods and their bounds: exact, ELBO, IWAE, FIVO.

It may import `vrnn.models`, `vrnn.nn`, `vrnn.scan` and `vrnn.errors`.
"""

from vrnn.likelihood.bounds import Elbo, Repeated, elbo, exact, frame_terms, iwae, repeated
from vrnn.likelihood.fivo import fivo

__all__ = ["Elbo", "Repeated", "elbo", "exact", "fivo", "frame_terms", "iwae", "repeated"]
