"""What follows a failure: the one policy of local runs, of runs with workers and of the executors of trials.

A run that fails is retried from its last checkpoint, until it has failed more than `max_failures` times in a row
without progress. After running out of memory it is retried with half as many sequences at once; that is not counted,
since it ends by itself at one sequence. A second failure in a row halves them too: the kernel may have killed a process
for lack of memory without a message.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from pipelines.runtime.storage import Location
from vrnn.device.memory import is_out_of_memory, release_memory
from vrnn.errors import RunFailedError
from vrnn.training.checkpoints import CheckpointDirectory, CheckpointPolicy, TrainingState
from vrnn.training.journal import journal
from vrnn.training.loop import OnEpoch, TrainResult, never, train
from vrnn.training.resources import Resources
from vrnn.training.spec import TrialSpec

__all__ = ["Failure", "RetryPolicy", "RunRetries", "causes_of", "saved_state", "train_locally"]

_log = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class Failure:
    """The end of an attempt that another attempt may not meet: too little memory, or a worker that died."""

    reason: str
    out_of_memory: bool


class RunRetries:
    """The retries of one training run, whose progress is in its directory."""

    def __init__(self, spec: TrialSpec, out: Location, resources: Resources) -> None:
        """Start with `resources`."""
        self._out = out
        self._policy = RetryPolicy(resources, spec.optimisation.batch_size)
        self._step = saved_state(out).step

    @property
    def resources(self) -> Resources:
        """The resources of the next attempt."""
        return self._policy.resources

    def prepare_next(self, failure: Failure) -> None:
        """Prepare the attempt that follows a failure.

        Raises:
            RunFailedError: there is none.
        """
        policy, step = self._policy, saved_state(self._out).step
        if step > self._step:
            policy.made_progress()
        self._step = step
        if failure.out_of_memory and not policy.can_use_less_memory:
            raise RunFailedError(
                f"{self._out}: out of memory with one sequence at once; "
                "use --truncate-frames, --checkpointed-frames or a smaller --size"
            )
        if not policy.retries_after(out_of_memory=failure.out_of_memory):
            raise RunFailedError(
                f"{self._out}: given up after {policy.failures} failures at step {step}, the last: {failure.reason}"
            )
        if failure.out_of_memory or policy.failures > 1:
            # What the failed attempt leaves in caches would be missing in the next one.
            release_memory()
        _log.warning("%s: %s; resuming from step %d", self._out, failure.reason, step)


def saved_state(out: Location) -> TrainingState:
    """The progress of the run in `out`, by its newest checkpoint."""
    last = CheckpointDirectory(out, CheckpointPolicy()).load_newest()
    return last.state if last is not None else TrainingState()


def causes_of(error: BaseException) -> list[BaseException]:
    """An error and what it was raised from, where Ray wraps it or Python chains it."""
    found = (error, getattr(error, "cause", None), error.__cause__, error.__context__)
    return [cause for cause in found if isinstance(cause, BaseException)]


def train_locally(
    spec: TrialSpec,
    out: Location,
    resources: Resources | None = None,
    *,
    on_epoch: OnEpoch = lambda record: None,
    policy: CheckpointPolicy | None = None,
    stop: Callable[[], bool] = never,
) -> TrainResult:
    """Run `train` in this process, with fewer sequences at once whenever memory runs out.

    Args:
        spec: the trial.
        out: where checkpoints and the journal go.
        resources: the resources that the run takes; it must not ask for workers.
        on_epoch: called after each epoch.
        policy: when checkpoints are written.
        stop: asked after every batch; once it is true, the run is saved and ends unfinished.

    Raises:
        InputError, CheckpointError: as `train`; or this machine lacks the GPU that is asked for.
        RunFailedError: it does not fit into memory.
    """
    resources = resources or Resources()
    resources.check_gpu_here()
    retries = RunRetries(spec, out, resources)
    while True:
        try:
            with journal(out, 0) as log:
                return train(spec, out, log.with_epochs(on_epoch), policy, retries.resources.micro_batch, stop)
        except (RuntimeError, MemoryError) as error:
            if not any(is_out_of_memory(cause) for cause in causes_of(error)):
                raise
        # Outside of `except`, where the error's traceback would keep the tensors of the failed step alive.
        retries.prepare_next(Failure("out of memory", out_of_memory=True))
