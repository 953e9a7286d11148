"""Running a study: every trial trained, scored, sampled and recorded, each once, and the table over all of them.

A study that is run again skips the trials whose record is finished and goes on with the others where they stopped.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from benchmarks.comparison import ComparisonRow, Scored, compare_scores, rows_to_json
from benchmarks.errors import FailedError, StoppedError
from benchmarks.events import Begun, Done, Epoch, Event, Failed, Retried, Runner, Scoring, Stopped
from benchmarks.here import run_here
from benchmarks.recording import TrialRuns, git_commit, record_reference
from benchmarks.scoring import bits_scale
from benchmarks.slots import run_on_slots
from benchmarks.suite import Suite, Trial, expand, references
from benchmarks.tracking import FinishedTrial, StudyRecord, answering, read_study
from benchmarks.work import Outcome
from pipelines.cluster import ray_session
from pipelines.exclusive import BusyError, exclusive
from pipelines.storage import Location
from vrnn.training.checkpoints import EpochRecord
from vrnn.training.stopping import Stop

__all__ = ["Comparison", "StudyWatcher", "compare_study", "run_study"]


@dataclass(frozen=True)
class Comparison:
    """The result of a study.

    Attributes:
        study: its name.
        rows: of the table.
        diverged: corpus, model, seed and step of each trial that diverged.
        failed: of the trials just run, those that could not be finished, each with the reason in one line.
        notes: what a reader must know to read the table rightly.
    """

    study: str
    rows: list[ComparisonRow]
    diverged: list[dict[str, Any]]
    notes: list[str]
    failed: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "study": self.study,
            "rows": rows_to_json(self.rows),
            "diverged": self.diverged,
            "notes": self.notes,
            "failed": self.failed,
        }


class StudyWatcher:
    """What a running study tells whoever watches it; by default nobody."""

    def dashboard_opened(self, url: str) -> None:
        """The cluster that the trials run on shows itself at `url`."""

    def trial_started(self, number: int, total: int, name: str) -> None:
        """Trial `number` of `total` starts, or goes on where it was stopped."""

    def trial_skipped(self, number: int, total: int, name: str) -> None:
        """The record holds this trial already."""

    def epoch_ended(self, name: str, record: EpochRecord, max_epochs: int) -> None:
        """An epoch of a running trial ended."""

    def trial_scoring(self, name: str) -> None:
        """The trial's model is fitted and is being scored."""

    def trial_retried(self, name: str, reason: str) -> None:
        """The trial was cut short, and is taken up again."""

    def trial_ended(self, name: str, outcome: Outcome) -> None:
        """The trial is scored and recorded, or diverged."""

    def trial_failed(self, name: str, reason: str) -> None:
        """The trial cannot be finished; the others go on."""

    def trial_stopped(self, name: str) -> None:
        """The trial was stopped, and is saved."""


def run_study(
    suite: Suite,
    open_record: Callable[[str], StudyRecord],
    *,
    watcher: StudyWatcher | None = None,
    stop: Stop | None = None,
) -> Comparison:
    """Run what is left of a suite's trials and record the comparison.

    Args:
        suite: the study.
        open_record: opens the record of a study by name; called once the suite has proved valid.
        watcher: is told what happens.
        stop: asks to save what is running and to end.

    Raises:
        StudyError, InputError, ModelError: the suite or its shards are wrong.
        StoppedError: it was stopped.
        FailedError: no trial was finished, MLflow ceased to answer, or this study is being run already.
    """
    watcher, stop = watcher or StudyWatcher(), stop or Stop()
    trials, coders = expand(suite), references(suite)
    git_commit()
    with answering(), _alone(suite), _runner(suite) as (run, dashboard):
        record = open_record(suite.study)
        if dashboard is not None:
            record.tag_study("ray_dashboard", dashboard)
            watcher.dashboard_opened(dashboard)
        for reference in coders:
            if not record.is_finished(reference.key):
                record_reference(suite, reference, record)
        failed = _run_trials(suite, trials, record, run, watcher, stop)
    if stop():
        raise StoppedError(stop.signal, f"study {suite.study}: stopped")
    keys = {trial.spec.key for trial in trials} | {reference.key for reference in coders}
    if len(failed) == len(keys):
        raise FailedError(f"study {suite.study}: no trial was finished, {_told(failed)}")
    comparison = replace(compare_study(suite.study, keys=keys), failed=failed)
    record.log_comparison(comparison.to_json())
    return comparison


def _told(failed: Mapping[str, str]) -> str:
    name, reason = next(iter(failed.items()))
    return f"the first of them {name}: {reason}"


@contextmanager
def _alone(suite: Suite) -> Iterator[None]:
    """Be the only one to run this study.

    Raises:
        FailedError: somebody else is.
    """
    try:
        with exclusive(Location(suite.runs) / suite.study):
            yield
    except BusyError as error:
        raise FailedError(f"study {suite.study} is being run already: {error}") from error


@contextmanager
def _runner(suite: Suite) -> Iterator[tuple[Runner, str | None]]:
    """What does the trials, this process or as many others as are asked for, and where Ray's dashboard is, if any."""
    workers = suite.resources.most_workers
    if suite.concurrent == 1 and not workers and suite.address is None:
        suite.resources.demand_here()
        yield run_here, None
        return
    cores = math.ceil(suite.concurrent * max(workers, 1) * suite.resources.cpus_per_worker)
    with ray_session(cores, suite.address, gpus=suite.resources.least_gpus) as dashboard:
        yield run_on_slots(suite.concurrent), dashboard


def _run_trials(
    suite: Suite, trials: Sequence[Trial], record: StudyRecord, run: Runner, watcher: StudyWatcher, stop: Stop
) -> dict[str, str]:
    """Run the trials that the record does not hold; the reason of each that failed, by name."""
    numbers = {trial.name: number for number, trial in enumerate(trials, start=1)}
    left: list[Trial] = []
    for trial in trials:
        if record.is_finished(trial.spec.key):
            watcher.trial_skipped(numbers[trial.name], len(trials), trial.name)
        else:
            left.append(trial)
    with TrialRuns(suite, left, record) as runs:

        def hear(event: Event) -> None:
            runs.hear(event)
            _pass_on(event, numbers, watcher)

        run([runs.work_of(trial) for trial in left], hear, stop)
    return runs.failed


def _pass_on(event: Event, numbers: Mapping[str, int], watcher: StudyWatcher) -> None:
    name = event.work.name
    match event:
        case Begun():
            watcher.trial_started(numbers[name], len(numbers), name)
        case Epoch(work, record):
            watcher.epoch_ended(name, record, work.spec.optimisation.max_epochs)
        case Scoring():
            watcher.trial_scoring(name)
        case Done(_, outcome):
            watcher.trial_ended(name, outcome)
        case Retried(_, reason):
            watcher.trial_retried(name, reason)
        case Failed(_, reason):
            watcher.trial_failed(name, reason)
        case Stopped():
            watcher.trial_stopped(name)


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
        dataset=tags["dataset"],
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
