"""The pages of an ordinary study and of a hostile one, an empty MLflow store, and a browser: once per session."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

# Read when MLflow is imported.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

from mlflow import MlflowClient

from dashboards.report.study_report import build_report
from tests.dashboards.browsers import ARGUMENTS, CHROMIUM
from tests.dashboards.demo import demo_study, hostile_study


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of an empty store, to be copied."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"
    MlflowClient(uri).search_experiments()
    return uri


@pytest.fixture(scope="session")
def page() -> str:
    return build_report(*demo_study())


@pytest.fixture(scope="session")
def hostile_page() -> str:
    return build_report(*hostile_study())


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()
