"""The report in a real browser, opened from disk: it draws, plays, sorts and sends no request."""

import math
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser

from tests.dashboards.browsers import LOCAL, Opened, needs_chromium, open_details, opened, serious, until, watched
from tests.dashboards.demo import hostile

pytestmark = needs_chromium
SORTED_PAIRS = (("1b37c0de", "1b8bc0de"), ("9.5", "10.25"), ("model 9", "model 10"))
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.fixture(scope="module")
def report(browser: Browser, page: str, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    return opened(browser, page, tmp_path_factory.mktemp("report") / "report.html")


def test_it_requests_nothing_but_itself_and_logs_no_error(report: Opened):
    assert report.requests
    assert [url for url in report.requests if not url.startswith(LOCAL)] == []
    assert report.complaints == []


def test_every_chart_is_drawn_with_a_mark_per_row(report: Opened, page: str):
    assert report.page.locator(".chart svg").count() == page.count('<script type="application/json">') > 10
    marks = report.page.locator("#results .chart").first.locator(".mark-symbol.role-mark path")
    assert marks.count() == 5
    assert {marks.nth(i).get_attribute("fill") for i in range(5)} == {"#0072B2", "#D55E00", "#009E73"}


def test_a_mark_shows_its_values(report: Opened):
    report.page.locator("#results .chart").first.locator(".mark-symbol.role-mark path").first.hover()
    tooltip = report.page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert "30235.40" in tooltip.inner_text()


def column(report: Opened, number: int) -> list[float]:
    cells = report.page.locator(f"table.results >> nth=0 >> tbody tr > :nth-child({number})")
    return [float(value or "nan") for value in cells.evaluate_all("cells => cells.map(c => c.dataset.value)")]


def test_a_table_sorts_by_click_and_by_keyboard(report: Opened):
    header = report.page.locator("table.results >> nth=0 >> thead th >> nth=2")
    button = header.locator("button")
    button.click()
    assert header.get_attribute("aria-sort") == "descending"
    descending = column(report, 3)
    assert descending == sorted(descending, reverse=True)
    button.focus()
    report.page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    assert column(report, 3) == descending[::-1]
    assert report.page.locator("table.results >> nth=0 >> [aria-sort]").count() == 1


def test_cells_without_a_value_stay_last_in_both_directions(report: Opened):
    button = report.page.locator("table.results >> nth=0 >> thead th >> nth=5 >> button")
    for _ in range(2):
        button.click()
        missing = [math.isnan(value) for value in column(report, 6)]
        assert missing == [False, False, False, True, True]


def test_hexadecimal_keys_sort_as_text_and_names_with_numbers_by_number(report: Opened):
    order = "(a, b) => Math.sign(compareCells(a, b))"
    compared = {pair: report.page.evaluate(f"([a, b]) => ({order})(a, b)", list(pair)) for pair in SORTED_PAIRS}
    assert set(compared.values()) == {-1}, compared


def test_the_first_column_sorts_by_name(report: Opened):
    report.page.locator("table.results >> nth=0 >> thead th >> nth=0 >> button").click()
    names = report.page.locator("table.results >> nth=0 >> tbody th").all_inner_texts()
    assert [name.strip() for name in names] == ["RNN-GMM", "VRNN-Gauss", "VRNN-Gauss", "VRNN-GMM", "VRNN-GMM"]


def test_the_players_hold_audio_that_plays(report: Opened):
    until(report.page, "[...document.querySelectorAll('audio')].every(a => a.readyState >= 1)")
    players = report.page.locator("audio")
    durations = players.evaluate_all("players => players.map(p => p.duration)")
    assert durations == pytest.approx([1.0] * 6, abs=0.01)
    players.first.evaluate("player => { player.muted = player.loop = true; player.play(); }")
    until(report.page, "document.querySelector('audio').currentTime > 0.05")
    players.first.evaluate("player => player.pause()")


def test_a_drawing_is_drawn_again(report: Opened):
    figure = report.page.locator(".drawing", has=report.page.locator(".replay")).first
    whole = figure.locator(".ink path").last.get_attribute("d")
    figure.locator("button").click()
    until(report.page, "Number(document.querySelector('.drawing input').value) > 3")
    figure.locator("button").click()
    assert len(figure.locator(".ink path").last.get_attribute("d") or "") < len(whole or "")


@pytest.mark.parametrize("width", [360, 1600])
def test_unfolded_it_does_not_scroll_sideways_and_axe_finds_nothing_serious(
    browser: Browser, page: str, tmp_path: Path, width: int
):
    result = opened(browser, page, tmp_path / "report.html", width)
    open_details(result.page)
    assert result.page.evaluate("document.documentElement.scrollWidth") <= width
    table = "[...document.querySelectorAll('.scroll:has(.results)')].map(s => s.scrollWidth > s.clientWidth)"
    assert result.page.evaluate(f"{table}[0]") is (width == 360)
    assert serious(result.page) == []
    result.page.emulate_media(color_scheme="dark")
    assert serious(result.page, "color-contrast") == []
    assert result.complaints == []
    result.page.close()


CONTRASTS = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => channels(colour).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if ((channels(colour)[3] ?? 1) > 0) return colour;
    }
  };
  const selector = "p, li, td, th, small, a, h1, h2, h3, h4, figcaption, code, button, dt, dd, summary, .sign";
  return [...document.querySelectorAll(selector)].map((element) => {
    const [a, b] = [getComputedStyle(element).color, ground(element)].map(luminance).sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  });
}"""


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_has_the_contrast_of_level_aa(report: Opened, scheme: Literal["light", "dark"]):
    report.page.emulate_media(color_scheme=scheme)
    contrasts = report.page.evaluate(CONTRASTS)
    assert len(contrasts) > 100
    assert min(contrasts) >= 4.5
    report.page.emulate_media(color_scheme=None)


def test_hostile_text_is_not_executed_and_keeps_its_place(browser: Browser, hostile_page: str, tmp_path: Path):
    result = opened(browser, hostile_page, tmp_path / "report.html", 360)
    result.page.locator("#results .chart").first.locator(".mark-symbol.role-mark path").first.hover()
    result.page.locator("#vg-tooltip-element.visible").wait_for()
    open_details(result.page)
    assert result.page.evaluate("window.hacked") is None
    assert result.page.locator("img").count() == 0
    phones = result.page.locator("#samples .phones").get_attribute("aria-label")
    assert hostile("phone") in (phones or "")
    assert result.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert result.complaints == []
    result.page.close()


def test_the_policy_stops_a_script_that_is_not_the_pages_own(browser: Browser, page: str, tmp_path: Path):
    injected = page.replace("</main>", "<script>window.hacked = 1</script></main>")
    result = opened(browser, injected, tmp_path / "report.html")
    assert result.page.evaluate("window.hacked") is None
    assert len(result.complaints) == 1
    result.page.close()


GROUND = "getComputedStyle(document.body).backgroundColor"


def test_the_button_switches_the_theme_and_back(browser: Browser, page: str, tmp_path: Path):
    result = opened(browser, page, tmp_path / "report.html")
    button = result.page.locator("button.theme")
    light = result.page.evaluate(GROUND)
    assert button.get_attribute("aria-label") == "Switch to the dark theme"
    button.focus()
    result.page.keyboard.press("Enter")
    dark = result.page.evaluate(GROUND)
    assert dark != light
    assert button.get_attribute("aria-label") == "Switch to the light theme"
    result.page.emulate_media(color_scheme="dark")
    button.click()
    assert result.page.evaluate(GROUND) == light
    assert result.complaints == []
    result.page.close()


def test_print_is_black_on_white_with_every_chart_and_no_player(browser: Browser, page: str, tmp_path: Path):
    result = opened(browser, page, tmp_path / "report.html")
    result.page.locator("button.theme").click()
    result.page.emulate_media(media="print")
    assert result.page.evaluate(GROUND) in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
    hidden = "[...document.querySelectorAll('audio, nav, .theme, .skip')].map(e => getComputedStyle(e).display)"
    assert set(result.page.evaluate(hidden)) == {"none"}
    charts = "[...document.querySelectorAll('.chart svg')].every(s => s.getBoundingClientRect().height > 0)"
    assert result.page.evaluate(charts)
    result.page.close()


def test_print_unfolds_corpora_and_tables_and_folds_them_again(browser: Browser, page: str, tmp_path: Path):
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    result = watched(browser)
    result.page.goto((tmp_path / "report.html").as_uri())
    folded = result.page.locator("details.fold:not([open])")
    before = folded.count()
    assert before > 0
    assert result.page.locator("#samples details.fold[open]").count() == 1
    result.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert folded.count() == 0
    result.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert folded.count() == before
    result.page.close()
