"""The estimators of a log-likelihood: how each is named and signed, and which of a model's values stands for it.

An exact log-likelihood, an ELBO, an importance-weighted bound and a particle filter's bound are different quantities.
IWAE-K is in expectation a lower bound that rises with K, and the ELBO is K = 1 (Burda, Grosse and Salakhutdinov 2016,
theorem 1). FIVO-K (Maddison et al. 2017) is a bound too. Neither is always the tighter of the two, so the higher one
stands for a model. `code` is the code length of a lossless codec, as a log-probability.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["ESTIMATORS", "Estimator", "EstimatorName", "estimator_label", "is_exact", "signed_estimator"]

EstimatorName = Literal["exact", "code", "iwae", "fivo", "elbo"]


@dataclass(frozen=True)
class Estimator:
    """One estimator.

    Attributes:
        label: its name in prose and legends.
        sign: the relation of the log-likelihood to the estimated value.
        tightness: a higher rank is preferred where a model has several estimates.
        sampled: whether it draws K samples or particles, which its label states.
    """

    label: str
    sign: str
    tightness: int
    sampled: bool = False


ESTIMATORS: Mapping[str, Estimator] = {
    "exact": Estimator("exact", "=", 2),
    "code": Estimator("code length", "=", 2),
    "iwae": Estimator("IWAE", "~", 1, sampled=True),
    "fivo": Estimator("FIVO", "~", 1, sampled=True),
    "elbo": Estimator("ELBO", "≥", 0),
}


def estimator_label(name: str, num_samples: int) -> str:
    """The label, with K where it matters.

    >>> estimator_label("iwae", 40), estimator_label("elbo", 1)
    ('IWAE-40', 'ELBO')
    """
    known = ESTIMATORS[name]
    return f"{known.label}-{num_samples}" if known.sampled else known.label


def signed_estimator(name: str, num_samples: int) -> str:
    """The estimator as tables in a terminal show it.

    >>> signed_estimator("iwae", 40), signed_estimator("exact", 1)
    ('~ iwae-40', '= exact')
    """
    known = ESTIMATORS[name]
    return f"{known.sign} {name}{f'-{num_samples}' if known.sampled else ''}"


def is_exact(name: str) -> bool:
    """Whether the value is the log-likelihood itself and not a bound."""
    return ESTIMATORS[name].sign == "="
