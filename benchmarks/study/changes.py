"""What changed between two studies, or between two commits of the code: did the likelihood move?

Every model is compared with itself on the same corpus, sequence by sequence. Scores that are the same to the bit are
called identical. The others are tested as two models of one study are (`benchmarks.statistics.paired_differences`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.errors import StudyError
from benchmarks.schema.comparison import PairedDifference
from benchmarks.statistics.paired_differences import compare_pairs
from benchmarks.statistics.table import ScoredTrial
from benchmarks.store.locate import open_study, study_directory
from benchmarks.store.mlflow_reader import has_study, read_commit
from benchmarks.store.mlflow_writer import mlflow_errors_as_study_errors
from benchmarks.store.results import StoredTrial
from benchmarks.study.summary import scored_trials

__all__ = ["Change", "Changes", "compare_two"]


@dataclass(frozen=True)
class Change:
    """One model on one corpus, before and after.

    Attributes:
        identical: whether every sequence's score by every estimator has the same bits, seed by seed.
        difference: after minus before; positive where the model became better.
    """

    corpus: str
    protocol: str
    model: str
    identical: bool
    difference: PairedDifference


@dataclass(frozen=True)
class Changes:
    """What changed from one study, or commit, to another.

    Attributes:
        changes: one for each model that both have.
        only_before, only_after: corpus, protocol and model of those that only one has.
    """

    before: str
    after: str
    changes: list[Change]
    only_before: list[str]
    only_after: list[str]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        changes = [asdict(change) | {"difference": change.difference.model_dump()} for change in self.changes]
        return asdict(self) | {"changes": changes}


def compare_two(before: str, after: str) -> Changes:
    """Compare two studies, or two git commits by the trials that both have.

    Raises:
        StudyError: one of the two is not found, the store does not answer, or they have nothing in common.
    """
    if before == after:
        raise StudyError(f"{before} is compared with itself; name two studies or commits")
    old, new = _trials(before), _trials(after)
    if _is_commit(before) and _is_commit(after):
        shared = {trial.record.key for trial in old} & {trial.record.key for trial in new}
        old, new = ([trial for trial in side if trial.record.key in shared] for side in (old, new))
    return _changes(before, scored_trials(old), after, scored_trials(new))


def _is_commit(text: str) -> bool:
    """Whether a text can be the beginning of a commit's hash."""
    return 7 <= len(text) <= 40 and set(text) <= set("0123456789abcdef")


def _trials(name: str) -> Sequence[StoredTrial]:
    """The trials of a study, or those that a commit produced."""
    if _is_commit(name) and study_directory(name) is None:
        with mlflow_errors_as_study_errors():
            if not has_study(name):
                return read_commit(name)
    return open_study(name).trials


def _changes(before: str, old: Sequence[ScoredTrial], after: str, new: Sequence[ScoredTrial]) -> Changes:
    in_old, in_new = ({_place(trial): None for trial in side} for side in (old, new))
    shared = [place for place in in_old if place in in_new]
    if not shared:
        raise StudyError(f"{before} and {after} have no model in common on the same corpus under the same protocol")
    # A model before and after is compared like two models of one study: "X in AFTER" with "X in BEFORE".
    claims = [(f"{model} in {after}", f"{model} in {before}") for model in {model: None for *_, model in shared}]
    renamed = [
        replace(trial, model=f"{trial.model} in {name}")
        for name, side in ((before, old), (after, new))
        for trial in side
        if _place(trial) in shared
    ]
    changes: list[Change] = []
    columns = ["estimator", "num_samples", "id", "nats"]
    for difference in compare_pairs(renamed, claims):
        place = (difference.corpus, difference.protocol, difference.first.model.removesuffix(f" in {after}"))
        sides = [{trial.seed: trial.scores for trial in side if _place(trial) == place} for side in (old, new)]
        same_seeds = sides[0].keys() == sides[1].keys()
        identical = same_seeds and all(sides[0][seed][columns].equals(sides[1][seed][columns]) for seed in sides[0])
        changes.append(Change(*place, identical, difference))
    return Changes(
        before,
        after,
        changes,
        ["/".join(place) for place in in_old if place not in in_new],
        ["/".join(place) for place in in_new if place not in in_old],
    )


def _place(trial: ScoredTrial) -> tuple[str, str, str]:
    return trial.corpus, trial.protocol, trial.model
