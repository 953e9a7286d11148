"""What a study concluded: the table, the paired differences, the published numbers, and what a reader must know.

`benchmarks.study.summary` computes it from per-sequence scores; the report, the exports and the command line show it.
"""

import math
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from benchmarks.schema.base import Count, File, Finite, Kind, Measure, Schema, Share
from benchmarks.schema.estimators import ESTIMATORS, EstimatorName, estimator_label, is_exact
from benchmarks.schema.study import StudyDescription

__all__ = [
    "CONFIDENCE",
    "LEVEL",
    "Bound",
    "ComparedModel",
    "Comparison",
    "ComparisonRow",
    "Difference",
    "Divergence",
    "Interval",
    "PairedDifference",
    "PublishedComparison",
    "Reason",
    "Unit",
    "Verdict",
]

LEVEL = 0.05
"""Significance level of the tests: a corrected p-value below it counts."""
CONFIDENCE = 1 - LEVEL
"""Confidence level of every interval."""

Verdict = Literal["ahead", "behind", "not settled", "not enough seeds"]
Bound = Literal["exact", "elbo", "iwae"]
"""Kinds of published values: `iwae` is any importance-sampled estimate."""
Unit = Literal["nats_per_sequence", "nats_per_frame", "bits_per_sample"]


def _ordered(ends: tuple[float, float]) -> tuple[float, float]:
    if ends != (-math.inf, math.inf) and not (all(map(math.isfinite, ends)) and ends[0] <= ends[1]):
        raise ValueError(f"{list(ends)} is not an interval: finite low <= high is needed")
    return ends


Interval = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""[low, high]; (-inf, inf) where one sequence alone leaves the spread unknown."""


class ComparisonRow(Schema):
    """A model's score on one split of one corpus under one protocol, by one estimator.

    Attributes:
        corpus: the study's name for it.
        dataset: the corpus's own name, such as `iam_ondb`.
        num_samples: K; 1 where the estimator draws none or one.
        frames: scored frames in all sequences.
        nats_per_sequence: mean log-likelihood, or bound, of a sequence.
        interval: 95 % interval of that mean over sequences.
        seed_std: standard deviation of that mean over training seeds; None with one seed.
        bits_per_sample: code length of an int16 sample; None for pen.
        monte_carlo_error: standard error from a bound's own randomness; None where it is not known.
        parameters: number of the model's parameters; None for a codec.
        sigma_floor: under every standard deviation, in units of the normalised frame; None where there is none.
        training_sequences: recordings or lines the model was trained on; None for a codec.
    """

    corpus: str
    dataset: str
    kind: Kind
    protocol: str
    model: str
    estimator: EstimatorName
    num_samples: Count
    split: str
    seeds: Count
    sequences: Count
    frames: Count
    nats_per_sequence: Finite
    interval: Interval
    seed_std: Finite | None
    nats_per_frame: Finite
    bits_per_sample: Finite | None
    fingerprint: str
    measure: Measure
    monte_carlo_error: Finite | None
    parameters: Count | None
    sigma_floor: Finite | None
    training_sequences: Count | None

    @property
    def sign(self) -> str:
        """The relation of the log-likelihood to this value: "=", "≥" or "~"."""
        return ESTIMATORS[self.estimator].sign

    @property
    def label(self) -> str:
        """The estimator's label: "exact", "ELBO", "IWAE-40"."""
        return estimator_label(self.estimator, self.num_samples)

    @property
    def has_interval(self) -> bool:
        """Whether the interval is known."""
        return math.isfinite(self.interval[0])

    @property
    def tightness(self) -> tuple[int, int, float]:
        """Sort key of a model's rows: exact above sampled bounds, more samples above fewer, then the higher value."""
        return ESTIMATORS[self.estimator].tightness, self.num_samples, self.nats_per_sequence


class Difference(Schema):
    """A difference in one unit, positive where the first model is better, with its uncorrected 95 % intervals.

    Attributes:
        difference: of the means over seeds and sequences.
        interval: over sequences, for these trained models; None with one sequence.
        joint_interval: over sequences and seeds; None with one sequence, or one seed of a trained model.
    """

    difference: Finite
    interval: Interval | None
    joint_interval: Interval | None

    def scaled(self, factor: float) -> "Difference":
        """The same in another unit, multiplied by `factor` > 0."""
        interval, joint = (
            ends and (factor * ends[0], factor * ends[1]) for ends in (self.interval, self.joint_interval)
        )
        return Difference(difference=factor * self.difference, interval=interval, joint_interval=joint)


class ComparedModel(Schema):
    """One of two compared models, with the estimate that stands for it: its tightest.

    Attributes:
        num_samples: K of the estimator.
        seeds: number of training seeds; 1 for a codec.
        seed_std: standard deviation over seeds of nats per sequence; None with one seed.
    """

    model: str
    estimator: EstimatorName
    num_samples: Count
    seeds: Count
    seed_std: Finite | None
    nats_per_sequence: Finite

    @property
    def label(self) -> str:
        """The estimator's label: "exact", "ELBO", "IWAE-40"."""
        return estimator_label(self.estimator, self.num_samples)

    @property
    def is_exact(self) -> bool:
        """Whether its value is a log-likelihood and not a bound."""
        return is_exact(self.estimator)


class PairedDifference(Schema):
    """Two models on the same sequences: positive where the first is better (more nats, fewer bits).

    Attributes:
        first: the model that `verdict` is about.
        sequences: scored for both.
        frames: in all of them.
        nats_per_sequence: mean difference of a sequence.
        nats_per_frame: difference of the totals over the frames of all sequences.
        bits_per_sample: saved by the first model; None for pen.
        p_sequences: of the sign-flip permutation test over sequences; None with one sequence.
        p_joint: of the test over sequences and seeds; None where there is no joint interval.
        p_sequences_corrected, p_joint_corrected: by Holm's method, over all comparisons of the list.
        comparisons: number of comparisons corrected for.
        caution: what the estimators leave open; None where both are exact.
    """

    corpus: str
    dataset: str
    kind: Kind
    protocol: str
    split: str
    measure: Measure
    fingerprint: str
    first: ComparedModel
    second: ComparedModel
    sequences: Count
    frames: Count
    nats_per_sequence: Difference
    nats_per_frame: Difference
    bits_per_sample: Difference | None
    p_sequences: Share | None
    p_joint: Share | None
    p_sequences_corrected: Share | None
    p_joint_corrected: Share | None
    comparisons: Count
    verdict: Verdict
    caution: str | None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Corpus, protocol, split and measure."""
        return self.corpus, self.protocol, self.split, self.measure

    @property
    def name(self) -> str:
        """Both models: "A over B"."""
        return f"{self.first.model} over {self.second.model}"

    @property
    def is_settled(self) -> bool:
        """Whether the tests say which model is ahead."""
        return self.verdict in ("ahead", "behind")

    @property
    def open_to(self) -> str:
        """What could reverse an unsettled order: other seeds alone, or other sequences too."""
        sequences, joint = self.p_sequences_corrected, self.p_joint_corrected
        seeds_alone = sequences is not None and joint is not None and sequences < LEVEL <= joint
        return "other seeds" if seeds_alone else "other sequences or other seeds"

    @property
    def order(self) -> tuple[ComparedModel, ComparedModel]:
        """The better model and the other: by the verdict, or by the difference where nothing is settled."""
        ahead = self.verdict == "ahead" or (not self.is_settled and self.nats_per_sequence.difference >= 0)
        return (self.first, self.second) if ahead else (self.second, self.first)


class Reason(Schema):
    """Why a published number is not comparable, or what to know about it.

    Attributes:
        code: a key of `benchmarks.published.comparability.BLOCKERS` or `NOTES`.
        sentence: the same for this very pair, in one line.
        blocks: whether it makes the pair incomparable.
    """

    code: str
    sentence: str
    blocks: bool


class PublishedComparison(Schema):
    """One of our scores with a published number of the same corpus, model and kind of bound.

    Attributes:
        source: authors, year and table of the published number.
        published_value: as published, in `published_unit`.
        provenance: `read` in the publication, or `recalled` from memory.
        unit: a unit that both can be stated in; None where there is none. Of bits, lower is better.
        ours: our score in `unit`.
        theirs: the published number in `unit`.
        difference: ours minus theirs; None where they are not comparable.
        reasons: those that block come first.
    """

    corpus: str
    dataset: str
    protocol: str
    model: str
    estimator: EstimatorName
    num_samples: Count
    split: str
    fingerprint: str
    measure: Measure
    source: str
    published_model: str
    published_bound: Bound
    published_num_samples: Count
    published_value: Finite
    published_unit: Unit
    provenance: Literal["read", "recalled"]
    unit: Unit | None
    ours: Finite | None
    theirs: Finite | None
    difference: Finite | None
    comparable: bool
    reasons: tuple[Reason, ...]

    @property
    def published_label(self) -> str:
        """Their estimator's label, with K where it matters."""
        return estimator_label(self.published_bound, self.published_num_samples)

    @property
    def blockers(self) -> tuple[Reason, ...]:
        """Why the pair is not comparable."""
        return tuple(reason for reason in self.reasons if reason.blocks)

    @property
    def notes(self) -> tuple[Reason, ...]:
        """What to know about the published number."""
        return tuple(reason for reason in self.reasons if not reason.blocks)


class Divergence(Schema):
    """A training run that diverged: its bound or gradient stayed non-finite from `step` on. No row contains it."""

    corpus: str
    model: str
    seed: int
    step: int


class Comparison(File):
    """The result of a study.

    Attributes:
        differences: between models: those that the suite claims, or all pairs.
        published: published numbers with ours.
        diverged: training runs without a score.
        warnings: reasons to distrust a score.
        notes: what a reader must know to read the table correctly.
        failed: trials of the last run that could not be finished, each with the reason in one line.
        unsent: why MLflow lacks a part of it; None where it has all.
        description: of the study; kept in a file of its own.
    """

    file_name: ClassVar[str] = "comparison.json"
    remedy: ClassVar[str] = "run the study again, or vrnn-bench sync RUNS/STUDY"

    version: int = 1
    study: str
    rows: tuple[ComparisonRow, ...]
    differences: tuple[PairedDifference, ...]
    published: tuple[PublishedComparison, ...]
    diverged: tuple[Divergence, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    failed: dict[str, str] = Field(default_factory=dict)
    unsent: str | None = None
    description: StudyDescription | None = Field(default=None, exclude=True)
