"""Running a recorded trial again, from what its run in MLflow holds, and saying whether it comes out the same.

Identical means that every figure of every epoch and every sequence's score has the same bits. What could make them
differ (code, packages, machine) is held against the record first, so that a difference comes with its suspects. The
data must be the same: by their fingerprint, wherever they lie.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import pandas as pd
import torch

from benchmarks.errors import FailedError, StudyError
from benchmarks.store.mlflow_reader import artifacts_of_run
from benchmarks.store.mlflow_writer import asking
from benchmarks.store.provenance import Environment, code, environment
from benchmarks.store.records import RECORD, TrialRecord
from benchmarks.suites.suite import Scoring
from benchmarks.trials.trial import CURVES, ENVIRONMENT, SCORES, Work, artifacts_of, load_outcome, perform
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest
from vrnn.training import TrialSpec
from vrnn.training.checkpointing import Saving
from vrnn.training.checkpoints import EpochRecord
from vrnn.training.resources import Resources

__all__ = ["Check", "Reproduction", "reproduce"]

Verdict = Literal["identical", "within tolerance", "different"]

_MACHINES_OWN = {
    "seconds",
    "frames_per_second",
    "data_wait_share",
    "fraction_of_peak",
    "peak_memory_gib",
    "workers",
}
"""Figures of an epoch that say how fast it was, not what it came to."""
_OF_A_SCORE = ["estimator", "num_samples", "id"]
_PACKAGES_NAMED = 5


@dataclass(frozen=True)
class Check:
    """Whether something is as it was when the trial was recorded."""

    what: str
    same: bool
    recorded: str
    here: str


@dataclass(frozen=True)
class Reproduction:
    """What came of running a trial again.

    Attributes:
        run_id: of the recorded run.
        name: of the trial.
        verdict: `identical` to the bit; `within tolerance`: the mean score by every estimator is; or `different`.
        tolerance: in nats per frame.
        first_difference: where the two first differ, in the order of training and scoring; None where nowhere.
        largest_difference: of the mean scores by any estimator, in nats per frame; None where one has no scores.
        sequences: scored.
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
    run_id: str,
    out: Location,
    *,
    shards: str | None = None,
    tolerance: float = 1e-3,
    on_checked: Callable[[str, tuple[Check, ...]], None] = lambda name, checks: None,
    on_epoch: Callable[[EpochRecord, int], None] = lambda record, most: None,
    stop: Callable[[], bool] = lambda: False,
) -> Reproduction | None:
    """Run a recorded trial again.

    Args:
        run_id: of its run in MLflow.
        out: where its checkpoints and scores go; it must hold no other result.
        shards: where the data lie, if not where they lay.
        tolerance: in nats per frame, on the mean score by each estimator.
        on_checked: is told the trial's name and what is as it was, before it is run.
        on_epoch: is told of each epoch, and how many there are at most.
        stop: asks to save the run and to end.

    Returns:
        What came of it; None where it was stopped.

    Raises:
        StudyError: there is no such run, it cannot be run again, or `out` is not free.
        InputError: there are no such shards.
        FailedError: it diverged where the recorded one did not.
    """
    if load_outcome(out) is not None:
        raise StudyError(f"{out}: holds a result already; name another --out, or delete it")
    with asking(), artifacts_of_run(run_id) as recorded:
        record = _record(recorded, run_id)
        spec = _spec(record, shards)
        before = Environment.model_validate_json((recorded / ENVIRONMENT).read_text())
        torch.set_num_threads(before.threads)
        checks = _checks(record, before)
        on_checked(record.name, checks)
        work = _work(record, spec, out)
        outcome = perform(work, lambda epoch: on_epoch(epoch, spec.optimisation.max_epochs), lambda: None, stop)
        if outcome is None:
            return None
        if outcome.diverged_at_step is not None:
            raise FailedError(
                f"{record.name}: diverged at step {outcome.diverged_at_step}, which the recorded run did not"
            )
        with artifacts_of(out) as again:
            return _compared(run_id, record.name, recorded, again, tolerance, checks)


def _record(recorded: Path, run_id: str) -> TrialRecord:
    if not (recorded / RECORD).is_file() or not (recorded / ENVIRONMENT).is_file():
        raise StudyError(f"run {run_id} was recorded by a version that did not keep what it takes to run it again")
    return TrialRecord.model_validate_json((recorded / RECORD).read_text())


def _spec(record: TrialRecord, shards: str | None) -> TrialSpec:
    """The trial, on the data where they lie now.

    Raises:
        StudyError: it is no trial, or the data are others.
    """
    if record.spec is None:
        raise StudyError(f"{record.name} needs no training, and every run of its study scores it anew if asked to")
    place = Location(shards or record.spec.shards).absolute
    found = Manifest.load(place).fingerprint
    if found != record.data.fingerprint:
        raise StudyError(
            f"{place}: holds data {found[:12]}, the run was of {record.data.fingerprint[:12]}; "
            "point --shards at the data it was trained on"
        )
    return record.spec.model_copy(update={"shards": place.uri})


def _work(record: TrialRecord, spec: TrialSpec, out: Location) -> Work:
    """The trial as this process does it: workers share a batch to the same end but for rounding."""
    scoring = {name: value for name, value in (record.scoring or {}).items() if name != "samples"}
    taken = record.resources or {}
    resources = Resources.model_validate({name: taken[name] for name in ("gpus_per_worker",) if name in taken})
    return Work(record.name, spec, out, Scoring.model_validate(scoring), 0, resources, Saving())


def _checks(record: TrialRecord, before: Environment) -> tuple[Check, ...]:
    running, here, tags = code(), environment(), record.tags
    return (
        _check("commit", tags["git_commit"], running.commit),
        _check("changes to the commit", _changes(tags["git_clean"]), _changes(running.clean)),
        _check("lock", tags["lock_sha256"][:12], running.lock_sha256[:12]),
        _check("python", before.python, here.python),
        _packages(before.packages, here.packages),
        *(_check(name.replace("_", " "), before.machine[name], value) for name, value in here.machine.items()),
    )


def _check(what: str, recorded: str, here: str) -> Check:
    return Check(what, recorded == here, recorded, here)


def _changes(clean: str) -> str:
    return {"yes": "none", "no": "some"}.get(clean, clean)


def _packages(recorded: dict[str, str], here: dict[str, str]) -> Check:
    """Whether the packages are the same, and if not, the first of those that are not."""
    changed = sorted(name for name in recorded.keys() | here.keys() if recorded.get(name) != here.get(name))

    def told(packages: dict[str, str]) -> str:
        if not changed:
            return f"{len(packages)} installed"
        more = f" and {len(changed) - _PACKAGES_NAMED} more" if len(changed) > _PACKAGES_NAMED else ""
        return ", ".join(f"{name} {packages.get(name, 'missing')}" for name in changed[:_PACKAGES_NAMED]) + more

    return Check("packages", not changed, told(recorded), told(here))


def _compared(
    run_id: str, name: str, recorded: Path, again: Path, tolerance: float, checks: tuple[Check, ...]
) -> Reproduction:
    before, after = (pd.read_parquet(place / SCORES) for place in (recorded, again))
    first = next(_differences(recorded, again, before, after), None)
    largest = _largest(before, after)
    close = largest is not None and largest <= tolerance
    verdict: Verdict = "identical" if first is None else "within tolerance" if close else "different"
    return Reproduction(run_id, name, verdict, tolerance, first, largest, before["id"].nunique(), checks)


def _differences(recorded: Path, again: Path, before: pd.DataFrame, after: pd.DataFrame) -> Iterator[str]:
    """Where the two differ, in the order of training and scoring."""
    curves = [pd.read_parquet(place / CURVES).set_index("epoch") for place in (recorded, again)]
    figures = [name for name in curves[0].columns if name not in _MACHINES_OWN]
    yield from _unequal(curves[0][figures], curves[1].reindex(columns=figures), "epoch {0}")
    scores = [table.set_index(_OF_A_SCORE)[["frames", "nats"]] for table in (before, after)]
    yield from _unequal(scores[0], scores[1], "score of sequence {2} by {0}-{1}")


def _unequal(recorded: pd.DataFrame, again: pd.DataFrame, where: str) -> Iterator[str]:
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
    """The largest difference of the estimators' means, nats per frame; None where they do not score the same."""
    means = [table.groupby(_OF_A_SCORE[:2])[["nats", "frames"]].sum() for table in (before, after)]
    if not means[0].index.equals(means[1].index) or not means[0]["frames"].equals(means[1]["frames"]):
        return None
    return float(((means[0]["nats"] - means[1]["nats"]).abs() / means[0]["frames"]).max())
