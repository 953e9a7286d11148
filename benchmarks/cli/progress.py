"""A running study, told at the terminal: as bars where somebody watches, as lines where stderr goes to a file."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmarks.cli.output import say
from benchmarks.study.run import StudyWatcher
from benchmarks.trials.trial import Outcome
from vrnn.training.checkpoints import EpochRecord

__all__ = ["BarWatcher", "LineWatcher", "watching"]

_SCORE = "_nats_per_sequence"


def _epoch(record: EpochRecord) -> str:
    return (
        f"train {record.train_nats_per_frame:.3f}, valid {record.valid_nats_per_frame:.3f} nats per frame, "
        f"{record.frames_per_second:,.0f} frames/s, {record.fraction_of_peak:.0%} of peak"
    )


def _end(outcome: Outcome) -> str:
    if outcome.diverged_at_step is not None:
        return f"diverged at step {outcome.diverged_at_step}"
    scores = {name.removesuffix(_SCORE): value for name, value in outcome.metrics.items() if name.endswith(_SCORE)}
    return ", ".join(f"{label} {value:.1f}" for label, value in scores.items()) + " nats per sequence"


class LineWatcher(StudyWatcher):
    """One line an event, on stderr, with the trial's name: several may run at once."""

    def dashboard_opened(self, url: str) -> None:
        """Give its address."""
        say(f"Ray dashboard: {url}")

    def trial_started(self, number: int, total: int, name: str) -> None:
        """Name the trial."""
        say(f"[{number}/{total}] {name}")

    def trial_skipped(self, number: int, total: int, name: str) -> None:
        """Say that there is nothing to do."""
        say(f"[{number}/{total}] {name}: recorded already")

    def epoch_ended(self, name: str, record: EpochRecord, max_epochs: int) -> None:
        """Give the epoch's figures."""
        say(f"    {name}: epoch {record.epoch}/{max_epochs}: {_epoch(record)}")

    def trial_scoring(self, name: str) -> None:
        """Say why nothing else is heard for a while."""
        say(f"    {name}: scoring")

    def trial_retried(self, name: str, reason: str) -> None:
        """Give the reason."""
        say(f"    {name}: {reason}; going on from its last checkpoint")

    def trial_ended(self, name: str, outcome: Outcome) -> None:
        """Give the scores."""
        say(f"    {name}: {_end(outcome)}")

    def trial_failed(self, name: str, reason: str) -> None:
        """Give the reason."""
        say(f"    {name}: failed: {reason}")

    def trial_stopped(self, name: str) -> None:
        """Say that nothing is lost."""
        say(f"    {name}: saved")


class BarWatcher(StudyWatcher):
    """One bar for the study and one for each running trial; what has ended stands above them, a line each."""

    def __init__(self, progress: Progress) -> None:
        """Draw on `progress`."""
        self._progress = progress
        self._study: TaskID | None = None
        self._bars: dict[str, TaskID] = {}

    def dashboard_opened(self, url: str) -> None:
        """Give its address."""
        self._progress.console.print(f"Ray dashboard: {url}", highlight=False)

    def _begin(self, total: int) -> TaskID:
        if self._study is None:
            self._study = self._progress.add_task("trials", total=total, told="")
        return self._study

    def _over(self, name: str, told: str) -> None:
        if name in self._bars:
            self._progress.remove_task(self._bars.pop(name))
        if self._study is not None:
            self._progress.advance(self._study)
        self._progress.console.print(f"{name}: {told}", markup=False, highlight=False, soft_wrap=True)

    def trial_started(self, number: int, total: int, name: str) -> None:
        """Add a bar."""
        self._begin(total)
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=None, told="starting")

    def trial_skipped(self, number: int, total: int, name: str) -> None:
        """Count it."""
        self._progress.advance(self._begin(total))

    def epoch_ended(self, name: str, record: EpochRecord, max_epochs: int) -> None:
        """Move the bar."""
        self._progress.update(self._bars[name], completed=record.epoch, total=max_epochs, told=_epoch(record))

    def trial_scoring(self, name: str) -> None:
        """Say so on the bar."""
        self._progress.update(self._bars[name], told="scoring")

    def trial_retried(self, name: str, reason: str) -> None:
        """Say so on the bar."""
        self._progress.update(self._bars[name], told=f"{reason}; going on from its last checkpoint")

    def trial_ended(self, name: str, outcome: Outcome) -> None:
        """Give the scores in place of the bar."""
        self._over(name, _end(outcome))

    def trial_failed(self, name: str, reason: str) -> None:
        """Give the reason in place of the bar."""
        self._over(name, f"failed: {reason}")

    def trial_stopped(self, name: str) -> None:
        """Say so on the bar."""
        self._progress.update(self._bars[name], told="saved")


@contextmanager
def watching() -> Iterator[StudyWatcher]:
    """Whoever tells the terminal, while the study runs."""
    if not sys.stderr.isatty():
        yield LineWatcher()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[told]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield BarWatcher(progress)
