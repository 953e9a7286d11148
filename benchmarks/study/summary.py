"""What a study concluded: its table, the differences between its models, published numbers, and warnings.

Computed from the scores of single sequences each time it is asked for; where these were read from makes no difference.
"""

import re
from collections.abc import Iterable, Sequence

from benchmarks.published.comparability import compare_with_published
from benchmarks.schema.comparison import CONFIDENCE, Comparison, ComparisonRow, Divergence
from benchmarks.statistics.paired_differences import compare_pairs
from benchmarks.statistics.table import ScoredTrial, compare_scores
from benchmarks.store.results import StoredStudy, StoredTrial

__all__ = ["compare_study", "scored_trials"]

_NUMBER = re.compile(r"-?[0-9][0-9.,e+-]*")


def compare_study(study: StoredStudy) -> Comparison:
    """The result of a study, or of what is finished of it.

    Raises:
        StudyError: the scores of its trials do not fit together.
    """
    description = study.description
    scored = scored_trials(study.trials)
    rows = compare_scores(scored)
    missing = len(description.keys) - len(study.trials)
    warnings = [
        *(
            [
                f"{missing} of {len(description.keys)} trials of the suite are not finished: the table, the tests and "
                "their correction cover the others only, and looking before the end is one more comparison"
            ]
            if missing
            else []
        ),
        *description.warnings,
        *_cut_off_warnings(study.trials),
        *_audit_warnings(study.trials),
    ]
    return Comparison(
        study=study.name,
        rows=tuple(rows),
        differences=tuple(compare_pairs(scored, description.suite.claims)),
        published=tuple(compare_with_published(rows)),
        diverged=tuple(
            Divergence(
                corpus=t.record.corpus, model=t.record.model, seed=t.record.seed, step=t.outcome.diverged_at_step
            )
            for t in study.trials
            if t.outcome.diverged_at_step is not None
        ),
        warnings=tuple(warnings),
        notes=tuple(_notes(rows)),
        description=description,
    )


def scored_trials(trials: Iterable[StoredTrial]) -> list[ScoredTrial]:
    """The trials that have scores, as the statistics take them."""
    return [ScoredTrial.of(trial.record, trial.scores()) for trial in trials if not trial.diverged]


def _cut_off_warnings(trials: Sequence[StoredTrial]) -> list[str]:
    """For each corpus, how many trials had their best epoch last, when `max_epochs` ended them."""
    found: dict[str, list[bool]] = {}
    for trial in trials:
        if trial.outcome.cut_off is not None and not trial.diverged:
            found.setdefault(f"{trial.record.corpus}/{trial.record.protocol}", []).append(trial.outcome.cut_off)
    return [
        f"{name}: {sum(cut_off)} of {len(cut_off)} trials were still improving when max_epochs ended them: an order "
        "may be one of speed; raise max_epochs"
        for name, cut_off in found.items()
        if any(cut_off)
    ]


def _audit_warnings(trials: Sequence[StoredTrial]) -> list[str]:
    """The audits' warnings, each kind once for all seeds of a model.

    Warnings of one kind differ only in their numbers. The first seed's wording stands for all of them.
    """
    by_model: dict[tuple[str, str, str], list[tuple[str, ...]]] = {}
    for trial in trials:
        if not trial.diverged:
            by_model.setdefault(trial.record.place, []).append(trial.outcome.audit_warnings)
    warnings: list[str] = []
    for place, seeds in by_model.items():
        kinds: dict[str, list[str]] = {}
        for warning in (warning for of_seed in seeds for warning in of_seed):
            kinds.setdefault(_NUMBER.sub("", warning), []).append(warning)
        for alike in kinds.values():
            others = " (numbers of the first)" if len(set(alike)) > 1 else ""
            warnings.append(f"{'/'.join(place)}, {len(alike)} of {len(seeds)} seeds: {alike[0]}{others}")
    return warnings


def _notes(rows: Sequence[ComparisonRow]) -> list[str]:
    """What a reader must know to read the table correctly."""
    notes = [
        "Nats per sequence, higher is better. exact is log p(x); elbo is a lower bound; iwae-K and fivo-K are lower "
        "bounds in expectation too, and tighter with K. A bound can only be too low: keep that in mind when you "
        "compare it with an exact value.",
        f"The interval of a value is a {100 * CONFIDENCE:.0f} % bootstrap over sequences; the standard deviation is "
        "over training seeds; the Monte Carlo error is a bound's own, from repetitions with other noise.",
    ]
    if any(row.protocol == "clean" and row.measure == "density" for row in rows):
        notes.append(
            "Protocol clean adds uniform noise of one quantisation step to the integers, so a density is a lower bound "
            "on the log-probability of the recorded integers."
        )
    if len({row.measure for row in rows}) > 1:
        notes.append(
            "Densities of normalised frames and masses (probabilities of the recorded integers) are different "
            "measures: compare them in bits per sample, never in nats."
        )
    if any(row.estimator == "code" for row in rows):
        notes.append("code is the code length of a lossless codec on the same samples, as a log-probability.")
    if floors := sorted({row.sigma_floor for row in rows if row.sigma_floor is not None}):
        stated = ", ".join(f"{floor:g}" for floor in floors)
        notes.append(f"Floor under every standard deviation, in units of the normalised frame: {stated}.")
    if any(row.seeds == 1 and row.estimator != "code" for row in rows):
        notes.append("One seed: how much a value would move if training were repeated is not known.")
    return notes
