"""Running a study: every trial trained, scored, sampled and recorded, each once, and the table over all of them.

A study that is run again skips the trials whose record is finished and goes on with the others where they stopped.
"""

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks.audit.leaks import Leaks, find_leaks
from benchmarks.errors import FailedError, StoppedError, StudyError, UnreachableError
from benchmarks.store.mlflow_reader import read_study
from benchmarks.store.mlflow_runs import Line, TrialRuns, work_of
from benchmarks.store.mlflow_sync import Kept, kept_results, send
from benchmarks.store.mlflow_writer import StudyRecord, answering
from benchmarks.store.provenance import code
from benchmarks.study.summary import STUDY, Comparison, compare_recorded, recorded_on_disk
from benchmarks.suites.suite import Reference, Suite, Trial, expand, references
from benchmarks.trials.codec_baselines import perform_reference
from benchmarks.trials.events import Begun, Done, Epoch, Event, Failed, Retried, Runner, Scoring, Stopped
from benchmarks.trials.local_executor import run_here
from benchmarks.trials.ray_executor import run_on_slots
from benchmarks.trials.trial import Outcome
from pipelines.batches.protocol import find_protocol
from pipelines.batches.roles import assign_roles
from pipelines.errors import InputError
from pipelines.runtime.locks import BusyError, exclusive
from pipelines.runtime.ray_sessions import ray_session
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from pipelines.shards.summary import describe
from vrnn.training.checkpoints import EpochRecord
from vrnn.training.stopping import Stop

__all__ = ["CORPORA", "StudyWatcher", "run_study", "sync_study"]

_log = logging.getLogger(__name__)

CORPORA = "corpora.json"
"""A study's own file on its data: what each of its corpora holds, as `pipelines.shards.summary.describe` says it."""


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
        FailedError: no trial was finished, or this study is being run already.
    """
    watcher, stop = watcher or StudyWatcher(), stop or Stop()
    trials, coders = expand(suite), references(suite)
    about = _about(suite, trials, coders)
    directory, line = Location(suite.runs).absolute / suite.study, Line()
    with _alone(suite.study, directory), _runner(suite) as (run, dashboard):
        record = open_record(suite.study)
        files = {STUDY: about, CORPORA: _corpora(suite)}
        for name, content in files.items():
            (directory / name).write_bytes(json.dumps(content, indent=1).encode())
        line.tell(lambda: record.log_study_files(files))
        if dashboard is not None:
            line.tell(lambda: record.tag_study("ray_dashboard", dashboard))
            watcher.dashboard_opened(dashboard)
        for reference in coders:
            kept = perform_reference(suite, reference)
            line.tell(partial(_send_all, record, [kept]))
        failed = _run_trials(suite, trials, record, line, run, watcher, stop)
        if stop():
            raise StoppedError(stop.signal, f"study {suite.study}: stopped")
        if len(failed) == len(about["keys"]):
            raise FailedError(f"study {suite.study}: no trial was finished, {_told(failed)}")
        return replace(_settle(suite.study, directory, files, record, line), failed=failed)


def _about(suite: Suite, trials: Sequence[Trial], coders: Sequence[Reference]) -> dict[str, Any]:
    """What the study's own file says: see `benchmarks.study.summary.STUDY`."""
    protocols: dict[str, Any] = {}
    leaks: dict[str, Leaks] = {}
    for trial in trials:
        name = f"{trial.corpus.name}/{trial.corpus.protocol}"
        if name not in leaks:
            shards = ShardSet(Location(trial.spec.shards))
            protocol = find_protocol(trial.corpus.protocol, shards.manifest.kind, shards.manifest.corpus)
            leaks[name] = find_leaks(shards, protocol)
            protocols[name] = protocol.model_dump(mode="json") | {"rule": assign_roles(shards, protocol).rule}
    return {
        "code": code().model_dump(),
        "suite": suite.model_dump(mode="json"),
        "protocols": protocols,
        "keys": _keys(suite, trials, coders),
        "leaks": {name: found.to_json() for name, found in leaks.items()},
        "warnings": [f"{name}: {warning}" for name, found in leaks.items() for warning in found.warnings],
    }


def _corpora(suite: Suite) -> dict[str, Any]:
    """What each corpus's shards hold, by the corpus's name in the suite; damaged ones fail where they are used."""
    found: dict[str, Any] = {}
    for entry in suite.corpora:
        try:
            found[entry.name] = describe(ShardSet(Location(entry.shards)))
        except InputError as error:
            _log.warning("%s is left out of %s: %s", entry.name, CORPORA, error)
    return found


def _keys(suite: Suite, trials: Sequence[Trial], coders: Sequence[Reference]) -> list[str]:
    """The keys of all that a study scores, in the order of its table: corpus by corpus, untrained first."""
    keys: list[str] = []
    for corpus in suite.corpora:
        keys += [reference.key for reference in coders if reference.corpus is corpus]
        keys += [trial.spec.key for trial in trials if trial.corpus is corpus]
    return keys


def _send_all(record: StudyRecord, results: Sequence[Kept]) -> None:
    for _ in send(record, results):
        pass


def _settle(study: str, directory: Location, files: Mapping[str, Any], record: StudyRecord, line: Line) -> Comparison:
    """Send what MLflow lacks, once more where it ceased to answer, and the comparison; or compare what is on disk."""
    about = files[STUDY]
    try:
        with answering():
            if line.dead is not None:
                record.log_study_files(files)
                _send_all(record, kept_results(directory, set(about["keys"])))
            return _concluded(study, record)
    except UnreachableError as error:
        kept = kept_results(directory, set(about["keys"]))
        return replace(compare_recorded(study, recorded_on_disk(kept, about)), unsent=str(error))


def sync_study(
    directory: Location, open_record: Callable[[str], StudyRecord], sent: Callable[[str], None]
) -> Comparison:
    """Send what MLflow lacks of a study that was run.

    Args:
        directory: of the study, below what the suite calls `runs`.
        open_record: opens the record of a study by name.
        sent: is told the name of each trial that was sent.

    Raises:
        StudyError: there is no study in the directory, or the store cannot be reached.
        UnreachableError: it ceased to answer.
        FailedError: the study is being run.
    """
    files = _kept_files(directory)
    study = files[STUDY]["suite"]["study"]
    with _alone(study, directory), answering():
        record = open_record(study)
        record.log_study_files(files)
        for kept in send(record, kept_results(directory)):
            sent(kept.record.name)
        return _concluded(study, record)


def _concluded(study: str, record: StudyRecord) -> Comparison:
    """The comparison of what MLflow holds, and MLflow told of it."""
    comparison = compare_recorded(study, read_study(study, (STUDY,)))
    record.log_comparison(comparison.to_json())
    return comparison


def _kept_files(directory: Location) -> dict[str, Any]:
    """The study's own files; one that was run before `CORPORA` was kept has none."""
    if not (directory / STUDY).is_file():
        raise StudyError(f"{directory}: no study was run there ({STUDY} is missing); give RUNS/STUDY of its suite")
    places = {name: directory / name for name in (STUDY, CORPORA)}
    return {name: json.loads(place.read_bytes()) for name, place in places.items() if place.is_file()}


def _told(failed: Mapping[str, str]) -> str:
    name, reason = next(iter(failed.items()))
    return f"the first of them {name}: {reason}"


@contextmanager
def _alone(study: str, directory: Location) -> Iterator[None]:
    """Be the only one to run this study, or to send it.

    Raises:
        FailedError: somebody else is.
    """
    try:
        with exclusive(directory):
            yield
    except BusyError as error:
        raise FailedError(f"study {study} is being run already: {error}") from error


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
    suite: Suite,
    trials: Sequence[Trial],
    record: StudyRecord,
    line: Line,
    run: Runner,
    watcher: StudyWatcher,
    stop: Stop,
) -> dict[str, str]:
    """Run the trials that the record does not hold; the reason of each that failed, by name."""
    numbers = {trial.name: number for number, trial in enumerate(trials, start=1)}
    left: list[Trial] = []
    for trial in trials:
        asked = partial(record.is_finished, trial.spec.key, work_of(suite, trial).identity)
        if line.ask(asked, otherwise=False):
            watcher.trial_skipped(numbers[trial.name], len(trials), trial.name)
        else:
            left.append(trial)
    with TrialRuns(suite, left, record, line) as runs:

        def hear(event: Event) -> None:
            runs.hear(event)
            _pass_on(event, numbers, watcher)

        run([work_of(suite, trial) for trial in left], hear, stop)
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
