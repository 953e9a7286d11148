"""The report of a large study stays small; how long it takes to build and to open is printed, not judged."""

import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from dashboards.report.study_report import build_report
from tests.dashboards.browsers import needs_chromium, watched
from tests.dashboards.large_study import CORPORA, MODELS, SEEDS, large_study

pytestmark = pytest.mark.slow
MOST_BYTES = 10_000_000
# One promise: what a page polls for is evaluated there again and again, which its policy forbids.
IN_SIGHT = """() => new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error("a chart in sight is not drawn")), 20000);
  const drawn = (chart) => {
    const { top, bottom } = chart.getBoundingClientRect();
    return bottom < 0 || top > innerHeight || !chart.checkVisibility() || 'drawn' in chart.dataset;
  };
  const check = () => {
    if ([...document.querySelectorAll('.chart')].every(drawn)) resolve(performance.now());
    else requestAnimationFrame(check);
  };
  check();
})"""


@dataclass(frozen=True)
class Opening:
    """Seconds from the start of navigation."""

    parsed: float
    drawn: float
    answering: float


def opening_of(browser: Browser, path: Path) -> Opening:
    """Open a page from disk: until it is parsed, until the charts in sight are drawn, and until a press is answered."""
    watch = watched(browser)
    watch.page.goto(path.as_uri())
    drawn = watch.page.evaluate(IN_SIGHT)
    watch.page.locator("button.theme").click()
    answering = watch.page.evaluate("performance.now()")
    parsed = watch.page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    assert watch.complaints == []
    watch.page.close()
    return Opening(parsed / 1000, drawn / 1000, answering / 1000)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = large_study()
    start = time.perf_counter()
    html = build_report(*study)
    print(f"\nbuilt in {time.perf_counter() - start:.1f} s")  # noqa: T201
    path = tmp_path_factory.mktemp("large") / "report.html"
    path.write_text(html, encoding="utf-8")
    return path


def test_it_stays_small(report: Path):
    size = report.stat().st_size
    print(f"\n{len(CORPORA) * len(MODELS) * SEEDS} trials: {size / 1e6:.2f} MB")  # noqa: T201
    assert size < MOST_BYTES


@needs_chromium
def test_it_opens_and_draws_what_is_in_sight_alone(browser: Browser, report: Path):
    print(f"\n{opening_of(browser, report)}")  # noqa: T201
    watch = watched(browser)
    watch.page.goto(report.as_uri())
    charts, drawn = (watch.page.locator(each) for each in (".chart", ".chart[data-drawn]"))
    watch.page.evaluate(IN_SIGHT)
    assert drawn.count() < charts.count()
    watch.page.locator("#learning article > details.fold > summary").last.click()
    watch.page.locator("#learning .chart").last.scroll_into_view_if_needed()
    watch.page.locator("#learning .chart[data-drawn]").last.wait_for()
    watch.page.evaluate(IN_SIGHT)
    assert watch.complaints == []
    watch.page.close()
