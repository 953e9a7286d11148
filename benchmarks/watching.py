"""A running study, told at the terminal."""

from benchmarks.output import say
from benchmarks.scoring import ScoreSummary
from benchmarks.study import StudyWatcher
from vrnn.training.checkpoints import EpochRecord

__all__ = ["TerminalWatcher"]


class TerminalWatcher(StudyWatcher):
    """One line an event, on stderr."""

    def trial_started(self, number: int, total: int, name: str) -> None:
        """Name the trial."""
        say(f"[{number}/{total}] {name}")

    def trial_skipped(self, number: int, total: int, name: str) -> None:
        """Say that there is nothing to do."""
        say(f"[{number}/{total}] {name}: recorded already")

    def epoch_ended(self, name: str, record: EpochRecord, max_epochs: int) -> None:
        """Give the epoch's figures."""
        say(
            f"    epoch {record.epoch}/{max_epochs}: train {record.train_nats_per_frame:.3f}, "
            f"valid {record.valid_nats_per_frame:.3f} nats per frame, {record.frames_per_second:,.0f} frames/s"
        )

    def trial_ended(self, name: str, summaries: dict[str, ScoreSummary]) -> None:
        """Give the scores."""
        if not summaries:
            say(f"    {name}: diverged")
        for label, summary in summaries.items():
            say(f"    {label}: {summary.nats_per_sequence:.1f} nats per sequence")
