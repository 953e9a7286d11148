"""Running a study: every trial trained, scored, sampled and recorded, each once, and the table over all of them.

A study that is run again skips the trials whose record is finished and goes on with the others where they stopped.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from benchmarks.comparison import ComparisonRow, Scored, compare_scores, rows_to_json
from benchmarks.scoring import ScoreSummary, bits_scale
from benchmarks.suite import Suite, Trial, expand, references
from benchmarks.tracking import FinishedTrial, StudyRecord, read_study
from benchmarks.trials import git_commit, record_reference, record_trial
from vrnn.training.checkpoints import EpochRecord
from vrnn.training.ray_driver import train_with_ray

__all__ = ["Comparison", "StudyWatcher", "compare_study", "run_study"]


@dataclass(frozen=True)
class Comparison:
    """The result of a study.

    Attributes:
        study: its name.
        rows: of the table.
        diverged: corpus, model, seed and step of each trial that diverged.
        notes: what a reader must know to read the table rightly.
    """

    study: str
    rows: list[ComparisonRow]
    diverged: list[dict[str, Any]]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "study": self.study,
            "rows": rows_to_json(self.rows),
            "diverged": self.diverged,
            "notes": self.notes,
        }


class StudyWatcher:
    """What a running study tells whoever watches it; by default nobody."""

    def trial_started(self, number: int, total: int, name: str) -> None:
        """Trial `number` of `total` starts."""

    def trial_skipped(self, number: int, total: int, name: str) -> None:
        """The record holds this trial already."""

    def epoch_ended(self, name: str, record: EpochRecord, max_epochs: int) -> None:
        """An epoch of the running trial ended."""

    def trial_ended(self, name: str, summaries: dict[str, ScoreSummary]) -> None:
        """The trial is scored and recorded; no summaries if it diverged."""


def run_study(
    suite: Suite,
    open_record: Callable[[str], StudyRecord],
    *,
    workers: int = 0,
    address: str | None = None,
    watcher: StudyWatcher | None = None,
) -> Comparison:
    """Run what is left of a suite's trials and record the comparison.

    Args:
        suite: the study.
        open_record: opens the record of a study by name; called once the suite has proved valid.
        workers: processes a trial; see `train_with_ray`.
        address: of a Ray cluster.
        watcher: is told what happens.

    Raises:
        StudyError, InputError, ModelError, CheckpointError: the suite, its shards or a trial's directory are wrong.
    """
    watcher = watcher or StudyWatcher()
    trials, coders = expand(suite), references(suite)
    git_commit()
    record = open_record(suite.study)
    for reference in coders:
        if not record.is_finished(reference.key):
            record_reference(suite, reference, record)
    for number, trial in enumerate(trials, start=1):
        if record.is_finished(trial.spec.key):
            watcher.trial_skipped(number, len(trials), trial.name)
            continue
        watcher.trial_started(number, len(trials), trial.name)
        fit = partial(train_with_ray, workers=workers, address=address, on_epoch=_epoch_teller(watcher, trial))
        watcher.trial_ended(trial.name, record_trial(suite, trial, record, fit))
    keys = {trial.spec.key for trial in trials} | {reference.key for reference in coders}
    comparison = compare_study(suite.study, keys=keys)
    record.log_comparison(comparison.to_json())
    return comparison


def _epoch_teller(watcher: StudyWatcher, trial: Trial) -> Callable[[EpochRecord], None]:
    return lambda epoch: watcher.epoch_ended(trial.name, epoch, trial.spec.optimisation.max_epochs)


def compare_study(study: str, keys: set[str] | None = None) -> Comparison:
    """The table of a recorded study, computed anew from its per-sequence scores.

    Args:
        study: its name in the store.
        keys: the trials to compare; None for all that finished.

    Raises:
        StudyError: the store has no such study, or nothing of it is finished.
    """
    finished, diverged = read_study(study)
    trials = [_scored(trial) for trial in finished if keys is None or trial.tags["trial_key"] in keys]
    rows = compare_scores(trials)
    fallen = [_fallen(tags) for tags in diverged if keys is None or tags["trial_key"] in keys]
    return Comparison(study, rows, fallen, _notes(rows))


def _fallen(tags: Mapping[str, str]) -> dict[str, Any]:
    whole = {"seed": int(tags["seed"]), "step": int(tags["diverged_at_step"])}
    return {"corpus": tags["corpus"], "model": tags["model"], **whole}


def _scored(trial: FinishedTrial) -> Scored:
    tags = trial.tags
    measure = "mass" if tags.get("measure") == "mass" else "density"
    std = tags.get("sample_std")
    return Scored(
        corpus=tags["corpus"],
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
    )


def _with_errors(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores that were recorded before repetitions were have no Monte Carlo error that is known."""
    return scores if "standard_error" in scores else scores.assign(standard_error=math.nan)


def _notes(rows: list[ComparisonRow]) -> list[str]:
    notes = [
        "Nats per sequence, higher is better. exact is log p(x); elbo is a lower bound; iwae-K and fivo-K are, in "
        "expectation, lower bounds too, tighter with K: compare a bound with an exact value knowing that it can only "
        "be too low.",
        "The interval is a 95 % bootstrap over sequences; the standard deviation is over training seeds; the Monte "
        "Carlo error is a bound's own, from repetitions with other noise.",
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
