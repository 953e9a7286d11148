"""What a study came to: its table, the differences between its models, the published figures beside it, its warnings.

Computed anew from per-sequence scores each time it is asked for, from MLflow or from what is kept on disk.
"""

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

import pandas as pd

from benchmarks.published.comparability import Beside, beside_published
from benchmarks.scoring.score import bits_scale
from benchmarks.statistics.paired_differences import Difference, compare_pairs
from benchmarks.statistics.table import ComparisonRow, Scored, compare_scores, rows_to_json
from benchmarks.store.mlflow_reader import FinishedTrial, RecordedStudy, read_study
from benchmarks.store.mlflow_sync import Kept, cut_off, kept_epochs
from benchmarks.store.mlflow_writer import asking
from benchmarks.trials.trial import AUDIT, SCORES, artifacts_of

__all__ = [
    "STUDY",
    "Comparison",
    "compare_recorded",
    "compare_study",
    "recorded_on_disk",
    "scored_trials",
    "suite_trials",
]

_NUMBER = re.compile(r"-?[0-9][0-9.,e+-]*")
STUDY = "study.json"
"""A study's own file: its suite, the keys of its trials, and what the guards found in its data."""


@dataclass(frozen=True)
class Comparison:
    """The result of a study.

    Attributes:
        study: its name.
        rows: of the table.
        differences: between models, those that the suite claims or all.
        published: figures beside ours, each with a verdict.
        diverged: corpus, model, seed and step of each trial that diverged.
        warnings: of the guards: what a figure may owe to something other than its model.
        notes: what a reader must know to read the table rightly.
        about: the study's own file (`study.json`): its suite, protocols, code, and what the guards found.
        failed: of the trials just run, those that could not be finished, each with the reason in one line.
        unsent: why MLflow was not told all of it; None where it was.
    """

    study: str
    rows: list[ComparisonRow]
    differences: list[Difference]
    published: list[Beside]
    diverged: list[dict[str, Any]]
    warnings: list[str]
    notes: list[str]
    about: Mapping[str, Any] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unsent: str | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "study": self.study,
            "rows": rows_to_json(self.rows),
            "differences": [asdict(row) for row in self.differences],
            "published": [asdict(row) for row in self.published],
            "diverged": self.diverged,
            "warnings": self.warnings,
            "notes": self.notes,
            "failed": self.failed,
            "unsent": self.unsent,
        }


def compare_study(study: str) -> Comparison:
    """The result of a recorded study: of the trials that its suite had when it was last run.

    Raises:
        StudyError: the store does not answer, has no such study, or nothing of it is finished.
    """
    with asking():
        return compare_recorded(study, read_study(study, (STUDY,)))


def recorded_on_disk(kept: Collection[Kept], about: Mapping[str, Any]) -> RecordedStudy:
    """What is kept on disk of a study, in the form in which MLflow gives it.

    Args:
        kept: its results.
        about: its own file.
    """
    trials: list[FinishedTrial] = []
    for result in kept:
        if result.outcome.diverged_at_step is None:
            with artifacts_of(result.directory) as directory:
                tags = dict(result.record.tags)
                if (directory / AUDIT).is_file():
                    tags["audit_warnings"] = json.dumps(json.loads((directory / AUDIT).read_text())["warnings"])
                if result.record.spec is not None:
                    tags["cut_off"] = cut_off(result.record, kept_epochs(directory))
                trials.append(FinishedTrial(tags, pd.read_parquet(directory / SCORES)))
    fallen = [
        result.record.tags | {"diverged_at_step": str(result.outcome.diverged_at_step)}
        for result in kept
        if result.outcome.diverged_at_step is not None
    ]
    return RecordedStudy(trials, fallen, {STUDY: about})


def compare_recorded(study: str, recorded: RecordedStudy) -> Comparison:
    """The result of a study as it is recorded."""
    about = recorded.files.get(STUDY, {})
    places, trials = _places(about), suite_trials(recorded)
    diverged = [tags for tags in recorded.diverged if not places or tags["trial_key"] in places]
    fallen, scored = [_fallen(tags) for tags in diverged], scored_trials(trials)
    rows = compare_scores(scored)
    claims = [(first, second) for first, second in about.get("suite", {}).get("claims", ())]
    warnings = [
        *_missing(len(trials) + len(diverged), len(places)),
        *about.get("warnings", ()),
        *_cut_off(trials),
        *_audit_warnings(trials),
    ]
    differences = compare_pairs(scored, claims)
    published = beside_published(rows)
    return Comparison(study, rows, differences, published, fallen, warnings, _notes(rows), about)


def suite_trials(recorded: RecordedStudy) -> list[FinishedTrial]:
    """The finished trials of the study's suite as it was last run, in its order; all where that is not known."""
    places = _places(recorded.files.get(STUDY, {}))
    if not places:
        return list(recorded.trials)
    kept = (trial for trial in recorded.trials if trial.tags["trial_key"] in places)
    return sorted(kept, key=lambda trial: places[trial.tags["trial_key"]])


def _places(about: Mapping[str, Any]) -> dict[str, int]:
    """The place of each trial in its suite, by key."""
    return {key: place for place, key in enumerate(about.get("keys", ()))}


def _fallen(tags: Mapping[str, str]) -> dict[str, Any]:
    whole = {"seed": int(tags["seed"]), "step": int(tags["diverged_at_step"])}
    return {"corpus": tags["corpus"], "model": tags["model"], **whole}


def _missing(ended: int, expected: int) -> list[str]:
    if ended >= expected:
        return []
    return [
        f"{expected - ended} of {expected} trials of the suite are not finished: table, tests and their correction are "
        "of the others alone, and to look before the end is one more comparison"
    ]


def _cut_off(trials: Sequence[FinishedTrial]) -> list[str]:
    """Of each corpus, the trials whose last epoch was their best, though no more were allowed: they might go on."""
    found: dict[str, list[FinishedTrial]] = {}
    for trial in trials:
        if "parameters" in trial.tags:
            found.setdefault(f"{trial.tags['corpus']}/{trial.tags['protocol']}", []).append(trial)
    cut = {name: sum(t.tags.get("cut_off") == "yes" for t in members) for name, members in found.items()}
    return [
        f"{name}: {count} of {len(found[name])} trials were still getting better when max_epochs ended them: an order "
        "may be one of speed; raise max_epochs"
        for name, count in cut.items()
        if count
    ]


def _audit_warnings(trials: Sequence[FinishedTrial]) -> list[str]:
    """The audits' warnings: each kind once for all seeds of a model, as the first of them has it, and how many do."""
    found: dict[str, list[list[str]]] = {}
    for trial in trials:
        tags = trial.tags
        name = f"{tags['corpus']}/{tags['protocol']}/{tags['model']}"
        found.setdefault(name, []).append(json.loads(tags.get("audit_warnings", "[]")))
    told: list[str] = []
    for name, seeds in found.items():
        kinds: dict[str, list[str]] = {}
        for warning in chain.from_iterable(seeds):
            kinds.setdefault(_NUMBER.sub("", warning), []).append(warning)
        for warned in kinds.values():
            others = " (figures of the first)" if len(set(warned)) > 1 else ""
            told.append(f"{name}, {len(warned)} of {len(seeds)} seeds: {warned[0]}{others}")
    return told


def scored_trials(trials: Sequence[FinishedTrial]) -> list[Scored]:
    """Finished trials as the comparison takes them."""
    return [_scored(trial) for trial in trials]


def _scored(trial: FinishedTrial) -> Scored:
    tags = trial.tags
    measure = "mass" if tags.get("measure") == "mass" else "density"
    std = tags.get("sample_std")
    return Scored(
        corpus=tags["corpus"],
        dataset=tags.get("dataset", ""),
        kind=tags["kind"],
        protocol=tags["protocol"],
        model=tags["model"],
        seed=int(tags["seed"]),
        fingerprint=tags["fingerprint"],
        scores=_with_errors(trial.scores),
        bits_scale=bits_scale(int(tags["frame_size"]), float(std), measure) if std else None,
        measure=measure,
        parameters=int(tags["parameters"]) if "parameters" in tags else None,
        sigma_floor=float(tags["sigma_floor"]) if "sigma_floor" in tags else None,
        training_sequences=int(tags["training_sequences"]) if "training_sequences" in tags else None,
    )


def _with_errors(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores that were recorded before repetitions were have no Monte Carlo error that is known."""
    return scores if "standard_error" in scores else scores.assign(standard_error=math.nan)


def _notes(rows: list[ComparisonRow]) -> list[str]:
    notes = [
        "Nats per sequence, higher is better. exact is log p(x); elbo is a lower bound; iwae-K and fivo-K are, in "
        "expectation, lower bounds too, tighter with K: compare a bound with an exact value knowing that it can only "
        "be too low.",
        "The interval of a single figure is a 95 % bootstrap over sequences; the standard deviation is over training "
        "seeds; the Monte Carlo error is a bound's own, from repetitions with other noise.",
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
        notes.append("code is a lossless coder's code length on the same samples, as a log-probability.")
    if floors := sorted({row.sigma_floor for row in rows if row.sigma_floor is not None}):
        stated = ", ".join(f"{floor:g}" for floor in floors)
        notes.append(f"Floor under every standard deviation, in units of the normalised frame: {stated}.")
    if any(row.seeds == 1 and row.estimator != "code" for row in rows):
        notes.append("One seed: how much a repetition of the training would move a figure is not known.")
    return notes
