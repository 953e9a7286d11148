"""The progress of a running study on stderr: bars on a terminal, one line an event elsewhere."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmarks.cli.output import print_message
from benchmarks.trials.events import (
    EpochFinished,
    Event,
    OnEvent,
    ScoringStarted,
    StudyStarted,
    TrialFailed,
    TrialFinished,
    TrialRetried,
    TrialSkipped,
    TrialStarted,
    TrialStopped,
)

__all__ = ["ProgressBars", "ProgressLines", "show_progress"]

_SCORE = "_nats_per_sequence"


def _describe(event: EpochFinished | ScoringStarted | TrialFinished | TrialRetried | TrialFailed | TrialStopped) -> str:
    match event:
        case EpochFinished(_, record):
            text = (
                f"train {record.train_nats_per_frame:.3f}, valid {record.valid_nats_per_frame:.3f} nats per frame, "
                f"{record.frames_per_second:,.0f} frames/s, {record.fraction_of_peak:.0%} of peak"
            )
        case ScoringStarted():
            text = "scoring"
        case TrialFinished(_, outcome) if outcome.diverged_at_step is not None:
            text = f"diverged at step {outcome.diverged_at_step}"
        case TrialFinished(_, outcome):
            scores = {name.removesuffix(_SCORE): v for name, v in outcome.metrics.items() if name.endswith(_SCORE)}
            text = ", ".join(f"{label} {value:.1f}" for label, value in scores.items()) + " nats per sequence"
        case TrialRetried(_, reason):
            text = f"{reason}; resuming from its last checkpoint"
        case TrialFailed(_, reason):
            text = f"failed: {reason}"
        case TrialStopped():
            text = "saved"
    return text


class ProgressLines:
    """Writes one line an event, with the trial's name, since several may run at once."""

    def __init__(self) -> None:
        self._trials: Sequence[str] = ()

    def __call__(self, event: Event) -> None:
        """Write the line of `event`."""
        match event:
            case StudyStarted(trials, dashboard):
                self._trials = trials
                if dashboard is not None:
                    print_message(f"Ray dashboard: {dashboard}")
            case TrialStarted(task):
                print_message(f"{self._number(task.name)} {task.name}")
            case TrialSkipped(task):
                print_message(f"{self._number(task.name)} {task.name}: recorded already")
            case EpochFinished(task, record):
                epoch = f"epoch {record.epoch}/{task.spec.optimisation.max_epochs}"
                print_message(f"    {task.name}: {epoch}: {_describe(event)}")
            case _:
                print_message(f"    {event.task.name}: {_describe(event)}")

    def _number(self, name: str) -> str:
        return f"[{self._trials.index(name) + 1}/{len(self._trials)}]"


class ProgressBars:
    """Draws one bar for the study and one for each running trial; each trial that ended leaves a line above them."""

    def __init__(self, progress: Progress) -> None:
        """Draw on `progress`, whose columns may use the field `status`."""
        self._progress = progress
        self._study: TaskID | None = None
        self._bars: dict[str, TaskID] = {}

    def __call__(self, event: Event) -> None:
        """Update the bars."""
        match event:
            case StudyStarted(trials, dashboard):
                if dashboard is not None:
                    self._progress.console.print(f"Ray dashboard: {dashboard}", highlight=False)
                self._study = self._progress.add_task("trials", total=len(trials), status="")
            case TrialSkipped():
                self._advance()
            case TrialStarted(task):
                # A trial that is retried starts again and keeps its bar.
                if task.name not in self._bars:
                    self._bars[task.name] = self._progress.add_task(task.name, total=None, status="starting")
            case EpochFinished(task, record):
                total = task.spec.optimisation.max_epochs
                self._progress.update(
                    self._bars[task.name], completed=record.epoch, total=total, status=_describe(event)
                )
            case TrialFinished(task) | TrialFailed(task):
                self._progress.remove_task(self._bars.pop(task.name))
                self._advance()
                line = f"{task.name}: {_describe(event)}"
                self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
            case ScoringStarted(task) | TrialRetried(task) | TrialStopped(task):
                self._progress.update(self._bars[task.name], status=_describe(event))

    def _advance(self) -> None:
        if self._study is not None:
            self._progress.advance(self._study)


@contextmanager
def show_progress() -> Iterator[OnEvent]:
    """Within the context, a subscriber that shows a study's events on stderr."""
    if not sys.stderr.isatty():
        yield ProgressLines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[status]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield ProgressBars(progress)
