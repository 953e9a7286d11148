"""Results reach MLflow whole and once, wherever it ceased to answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from benchmarks.errors import StudyError, UnreachableError
from benchmarks.store.mlflow_runs import Line, work_of
from benchmarks.store.mlflow_sync import kept_results, send
from benchmarks.store.mlflow_writer import StudyRecord, answering, client_of_store, open_record
from benchmarks.store.records import load_record
from benchmarks.study.run import sync_study
from benchmarks.suites.suite import Suite, expand
from pipelines.runtime.storage import Location

CALLS = (0, 6, 21, *(pytest.param(calls, marks=pytest.mark.slow) for calls in (1, 3, 10, 15, 30)))


class Cut:
    """A client whose line is cut before the n-th call that it is asked for."""

    def __init__(self, client: MlflowClient, calls: int) -> None:
        self._client, self._left = client, calls

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._client, name)

        def call(*arguments: Any, **named: Any) -> Any:
            if self._left == 0:
                raise MlflowException("the line is cut")
            self._left -= 1
            return function(*arguments, **named)

        return call


def told(client: MlflowClient, study: str) -> dict[str, Any]:
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
def test_what_was_cut_off_anywhere_is_completed_and_nothing_is_told_twice(recorded: Suite, calls: int) -> None:
    client, kept = client_of_store(), kept_results(Location(recorded.runs) / "small")
    name = f"cut-{calls}"
    record = StudyRecord(client, name)
    record._client = Cut(client, calls)  # type: ignore[assignment]
    with pytest.raises(UnreachableError, match="the line is cut"), answering():
        list(send(record, kept))
    sent = [result.record.name for result in send(open_record(name), kept)]
    assert told(client, name) == told(client, "small")
    assert len(sent) == (2 if calls < 21 else len(set(sent)))
    assert list(send(open_record(name), kept)) == []


def test_a_dead_line_is_not_tried_again_and_remembers_why() -> None:
    line, said = Line(), list[str]()

    def cut() -> None:
        raise MlflowException("gone")

    line.tell(lambda: said.append("one"))
    line.tell(cut)
    line.tell(lambda: said.append("two"))
    assert said == ["one"]
    assert "gone" in str(line.dead)
    assert line.ask(lambda: True, otherwise=False) is False


def test_a_study_is_sent_whole_to_another_store(
    recorded: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = told(client_of_store(), "small")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    monkeypatch.chdir(tmp_path)
    sent: list[str] = []
    comparison = sync_study(Location(recorded.runs) / "small", open_record, sent.append)
    assert sorted(sent) == ["ink/clean/rnn-gauss/seed0", "ink/clean/vrnn-gauss/seed0"]
    assert told(client_of_store(), "small") == here
    assert {row.model for row in comparison.rows} == {"rnn-gauss", "vrnn-gauss"}


def test_a_directory_without_a_study_is_told(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no study was run there \(study.json is missing\)"):
        sync_study(Location(str(tmp_path)), open_record, lambda name: None)


def test_a_record_says_which_commits_worked_on_a_trial_and_of_one_that_is_done_it_stands(
    recorded: Suite, tmp_path: Path
) -> None:
    from benchmarks.store.records import keep_record

    trial = expand(recorded)[0]
    done = work_of(recorded, trial)
    kept = load_record(done.directory)
    assert kept is not None
    other = kept.model_copy(update={"tags": kept.tags | {"git_commit": "later"}})
    assert keep_record(done, other) == kept, "a result is of the commit that made it, whoever sends it"

    begun = work_of(recorded.model_copy(update={"runs": str(tmp_path)}), trial)
    first = keep_record(begun, kept)
    second = keep_record(begun, other)
    third = keep_record(begun, other.model_copy(update={"tags": other.tags | {"git_commit": "last"}}))
    assert "earlier_commits" not in first.tags
    assert json.loads(second.tags["earlier_commits"]) == [kept.tags["git_commit"]]
    assert json.loads(third.tags["earlier_commits"]) == [kept.tags["git_commit"], "later"]
    assert load_record(begun.directory) == third
