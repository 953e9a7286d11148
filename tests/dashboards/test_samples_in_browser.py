"""The samples in a real browser: players that follow, seek and take turns, and drawings that are drawn again."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Browser, Locator, expect

from dashboards.report import build_report
from tests.dashboards.browsers import Opened, needs_chromium, opened, serious
from tests.dashboards.studies import HOSTILE_TEXT, Store, Writer, comparison, samples_of_every_role

pytestmark = needs_chromium

POINTS = 241


def latent(kind: str, frames: int) -> dict[str, Any]:
    speech = kind == "speech"
    return {
        "version": 1,
        "kind": kind,
        "source": "dr1-fvmh0/sx206",
        "file": "real-0.flac" if speech else "real-0.json",
        "frame_size": 200 if speech else 1,
        "sample_rate": 16000 if speech else None,
        "kl_nats": [float(frame % 7) for frame in range(frames)],
        "mean_change": [None, *(float(frame % 5) for frame in range(1, frames))],
        "segments": [[0, 4000, "sil"], [4000, 8000, HOSTILE_TEXT], [8000, 16000, "s"]] if speech else [],
    }


@pytest.fixture(scope="module")
def html(store: Store, tmp_path_factory: pytest.TempPathFactory) -> str:
    writer = Writer(MlflowClient(store.uri), "samples", tmp_path_factory.mktemp("samples"))
    parent = writer.parent(comparison("samples"))
    for corpus, kind, models in (("speech", "speech", ("RNN-GMM", "VRNN-Gauss")), ("ink", "pen", ("VRNN-Gauss",))):
        for model in models:
            run = writer.child(parent, corpus=corpus, model=model, seed=0)
            writer.samples(run, samples_of_every_role(kind))
            if model == "VRNN-Gauss":
                content = latent(kind, 80 if kind == "speech" else POINTS - 1)
                writer.client.log_dict(run, content, "samples/latent.json")
    return build_report("samples", store.uri)


@pytest.fixture(scope="module")
def report(browser: Browser, html: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    result = opened(browser, html, tmp_path_factory.mktemp("page") / "report.html")
    result.page.set_default_timeout(10_000)
    result.page.wait_for_function("[...document.querySelectorAll('audio')].every(a => a.readyState >= 1)")
    yield result
    result.page.close()


def test_nothing_is_complained_of_and_hostile_phones_are_text(report: Opened):
    assert report.complaints == []
    assert report.page.evaluate("window.hacked") is None
    assert report.page.locator("#samples img").count() == 0
    assert HOSTILE_TEXT in report.page.locator(".phones").get_attribute("aria-label", timeout=1000)


def player(report: Opened, number: int) -> Locator:
    return report.page.locator("#samples audio").nth(number)


def current(report: Opened, number: int) -> float:
    return player(report, number).evaluate("player => player.currentTime")


def pictured(figure: Locator) -> list[float]:
    """Left and right edge of the waveform, of the spectrogram and of the place that seeks, in CSS pixels."""
    script = """figure => [...figure.querySelectorAll('.wave, image, .seek')]
      .flatMap(e => [e.getBoundingClientRect().left, e.getBoundingClientRect().right])"""
    return figure.evaluate(script)


def test_waveform_and_spectrogram_lie_on_one_time_scale(report: Opened):
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
    report.page.wait_for_function("parseFloat(document.querySelector('.clip .head').getAttribute('x1')) > 20")
    head = figure.locator(".head").bounding_box()
    assert head is not None
    assert head["x"] - box["x"] == pytest.approx(box["width"] * 0.25, abs=3)
    assert seek.get_attribute("aria-valuenow") == "0.25"


def test_the_line_moves_over_the_latent_figure_of_the_same_sequence(report: Opened):
    player(report, 0).evaluate("player => { player.currentTime = 0.5 }")
    report.page.wait_for_function("document.querySelector('.panels .head').getAttribute('x1') === '50%'")
    heads = report.page.locator(".panels >> nth=0 >> .head")
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
    report.page.wait_for_function(playing)
    report.page.keyboard.press("Enter")
    assert not report.page.evaluate(playing)


def test_starting_one_stops_the_others(report: Opened):
    sounding = "[...document.querySelectorAll('#samples audio')].map((p, i) => (p.paused ? '' : i)).join('')"
    for number in range(3):
        player(report, number).evaluate("player => { player.loop = true; player.play().catch(() => {}) }")
        report.page.wait_for_function(f"{sounding} === '{number}'")
    player(report, 2).evaluate("player => player.pause()")
    assert report.page.evaluate(sounding) == ""


def test_the_sequence_of_a_latent_figure_is_the_player_of_the_recording(report: Opened):
    player(report, 0).evaluate("player => { player.loop = true }")
    button, recording = report.page.locator(".hear"), "document.querySelector('#samples audio')"
    button.click()
    expect(button).to_have_text("Pause the sequence")
    assert report.page.evaluate(f"{recording}.paused") is False
    button.click()
    expect(button).to_have_text("Play the sequence")
    assert report.page.evaluate(f"{recording}.paused") is True


def test_panels_waveform_and_phones_are_aligned(report: Opened):
    script = """() => [...document.querySelectorAll('.panels')[0].querySelectorAll('.wave, .phones, .steps path')]
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
    report.page.wait_for_function("range => Number(range.value) > 110", arg=figure.locator("input").element_handle())
    report.page.keyboard.press("Enter")
    position = int(figure.locator("input").input_value())
    assert 110 < position <= POINTS
    assert act.inner_text() == "Resume"
    put(figure, POINTS - 2)
    button.click()
    report.page.wait_for_function("act => act.textContent === 'Replay'", arg=act.element_handle())
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


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1600, "light")])
def test_it_fits_and_axe_finds_nothing_serious(
    browser: Browser, html: str, tmp_path: Path, width: int, scheme: Literal["dark", "light"]
):
    result = opened(browser, html, tmp_path / "report.html", width)
    result.page.emulate_media(color_scheme=scheme)
    result.page.evaluate("document.querySelectorAll('#samples details').forEach((each) => (each.open = true))")
    assert result.page.evaluate("document.documentElement.scrollWidth") <= width
    assert [fault for fault in serious(result.page) if "samples" in fault] == []
    result.page.close()


def test_without_scripts_players_and_drawings_are_there_and_nothing_that_would_not_work(
    browser: Browser, html: str, tmp_path: Path
):
    path = tmp_path / "report.html"
    path.write_text(html, encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.locator("#samples audio").first.is_visible()
    assert page.locator("#samples .ink").first.is_visible()
    for selector in (".replay", ".seek", ".hear"):
        assert page.locator(f"#samples {selector}").count() > 0
        assert not page.locator(f"#samples {selector}").first.is_visible()
    context.close()
