"""One study against another, and one commit against another."""

import pandas as pd
import pytest

from benchmarks.errors import StudyError
from benchmarks.store.mlflow_sync import Kept, kept_results, send
from benchmarks.store.mlflow_writer import open_record
from benchmarks.schema.trial import TrialRecord
from benchmarks.study.changes import compare_two
from benchmarks.schema.suite import Suite
from benchmarks.trials.task import Outcome
from pipelines.runtime.storage import Location

OLD, NEW, NEWEST = "a" * 40, "b" * 40, "bc" * 20


def resent(kept: Kept, study: str, commit: str, nats: float, directory: Location) -> None:
    """The trial in another study, made by another commit, each sequence better by so many nats a frame."""
    record: TrialRecord = kept.record.model_copy(
        update={"tags": kept.record.tags | {"git_commit": commit, "study": study}}
    )
    for file in kept.directory.files():
        if file.path.startswith("artifacts/"):
            (directory / file.path).write_bytes((kept.directory / file.path).read_bytes())
    scores = pd.read_parquet(f"{directory.path}/artifacts/scores.parquet")
    scores["nats"] += nats * scores["frames"]
    scores.to_parquet(f"{directory.path}/artifacts/scores.parquet", index=False)
    outcome: Outcome = kept.outcome
    list(send(open_record(study), [Kept(record, outcome, directory)]))


@pytest.fixture(scope="session")
def _resent() -> list[str]:
    return []


@pytest.fixture
def commits(recorded: Suite, tmp_path_factory: pytest.TempPathFactory, _resent: list[str]) -> Suite:
    """Study `old` by commit OLD as it was recorded; `new` by NEW, rnn-gauss as it was and vrnn-gauss better."""
    if not _resent:
        root = tmp_path_factory.mktemp("resent")
        for kept in kept_results(Location(recorded.runs) / "small"):
            better = 0.25 if kept.record.tags["model"] == "vrnn-gauss" else 0.0
            for study, commit, nats in (("old", OLD, 0.0), ("new", NEW, better)):
                resent(kept, study, commit, nats, Location(str(root / f"{study}-{kept.record.key}")))
        _resent.append("done")
    return recorded


@pytest.mark.parametrize(("before", "after"), [("old", "new"), (OLD, NEW), (OLD[:8], NEW[:8])])
def test_what_changed_is_told_apart_from_what_did_not(commits: Suite, before: str, after: str) -> None:
    found = compare_two(before, after)
    changes = {change.model: change for change in found.changes}
    assert changes.keys() == {"rnn-gauss", "vrnn-gauss"}
    assert changes["rnn-gauss"].identical
    assert changes["rnn-gauss"].difference.nats_per_frame.difference == 0.0
    moved = changes["vrnn-gauss"]
    assert not moved.identical
    assert moved.difference.nats_per_frame.difference == pytest.approx(0.25)
    assert moved.difference.verdict == "not enough seeds"
    assert (found.only_before, found.only_after) == ([], [])


def test_the_order_is_from_before_to_after(commits: Suite) -> None:
    forth, back = compare_two("old", "new").changes, compare_two("new", "old").changes
    assert [change.difference.nats_per_sequence.difference for change in forth] == [
        -change.difference.nats_per_sequence.difference for change in back
    ]


def test_what_is_neither_study_nor_commit_of_the_store_is_told(commits: Suite) -> None:
    with pytest.raises(StudyError, match="no study 'nowhere' in the store; it has "):
        compare_two("nowhere", "new")
    with pytest.raises(StudyError, match="no finished trial of commit ddddddd"):
        compare_two("old", "d" * 7)
