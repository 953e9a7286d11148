"""The audits of each model, condensed to one row.

A row shows the worst of the model's seeds: the largest share left out, the largest change. Trials without an audit are
counted and never assumed to be sound.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.schema.audit import Audit
from dashboards.report.study_data import Trial
from dashboards.text import kind_of

__all__ = ["AuditRow", "summarise_audits"]


@dataclass(frozen=True)
class AuditRow:
    """What the audits of a model's seeds found; shares are from 0 to 1.

    Attributes:
        trials: number of the model's trials.
        audited: number of trials with an audit.
        unscored: share of the recorded values that the protocol leaves out.
        silent: share of frames that are constant or near-silent.
        silent_nats: their share of the total nats; None if parts differ in sign.
        floor_change: change of nats per frame with a variance floor of half a quantisation step; None if only the
            model's own floor was scored.
        below_zero: share of frames whose density on the recorded integers is above 1; None for a mass.
        gained: nats per frame that these frames gain; None for a mass.
        not_finite: number of frames without a finite score in all seeds.
        warnings: one warning of each kind, with the number of seeds that have it.
    """

    corpus: str
    protocol: str
    model: str
    trials: int
    audited: int
    unscored: float | None
    silent: float | None
    silent_nats: float | None
    floor_change: float | None
    below_zero: float | None
    gained: float | None
    not_finite: int | None
    warnings: tuple[tuple[str, int], ...]


def summarise_audits(trials: Sequence[Trial]) -> tuple[AuditRow, ...]:
    """One row for each corpus, protocol and model, in the order of the trials."""
    members: dict[tuple[str, str, str], list[Trial]] = {}
    for trial in trials:
        members.setdefault((trial.corpus, trial.protocol, trial.model), []).append(trial)
    return tuple(_row(key, group) for key, group in members.items())


def _row(key: tuple[str, str, str], trials: Sequence[Trial]) -> AuditRow:
    audits = [trial.audit for trial in trials if trial.audit is not None]
    warnings: dict[str, list[str]] = {}
    for audit in audits:
        # A seed counts once for each kind of warning.
        for kind, warning in {kind_of(warning): warning for warning in audit.warnings}.items():
            warnings.setdefault(kind, []).append(warning)

    def worst(value: Callable[[Audit], float | None]) -> float | None:
        found = [known for audit in audits if (known := value(audit)) is not None]
        return max(found, key=abs, default=None)

    return AuditRow(
        *key,
        trials=len(trials),
        audited=len(audits),
        unscored=worst(lambda audit: audit.coverage.share_left_out),
        silent=worst(lambda audit: sum(part.share_of_frames for part in audit.parts if part.name != "other")),
        silent_nats=worst(_silent_nats),
        # The first floor is the model's own, the last is half a quantisation step.
        floor_change=worst(lambda audit: audit.floors[-1].change if len(audit.floors) > 1 else None),
        below_zero=worst(lambda audit: audit.below_zero and audit.below_zero.share_of_frames),
        gained=worst(lambda audit: audit.below_zero and audit.below_zero.nats_per_frame),
        not_finite=sum(audit.not_finite for audit in audits) if audits else None,
        warnings=tuple((alike[0], len(alike)) for alike in warnings.values()),
    )


def _silent_nats(audit: Audit) -> float | None:
    shares = [part.share_of_nats for part in audit.parts if part.name != "other"]
    known = [share for share in shares if share is not None]
    return sum(known) if known and len(known) == len(shares) else None
