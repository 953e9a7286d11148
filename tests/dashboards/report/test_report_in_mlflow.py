"""MLflow's own viewer shows the report: within its frame it draws its charts and plays its sounds."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Browser

from tests.benchmarks.study.test_run import Server
from tests.dashboards.browsers import needs_chromium

pytestmark = [needs_chromium, pytest.mark.slow]


def test_mlflows_viewer_shows_the_report(browser: Browser, page: str, tmp_path: Path):
    server = Server(tmp_path)
    try:
        client = MlflowClient(server.uri)
        experiment = client.create_experiment("viewed")
        run = client.create_run(experiment).info.run_id
        client.log_text(run, page, "report.html")
        viewer = browser.new_page(viewport={"width": 1400, "height": 1000})
        viewer.goto(f"{server.uri}/#/experiments/{experiment}/runs/{run}/artifacts/report.html", timeout=120_000)
        frame = viewer.frame_locator("iframe").first
        frame.locator("h1").wait_for(timeout=120_000)
        assert frame.locator("h1").inner_text() == "demo"
        frame.locator(".chart").first.scroll_into_view_if_needed()
        frame.locator(".chart svg").first.wait_for(timeout=60_000)
        frame.locator("button.theme").click()
        assert frame.locator("html").get_attribute("data-theme") in ("dark", "light")
        player = frame.locator("audio").first
        player.evaluate("player => { player.muted = true; return player.play(); }")
        viewer.wait_for_timeout(500)
        assert player.evaluate("player => player.currentTime") > 0
        viewer.close()
    finally:
        server.stop()
