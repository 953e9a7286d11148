"""One small study, run once, for the tests of what is done with a recorded one."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import pytest

from benchmarks.store.mlflow_writer import client_of_store, open_record
from benchmarks.study.run import run_study
from benchmarks.suites.suite import Suite
from tests.benchmarks.small_studies import run_of, small_suite, store_at

Alter: TypeAlias = Callable[[str, Callable[[pd.DataFrame], pd.DataFrame]], str]


@pytest.fixture(scope="session")
def recorded_suite(tmp_path_factory: pytest.TempPathFactory, ink_shards: Path) -> Suite:
    """Two models on ink, run and recorded in the store that lies beside its runs."""
    root = tmp_path_factory.mktemp("recorded")
    suite = small_suite(root, {"ink": ink_shards})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store_at(root))
        patch.chdir(root)
        run_study(suite, open_record)
    return suite


@pytest.fixture
def recorded(recorded_suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """That study; its store is the one that this test speaks to, and the directory of its runs' is where it works."""
    root = Path(recorded_suite.runs).parent
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_at(root))
    monkeypatch.chdir(root)
    return recorded_suite


@pytest.fixture
def altered(recorded: Suite, tmp_path: Path) -> Alter:
    """Makes a run like vrnn-gauss's of which one table was altered, in the record alone."""

    def alter(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> str:
        client = client_of_store()
        place = Path(client.download_artifacts(run_of("small", "vrnn-gauss"), "", str(tmp_path)))
        change(pd.read_parquet(place / name)).to_parquet(place / name, index=False)
        copy = client.create_run(client.create_experiment(tmp_path.name), tags={"trial_key": "altered"})
        client.log_artifacts(copy.info.run_id, str(place))
        client.set_terminated(copy.info.run_id, "FINISHED")
        return copy.info.run_id

    return alter
