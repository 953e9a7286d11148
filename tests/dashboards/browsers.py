"""A real browser over pages that lie on disk: what they draw, what they ask for, what they complain of."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.processes import wait_until

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
LOCAL = ("file:", "data:", "blob:")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: apt-get install -y chromium")


@dataclass
class Opened:
    """An open page, what it asked for, and what it complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def watched(browser: Browser, width: int = 1280, height: int = 900) -> Opened:
    """An empty page without a network, whose requests and complaints are kept."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.context.set_offline(True)
    result = Opened(page)
    page.on("request", lambda request: result.requests.append(request.url))
    page.on("pageerror", lambda error: result.complaints.append(str(error)))
    page.on(
        "console",
        lambda message: result.complaints.append(message.text) if message.type in ("error", "warning") else None,
    )
    return result


def opened(browser: Browser, html: str, path: Path, width: int = 1280) -> Opened:
    """Write the page to disk, open it, and wait until all its charts are drawn."""
    path.write_text(html, encoding="utf-8")
    result = watched(browser, width)
    result.page.goto(path.as_uri())
    draw_all(result.page)
    return result


def draw_all(page: Page) -> None:
    """Draw the charts that are out of sight too, as for print."""
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    # Not wait_for_function: it evaluates within the page, which the page's policy forbids.
    page.locator(".chart:not([data-drawn])").first.wait_for(state="detached")


def serious(page: Page, *rules: str) -> list[str]:
    """What axe finds of serious or critical faults, by these rules or all: the rule, and the first place."""
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found = Axe().run(page, options=options).response["violations"]
    grave = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    return [f"{fault['id']}: {fault['nodes'][0]['html'][:200]}" for fault in grave]


def until(page: Page, condition: str) -> None:
    """Wait for a JavaScript expression to be true, asked again from here: a page's policy forbids its own polling."""
    wait_until(lambda: page.evaluate(condition), 10, condition)


def open_details(page: Page) -> None:
    """Unfold all that is folded away, and draw what was in it."""
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    draw_all(page)
