"""Running a study: every trial is trained, scored, sampled and recorded once, and then all are compared.

Results go to the study's directory, which decides what is left to do: a study that is run again skips the trials that
are finished there and resumes the others. MLflow gets a copy (`benchmarks.study.mlflow_mirror`).
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from benchmarks.audit.leaks import find_leaks
from benchmarks.errors import FailedError, StoppedError
from benchmarks.schema.comparison import Comparison
from benchmarks.schema.corpus import CorpusDescription, CorpusDescriptions
from benchmarks.schema.leaks import LeakCheck
from benchmarks.schema.study import AppliedProtocol, StudyDescription
from benchmarks.schema.suite import Suite
from benchmarks.store.mlflow_writer import StudyWriter, mlflow_errors_as_unreachable
from benchmarks.store.provenance import code
from benchmarks.store.results import read_study_directory, read_trial, write_file
from benchmarks.study.mlflow_mirror import MlflowMirror
from benchmarks.study.summary import compare_study
from benchmarks.suites.suite import CodecBaseline, Trial, codec_baselines, expand
from benchmarks.trials.codec_baselines import score_codec
from benchmarks.trials.events import Event, Executor, OnEvent, StudyStarted, TrialFailed, TrialSkipped, TrialStarted
from benchmarks.trials.local_executor import run_locally
from benchmarks.trials.ray_executor import run_on_ray_workers
from benchmarks.trials.record import record_of_trial, write_record
from benchmarks.trials.task import TrialTask, task_of
from pipelines.batches.protocol import find_protocol
from pipelines.batches.roles import assign_roles
from pipelines.errors import InputError
from pipelines.runtime.locks import BusyError, lock_directory
from pipelines.runtime.ray_sessions import ray_session
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from pipelines.shards.summary import describe
from vrnn.training.stopping import Stop

__all__ = ["OpenWriter", "run_study", "sync_study"]

OpenWriter = Callable[[str], StudyWriter]
"""Opens the MLflow writer of a study by its name; raises StudyError where the store cannot be reached."""

_log = logging.getLogger(__name__)


def run_study(
    suite: Suite, open_writer: OpenWriter, *, subscribers: Sequence[OnEvent] = (), stop: Stop | None = None
) -> Comparison:
    """Run what is left of a suite's trials and compare all of them.

    Args:
        suite: the study.
        open_writer: opens the MLflow writer; called once the suite has proved valid.
        subscribers: called with each event of the study.
        stop: asks to save the running trials and to end.

    Raises:
        StudyError, InputError, ModelError: the suite or its shards are wrong.
        StoppedError: it was stopped.
        FailedError: every trial failed, or another process runs or sends this study.
    """
    stop = stop or Stop()
    trials, baselines = expand(suite), codec_baselines(suite)
    description, corpora = _describe(suite, trials, baselines), _describe_corpora(suite)
    directory = Location(suite.runs).absolute / suite.study
    with _locked(suite.study, directory), _executor(suite) as (execute, dashboard):
        mirror = MlflowMirror(open_writer(suite.study))
        for file in (description, corpora):
            write_file(directory, file)
        mirror.log_files(description, corpora)
        mirror.send([score_codec(suite, baseline) for baseline in baselines])

        # Shards that are missing or damaged are reported here, not after hours of training.
        shards = {place: ShardSet(Location(place)) for place in {trial.spec.shards for trial in trials}}
        by_name = {trial.name: trial for trial in trials}
        failed: dict[str, str] = {}

        def publish(event: Event) -> None:
            # The record and the failure are noted before a subscriber sees the event: they read them.
            if isinstance(event, TrialStarted):
                trial = by_name[event.task.name]
                write_record(event.task, record_of_trial(suite, trial, event.task, shards[trial.spec.shards]))
            elif isinstance(event, TrialFailed):
                failed[event.task.name] = event.reason
            for subscriber in (mirror, *subscribers):
                subscriber(event)

        publish(StudyStarted(tuple(trial.name for trial in trials), dashboard))
        left: list[TrialTask] = []
        for task in (task_of(suite, trial) for trial in trials):
            done = read_trial(task.directory)
            if done is not None and done.outcome.identity == task.identity:
                publish(TrialSkipped(task))
            else:
                left.append(task)
        try:
            execute(left, publish, stop)
        finally:
            mirror.close()
        if stop():
            raise StoppedError(stop.signal, f"study {suite.study}: stopped")
        study = read_study_directory(directory)
        if not study.trials:
            name, reason = next(iter(failed.items()))
            raise FailedError(f"study {suite.study}: every trial failed; the first failure: {name}: {reason}")
        comparison = compare_study(study).model_copy(update={"failed": failed})
        unsent = mirror.finish((description, corpora), study.trials, comparison)
        comparison = comparison.model_copy(update={"unsent": unsent})
        write_file(directory, comparison)
        return comparison


def sync_study(directory: Location, open_writer: OpenWriter, on_sent: Callable[[str], None]) -> Comparison:
    """Send to MLflow what it lacks of a study on disk.

    Args:
        directory: RUNS/STUDY.
        open_writer: opens the MLflow writer of a study.
        on_sent: called with the name of each trial that was sent.

    Raises:
        StudyError: there is no study in the directory, or the store cannot be reached.
        ResultFileError: a file of the study is damaged or of another version.
        UnreachableError: the store stopped answering.
        FailedError: the study is running.
    """
    study = read_study_directory(directory)
    with _locked(study.name, directory), mlflow_errors_as_unreachable():
        writer = open_writer(study.name)
        for trial in writer.send_study(study, CorpusDescriptions(corpora=dict(study.corpora))):
            on_sent(trial.record.name)
        comparison = compare_study(study)
        writer.finish(comparison)
        write_file(directory, comparison)
        return comparison


def _describe(suite: Suite, trials: Sequence[Trial], baselines: Sequence[CodecBaseline]) -> StudyDescription:
    """The study's own file; the leak check reads the index of each corpus once for each protocol."""
    protocols: dict[str, AppliedProtocol] = {}
    leaks: dict[str, LeakCheck] = {}
    for trial in trials:
        name = f"{trial.corpus.name}/{trial.corpus.protocol}"
        if name not in leaks:
            shards = ShardSet(Location(trial.spec.shards))
            protocol = find_protocol(trial.corpus.protocol, shards.manifest.kind, shards.manifest.corpus)
            leaks[name] = find_leaks(shards, protocol)
            protocols[name] = AppliedProtocol(**protocol.model_dump(), rule=assign_roles(shards, protocol).rule)
    keys: list[str] = []
    for corpus in suite.corpora:
        keys += [baseline.key for baseline in baselines if baseline.corpus is corpus]
        keys += [trial.spec.key for trial in trials if trial.corpus is corpus]
    return StudyDescription(
        code=code(),
        suite=suite,
        protocols=protocols,
        keys=tuple(keys),
        leaks=leaks,
        warnings=tuple(f"{name}: {warning}" for name, found in leaks.items() for warning in found.warnings),
    )


def _describe_corpora(suite: Suite) -> CorpusDescriptions:
    """What each corpus holds; damaged shards are left out here and fail the trials that use them."""
    found: dict[str, CorpusDescription] = {}
    for entry in suite.corpora:
        try:
            found[entry.name] = CorpusDescription.model_validate(describe(ShardSet(Location(entry.shards))))
        except InputError as error:
            _log.warning("%s is left out of %s: %s", entry.name, CorpusDescriptions.file_name, error)
    return CorpusDescriptions(corpora=found)


@contextmanager
def _locked(study: str, directory: Location) -> Iterator[None]:
    """Hold the study's directory: one process at a time runs a study or sends it.

    Raises:
        FailedError: another process holds it.
    """
    try:
        with lock_directory(directory):
            yield
    except BusyError as error:
        raise FailedError(f"study {study} is in use by another process (run or sync): {error}") from error


@contextmanager
def _executor(suite: Suite) -> Iterator[tuple[Executor, str | None]]:
    """The executor of the trials, and the address of Ray's dashboard, if there is one."""
    workers = suite.resources.most_workers
    if suite.concurrent == 1 and not workers and suite.address is None:
        suite.resources.check_gpu_here()
        yield run_locally, None
        return
    cores = math.ceil(suite.concurrent * max(workers, 1) * suite.resources.cpus_per_worker)
    with ray_session(cores, suite.address, gpus=suite.resources.least_gpus) as dashboard:
        yield run_on_ray_workers(suite.concurrent), dashboard
