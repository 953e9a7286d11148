"""The samples in a real browser: players that seek and take turns, and drawings that are replayed."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.dashboards.browsers import Opened, needs_chromium, opened, until
from tests.processes import wait_until

pytestmark = needs_chromium

POINTS = 241


@pytest.fixture(scope="module")
def report(browser: Browser, page: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    result = opened(browser, page, tmp_path_factory.mktemp("page") / "report.html")
    result.page.set_default_timeout(10_000)
    until(result.page, "[...document.querySelectorAll('audio')].every(a => a.readyState >= 1)")
    yield result
    result.page.close()


def test_nothing_is_complained_of(report: Opened):
    assert report.complaints == []


def player(report: Opened, number: int) -> Locator:
    return report.page.locator("#samples audio").nth(number)


def current(report: Opened, number: int) -> float:
    return player(report, number).evaluate("player => player.currentTime")


def pictured(figure: Locator) -> list[float]:
    """Left and right edge of the waveform, of the spectrogram and of the place that seeks, in CSS pixels."""
    script = """figure => [...figure.querySelectorAll('.wave, image, .seek')]
      .flatMap(e => [e.getBoundingClientRect().left, e.getBoundingClientRect().right])"""
    return figure.evaluate(script)


def test_waveform_and_spectrogram_are_on_one_time_scale(report: Opened):
    left, right, image_left, image_right, seek_left, seek_right = pictured(report.page.locator(".clip").first)
    hop = (right - left) / 100
    assert (left, right) == pytest.approx((seek_left, seek_right), abs=1)
    assert image_left == pytest.approx(left - hop / 2, abs=1)
    assert image_right == pytest.approx(right + hop / 2, abs=1)


def test_a_click_seeks_to_where_it_is_and_moves_the_line_there(report: Opened):
    figure = report.page.locator(".clip").first
    seek = figure.locator(".seek")
    box = seek.bounding_box()
    assert box is not None
    seek.click(position={"x": box["width"] * 0.25, "y": 20})
    assert current(report, 0) == pytest.approx(0.25, abs=0.02)
    until(report.page, "parseFloat(document.querySelector('.clip .head').getAttribute('x1')) > 20")
    head = figure.locator(".head").bounding_box()
    assert head is not None
    assert head["x"] - box["x"] == pytest.approx(box["width"] * 0.25, abs=3)
    assert seek.get_attribute("aria-valuenow") == "0.25"


def test_the_line_moves_over_the_latent_figure_of_the_same_sequence(report: Opened):
    player(report, 0).evaluate("player => { player.currentTime = 0.5 }")
    until(report.page, "document.querySelector('#samples .panels .head').getAttribute('x1') === '50%'")
    heads = report.page.locator("#samples .panels >> nth=0 >> .head")
    assert heads.count() == 3
    assert {heads.nth(i).get_attribute("x1") for i in range(3)} == {"50%"}


def test_the_keyboard_seeks_plays_and_pauses(report: Opened):
    seek = report.page.locator(".clip >> nth=1 >> .seek")
    seek.focus()
    steps = [("End", 1.0), ("Home", 0.0), ("ArrowRight", 0.1), ("ArrowRight", 0.2), ("ArrowLeft", 0.1)]
    for key, seconds in steps:
        report.page.keyboard.press(key)
        assert current(report, 1) == pytest.approx(seconds, abs=0.011)
    playing = "document.querySelectorAll('#samples audio')[1].paused === false"
    player(report, 1).evaluate("player => { player.loop = true }")
    report.page.keyboard.press("Space")
    until(report.page, playing)
    report.page.keyboard.press("Enter")
    assert not report.page.evaluate(playing)


def test_starting_one_stops_the_others(report: Opened):
    sounding = "[...document.querySelectorAll('#samples audio')].map((p, i) => (p.paused ? '' : i)).join('')"
    for number in range(3):
        player(report, number).evaluate("player => { player.loop = true; player.play().catch(() => {}) }")
        until(report.page, f"{sounding} === '{number}'")
    player(report, 2).evaluate("player => player.pause()")
    assert report.page.evaluate(sounding) == ""


def test_the_sequence_of_a_latent_figure_is_the_player_of_the_recording(report: Opened):
    player(report, 0).evaluate("player => { player.loop = true }")
    button, recording = report.page.locator(".play"), "document.querySelector('#samples audio')"
    button.click()
    expect(button).to_have_text("Pause the sequence")
    assert report.page.evaluate(f"{recording}.paused") is False
    button.click()
    expect(button).to_have_text("Play the sequence")
    assert report.page.evaluate(f"{recording}.paused") is True


def test_panels_waveform_and_phones_are_aligned(report: Opened):
    script = """() => [...document.querySelector('#samples .panels').querySelectorAll('.wave, .phones, .steps path')]
      .map(e => e.getBoundingClientRect()).map(box => [box.left, box.right])"""
    wave, phones, kl, change = report.page.evaluate(script)
    column = (phones[1] - phones[0]) / 240
    assert wave == pytest.approx(phones, abs=column)
    assert kl == pytest.approx(phones, abs=1)
    frame = (phones[1] - phones[0]) / 80
    assert change == pytest.approx([phones[0] + frame, phones[1]], abs=1)


def drawing(report: Opened, role: str) -> Locator:
    return report.page.locator(".drawing", has=report.page.locator(f"figcaption:has-text('{role}')"))


def paths(figure: Locator) -> list[str]:
    return figure.locator(".ink path").evaluate_all("paths => paths.map(p => p.getAttribute('d'))")


def drawn(figure: Locator) -> list[str]:
    return [point for path in paths(figure) for point in re.findall(r"[\d.]+ [\d.]+", path)]


def put(figure: Locator, position: int) -> None:
    script = "(range, at) => { range.value = at; range.dispatchEvent(new Event('input')) }"
    figure.locator("input[type=range]").evaluate(script, position)


def test_the_slider_cuts_the_drawing_after_so_many_points(report: Opened):
    figure = drawing(report, "Real").first
    whole, points = paths(figure), drawn(figure)
    for position in (0, 1, 79, 80, 81, 240):
        put(figure, position)
        assert drawn(figure) == points[:position]
        assert paths(figure)[0].count("M") == math.ceil(position / 80)
        text = figure.locator("input").get_attribute("aria-valuetext")
        assert text == f"{position} of {POINTS} points"
    put(figure, POINTS)
    assert paths(figure) == whole


def test_a_continuation_is_drawn_from_its_recorded_beginning_on(report: Opened):
    figure = drawing(report, "Continuation").first
    whole = paths(figure)
    assert figure.locator("input").get_attribute("max") == str(POINTS)
    put(figure, 120)
    assert paths(figure) == [whole[0], ""]
    put(figure, 121)
    assert paths(figure)[0] == whole[0]
    assert paths(figure)[1].count("L") == 1
    assert whole[1].startswith(paths(figure)[1])
    put(figure, POINTS)
    assert paths(figure) == whole


def test_replay_draws_on_pauses_and_ends_whole(report: Opened):
    figure = drawing(report, "Generated").first
    whole, button, act = paths(figure), figure.locator("button"), figure.locator(".act")
    put(figure, 100)
    assert act.inner_text() == "Resume"
    button.focus()
    report.page.keyboard.press("Enter")
    assert act.inner_text() == "Pause"
    wait_until(lambda: int(figure.locator("input").input_value()) > 110, 10, "the replay continues")
    report.page.keyboard.press("Enter")
    position = int(figure.locator("input").input_value())
    assert 110 < position <= POINTS
    assert act.inner_text() == "Resume"
    put(figure, POINTS - 2)
    button.click()
    expect(act).to_have_text("Replay")
    assert paths(figure) == whole


def test_less_motion_moves_by_a_stroke_at_each_press(report: Opened):
    figure = drawing(report, "Real").first
    report.page.emulate_media(reduced_motion="reduce")
    counts = []
    for _ in range(4):
        figure.locator("button").click()
        counts.append(int(figure.locator("input").input_value()))
    report.page.emulate_media(reduced_motion="no-preference")
    assert counts == [80, 160, 240, 241]


def test_without_scripts_players_and_drawings_are_there_and_nothing_that_would_not_work(
    browser: Browser, page: str, tmp_path: Path
):
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    shown = context.new_page()
    shown.goto(path.as_uri())
    assert shown.locator("#samples audio").first.is_visible()
    shown.locator("#samples details.fold > summary").last.click()
    assert shown.locator("#samples .ink").first.is_visible()
    for selector in (".replay", ".seek", ".play"):
        assert shown.locator(f"#samples {selector}").count() > 0
        assert not shown.locator(f"#samples {selector}").first.is_visible()
    context.close()
