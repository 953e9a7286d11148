"""Is it trustworthy: what the guards found, what was lost, how runs and estimates vary; each with what it comes to.

Nothing bad is left out, and what was not recorded is said to be unknown. Equal warnings of several models or corpora
are written once, with all that they are of, and those that differ by their numbers alone stand together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dashboards.estimators import is_exact
from dashboards.report.audit_summary import Audited, Leak, find_audits, find_leaks
from dashboards.report.bound_curves import Bounds, find_bounds
from dashboards.report.comparison_file import Comparison, Divergence, Row
from dashboards.report.conclusions import group_rows
from dashboards.report.differences_file import Difference
from dashboards.report.results_section import place_names
from dashboards.report.study_record import Study, Trial
from dashboards.text import counted, joined, kind_of

__all__ = ["CutOff", "Spread", "Trust", "Warned", "find_trust"]


@dataclass(frozen=True)
class Warned:
    """A warning, and what it is of: corpora, protocols, models; empty where it is of the study."""

    text: str
    of: tuple[str, ...]


@dataclass(frozen=True)
class CutOff:
    """A model's trials whose last allowed epoch was their best; `known` of `trials` have it recorded."""

    corpus: str
    protocol: str
    model: str
    trials: int
    known: int
    count: int


@dataclass(frozen=True)
class Spread:
    """A difference beside how much training seeds move its two models, nats per sequence.

    Attributes:
        place: corpus, and what else is needed to tell it.
        std: the larger seed std of the two; None where one is not known.
        ratio: size of the difference over `std`; None where there is none.
    """

    place: str
    difference: Difference
    std: float | None
    ratio: float | None


@dataclass(frozen=True)
class Trust:
    """The section. Every `*_sentence` is the conclusion of its part; `warnings` has a tuple for each kind of them."""

    sentence: str
    warnings: tuple[tuple[Warned, ...], ...]
    notes: tuple[str, ...]
    runs_sentence: str
    diverged: tuple[Divergence, ...]
    failed: Mapping[str, str]
    unfinished: tuple[Trial, ...]
    cut_off: tuple[CutOff, ...]
    seeds_sentence: str
    spreads: tuple[Spread, ...]
    rows: tuple[tuple[str, Row], ...]
    error_sentence: str
    audits: tuple[Audited, ...]
    audits_sentence: str
    leaks: tuple[Leak, ...] | None
    leaks_sentence: str
    bounds: tuple[Bounds, ...]


def find_trust(study: Study, colours: Mapping[str, str]) -> Trust:
    """The section's content.

    Args:
        study: as MLflow holds it.
        colours: the colour of each model.

    Raises:
        ReportError: an audit or the leak check is malformed.
    """
    comparison, groups = study.comparison, group_rows(study.comparison.rows)
    places = place_names([*(g.place for g in groups), *(d.key for d in comparison.differences)])
    coders = {row.model for row in comparison.rows if row.estimator == "code"}
    trained = [trial for trial in study.trials if trial.model not in coders]
    warnings, cut = _warned(comparison.warnings), tuple(_cut_off(trained))
    unfinished = tuple(t for t in study.trials if t.status != "FINISHED" and t.diverged_at_step is None)
    spreads = tuple(_spread(places[d.key], d) for d in comparison.differences)
    rows = tuple((places[g.place], row) for g in groups for row in g.rows if row.estimator != "code")
    audits, leaks = find_audits(trained), find_leaks(study.about)
    return Trust(
        sentence=_lead(comparison, warnings, unfinished, cut),
        warnings=warnings,
        notes=comparison.notes,
        runs_sentence=_runs_sentence(study, unfinished, cut),
        diverged=comparison.diverged,
        failed=comparison.failed,
        unfinished=unfinished,
        cut_off=cut,
        seeds_sentence=_seeds_sentence([row for _, row in rows], spreads),
        spreads=spreads,
        rows=rows,
        error_sentence=_error_sentence(rows),
        audits=audits,
        audits_sentence=_audits_sentence(audits),
        leaks=leaks,
        leaks_sentence=_leaks_sentence(leaks),
        bounds=find_bounds(groups, colours),
    )


def _lead(
    comparison: Comparison, warnings: Sequence[Sequence[Warned]], unfinished: Sequence[Trial], cut: Sequence[CutOff]
) -> str:
    warned, kinds = sum(map(len, warnings)), len(warnings)
    alike = f" of {counted(kinds, 'kind')}" if kinds < warned else ""
    counts = {
        "diverged run": len(comparison.diverged),
        "failed run": len(comparison.failed),
        "unfinished run": len(unfinished),
    }
    told = [counted(warned, "warning") + alike] if warned else []
    told += [counted(count, noun) for noun, count in counts.items() if count]
    said = [f"Against the figures stand {joined(told)}."] if told else []
    if cut_off := sum(part.count for part in cut):
        said.append(f"{counted(cut_off, 'run')} {'was' if cut_off == 1 else 'were'} cut off while still improving.")
    return " ".join(said) or "No warning, and no run was lost or cut off."


def _warned(warnings: Sequence[str]) -> tuple[tuple[Warned, ...], ...]:
    """Equal warnings as one, and by kind. A guard's warning begins with what it is of, such as "corpus/protocol: "."""
    found: dict[str, list[str]] = {}
    for warning in dict.fromkeys(warnings):
        of, colon, text = warning.partition(": ")
        known = bool(colon) and "/" in of
        found.setdefault(text if known else warning, []).extend([of] if known else [])
    kinds: dict[str, list[Warned]] = {}
    for text, of in found.items():
        kinds.setdefault(kind_of(text), []).append(Warned(text, tuple(of)))
    return tuple(map(tuple, kinds.values()))


def _cut_off(trials: Sequence[Trial]) -> Iterable[CutOff]:
    members: dict[tuple[str, str, str], list[str | None]] = {}
    for trial in trials:
        if trial.diverged_at_step is None and trial.status == "FINISHED":
            members.setdefault((trial.corpus, trial.protocol, trial.model), []).append(trial.tags.get("cut_off"))
    for key, tags in members.items():
        yield CutOff(*key, len(tags), sum(tag is not None for tag in tags), tags.count("yes"))


def _runs_sentence(study: Study, unfinished: Sequence[Trial], cut: Sequence[CutOff]) -> str:
    finished = sum(trial.diverged_at_step is None for trial in study.trials) - len(unfinished)
    text = f"{counted(finished, 'run')} finished, {len(study.comparison.diverged)} diverged"
    text += f", {len(unfinished)} did not finish" if unfinished else ""
    text += f"; {counted(len(study.comparison.failed), 'run')} failed" if study.comparison.failed else ""
    known, count = sum(part.known for part in cut), sum(part.count for part in cut)
    if not known:
        return f"{text}. Whether more epochs would have helped was not recorded."
    return f"{text}. {count} of {known} were still improving when their last allowed epoch ended them."


def _spread(place: str, difference: Difference) -> Spread:
    stds = [side.seed_std for side in (difference.first, difference.second) if side.estimator != "code"]
    known = [std for std in stds if std is not None]
    std = max(known) if known and len(known) == len(stds) else None
    return Spread(place, difference, std, abs(difference.nats_per_sequence.difference) / std if std else None)


def _seeds_sentence(rows: Sequence[Row], spreads: Sequence[Spread]) -> str:
    if not rows:
        return "No trained model was scored."
    fewest, most = min(row.seeds for row in rows), max(row.seeds for row in rows)
    text = f"{fewest if fewest == most else f'{fewest} to {most}'} training {'seed' if most == 1 else 'seeds'} a model."
    known = [spread for spread in spreads if spread.ratio is not None]
    if known:
        beyond = sum((spread.ratio or 0.0) > 1 for spread in known)
        text += (
            f" {beyond} of {counted(len(known), 'difference')} {'is' if beyond == 1 else 'are'} larger than the "
            "larger seed std of the two models."
        )
    if len(known) < len(spreads):
        text += f" Of {len(spreads) - len(known)} the seed std is not known."
    return text


def _error_sentence(rows: Sequence[tuple[str, Row]]) -> str:
    bounds = [(place, row) for place, row in rows if not is_exact(row.estimator)]
    known = [(row.monte_carlo_error, row, place) for place, row in bounds if row.monte_carlo_error is not None]
    if not bounds:
        return "Every figure is exact: there is no Monte Carlo error."
    if not known:
        return f"The Monte Carlo error of {counted(len(bounds), 'bound')} is not known: each was estimated once."
    error, row, place = max(known, key=lambda found: found[0])
    return (
        f"The Monte Carlo error is known of {len(known)} of {counted(len(bounds), 'bound')}; the largest is "
        f"{error:.2f} nats per sequence ({row.model}, {row.label}, {place})."
    )


def _audits_sentence(audits: Sequence[Audited]) -> str:
    found = [audit for audit in audits if audit.audited]
    if not found:
        return "No trial was audited: whether silence or a floor decides a figure is not known."
    warned = sum(bool(audit.warnings) for audit in found)
    text = f"{warned} of {counted(len(found), 'audited model')} {'has' if warned == 1 else 'have'} warnings"
    missing = sum(audit.trials - audit.audited for audit in audits)
    return f"{text}; {counted(missing, 'run')} had no audit." if missing else f"{text}."


def _leaks_sentence(leaks: Sequence[Leak] | None) -> str:
    if leaks is None:
        return "The leak check was not recorded."
    signals = [leak.name for leak in leaks if leak.shares("signal", "source")]
    voices = [leak.name for leak in leaks if leak.shares("speaker")]
    chosen = [leak.name for leak in leaks if leak.reported_that_select]
    unknown = [leak.name for leak in leaks if not leak.speakers_known]
    told = [
        f"Reported signals or their sources were fitted on: {joined(signals) if signals else 'none found'}.",
        f"Reported speakers were fitted on: {joined(voices) if voices else 'none found'}.",
    ]
    told += [f"Speakers are not known, so not checked: {joined(unknown)}."] if unknown else []
    told += [f"The reported set also chose the checkpoint: {joined(chosen)}."] if chosen else []
    return " ".join(told)
