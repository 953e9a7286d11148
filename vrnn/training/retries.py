"""What follows the failure of a run: the one policy of local runs, of Ray Train and of both executors of trials.

A run that fails is retried from its last checkpoint, until `max_failures` are exceeded without progress in between.
After running out of memory it is retried with half as many sequences at once; that is not counted as a failure, since
it ends by itself at one sequence. A second failure in a row halves them too: where the kernel kills a process for lack
of memory, nothing says so.
"""

from dataclasses import dataclass

from vrnn.training.resources import Resources

__all__ = ["RetryPolicy"]


@dataclass
class RetryPolicy:
    """Decides whether a run is retried, and with which resources.

    Attributes:
        resources: the resources of the next attempt.
        batch_size: sequences in a global batch.
        failures: failures since the last progress.
    """

    resources: Resources
    batch_size: int
    failures: int = 0

    @property
    def can_use_less_memory(self) -> bool:
        """Whether fewer sequences at once are left to try."""
        return self.resources.sequences_at_once(self.batch_size) > 1

    def made_progress(self) -> None:
        """Forget the failures so far."""
        self.failures = 0

    def retries_after(self, *, out_of_memory: bool) -> bool:
        """Count a failure; whether the run is retried, with `resources`."""
        if not (out_of_memory and self.can_use_less_memory):
            self.failures += 1
        if self.failures > self.resources.max_failures:
            return False
        if out_of_memory or self.failures > 1:
            self.resources = self.resources.halved(self.batch_size)
        return True
