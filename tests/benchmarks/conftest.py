"""One small study, run once, for the tests of what is done with a recorded one."""

from pathlib import Path

import pytest

from benchmarks.study import run_study
from benchmarks.suite import Suite
from benchmarks.tracking import open_record
from tests.benchmarks.small_studies import small_suite, store_at


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
