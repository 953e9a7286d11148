"""The task of one trial: what an executor needs to run it, in any process that reaches its directory."""

import hashlib
import json
from dataclasses import dataclass

from benchmarks.schema.suite import Scoring, Suite
from benchmarks.schema.trial import Outcome
from benchmarks.store.results import read_outcome
from benchmarks.suites.suite import Trial
from pipelines.runtime.storage import Location
from vrnn.training import TrialSpec
from vrnn.training.checkpoints import CheckpointPolicy
from vrnn.training.resources import Resources

__all__ = ["TrialTask", "finished_outcome", "task_of"]

_VERSION = 3
"""Version of what an outcome and its artifacts hold: results of another version are scored again."""


@dataclass(frozen=True)
class TrialTask:
    """What an executor needs to run a trial, in any process that reaches the directory.

    Attributes:
        directory: where its checkpoints, artifacts and outcome go; no other trial uses it.
        policy: when its checkpoints are written.
    """

    name: str
    spec: TrialSpec
    directory: Location
    scoring: Scoring
    samples: int
    resources: Resources
    policy: CheckpointPolicy

    @property
    def identity(self) -> str:
        """16 hex digits that name the trial and how it is scored; its outcome carries the same ones."""
        content = json.dumps([_VERSION, self.spec.key, self.scoring.model_dump(), self.samples], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def task_of(suite: Suite, trial: Trial) -> TrialTask:
    """The task of one of a suite's trials, with absolute paths."""
    spec, runs = trial.spec, Location(suite.runs).absolute
    return TrialTask(
        name=trial.name,
        spec=spec.model_copy(update={"shards": Location(spec.shards).absolute.uri}),
        directory=runs / suite.study / f"{trial.name.replace('/', '-')}-{spec.key}",
        scoring=suite.scoring,
        samples=suite.samples,
        resources=suite.resources,
        policy=CheckpointPolicy(suite.save_seconds, suite.keep),
    )


def finished_outcome(task: TrialTask) -> Outcome | None:
    """The outcome of a task that is finished; None where it is not, or was scored in another way."""
    outcome = read_outcome(task.directory)
    return outcome if outcome is not None and outcome.identity == task.identity else None
