"""What MLflow is told while a study runs, by the one process that hears of all its trials.

Results are on disk before MLflow hears of them. Where it ceases to answer it is told nothing more, the trials go on,
and what it lacks is sent when they are done, or later by `vrnn-bench sync`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from benchmarks.errors import UnreachableError
from benchmarks.store.mlflow_sync import Kept, OpenRun, begin_run, end_run, log_epoch
from benchmarks.store.mlflow_writer import StudyRecord, answering
from benchmarks.store.records import TrialRecord, keep_record, record_of_trial
from benchmarks.suites.suite import Suite, Trial
from benchmarks.trials.events import Begun, Done, Epoch, Event, Failed, Stopped
from benchmarks.trials.trial import Work
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from vrnn.training.checkpointing import Saving

__all__ = ["Line", "TrialRuns", "work_of"]

Answer = TypeVar("Answer")


class Line:
    """The line to MLflow; once it is dead, nothing more is said.

    Attributes:
        dead: why; None while MLflow answers.
    """

    def __init__(self) -> None:
        self.dead: str | None = None

    def ask(self, question: Callable[[], Answer], otherwise: Answer) -> Answer:
        """The answer to a question; `otherwise` where there is none."""
        if self.dead is None:
            try:
                with answering():
                    return question()
            except UnreachableError as error:
                self.dead = str(error)
        return otherwise

    def tell(self, news: Callable[[], None]) -> None:
        """Say something, if anybody listens."""
        self.ask(news, None)


def work_of(suite: Suite, trial: Trial) -> Work:
    """What is to be done for a trial, wherever that is."""
    spec, runs = trial.spec, Location(suite.runs).absolute
    return Work(
        name=trial.name,
        spec=spec.model_copy(update={"shards": Location(spec.shards).absolute.uri}),
        directory=runs / suite.study / f"{trial.name.replace('/', '-')}-{spec.key}",
        scoring=suite.scoring,
        samples=suite.samples,
        resources=suite.resources,
        saving=Saving(suite.save_seconds, suite.keep),
    )


class TrialRuns:
    """The runs in MLflow of the trials that are being run."""

    def __init__(self, suite: Suite, trials: Sequence[Trial], record: StudyRecord, line: Line) -> None:
        """Record `trials` of `suite`; none is begun.

        Raises:
            InputError: shards are missing or damaged: better told before hours of training than after.
        """
        self._suite, self._record, self._line = suite, record, line
        self._shards = {place: ShardSet(Location(place)) for place in {trial.spec.shards for trial in trials}}
        self._trials = {trial.name: trial for trial in trials}
        self._records: dict[str, TrialRecord] = {}
        self._open: dict[str, OpenRun] = {}
        self.failed: dict[str, str] = {}

    def hear(self, event: Event) -> None:
        """Keep what must be kept, and record what happened."""
        name = event.work.name
        if isinstance(event, Begun) and name not in self._records:
            trial = self._trials[name]
            fresh = record_of_trial(self._suite, trial, event.work, self._shards[trial.spec.shards])
            self._records[name] = keep_record(event.work, fresh)
        if isinstance(event, Failed):
            self.failed[name] = event.reason
        self._line.tell(lambda: self._log(event))

    def _log(self, event: Event) -> None:
        name, record = event.work.name, self._record
        match event:
            case Begun() if name not in self._open:
                self._open[name] = begin_run(record, self._records[name])
            case Epoch(_, epoch):
                log_epoch(record, self._open[name], epoch)
            case Done(work, outcome):
                end_run(record, self._open[name], Kept(self._records[name], outcome, work.directory))
                del self._open[name]
            case Failed(_, reason):
                record.fail_trial(self._open.pop(name).run_id, reason)
            case Stopped():
                record.abandon_trial(self._open.pop(name).run_id)

    def __enter__(self) -> "TrialRuns":
        return self

    def __exit__(self, *trouble: object) -> None:
        """Close what is still open: the next run of the study takes it up again."""
        for run in self._open.values():
            self._line.tell(partial(self._record.abandon_trial, run.run_id))
