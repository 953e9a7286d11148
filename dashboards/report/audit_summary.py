"""`audit.json` of every trial and `study.json`'s leak check, read strictly and condensed to a line a model or corpus.

Over the seeds of a model the worst is shown: the largest share left out, the largest change. What was not audited, or
recorded before there were audits, is counted, never taken for sound.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.report.fields import Fields
from dashboards.report.study_record import Trial
from dashboards.text import kind_of

__all__ = ["Audited", "Leak", "Shared", "find_audits", "find_leaks"]

REMEDY = "run the study again"
PARTS = ("constant", "near_silent", "other")
ROLES = ("fit", "select", "report")
KINDS = ("signal", "source", "speaker", "group")


@dataclass(frozen=True)
class Audited:
    """What the audits of a model's seeds found; shares are from 0 to 1.

    Attributes:
        trials: of the model.
        audited: of them.
        unscored: share of the recorded values that the protocol leaves out.
        silent: share of frames that are constant or near-silent.
        silent_nats: their share of the total nats; None where parts differ in sign.
        floor_change: nats per frame with a floor of half a quantisation step against the model's own, by which the
            figure moves most; None where there is but the model's own.
        below_zero: share of frames whose density on the recorded integers is above 1; None for a mass.
        gained: nats per frame that these gain; None for a mass.
        not_finite: frames without a finite score, in all seeds.
        warnings: one of each kind, with the number of seeds that have it.
    """

    corpus: str
    protocol: str
    model: str
    trials: int
    audited: int
    unscored: float | None = None
    silent: float | None = None
    silent_nats: float | None = None
    floor_change: float | None = None
    below_zero: float | None = None
    gained: float | None = None
    not_finite: int | None = None
    warnings: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Shared:
    """What two roles have in common: so many of `kind`, in `share` of the second role's sequences."""

    kind: str
    roles: tuple[str, str]
    values: int
    share: float


@dataclass(frozen=True)
class Leak:
    """The leak check of one corpus and protocol.

    Attributes:
        name: corpus and protocol.
        rule: of the roles, in words.
        sequences, speakers, unknown: of fitting, choosing and reporting; unknown have no speaker in the index.
        repeats: sequences that repeat another's signal in their role.
    """

    name: str
    rule: str
    sequences: tuple[int, ...]
    speakers: tuple[int, ...]
    unknown: tuple[int, ...]
    reported_that_select: int
    shared: tuple[Shared, ...]
    repeats: int
    warnings: tuple[str, ...]

    def shares(self, *kinds: str) -> bool:
        """Whether what is reported has something of these kinds in common with what was fitted on."""
        return any(found.kind in kinds and found.roles == ("fit", "report") for found in self.shared)

    @property
    def speakers_known(self) -> bool:
        """Whether the index names a speaker for every sequence fitted on and reported."""
        return not (self.unknown[0] or self.unknown[-1])


def find_audits(trials: Sequence[Trial]) -> tuple[Audited, ...]:
    """One line for each corpus, protocol and model, in the order of the trials.

    Raises:
        ReportError: an `audit.json` is malformed.
    """
    members: dict[tuple[str, str, str], list[Trial]] = {}
    for trial in trials:
        members.setdefault((trial.corpus, trial.protocol, trial.model), []).append(trial)
    return tuple(_condensed(key, group) for key, group in members.items())


def _condensed(key: tuple[str, str, str], trials: Sequence[Trial]) -> Audited:
    found = [_Audit(trial) for trial in trials if trial.audit is not None]
    if not found:
        return Audited(*key, len(trials), 0)
    warnings: dict[str, list[str]] = {}
    for audit in found:
        for kind, warning in {kind_of(warning): warning for warning in audit.warnings}.items():
            warnings.setdefault(kind, []).append(warning)
    return Audited(
        *key,
        len(trials),
        len(found),
        _worst(audit.unscored for audit in found),
        _worst(audit.silent for audit in found),
        _worst(audit.silent_nats for audit in found),
        _worst(audit.floor_change for audit in found),
        _worst(audit.below_zero for audit in found),
        _worst(audit.gained for audit in found),
        sum(audit.not_finite for audit in found),
        tuple((alike[0], len(alike)) for alike in warnings.values()),
    )


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), key=abs, default=None)


class _Audit:
    """One `audit.json`, reduced to what the table shows."""

    def __init__(self, trial: Trial) -> None:
        fields = Fields(trial.audit, f"audit.json of MLflow run {trial.run_id}", REMEDY)
        self.unscored = fields.inner("coverage").share("share_left_out")
        parts = {part.one_of("name", PARTS): part for part in fields.each("parts", "part")}
        quiet = [part for name, part in parts.items() if name != "other"]
        self.silent = sum(part.share("share_of_frames") for part in quiet)
        nats = [part.optional_number("share_of_nats") for part in quiet]
        self.silent_nats = None if None in nats or not nats else sum(share or 0.0 for share in nats)
        floors = [floor.optional_number("change") for floor in fields.each("floors", "floor")]
        self.floor_change = floors[-1] if len(floors) > 1 else None
        below = fields.optional_inner("below_zero")
        self.below_zero = None if below is None else below.share("share_of_frames")
        self.gained = None if below is None else below.optional_number("nats_per_frame")
        self.not_finite = fields.count("not_finite")
        self.warnings = fields.texts("warnings")


def find_leaks(about: Mapping[str, Any]) -> tuple[Leak, ...] | None:
    """The leak check of `study.json`, a line for each corpus and protocol; None where it was not recorded.

    Raises:
        ReportError: it is malformed.
    """
    top = Fields(dict(about), "study.json", REMEDY)
    leaks = top.optional_inner("leaks")
    return None if leaks is None else tuple(_leak(name, leaks.inner(name)) for name in leaks.names())


def _leak(name: str, fields: Fields) -> Leak:
    return Leak(
        name=name,
        rule=fields.text("rule"),
        sequences=_by_role(fields.inner("sequences")),
        speakers=_by_role(fields.inner("speakers")),
        unknown=_by_role(fields.inner("without_speaker")),
        reported_that_select=fields.count("reported_that_select"),
        shared=tuple(map(_shared, fields.each("shared", "shared"))),
        repeats=sum(repeat.count("sequences") for repeat in fields.each("repeats", "repeat")),
        warnings=fields.texts("warnings"),
    )


def _by_role(fields: Fields) -> tuple[int, ...]:
    return tuple(fields.count(role) for role in ROLES)


def _shared(fields: Fields) -> Shared:
    roles = fields.pair("roles", ROLES)
    return Shared(fields.one_of("kind", KINDS), roles, fields.count("values"), fields.share("share"))
