"""Changes between two studies, and between two commits."""

import pandas as pd
import pytest

from benchmarks.errors import StudyError
from benchmarks.schema.corpus import CorpusDescriptions
from benchmarks.schema.suite import Suite
from benchmarks.store.mlflow_writer import open_writer
from benchmarks.store.results import DiskArtifacts, StoredTrial, read_study_directory
from benchmarks.study.changes import compare_two
from pipelines.runtime.storage import Location

OLD, NEW, NEWEST = "a" * 40, "b" * 40, "bc" * 20


def send_copy(trial: StoredTrial, study: str, commit: str, nats: float, directory: Location) -> None:
    """Send the trial as one of another study and commit, with each sequence better by `nats` per frame."""
    code = trial.record.code.model_copy(update={"commit": commit})
    record = trial.record.model_copy(update={"code": code, "study": study})
    for name in trial.artifacts.names():
        (directory / "artifacts" / name).write_bytes(trial.artifacts.read(name))
    scores = pd.read_parquet(f"{directory.path}/artifacts/scores.parquet")
    scores["nats"] += nats * scores["frames"]
    scores.to_parquet(f"{directory.path}/artifacts/scores.parquet", index=False)
    list(open_writer(study).send([StoredTrial(record, trial.outcome, DiskArtifacts(directory))]))


@pytest.fixture(scope="session")
def _sent() -> list[str]:
    return []


@pytest.fixture
def commits(recorded: Suite, tmp_path_factory: pytest.TempPathFactory, _sent: list[str]) -> Suite:
    """Study `old` by commit OLD as it was recorded; `new` by NEW, rnn-gauss as it was and vrnn-gauss better."""
    if not _sent:
        root = tmp_path_factory.mktemp("copies")
        small = read_study_directory(Location(recorded.runs) / "small")
        for study, commit in (("old", OLD), ("new", NEW)):
            suite = small.description.suite.model_copy(update={"study": study})
            description = small.description.model_copy(update={"suite": suite})
            open_writer(study).log_files(description, CorpusDescriptions(corpora=dict(small.corpora)))
            for trial in small.trials:
                better = 0.25 if (study, trial.record.model) == ("new", "vrnn-gauss") else 0.0
                send_copy(trial, study, commit, better, Location(str(root / f"{study}-{trial.record.key}")))
        _sent.append("done")
    return recorded


@pytest.mark.parametrize(("before", "after"), [("old", "new"), (OLD, NEW), (OLD[:8], NEW[:8])])
def test_changed_and_identical_models_are_distinguished(commits: Suite, before: str, after: str) -> None:
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
    forward, backward = compare_two("old", "new").changes, compare_two("new", "old").changes
    assert [change.difference.nats_per_sequence.difference for change in forward] == [
        -change.difference.nats_per_sequence.difference for change in backward
    ]


def test_unknown_studies_and_commits_are_refused(commits: Suite) -> None:
    with pytest.raises(StudyError, match=r"no study 'nowhere' in sqlite.*; it has "):
        compare_two("nowhere", "new")
    with pytest.raises(StudyError, match="no finished trial of commit ddddddd"):
        compare_two("old", "d" * 7)
