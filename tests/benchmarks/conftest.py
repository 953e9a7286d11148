"""One small study, run once, for the tests of what is done with a recorded one."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import pytest

from benchmarks.schema.suite import Suite
from benchmarks.store.mlflow_writer import open_writer, store_client
from benchmarks.study.run import run_study
from tests.benchmarks.small_studies import run_of, small_suite, store_at

Alter: TypeAlias = Callable[[str, Callable[[pd.DataFrame], pd.DataFrame]], str]


@pytest.fixture(scope="session")
def recorded_suite(tmp_path_factory: pytest.TempPathFactory, ink_shards: Path) -> Suite:
    """Two models on ink, run and recorded in a store next to its runs."""
    root = tmp_path_factory.mktemp("recorded")
    suite = small_suite(root, {"ink": ink_shards})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store_at(root))
        patch.chdir(root)
        run_study(suite, open_writer)
    return suite


@pytest.fixture
def recorded(recorded_suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """That study; this test uses its store, and works in the directory above its runs."""
    root = Path(recorded_suite.runs).parent
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_at(root))
    monkeypatch.chdir(root)
    return recorded_suite


@pytest.fixture
def altered(recorded: Suite, tmp_path: Path) -> Alter:
    """Makes a copy of the vrnn-gauss run in MLflow, with one table altered."""

    def alter(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> str:
        client = store_client()
        place = Path(client.download_artifacts(run_of("small", "vrnn-gauss"), "", str(tmp_path)))
        change(pd.read_parquet(place / name)).to_parquet(place / name, index=False)
        copy = client.create_run(client.create_experiment(tmp_path.name), tags={"trial_key": "altered"})
        client.log_artifacts(copy.info.run_id, str(place))
        client.set_terminated(copy.info.run_id, "FINISHED")
        return copy.info.run_id

    return alter
