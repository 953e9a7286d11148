"""The live page in a real browser: it shows a study to its end without a reload, plays samples and does not grow."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from dashboards.errors import ReportError
from dashboards.live.server import StudyServer
from dashboards.live.site import Site, study_path
from tests.dashboards.browsers import needs_chromium, serious
from tests.dashboards.running import RunningStudy, copy_of
from tests.dashboards.studies import HOSTILE_STUDY, HOSTILE_TEXT, pen_samples, speech_samples
from tests.processes import wait_until

pytestmark = needs_chromium

NODES = "document.getElementsByTagName('*').length"


@dataclass
class Shown:
    """A study that is written to, and the page that shows it."""

    study: RunningStudy
    page: Page
    server: StudyServer
    complaints: list[str] = field(default_factory=list)

    def wait(self, condition: str) -> None:
        """Ask again and again from here: within the page its policy forbids what is made of text."""
        wait_until(lambda: self.page.evaluate(condition), 20, condition)

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()


def no_report(study: str) -> str:
    raise ReportError(study)


def shown(browser: Browser, uri: str, directory: Path, name: str, width: int = 1280) -> Iterator[Shown]:
    study = RunningStudy(uri, directory, name=name)
    server = StudyServer(Site(uri, no_report))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    page = browser.new_page(viewport={"width": width, "height": 900})
    result = Shown(study, page, server)
    page.on("pageerror", lambda error: result.complaints.append(str(error)))
    page.on("console", lambda message: result.complaints.append(message.text))
    page.clock.install()
    page.goto(server.url + study_path(name, "live"))
    yield result
    page.close()
    server.shutdown()
    server.server_close()


@pytest.fixture
def live(browser: Browser, empty_store: str, tmp_path: Path) -> Iterator[Shown]:
    yield from shown(browser, copy_of(empty_store, tmp_path), tmp_path, "growing")


@pytest.fixture
def hostile(browser: Browser, empty_store: str, tmp_path: Path) -> Iterator[Shown]:
    yield from shown(browser, copy_of(empty_store, tmp_path), tmp_path, HOSTILE_STUDY, width=360)


def lead_has(text: str) -> str:
    return f"document.getElementById('lead').textContent.includes({text!r})"


def write(study: RunningStudy, step: threading.Semaphore) -> None:
    """Train two trials and lose a third, a step whenever it is allowed."""
    for number, key in enumerate(("a", "b", "c")):
        step.acquire()
        run = study.begin(key, model=f"model-{number}")
        for epoch in (1, 2, 3):
            step.acquire()
            study.epoch(key, epoch, -10.0 + epoch + number, speed=1000.0 * epoch)
        step.acquire()
        if key != "c":
            study.samples(run, speech_samples(number) if key == "a" else pen_samples(number))
        study.end(key, "FINISHED" if key != "c" else "FAILED", **({} if key != "c" else {"diverged_at_step": "9"}))
    step.acquire()
    study.finish()


def test_the_page_shows_a_study_to_its_end_without_a_reload(live: Shown):
    """The test sets the page's clock, so nothing here waits for seconds to pass."""
    steps = threading.Semaphore(0)
    writer = threading.Thread(target=write, args=(live.study, steps), daemon=True)
    writer.start()
    live.wait(lead_has("0 of 3 trials have ended"))
    live.page.evaluate("window.marker = 'the same page'")

    def until(condition: str, allowed: int) -> None:
        steps.release(allowed)
        for _ in range(60):
            live.page.clock.run_for(2500)
            if live.page.evaluate(condition):
                return
            threading.Event().wait(0.1)
        pytest.fail(f"never came: {condition}; lead: {live.text('#lead')}")

    until("document.querySelector('#running progress')?.value === 2", 3)
    assert live.text("#running .text") == "epoch 2 of at most 4, 2,000 frames/s"
    assert live.text("#speed-sentence") == "2,000 at the last epoch, one running trial."
    until("document.querySelectorAll('#panels polyline')[0]?.getAttribute('points').split(' ').length === 3", 1)
    assert live.page.locator("#announcement").inner_text() == ""
    until(lead_has("1 of 3 trials has ended"), 1)
    assert live.page.locator("#announcement").text_content() == "speech, paper, model-0, seed 0: finished."
    assert live.page.locator("#samples audio").count() == 1
    live.page.evaluate("document.querySelector('audio').play()")
    live.wait("document.querySelector('audio').duration > 0.9")
    until("document.querySelectorAll('#samples .ink path').length === 1", 5)
    until(lead_has("3 of 3 trials have ended"), 5)
    assert live.page.locator("#announcement").text_content() == "speech, paper, model-2, seed 0: diverged."
    until(lead_has("The study is finished"), 1)
    writer.join()
    assert live.page.locator("#report").get_attribute("hidden") is None
    assert live.text("#interval") == "Updates every 30 s."
    assert live.page.evaluate("window.marker") == "the same page"
    counts = live.page.locator("#counts dd").all_inner_texts()
    assert counts == ["2", "0", "0", "1", "0"]
    assert live.complaints == []


def test_three_hundred_polls_leave_the_page_as_large_as_one(live: Shown):
    live.study.begin("a")
    for epoch in range(1, 4):
        live.study.epoch("a", epoch, -5.0 + epoch)
    live.page.evaluate("poll()")
    live.page.evaluate("window.answer = async () => { clearTimeout(timer); loading = false; await poll(); }")
    live.wait("(answer(), document.querySelector('#panels polyline') !== null)")
    live.page.evaluate("window.line = document.querySelector('#panels polyline')")
    before = live.page.evaluate(NODES)
    live.page.evaluate(
        """async () => {
          const state = await (await fetch("state.json")).json();
          const first = JSON.stringify(state);
          window.fetch = async () => new Response(state.updated === "first" ? first : JSON.stringify(state));
          for (let i = 1; i <= 300; i += 1) {
            state.updated = `poll ${i}`;
            state.panels[0].lines[0].points.push([3 + i, i % 7]);
            state.panels[0].lines[0].points = state.panels[0].lines[0].points.slice(-200);
            state.ends = [{ id: `${i}`, name: `trial ${i}`, status: "done" }];
            await answer();
          }
          window.size = announced.size;
          state.updated = "first";
          await answer();
        }"""
    )
    assert live.page.evaluate("size") == 1
    assert live.page.evaluate("line === document.querySelector('#panels polyline')")
    assert live.page.evaluate(NODES) == before


def test_a_server_that_went_away_is_announced_once_and_asked_less_often(live: Shown):
    live.wait(lead_has("0 of 3"))
    live.page.evaluate("() => { window.fetch = async () => { throw new Error('gone'); }; }")
    paces = []
    for _ in range(6):
        live.page.evaluate("poll()")
        paces.append(live.text("#interval"))
    assert paces == [f"Updates every {seconds} s." for seconds in (4, 8, 16, 32, 60, 60)]
    assert live.text("#trouble") == "The server does not answer; the page shows its last answer."
    assert live.page.locator("#announcement").text_content() == "The server does not answer; retrying less often."
    assert live.text("#lead").startswith("0 of 3")


def test_a_hostile_study_is_text_at_360_pixels(hostile: Shown):
    run = hostile.study.begin("a", **dict.fromkeys(("corpus", "protocol", "model", "seed"), HOSTILE_TEXT))
    hostile.study.epoch("a", 1, -1.0)
    hostile.study.samples(run, speech_samples(1, HOSTILE_TEXT))
    hostile.study.end("a")
    for _ in range(40):
        hostile.page.clock.run_for(2500)
        if hostile.page.locator("#samples audio").count():
            break
        threading.Event().wait(0.1)
    assert HOSTILE_TEXT in hostile.text("#samples figcaption")
    assert hostile.text("h1") == HOSTILE_STUDY
    assert hostile.page.evaluate("window.hacked") is None
    assert hostile.page.locator("img").count() == 0
    assert hostile.page.evaluate("document.documentElement.scrollWidth") == 360
    assert serious(hostile.page) == []
    assert hostile.complaints == []
