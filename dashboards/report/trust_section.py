"""The section "Can the results be trusted?": warnings, lost runs, spread over seeds, bounds, audits and leaks.

Nothing bad is left out, and what was not recorded is said to be unknown. Equal warnings of several models or corpora
are shown once, and warnings that differ only by their numbers are shown together. Trials without an audit are counted
and never assumed to be sound.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.schema.audit import Audit
from benchmarks.schema.comparison import Comparison, ComparisonRow, Divergence, PairedDifference
from benchmarks.schema.estimators import is_exact
from benchmarks.schema.leaks import LeakCheck
from dashboards.report.bound_curves import Bounds, find_bounds
from dashboards.report.conclusions import group_rows
from dashboards.report.results_section import place_names
from dashboards.report.study_data import StudyData, Trial, grouped
from dashboards.text import counted, joined, kind_of

__all__ = ["AuditRow", "CutOff", "SeedSpread", "Trust", "Warned", "trust_section"]


@dataclass(frozen=True)
class Warned:
    """A warning and where it applies: corpora, protocols, models; empty if it applies to the whole study."""

    text: str
    where: tuple[str, ...]


@dataclass(frozen=True)
class CutOff:
    """How many of a model's trials had their best epoch at the last one allowed."""

    corpus: str
    protocol: str
    model: str
    trials: int
    count: int


@dataclass(frozen=True)
class SeedSpread:
    """A difference of two models, and how much training seeds move their scores, nats per sequence.

    Attributes:
        place: short name of corpus, protocol, split and measure.
        std: the larger seed std of the two models; None if one is unknown.
        ratio: size of the difference divided by `std`; None if there is no `std`.
    """

    place: str
    difference: PairedDifference
    std: float | None
    ratio: float | None


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


@dataclass(frozen=True)
class Trust:
    """The section's content. Each `*_sentence` is the conclusion of its part.

    Attributes:
        warnings: one tuple per kind of warning.
        missing: number of the suite's trials that have no result and did not fail.
        leaks: the leak check of each corpus and protocol.
    """

    sentence: str
    warnings: tuple[tuple[Warned, ...], ...]
    notes: tuple[str, ...]
    runs_sentence: str
    diverged: tuple[Divergence, ...]
    failed: Mapping[str, str]
    missing: int
    cut_off: tuple[CutOff, ...]
    seeds_sentence: str
    spreads: tuple[SeedSpread, ...]
    error_sentence: str
    audits: tuple[AuditRow, ...]
    audits_sentence: str
    leaks: Mapping[str, LeakCheck]
    leaks_sentence: str
    bounds: tuple[Bounds, ...]


def trust_section(study: StudyData, colours: Mapping[str, str]) -> Trust:
    """Build the section."""
    comparison, groups = study.comparison, group_rows(study.comparison.rows)
    places = place_names([*(g.place for g in groups), *(d.key for d in comparison.differences)])
    codecs = {row.model for row in comparison.rows if row.estimator == "code"}
    trained = [trial for trial in study.trials if trial.model not in codecs]
    warnings = _grouped_warnings(comparison.warnings)
    ended = grouped((trial for trial in trained if not trial.diverged), lambda trial: trial.record.place)
    cut_off = tuple(
        CutOff(*place, len(members), sum(trial.outcome.cut_off is True for trial in members))
        for place, members in ended.items()
    )
    without_result = set(study.description.keys) - {trial.record.key for trial in study.trials}
    # A failed trial has no result either; it is counted once, as failed.
    missing = max(0, len(without_result) - len(comparison.failed))
    spreads = tuple(_seed_spread(places[d.key], d) for d in comparison.differences)
    rows = [(places[g.place], row) for g in groups for row in g.rows if row.estimator != "code"]
    by_model = grouped(trained, lambda trial: trial.record.place)
    audits, leaks = tuple(_audit_row(*group) for group in by_model.items()), study.description.leaks
    return Trust(
        sentence=_lead(comparison, warnings, missing, cut_off),
        warnings=warnings,
        notes=comparison.notes,
        runs_sentence=_runs_sentence(study, missing, cut_off),
        diverged=comparison.diverged,
        failed=comparison.failed,
        missing=missing,
        cut_off=cut_off,
        seeds_sentence=_seeds_sentence([row for _, row in rows], spreads),
        spreads=spreads,
        error_sentence=_error_sentence(rows),
        audits=audits,
        audits_sentence=_audits_sentence(audits),
        leaks=leaks,
        leaks_sentence=_leaks_sentence(leaks),
        bounds=find_bounds(groups, colours),
    )


def _lead(comparison: Comparison, warnings: Sequence[Sequence[Warned]], missing: int, cut_off: Sequence[CutOff]) -> str:
    texts, kinds = sum(map(len, warnings)), len(warnings)
    of_kinds = f" of {counted(kinds, 'kind')}" if kinds < texts else ""
    counts = {"diverged run": len(comparison.diverged), "failed run": len(comparison.failed), "missing run": missing}
    found = [counted(texts, "warning") + of_kinds] if texts else []
    found += [counted(count, noun) for noun, count in counts.items() if count]
    sentences = [f"Problems found: {joined(found)}."] if found else []
    if cut := sum(part.count for part in cut_off):
        sentences.append(f"{counted(cut, 'run')} {'was' if cut == 1 else 'were'} still improving at the last epoch.")
    return " ".join(sentences) or "No warnings. No run was lost or stopped while still improving."


def _grouped_warnings(warnings: Sequence[str]) -> tuple[tuple[Warned, ...], ...]:
    """Merge equal warnings and group them by kind. A warning may begin with where it applies: "corpus/protocol: "."""
    merged: dict[str, list[str]] = {}
    for warning in dict.fromkeys(warnings):
        where, colon, text = warning.partition(": ")
        # A warning of the whole study may contain a colon too, but no slash before it.
        has_place = bool(colon) and "/" in where
        merged.setdefault(text if has_place else warning, []).extend([where] if has_place else [])
    kinds: dict[str, list[Warned]] = {}
    for text, places in merged.items():
        kinds.setdefault(kind_of(text), []).append(Warned(text, tuple(places)))
    return tuple(map(tuple, kinds.values()))


def _runs_sentence(study: StudyData, missing: int, cut_off: Sequence[CutOff]) -> str:
    finished = sum(not trial.diverged for trial in study.trials)
    text = f"{counted(finished, 'run')} finished, {len(study.comparison.diverged)} diverged"
    text += f", {len(study.comparison.failed)} failed" if study.comparison.failed else ""
    text += f", {missing} missing" if missing else ""
    trained, cut = sum(part.trials for part in cut_off), sum(part.count for part in cut_off)
    return f"{text}. {cut} of {trained} {'was' if cut == 1 else 'were'} still improving at the last allowed epoch."


def _seed_spread(place: str, difference: PairedDifference) -> SeedSpread:
    stds = [side.seed_std for side in (difference.first, difference.second) if side.estimator != "code"]
    known = [std for std in stds if std is not None]
    # A codec has no seeds, so only trained models count.
    std = max(known) if known and len(known) == len(stds) else None
    return SeedSpread(place, difference, std, abs(difference.nats_per_sequence.difference) / std if std else None)


def _seeds_sentence(rows: Sequence[ComparisonRow], spreads: Sequence[SeedSpread]) -> str:
    if not rows:
        return "No trained model was scored."
    fewest, most = min(row.seeds for row in rows), max(row.seeds for row in rows)
    seeds = counted(most, "training seed")
    sentences = [f"Each model has {seeds if fewest == most else f'{fewest} to {seeds}'}."]
    ratios = [spread.ratio for spread in spreads if spread.ratio is not None]
    if ratios:
        beyond, total = sum(ratio > 1 for ratio in ratios), counted(len(ratios), "difference")
        verb = "is" if beyond == 1 else "are"
        sentences.append(f"{beyond} of {total} {verb} larger than the seed std of both models.")
    if unknown := len(spreads) - len(ratios):
        sentences.append(f"The seed std is unknown for {counted(unknown, 'difference')}.")
    return " ".join(sentences)


def _error_sentence(rows: Sequence[tuple[str, ComparisonRow]]) -> str:
    bounds = [(place, row) for place, row in rows if not is_exact(row.estimator)]
    known = [(row.monte_carlo_error, row, place) for place, row in bounds if row.monte_carlo_error is not None]
    if not bounds:
        return "Every score is exact, so there is no Monte Carlo error."
    if not known:
        return f"The Monte Carlo error of {counted(len(bounds), 'bound')} is unknown: each was estimated once."
    error, row, place = max(known, key=lambda found: found[0])
    return (
        f"The Monte Carlo error is known for {len(known)} of {counted(len(bounds), 'bound')}; the largest is "
        f"{error:.2f} nats per sequence ({row.model}, {row.label}, {place})."
    )


def _audit_row(place: tuple[str, str, str], trials: Sequence[Trial]) -> AuditRow:
    """The worst of the seeds of one model: the largest share left out, the largest change."""
    audits = [trial.audit for trial in trials if trial.audit is not None]
    warnings: dict[str, list[str]] = {}
    for audit in audits:
        # A seed counts once for each kind of warning.
        for kind, warning in {kind_of(warning): warning for warning in audit.warnings}.items():
            warnings.setdefault(kind, []).append(warning)

    def silent_nats(audit: Audit) -> float | None:
        shares = [part.share_of_nats for part in audit.parts if part.name != "other"]
        known = [share for share in shares if share is not None]
        return sum(known) if known and len(known) == len(shares) else None

    def worst(value: Callable[[Audit], float | None]) -> float | None:
        found = [known for audit in audits if (known := value(audit)) is not None]
        return max(found, key=abs, default=None)

    return AuditRow(
        *place,
        trials=len(trials),
        audited=len(audits),
        unscored=worst(lambda audit: audit.coverage.share_left_out),
        silent=worst(lambda audit: sum(part.share_of_frames for part in audit.parts if part.name != "other")),
        silent_nats=worst(silent_nats),
        # The first floor is the model's own, the last is half a quantisation step.
        floor_change=worst(lambda audit: audit.floors[-1].change if len(audit.floors) > 1 else None),
        below_zero=worst(lambda audit: audit.below_zero and audit.below_zero.share_of_frames),
        gained=worst(lambda audit: audit.below_zero and audit.below_zero.nats_per_frame),
        not_finite=sum(audit.not_finite for audit in audits) if audits else None,
        warnings=tuple((alike[0], len(alike)) for alike in warnings.values()),
    )


def _audits_sentence(audits: Sequence[AuditRow]) -> str:
    found = [audit for audit in audits if audit.audited]
    if not found:
        return "No trial was audited, so the effect of silence and of the variance floor on the scores is unknown."
    warned = sum(bool(audit.warnings) for audit in found)
    text = f"{warned} of {counted(len(found), 'audited model')} {'has' if warned == 1 else 'have'} warnings"
    missing = sum(audit.trials - audit.audited for audit in audits)
    return f"{text}; {counted(missing, 'run')} had no audit." if missing else f"{text}."


def _leaks_sentence(leaks: Mapping[str, LeakCheck]) -> str:
    if not leaks:
        return "The leak check was not recorded."
    signals = [name for name, leak in leaks.items() if leak.shares("signal", "source")]
    speakers = [name for name, leak in leaks.items() if leak.shares("speaker")]
    selected = [name for name, leak in leaks.items() if leak.reported_that_select]
    unknown = [name for name, leak in leaks.items() if not leak.speakers_known]
    sentences = [
        f"Signals (or their sources) that were both fitted and reported: {joined(signals) if signals else 'none'}.",
        f"Speakers that were both fitted and reported: {joined(speakers) if speakers else 'none'}.",
    ]
    sentences += [f"Speakers unknown, so not checked: {joined(unknown)}."] if unknown else []
    sentences += [f"The reported set also selected the checkpoint: {joined(selected)}."] if selected else []
    return " ".join(sentences)
