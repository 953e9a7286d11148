"""Copies a running study to MLflow: a subscriber of its events.

Results are on disk before MLflow gets them. Once the store stops answering, nothing more is sent while trials run; what
it lacks is sent when they are done, or later by `vrnn-bench sync`. A store that fails while a study runs costs one
time-out and no result.
"""

from collections.abc import Callable, Sequence

from benchmarks.errors import UnreachableError
from benchmarks.schema.base import File
from benchmarks.schema.comparison import Comparison
from benchmarks.store.mlflow_writer import OpenRun, StudyWriter, mlflow_errors_as_unreachable
from benchmarks.store.results import StoredTrial, read_record, read_trial
from benchmarks.trials.events import (
    EpochFinished,
    Event,
    StudyStarted,
    TrialFailed,
    TrialFinished,
    TrialSkipped,
    TrialStarted,
    TrialStopped,
)

__all__ = ["MlflowMirror"]


class MlflowMirror:
    """Copies one running study to MLflow."""

    def __init__(self, writer: StudyWriter) -> None:
        """Send what `writer` can write; nothing is sent yet."""
        self._writer = writer
        self._runs: dict[str, OpenRun] = {}
        self._failure: str | None = None

    def __call__(self, event: Event) -> None:
        """Send what an event brought; a trial's record must be on disk when it starts, and its outcome when it ends."""
        self._try(lambda: self._send(event))

    def log_files(self, *files: File) -> None:
        """Keep files of results on the study's own run."""
        self._try(lambda: self._writer.log_files(*files))

    def send(self, trials: Sequence[StoredTrial]) -> None:
        """Send the trials that MLflow lacks."""
        self._try(lambda: _send_all(self._writer, trials))

    def finish(self, files: Sequence[File], trials: Sequence[StoredTrial], comparison: Comparison) -> str | None:
        """Send the comparison, and all that an earlier failure held back.

        Returns:
            Why MLflow lacks a part of it, in one line; None where it has all.
        """
        held_back, self._failure = self._failure is not None, None
        if held_back:
            self.log_files(*files)
            self.send(trials)
        self._try(lambda: self._writer.finish(comparison))
        return self._failure

    def close(self) -> None:
        """Close the runs that are still open; the next run of the study resumes them."""
        for run in self._runs.values():
            self._try(lambda run=run: self._writer.stop_run(run))

    def _try(self, action: Callable[[], None]) -> None:
        # After one failure every further call would cost its time-out: minutes for each epoch of each trial.
        if self._failure is None:
            try:
                with mlflow_errors_as_unreachable():
                    action()
            except UnreachableError as error:
                self._failure = str(error)

    def _send(self, event: Event) -> None:
        match event:
            case StudyStarted(_, dashboard):
                if dashboard is not None:
                    self._writer.tag_study("ray_dashboard", dashboard)
            case TrialSkipped(task):
                trial = read_trial(task.directory)
                assert trial is not None, "a skipped trial is on disk"
                _send_all(self._writer, [trial])
            case TrialStarted(task):
                # A trial that is retried starts more than once.
                if task.name not in self._runs:
                    record = read_record(task.directory)
                    assert record is not None, "a trial's record is written before it starts"
                    self._runs[task.name] = self._writer.start_run(record)
            case EpochFinished(task, epoch):
                self._writer.log_epoch(self._runs[task.name], epoch)
            case TrialFinished(task, _):
                trial = read_trial(task.directory)
                assert trial is not None, "a finished trial is on disk"
                self._writer.finish_run(self._runs[task.name], trial)
                del self._runs[task.name]
            case TrialFailed(task, reason):
                self._writer.fail_run(self._runs.pop(task.name), reason)
            case TrialStopped(task):
                self._writer.stop_run(self._runs.pop(task.name))
            case _:
                pass


def _send_all(writer: StudyWriter, trials: Sequence[StoredTrial]) -> None:
    for _ in writer.send(trials):
        pass
