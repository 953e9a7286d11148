"""Results reach MLflow completely and once, wherever it stopped answering."""

from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from benchmarks.errors import StudyError, UnreachableError
from benchmarks.schema.suite import Suite
from benchmarks.store.mlflow_reader import read_study
from benchmarks.store.mlflow_writer import StudyWriter, mlflow_errors_as_unreachable, open_writer, store_client
from benchmarks.store.results import read_record, read_study_directory
from benchmarks.study.mlflow_mirror import MlflowMirror
from benchmarks.study.run import sync_study
from benchmarks.study.summary import compare_study
from benchmarks.suites.suite import expand
from benchmarks.trials.record import write_record
from benchmarks.trials.task import task_of
from pipelines.runtime.storage import Location

CALLS = (0, 6, 21, *(pytest.param(calls, marks=pytest.mark.slow) for calls in (1, 3, 10, 15, 30)))


class Cut:
    """A client whose connection breaks before its n-th call."""

    def __init__(self, client: MlflowClient, calls: int) -> None:
        self._client, self._left = client, calls

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._client, name)

        def call(*arguments: Any, **named: Any) -> Any:
            if self._left == 0:
                raise MlflowException("the connection is cut")
            self._left -= 1
            return function(*arguments, **named)

        return call


def recorded_in(client: MlflowClient, study: str) -> dict[str, Any]:
    """What MLflow holds of a study's trials, by name, without identifiers and times."""
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    found: dict[str, Any] = {}
    for run in client.search_runs([experiment.experiment_id], "tags.trial_key != ''"):
        run_id, names = run.info.run_id, run.data.metrics.keys()
        assert run.data.tags["mlflow.runName"] not in found, "a trial is recorded twice"
        found[run.data.tags["mlflow.runName"]] = {
            "status": run.info.status,
            "params": run.data.params,
            "tags": {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")},
            "metrics": {
                name: [(entry.step, entry.value) for entry in client.get_metric_history(run_id, name)] for name in names
            },
            "files": sorted(entry.path for entry in client.list_artifacts(run_id)),
            "models": len(run.outputs.model_outputs),
            "data": [entry.dataset.digest for entry in run.inputs.dataset_inputs],
        }
    return found


@pytest.mark.parametrize("calls", CALLS)
def test_sending_that_was_cut_off_anywhere_is_completed_and_nothing_is_sent_twice(recorded: Suite, calls: int) -> None:
    client, trials = store_client(), read_study_directory(Location(recorded.runs) / "small").trials
    name = f"cut-{calls}"
    writer = StudyWriter(client, name)
    writer._client = Cut(client, calls)  # type: ignore[assignment]
    with pytest.raises(UnreachableError, match="the connection is cut"), mlflow_errors_as_unreachable():
        list(writer.send(trials))
    sent = [trial.record.name for trial in open_writer(name).send(trials)]
    assert recorded_in(client, name) == recorded_in(client, "small")
    assert len(sent) == (2 if calls < 21 else len(set(sent)))
    assert list(open_writer(name).send(trials)) == []


def test_a_store_that_failed_once_is_not_asked_again_until_the_end_and_then_gets_everything(recorded: Suite) -> None:
    client, study = store_client(), read_study_directory(Location(recorded.runs) / "small")
    writer = StudyWriter(client, "held-back")
    writer._client = broken = Cut(client, 0)  # type: ignore[assignment]
    mirror = MlflowMirror(writer)
    mirror.send(study.trials)
    writer._client = client
    mirror.send(study.trials)
    assert recorded_in(client, "held-back") == {}, "one failure is enough: each call costs its time-out"
    comparison = compare_study(study)
    assert mirror.finish((study.description,), study.trials, comparison) is None
    assert recorded_in(client, "held-back") == recorded_in(client, "small")

    writer._client = broken  # type: ignore[assignment]
    assert "the connection is cut" in str(mirror.finish((study.description,), study.trials, comparison))


def test_the_store_alone_gives_the_same_study_as_the_disk(recorded: Suite) -> None:
    disk, store = read_study_directory(Location(recorded.runs) / "small"), read_study("small")
    assert (store.description, store.corpora) == (disk.description, disk.corpora)
    assert [(t.record, t.outcome) for t in store.trials] == [(t.record, t.outcome) for t in disk.trials]
    for ours, theirs in zip(disk.trials, store.trials, strict=True):
        assert ours.scores().equals(theirs.scores())
        assert (ours.audit(), ours.samples(), ours.environment()) == (
            theirs.audit(),
            theirs.samples(),
            theirs.environment(),
        )
    assert compare_study(store) == compare_study(disk)


def test_a_study_is_sent_whole_to_another_store(
    recorded: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = recorded_in(store_client(), "small")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    monkeypatch.chdir(tmp_path)
    sent: list[str] = []
    comparison = sync_study(Location(recorded.runs) / "small", open_writer, sent.append)
    assert sorted(sent) == ["ink/clean/rnn-gauss/seed0", "ink/clean/vrnn-gauss/seed0"]
    assert recorded_in(store_client(), "small") == here
    assert {row.model for row in comparison.rows} == {"rnn-gauss", "vrnn-gauss"}


def test_a_directory_without_a_study_is_recorded_in(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no study was run there \(study.json is missing\)"):
        sync_study(Location(str(tmp_path)), open_writer, lambda name: None)


def test_a_record_lists_the_commits_that_trained_a_part_of_the_trial(recorded: Suite, tmp_path: Path) -> None:
    trial = expand(recorded)[0]
    before = read_record(task_of(recorded, trial).directory)
    assert before is not None
    task = task_of(recorded.model_copy(update={"runs": str(tmp_path)}), trial)
    later, last = (
        before.model_copy(update={"code": before.code.model_copy(update={"commit": commit})})
        for commit in ("later", "last")
    )
    write_record(task, before)
    assert "earlier_commits" not in before.tags
    write_record(task, later)
    write_record(task, later)
    write_record(task, last)
    kept = read_record(task.directory)
    assert kept is not None
    assert (kept.code.commit, kept.earlier_commits) == ("last", (before.code.commit, "later"))
