"""Paired differences between models, as `comparison.json` has them, read strictly.

Every difference is positive where the first model is the better one: more nats, fewer bits. Its verdict is that of the
study's tests, over sequences and over sequences and seeds together, corrected for all comparisons; the page repeats it.
Studies of before such records have none: an absent list is empty, an odd one is refused.
"""

from dataclasses import dataclass

from dashboards.estimators import ESTIMATORS, estimator_label
from dashboards.report.fields import Fields

__all__ = ["MEASURES", "VERDICTS", "Difference", "Gap", "Side", "parse_differences"]

MEASURES = ("density", "mass")
LEVEL = 0.05
"""Below it a corrected p-value counts."""
VERDICTS = ("ahead", "behind", "not settled", "not enough seeds")
Interval = tuple[float, float]


@dataclass(frozen=True)
class Gap:
    """A difference in one unit with its 95 % intervals, uncorrected.

    Attributes:
        interval: over sequences, for these trained models; None where it is not known.
        joint_interval: over sequences and seeds; None where it is not known.
    """

    difference: float
    interval: Interval | None
    joint_interval: Interval | None


@dataclass(frozen=True)
class Side:
    """One of the two models, by the figure that stands for it.

    Attributes:
        num_samples: K of the estimator.
        seed_std: standard deviation over training seeds, nats per sequence; None with one seed.
        nats_per_sequence: mean over seeds and sequences.
    """

    model: str
    estimator: str
    num_samples: int
    seeds: int
    seed_std: float | None
    nats_per_sequence: float

    @property
    def label(self) -> str:
        """The estimator's name, with K where it matters."""
        return estimator_label(self.estimator, self.num_samples)


@dataclass(frozen=True)
class Difference:
    """One comparison of two models.

    Attributes:
        nats_per_sequence: mean difference of a sequence.
        nats_per_frame: difference of the totals over the frames of all sequences.
        bits_per_sample: that the first model saves; None for pen.
        p_sequences_corrected, p_joint_corrected: Holm's, over all comparisons; None where there is no test.
        comparisons: how many were corrected for.
        verdict: on the first model.
        caution: what the estimators leave open; None where both are exact.
    """

    corpus: str
    protocol: str
    split: str
    measure: str
    first: Side
    second: Side
    sequences: int
    frames: int
    nats_per_sequence: Gap
    nats_per_frame: Gap
    bits_per_sample: Gap | None
    p_sequences: float | None
    p_joint: float | None
    p_sequences_corrected: float | None
    p_joint_corrected: float | None
    comparisons: int
    verdict: str
    caution: str | None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Of what: corpus, protocol, split, measure."""
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
        """What could turn an unsettled order round: of these trained models, or only of models trained anew."""
        sequences, joint = self.p_sequences_corrected, self.p_joint_corrected
        seeds_alone = sequences is not None and joint is not None and sequences < LEVEL <= joint
        return "other seeds" if seeds_alone else "other sequences or other seeds"

    @property
    def order(self) -> tuple[Side, Side]:
        """The better side and the other: by the verdict, or by the difference where nothing is settled."""
        ahead = self.verdict == "ahead" or (not self.is_settled and self.nats_per_sequence.difference >= 0)
        return (self.first, self.second) if ahead else (self.second, self.first)


def parse_differences(comparison: Fields) -> tuple[Difference, ...]:
    """The differences of `comparison.json`; empty where they were not recorded.

    Raises:
        ReportError: one is malformed.
    """
    return tuple(map(_difference, comparison.each("differences", "difference", optional=True)))


def _difference(fields: Fields) -> Difference:
    bits = fields.optional_inner("bits_per_sample")
    return Difference(
        corpus=fields.text("corpus"),
        protocol=fields.text("protocol"),
        split=fields.text("split"),
        measure=fields.one_of("measure", MEASURES),
        first=_side(fields.inner("first")),
        second=_side(fields.inner("second")),
        sequences=fields.count("sequences"),
        frames=fields.count("frames"),
        nats_per_sequence=_gap(fields.inner("nats_per_sequence")),
        nats_per_frame=_gap(fields.inner("nats_per_frame")),
        bits_per_sample=None if bits is None else _gap(bits),
        p_sequences=fields.optional_share("p_sequences"),
        p_joint=fields.optional_share("p_joint"),
        p_sequences_corrected=fields.optional_share("p_sequences_corrected"),
        p_joint_corrected=fields.optional_share("p_joint_corrected"),
        comparisons=fields.count("comparisons"),
        verdict=fields.one_of("verdict", VERDICTS),
        caution=fields.optional_text("caution"),
    )


def _side(fields: Fields) -> Side:
    return Side(
        model=fields.text("model"),
        estimator=fields.one_of("estimator", tuple(ESTIMATORS)),
        num_samples=fields.count("num_samples"),
        seeds=fields.count("seeds"),
        seed_std=fields.optional_number("seed_std"),
        nats_per_sequence=fields.number("nats_per_sequence"),
    )


def _gap(fields: Fields) -> Gap:
    ends = (fields.optional_interval(key) for key in ("interval", "joint_interval"))
    return Gap(fields.number("difference"), *ends)
