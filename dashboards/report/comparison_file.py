"""`comparison.json`, read strictly: what a study concluded, one row per model and estimator.

The page repeats these numbers and computes none of its own, so a row that lacks a field, or carries a NaN,
is refused instead of being drawn with a gap that a reader may not notice. What studies did not record at first
(differences, published figures, warnings, failures) is empty where it is absent, and as strictly read where not.

A density of normalised frames and a mass (the probability of the recorded integers) are different measures.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from dashboards.errors import ReportError
from dashboards.estimators import ESTIMATORS, Estimator, estimator_label
from dashboards.report.differences_file import MEASURES, Difference, parse_differences
from dashboards.report.fields import Fields
from dashboards.report.published_file import Beside, parse_published

__all__ = ["ESTIMATORS", "KINDS", "MEASURES", "Comparison", "Divergence", "Estimator", "Row", "parse_comparison"]

KINDS = ("speech", "pen")


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
        return estimator_label(self.estimator, self.num_samples)

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
    """The whole of `comparison.json`.

    Attributes:
        differences: between models, paired by sequence; empty where they were not recorded.
        published: figures beside ours.
        warnings: of the guards.
        failed: the reason of each trial that could not be finished, by its name.
    """

    study: str
    rows: tuple[Row, ...]
    diverged: tuple[Divergence, ...]
    notes: tuple[str, ...]
    differences: tuple[Difference, ...] = ()
    published: tuple[Beside, ...] = ()
    warnings: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)


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
    top = Fields(document, "comparison.json")
    return Comparison(
        study=top.text("study"),
        rows=tuple(map(_row, top.each("rows", "row"))),
        diverged=tuple(map(_divergence, top.each("diverged", "diverged run"))),
        notes=top.texts("notes"),
        differences=parse_differences(top),
        published=parse_published(top),
        warnings=top.texts("warnings") if top.has("warnings") else (),
        failed=_failed(top),
    )


def _row(fields: Fields) -> Row:
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


def _divergence(fields: Fields) -> Divergence:
    return Divergence(fields.text("corpus"), fields.text("model"), fields.count("seed"), fields.count("step"))


def _failed(top: Fields) -> Mapping[str, str]:
    failed = top.optional_inner("failed")
    return {} if failed is None else {name: failed.text(name) for name in failed.names()}
