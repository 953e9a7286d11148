"""How each estimator of a log-likelihood is named, signed and drawn, and how tight it is.

An exact log-likelihood, an ELBO, an importance-weighted estimate and a particle filter's are different quantities:
Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", 2016, theorem 1 (IWAE-K is in expectation a lower
bound that rises with K, and the ELBO is K = 1); FIVO-K (Maddison et al., 2017) is a bound too, of which neither is
always the tighter, so that the higher of the two stands for a model.
"""

from dataclasses import dataclass

__all__ = ["ESTIMATORS", "Estimator", "estimator_label", "is_exact"]


@dataclass(frozen=True)
class Estimator:
    """How one estimator of the log-likelihood is shown.

    Attributes:
        name: the name in prose and in the legend.
        sign: the relation of the log-likelihood to the figure.
        shape: the Vega symbol; the bound's triangle points to where the true value lies.
        tightness: rank of trust, for choosing the figure that stands for a model.
        sampled: whether its name says how many samples it draws.
    """

    name: str
    sign: str
    shape: str
    tightness: int
    sampled: bool = False


ESTIMATORS = {
    "exact": Estimator("exact", "=", "circle", 2),
    "code": Estimator("code length", "=", "square", 2),
    "iwae": Estimator("IWAE", "~", "diamond", 1, sampled=True),
    "fivo": Estimator("FIVO", "~", "cross", 1, sampled=True),
    "elbo": Estimator("ELBO", "≥", "triangle-right", 0),
}


def estimator_label(estimator: str, num_samples: int) -> str:
    """The estimator's name, with K where it matters: "exact", "ELBO", "IWAE-40"."""
    known = ESTIMATORS[estimator]
    return f"{known.name}-{num_samples}" if known.sampled else known.name


def is_exact(estimator: str) -> bool:
    """Whether the figure is the log-likelihood itself, and no bound."""
    return ESTIMATORS[estimator].sign == "="
