"""Published figures beside ours, as `comparison.json` has them, read strictly.

Whether two figures may be compared is the study's verdict, with its reasons; the page repeats both.
"""

from dataclasses import dataclass

from dashboards.estimators import ESTIMATORS, estimator_label
from dashboards.report.differences_file import MEASURES
from dashboards.report.fields import Fields

__all__ = ["Beside", "Reason", "parse_published"]

UNITS = ("nats_per_sequence", "nats_per_frame", "bits_per_sample")


@dataclass(frozen=True)
class Reason:
    """Why a published figure is not comparable (a bar), or what to know of it."""

    code: str
    sentence: str
    bar: bool


@dataclass(frozen=True)
class Beside:
    """A figure of ours, a published one of the same corpus, model and kind of bound, and whether they compare.

    Attributes:
        published_value: as published, in `published_unit`.
        provenance: `read` in the publication, or `recalled` from memory.
        unit: that both can be stated in; None where there is none. Of bits, lower is better.
        ours, theirs: in `unit`.
        difference: ours minus theirs; None where they are not comparable.
    """

    corpus: str
    protocol: str
    model: str
    estimator: str
    num_samples: int
    split: str
    measure: str
    source: str
    published_model: str
    published_bound: str
    published_num_samples: int
    published_value: float
    published_unit: str
    provenance: str
    unit: str | None
    ours: float | None
    theirs: float | None
    difference: float | None
    comparable: bool
    reasons: tuple[Reason, ...]

    @property
    def published_label(self) -> str:
        """Their estimator's name, with K where it matters."""
        return estimator_label(self.published_bound, self.published_num_samples)

    @property
    def bars(self) -> tuple[Reason, ...]:
        """Why not comparable."""
        return tuple(reason for reason in self.reasons if reason.bar)

    @property
    def remarks(self) -> tuple[Reason, ...]:
        """What to know of it."""
        return tuple(reason for reason in self.reasons if not reason.bar)


def parse_published(comparison: Fields) -> tuple[Beside, ...]:
    """The published figures of `comparison.json`; empty where there are none.

    Raises:
        ReportError: one is malformed.
    """
    return tuple(map(_beside, comparison.each("published", "published figure", optional=True)))


def _beside(fields: Fields) -> Beside:
    reasons = fields.each("reasons", "reason")
    return Beside(
        corpus=fields.text("corpus"),
        protocol=fields.text("protocol"),
        model=fields.text("model"),
        estimator=fields.one_of("estimator", tuple(ESTIMATORS)),
        num_samples=fields.count("num_samples"),
        split=fields.text("split"),
        measure=fields.one_of("measure", MEASURES),
        source=fields.text("source"),
        published_model=fields.text("published_model"),
        published_bound=fields.one_of("published_bound", tuple(ESTIMATORS)),
        published_num_samples=fields.count("published_num_samples"),
        published_value=fields.number("published_value"),
        published_unit=fields.one_of("published_unit", UNITS),
        provenance=fields.one_of("provenance", ("read", "recalled")),
        unit=fields.one_of("unit", UNITS) if fields.has("unit") else None,
        ours=fields.optional_number("ours"),
        theirs=fields.optional_number("theirs"),
        difference=fields.optional_number("difference"),
        comparable=fields.flag("comparable"),
        reasons=tuple(Reason(r.text("code"), r.text("sentence"), r.flag("bar")) for r in reasons),
    )
