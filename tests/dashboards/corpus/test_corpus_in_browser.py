"""The page of a corpus in a real browser: it draws, sorts, plays, fits and asks the network for nothing."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from dashboards.corpus.corpus_page import build_corpus_report
from dashboards.media.players import Sample
from tests.dashboards.browsers import LOCAL, needs_chromium, opened, serious, until
from tests.dashboards.corpora import corpus
from tests.dashboards.studies import HOSTILE_TEXT, flac, strokes

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def page() -> str:
    clip = Sample("0.flac", "speech", "real", "faks0-sx1, 1.00 s", flac(1.0, 0))
    drawing = Sample("1.json", "pen", "real", "a01-000u-01, 254 points", strokes(0))
    return build_corpus_report(corpus(), [clip, drawing])


@pytest.mark.parametrize("width", [360, 1600])
def test_it_fits_is_accessible_and_sends_no_request(browser: Browser, page: str, tmp_path: Path, width: int):
    result = opened(browser, page, tmp_path / "corpus.html", width)
    assert result.page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious(result.page) == []
    result.page.emulate_media(color_scheme="dark")
    assert serious(result.page, "color-contrast") == []
    assert [url for url in result.requests if not url.startswith(LOCAL)] == []
    assert result.complaints == []
    result.page.close()


def test_bars_stand_on_zero_and_tables_sort(browser: Browser, page: str, tmp_path: Path):
    result = opened(browser, page, tmp_path / "corpus.html")
    bars = result.page.locator(".chart >> nth=0 >> .mark-rect.role-mark path")
    heights = bars.evaluate_all("bars => bars.map(b => b.getBBox().height)")
    assert len(heights) == 2
    assert min(heights) > 30
    rejects = result.page.locator("#rejects table")
    codes = rejects.locator("tbody th")
    assert codes.all_inner_texts() == ["absent", "undecodable"]
    rejects.locator("thead button >> nth=0").click()
    rejects.locator("thead button >> nth=0").click()
    assert codes.all_inner_texts() == ["undecodable", "absent"]
    until(result.page, "document.querySelector('audio').readyState >= 1")
    assert result.page.evaluate("document.querySelector('audio').duration") == pytest.approx(1.0, abs=0.01)
    result.page.close()


def test_hostile_text_is_not_executed(browser: Browser, tmp_path: Path):
    texts = dict.fromkeys(("corpus", "split_rule", "licence", "url"), HOSTILE_TEXT)
    result = opened(browser, build_corpus_report(corpus(**texts)), tmp_path / "corpus.html")
    assert result.page.evaluate("window.hacked") is None
    assert result.page.locator("img").count() == 0
    assert result.complaints == []
    result.page.close()
