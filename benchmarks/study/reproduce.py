"""Running a recorded trial again, and saying whether the result is the same.

Identical means that every value of every epoch and every sequence's score has the same bits. What could make them
differ (code, packages, machine) is compared with the record first, so that a difference comes with its likely causes.
The data must be the same, by their fingerprint.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import pandas as pd
import torch

from benchmarks.errors import FailedError, StudyError
from benchmarks.schema.suite import Scoring
from benchmarks.schema.trial import Environment, TrialRecord
from benchmarks.store.locate import open_trial
from benchmarks.store.provenance import code, environment
from benchmarks.store.results import DiskArtifacts, StoredTrial, read_outcome
from benchmarks.trials.events import EpochFinished, TrialEvent
from benchmarks.trials.task import TrialTask
from benchmarks.trials.trial import run_trial
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest
from vrnn.training import TrialSpec
from vrnn.training.checkpoints import CheckpointPolicy
from vrnn.training.epoch_metrics import EpochRecord
from vrnn.training.resources import Resources

__all__ = ["Check", "Reproduction", "reproduce"]

Verdict = Literal["identical", "within tolerance", "different"]

_SPEED_COLUMNS = {"seconds", "frames_per_second", "data_wait_share", "fraction_of_peak", "peak_memory_gib", "workers"}
"""Columns of an epoch that say how fast it was: no part of the result."""
_SCORE_KEY = ["estimator", "num_samples", "id"]
_PACKAGES_NAMED = 5


@dataclass(frozen=True)
class Check:
    """Whether one property of the environment is the same as in the recorded run."""

    what: str
    same: bool
    recorded: str
    here: str


@dataclass(frozen=True)
class Reproduction:
    """The result of running a trial again.

    Attributes:
        verdict: `identical`: every bit is; `within tolerance`: the mean score by every estimator is; or `different`.
        tolerance: in nats per frame.
        first_difference: the first one in the order of training and scoring; None if there is none.
        largest_difference: of the mean scores by any estimator, in nats per frame; None if they did not score the same.
        sequences: number of scored sequences.
        checks: of code, packages and machine.
    """

    run_id: str
    name: str
    verdict: Verdict
    tolerance: float
    first_difference: str | None
    largest_difference: float | None
    sequences: int
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def reproduce(
    name: str,
    out: Location,
    *,
    shards: str | None = None,
    tolerance: float = 1e-3,
    on_checked: Callable[[str, tuple[Check, ...]], None] = lambda name, checks: None,
    on_epoch: Callable[[EpochRecord, int], None] = lambda record, last: None,
    stop: Callable[[], bool] = lambda: False,
) -> Reproduction | None:
    """Run a recorded trial again.

    Args:
        name: STUDY/TRIAL, or the ID of its run in MLflow.
        out: where its checkpoints and scores go; it must hold no other result.
        shards: where the data are now, if they were moved.
        tolerance: in nats per frame, on the mean score by each estimator.
        on_checked: called before the run with the trial's name and the comparison of the environments.
        on_epoch: called after each epoch with its record and the number of epochs allowed.
        stop: returns whether to save the run and stop.

    Returns:
        The result; None if it was stopped.

    Raises:
        StudyError: there is no such trial, it cannot be run again, or `out` has a result already.
        InputError: there are no such shards.
        FailedError: it diverged and the recorded one did not.
    """
    if read_outcome(out) is not None:
        raise StudyError(f"{out}: has a result already; give another --out, or delete it")
    recorded = open_trial(name)
    record, spec = recorded.record, _spec(recorded.record, shards)
    before = recorded.environment()
    # The number of threads decides the order of sums.
    torch.set_num_threads(before.threads)
    checks = _checks(record, before)
    on_checked(record.name, checks)

    def on_event(event: TrialEvent) -> None:
        if isinstance(event, EpochFinished):
            on_epoch(event.record, spec.optimisation.max_epochs)

    # Workers share a batch with the same result but for rounding, so one process repeats the trial.
    gpus = record.resources.gpus_per_worker if record.resources is not None else 0.0
    resources = Resources(gpus_per_worker=gpus)
    task = TrialTask(record.name, spec, out, record.scoring or Scoring(), 0, resources, CheckpointPolicy())
    outcome = run_trial(task, on_event, stop)
    if outcome is None:
        return None
    if outcome.diverged_at_step is not None:
        raise FailedError(f"{record.name}: diverged at step {outcome.diverged_at_step}, which the recorded run did not")
    again = StoredTrial(record, outcome, DiskArtifacts(out))
    return _compare(name, recorded, again, tolerance, checks)


def _spec(record: TrialRecord, shards: str | None) -> TrialSpec:
    """The trial, on the data where they are now.

    Raises:
        StudyError: it is a codec baseline, or the data differ.
    """
    if record.spec is None:
        raise StudyError(f"{record.name} is a codec baseline: it needs no training; run its study again to score it")
    place = Location(shards or record.shards).absolute
    found = Manifest.load(place).fingerprint
    if found != record.fingerprint:
        raise StudyError(
            f"{place}: contains data {found[:12]}, the run used {record.fingerprint[:12]}; "
            "set --shards to the data it was trained on"
        )
    return record.spec.model_copy(update={"shards": place.uri})


def _checks(record: TrialRecord, before: Environment) -> tuple[Check, ...]:
    """Whether code, packages and machine are the same as in the recorded run."""

    def check(what: str, recorded: str, here: str) -> Check:
        return Check(what, recorded == here, recorded, here)

    running, here, changes = code(), environment(), {"yes": "none", "no": "some"}
    clean = [changes.get(known.clean, known.clean) for known in (record.code, running)]
    return (
        check("commit", record.code.commit, running.commit),
        check("changes to the commit", *clean),
        check("lock", record.code.lock_sha256[:12], running.lock_sha256[:12]),
        check("python", before.python, here.python),
        _packages(before.packages, here.packages),
        *(check(name.replace("_", " "), before.machine[name], value) for name, value in here.machine.items()),
    )


def _packages(recorded: dict[str, str], here: dict[str, str]) -> Check:
    """Whether the packages are the same, and if not, the first ones that differ."""
    changed = sorted(name for name in recorded.keys() | here.keys() if recorded.get(name) != here.get(name))

    def summary(packages: dict[str, str]) -> str:
        if not changed:
            return f"{len(packages)} installed"
        more = f" and {len(changed) - _PACKAGES_NAMED} more" if len(changed) > _PACKAGES_NAMED else ""
        return ", ".join(f"{name} {packages.get(name, 'missing')}" for name in changed[:_PACKAGES_NAMED]) + more

    return Check("packages", not changed, summary(recorded), summary(here))


def _compare(
    name: str, recorded: StoredTrial, again: StoredTrial, tolerance: float, checks: tuple[Check, ...]
) -> Reproduction:
    before, after = recorded.scores(), again.scores()
    first = next(_differences(recorded, again, before, after), None)
    largest = _largest(before, after)
    close = largest is not None and largest <= tolerance
    verdict: Verdict = "identical" if first is None else "within tolerance" if close else "different"
    sequences = before["id"].nunique()
    return Reproduction(
        recorded.run_id or name, recorded.record.name, verdict, tolerance, first, largest, sequences, checks
    )


def _differences(recorded: StoredTrial, again: StoredTrial, before: pd.DataFrame, after: pd.DataFrame) -> Iterator[str]:
    """The differences of the two, in the order of training and scoring."""
    curves = []
    for trial in (recorded, again):
        epochs = trial.curves()
        assert epochs is not None, "a trained trial has epochs"
        curves.append(epochs.set_index("epoch"))
    columns = [name for name in curves[0].columns if name not in _SPEED_COLUMNS]
    yield from _unequal(curves[0][columns], curves[1].reindex(columns=columns), "epoch {0}")
    scores = [table.set_index(_SCORE_KEY)[["frames", "nats"]] for table in (before, after)]
    yield from _unequal(scores[0], scores[1], "score of sequence {2} by {0}-{1}")


def _unequal(recorded: pd.DataFrame, again: pd.DataFrame, where: str) -> Iterator[str]:
    """The values that differ; `where` describes a row from its index."""
    for row in recorded.index.union(again.index, sort=False):
        place = where.format(*(row if isinstance(row, tuple) else (row,)))
        if row not in again.index or row not in recorded.index:
            yield f"{place}: {'only in the record' if row in recorded.index else 'not in the record'}"
            continue
        for name in recorded.columns:
            one, other = (float(cast(float, table.at[row, name])) for table in (recorded, again))
            if one != other and not (math.isnan(one) and math.isnan(other)):
                yield f"{place}, {name}: recorded {one!r}, now {other!r}"


def _largest(before: pd.DataFrame, after: pd.DataFrame) -> float | None:
    """The largest difference of the estimators' means, in nats per frame; None if they did not score the same."""
    means = [table.groupby(_SCORE_KEY[:2])[["nats", "frames"]].sum() for table in (before, after)]
    if not means[0].index.equals(means[1].index) or not means[0]["frames"].equals(means[1]["frames"]):
        return None
    return float(((means[0]["nats"] - means[1]["nats"]).abs() / means[0]["frames"]).max())
