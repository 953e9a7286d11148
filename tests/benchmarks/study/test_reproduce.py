"""A recorded trial that is run again: identical here; otherwise the first difference is reported."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.errors import StudyError
from benchmarks.schema.suite import Suite
from benchmarks.store.locate import open_trial
from benchmarks.store.mlflow_reader import find_run
from benchmarks.store.mlflow_writer import store_client
from benchmarks.study.reproduce import Check, reproduce
from benchmarks.suites.suite import expand
from benchmarks.trials.task import task_of
from pipelines.runtime.storage import Location
from tests.benchmarks.conftest import Alter
from tests.benchmarks.small_studies import run_of


@pytest.mark.parametrize("model", [pytest.param("rnn-gauss", marks=pytest.mark.slow), "vrnn-gauss"])
def test_the_same_code_on_the_same_machine_is_identical(recorded: Suite, model: str, tmp_path: Path) -> None:
    checked: list[Check] = []
    epochs: list[int] = []
    found = reproduce(
        run_of("small", model),
        Location(str(tmp_path / "again")),
        on_checked=lambda name, checks: checked.extend(checks),
        on_epoch=lambda epoch, most: epochs.append(epoch.epoch),
    )
    assert found is not None
    assert (found.verdict, found.first_difference, found.largest_difference) == ("identical", None, 0.0)
    assert epochs == [1, 2, 3]
    assert [check.what for check in checked if not check.same] == []
    assert {"commit", "lock", "packages", "processor", "threads"} <= {check.what for check in checked}


def test_the_first_difference_is_reported(altered: Alter, tmp_path: Path) -> None:
    def later_epochs(curves: pd.DataFrame) -> pd.DataFrame:
        curves.loc[curves["epoch"] >= 2, "valid_nats_per_frame"] += 1e-9
        return curves.assign(seconds=1e6)

    found = reproduce(altered("curves.parquet", later_epochs), Location(str(tmp_path / "again")))
    assert found is not None
    assert found.verdict == "within tolerance"
    assert found.first_difference is not None
    assert found.first_difference.startswith("epoch 2, valid_nats_per_frame: recorded ")


@pytest.mark.parametrize(
    ("nats_per_frame", "verdict"), [pytest.param(1e-4, "within tolerance", marks=pytest.mark.slow), (1e-2, "different")]
)
def test_scores_are_compared_within_a_tolerance_in_nats_per_frame(
    altered: Alter,
    tmp_path: Path,
    nats_per_frame: float,
    verdict: str,
) -> None:
    def shifted(scores: pd.DataFrame) -> pd.DataFrame:
        iwae = scores["estimator"] == "iwae"
        return scores.assign(nats=scores["nats"] + iwae * scores["frames"] * nats_per_frame)

    found = reproduce(altered("scores.parquet", shifted), Location(str(tmp_path / "again")))
    assert found is not None
    assert found.verdict == verdict
    assert found.largest_difference == pytest.approx(nats_per_frame)
    assert "by iwae-2, nats" in str(found.first_difference)


def test_other_data_are_refused(recorded: Suite, speech_shards: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="set --shards to the data it was trained on"):
        reproduce(run_of("small", "rnn-gauss"), Location(str(tmp_path / "again")), shards=str(speech_shards))


def test_a_directory_with_a_result_is_refused(recorded: Suite) -> None:
    place = task_of(recorded, expand(recorded)[0]).directory
    with pytest.raises(StudyError, match="has a result already"):
        reproduce(run_of("small", "rnn-gauss"), place)


def test_runs_that_are_not_finished_trials_are_refused(recorded: Suite, tmp_path: Path) -> None:
    client = store_client()
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    (parent,) = client.search_runs([experiment.experiment_id], "tags.role = 'study'")
    with pytest.raises(StudyError, match="is not a finished trial"):
        reproduce(parent.info.run_id, Location(str(tmp_path / "again")))
    with pytest.raises(StudyError, match=f"no run '{'0' * 32}' in sqlite"):
        reproduce("0" * 32, Location(str(tmp_path / "again")))


def test_a_trial_is_found_by_its_name_too(recorded: Suite) -> None:
    run_id = run_of("small", "vrnn-gauss")
    assert find_run("small/ink/clean/vrnn-gauss/seed0") == find_run(run_id) == run_id
    with pytest.raises(StudyError, match=r"did you mean small/ink/clean/vrnn-gauss/seed0\?"):
        find_run("small/ink/clean/vrnn-gaus/seed0")


def test_a_trial_is_read_from_disk_if_its_study_is_there_and_else_from_the_store(
    recorded: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "small/ink/clean/vrnn-gauss/seed0"
    disk = open_trial(name)
    with pytest.raises(StudyError, match=r"did you mean small/ink/clean/vrnn-gauss/seed0\?"):
        open_trial("small/ink/clean/vrnn-gaus/seed0")
    monkeypatch.chdir(tmp_path)
    store = open_trial(name)
    assert (disk.run_id, store.run_id) == (None, run_of("small", "vrnn-gauss"))
    assert (disk.record, disk.outcome) == (store.record, store.outcome)
