"""One MLflow store a session: an ordinary study, a hostile one, and one without a comparison."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

# Read when MLflow is imported.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

from mlflow import MlflowClient

from dashboards.report.study_report import build_report
from tests.dashboards.browsers import ARGUMENTS, CHROMIUM
from tests.dashboards.demo import write_hostile_study, write_study
from tests.dashboards.studies import HOSTILE_STUDY, STUDY, UNFINISHED_STUDY, Store, Writer


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{root / 'mlflow.db'}"
    client = MlflowClient(uri)
    client.search_experiments()
    shutil.copy(root / "mlflow.db", root / "empty.db")
    comparisons = {
        STUDY: write_study(client, root / "demo"),
        HOSTILE_STUDY: write_hostile_study(client, root / "hostile"),
    }
    Writer(client, UNFINISHED_STUDY, root / "unfinished").parent(None)
    return Store(uri, f"sqlite:///{root / 'empty.db'}", comparisons)


@pytest.fixture(scope="session")
def page(store: Store) -> str:
    return build_report(STUDY, store.uri)


@pytest.fixture(scope="session")
def hostile_page(store: Store) -> str:
    return build_report(HOSTILE_STUDY, store.uri)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()
