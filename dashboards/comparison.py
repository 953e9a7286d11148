"""`comparison.json`, read strictly: what a study concluded, one row per model and estimator.

The page repeats these numbers and computes none of its own, so a row that lacks a field, or carries a NaN,
is refused instead of being drawn with a gap that a reader may not notice.

An exact log-likelihood, an ELBO, an importance-weighted estimate and a particle filter's are different quantities.
`ESTIMATORS` is the one place that says how each is named, signed and drawn, and how tight it is: Burda, Grosse and
Salakhutdinov, "Importance Weighted Autoencoders", 2016, theorem 1 (IWAE-K is in expectation a lower bound that
rises with K, and the ELBO is K = 1); FIVO-K (Maddison et al., 2017) is a bound too, of which neither is always the
tighter, so that the higher of the two stands for a model.

A density of normalised frames and a mass (the probability of the recorded integers) are different measures.
"""

import json
import math
from dataclasses import dataclass
from typing import Any, NoReturn

from dashboards.errors import ReportError

__all__ = ["ESTIMATORS", "KINDS", "MEASURES", "Comparison", "Divergence", "Estimator", "Row", "parse_comparison"]

KINDS = ("speech", "pen")


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

MEASURES = ("density", "mass")


@dataclass(frozen=True)
class Row:
    """One model's figure on one split of one corpus under one protocol.

    Attributes:
        num_samples: importance samples K; 1 where the estimator draws none or one.
        frames: scored frames in all sequences.
        nats_per_sequence: mean log-likelihood, or bound, of a sequence.
        interval: 95 % interval of that mean over sequences; (-inf, inf) where one sequence says nothing of spread.
        seed_std: standard deviation of that mean over training seeds; None with one seed.
        bits_per_sample: bits per audio sample; None for pen traces.
        measure: `density` of normalised frames, or `mass` of recorded integers.
        monte_carlo_error: standard error of the figure from a bound's own randomness; None where it is not known.
        parameters: of the model; None where it has none.
        sigma_floor: under every standard deviation, in units of the normalised frame; None where there is none.
    """

    corpus: str
    kind: str
    protocol: str
    model: str
    estimator: str
    num_samples: int
    split: str
    seeds: int
    sequences: int
    frames: int
    nats_per_sequence: float
    interval: tuple[float, float]
    seed_std: float | None
    nats_per_frame: float
    bits_per_sample: float | None
    fingerprint: str
    measure: str
    monte_carlo_error: float | None
    parameters: int | None
    sigma_floor: float | None

    @property
    def sign(self) -> str:
        """The relation between the true log-likelihood and this figure: "=", "≥" or "~"."""
        return ESTIMATORS[self.estimator].sign

    @property
    def has_interval(self) -> bool:
        """Whether the interval is known."""
        return all(map(math.isfinite, self.interval))

    @property
    def label(self) -> str:
        """The estimator's name, with K where it matters: "exact", "ELBO", "IWAE-40"."""
        estimator = ESTIMATORS[self.estimator]
        return f"{estimator.name}-{self.num_samples}" if estimator.sampled else estimator.name

    @property
    def tightness(self) -> tuple[int, int, float]:
        """Sorts a model's rows: exact above sampled bounds, more samples above fewer, then by height, ELBO last."""
        return ESTIMATORS[self.estimator].tightness, self.num_samples, self.nats_per_sequence


@dataclass(frozen=True)
class Divergence:
    """A training run whose loss stopped being finite; it has no part in any row."""

    corpus: str
    model: str
    seed: int
    step: int


@dataclass(frozen=True)
class Comparison:
    """The whole of `comparison.json`."""

    study: str
    rows: tuple[Row, ...]
    diverged: tuple[Divergence, ...]
    notes: tuple[str, ...]


def parse_comparison(text: str) -> Comparison:
    """Read `comparison.json`.

    Args:
        text: the file's content.

    Raises:
        ReportError: it is not JSON, or a field is absent, of the wrong type, or not finite.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ReportError(f"comparison.json is not JSON ({error}): run the comparison again") from error
    top = _Fields(document, "comparison.json")
    rows = enumerate(top.items("rows"))
    diverged = enumerate(top.items("diverged"))
    return Comparison(
        study=top.text("study"),
        rows=tuple(_row(_Fields(row, f"comparison.json, row {i}")) for i, row in rows),
        diverged=tuple(_divergence(_Fields(run, f"comparison.json, diverged run {i}")) for i, run in diverged),
        notes=tuple(str(note) for note in top.items("notes")),
    )


def _row(fields: "_Fields") -> Row:
    return Row(
        corpus=fields.text("corpus"),
        kind=fields.one_of("kind", KINDS),
        protocol=fields.text("protocol"),
        model=fields.text("model"),
        estimator=fields.one_of("estimator", tuple(ESTIMATORS)),
        num_samples=fields.count("num_samples"),
        split=fields.text("split"),
        seeds=fields.count("seeds"),
        sequences=fields.count("sequences"),
        frames=fields.count("frames"),
        nats_per_sequence=fields.number("nats_per_sequence"),
        interval=fields.interval("interval"),
        seed_std=fields.optional_number("seed_std"),
        nats_per_frame=fields.number("nats_per_frame"),
        bits_per_sample=fields.optional_number("bits_per_sample"),
        fingerprint=fields.text("fingerprint"),
        measure=fields.one_of("measure", MEASURES),
        monte_carlo_error=fields.optional_number("monte_carlo_error"),
        parameters=fields.optional_count("parameters"),
        sigma_floor=fields.optional_number("sigma_floor"),
    )


def _divergence(fields: "_Fields") -> Divergence:
    return Divergence(fields.text("corpus"), fields.text("model"), fields.count("seed"), fields.count("step"))


class _Fields:
    """A JSON object that knows where it stands, so that each refusal can say so in one line."""

    def __init__(self, mapping: object, where: str) -> None:
        self._where = where
        if not isinstance(mapping, dict):
            self._refuse("it", "an object", mapping)
        self._mapping: dict[str, Any] = mapping

    def _refuse(self, key: str, expected: str, value: object) -> NoReturn:
        found = repr(value)[:60]
        raise ReportError(f"{self._where}: {key} must be {expected}, not {found}: run the comparison again")

    def text(self, key: str) -> str:
        value = self._mapping.get(key)
        if not isinstance(value, str):
            self._refuse(key, "text", value)
        return value

    def one_of(self, key: str, choices: tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in choices:
            self._refuse(key, " or ".join(choices), value)
        return value

    def count(self, key: str) -> int:
        value = self._mapping.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            self._refuse(key, "a count", value)
        return value

    def number(self, key: str) -> float:
        return self._finite(key, self._mapping.get(key))

    def optional_number(self, key: str) -> float | None:
        return None if self._mapping.get(key) is None else self.number(key)

    def optional_count(self, key: str) -> int | None:
        return None if self._mapping.get(key) is None else self.count(key)

    def interval(self, key: str) -> tuple[float, float]:
        ends = self.items(key)
        if ends == [-math.inf, math.inf]:
            return -math.inf, math.inf
        finite = [self._finite(key, end) for end in ends]
        if len(finite) != 2 or finite[0] > finite[1]:
            self._refuse(key, "[low, high]", ends)
        return finite[0], finite[1]

    def items(self, key: str) -> list[Any]:
        value = self._mapping.get(key)
        if not isinstance(value, list):
            self._refuse(key, "a list", value)
        return value

    def _finite(self, key: str, value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            self._refuse(key, "a finite number", value)
        return float(value)
