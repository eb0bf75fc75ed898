"""A real Chromium with the dashboard, for its tests."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Playwright, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser"))), None)
"""Debian's Chromium. Without the windows that nobody sees it needs two thirds of the time."""
_ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser of the system's."""
    play: Playwright
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Dashboard:
    """A page, and what it said and asked for; *expected* names the complaints that are part of a test."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def open(self, view: str = "") -> None:
        self.page.goto(f"{self.url}/{view}")
        self.drawn()

    def drawn(self) -> None:
        """Wait until what is asked for is on the chart."""
        self.page.wait_for_selector("#chart[data-drawn][aria-busy=false]")

    def settled(self) -> None:
        """Wait until everything around the chart is there, too."""
        self.drawn()
        self.page.wait_for_selector("#facts dd")
        self.page.wait_for_selector("#fetches tbody tr")
        self.page.wait_for_selector("#jobs li")

    def choose(self, label: str) -> None:
        """Tick or untick a series as a person does."""
        box = self.page.locator(f'input[data-series="{label}"]')
        fold = self.page.locator("details", has=box).last
        if fold.get_attribute("open") is None:
            fold.locator("summary").click()
        box.click()
        self.drawn()

    def drag(self, start: float, end: float) -> None:
        """Drag over the chart, from one share of its width to another."""
        box = self.page.locator(".u-over").bounding_box()
        assert box
        y = box["y"] + box["height"] / 2
        self.page.mouse.move(box["x"] + box["width"] * start, y)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + box["width"] * (start + end) / 2, y, steps=3)
        self.page.mouse.move(box["x"] + box["width"] * end, y, steps=3)
        self.page.mouse.up()

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def readout(self) -> list[list[str]]:
        """The values under the chart: a row of cells per series."""
        rows = self.page.locator("#readout tr").all()
        return [row.locator("th, td").all_inner_texts() for row in rows]


@contextmanager
def looking(browser: Browser, url: str, **options: Any) -> Iterator[Dashboard]:
    """A page that is ready to open; at the end it must not have complained or asked anybody else."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "color_scheme": "light", **options})
    context.set_default_timeout(10_000)  # nothing may have to wait for the page's next look of its own
    dashboard = Dashboard(context.new_page(), url)
    page = dashboard.page
    page.on("console", lambda said: said.type in ("error", "warning") and dashboard.complaints.append(said.text))
    page.on("pageerror", lambda error: dashboard.complaints.append(str(error)))
    page.on("dialog", lambda dialog: dashboard.complaints.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: dashboard.hosts.add(urlsplit(request.url).netloc))
    yield dashboard
    page.unroute_all(behavior="ignoreErrors")  # a test's own answer may still be on its way
    context.close()
    assert dashboard.complaints == []
    assert dashboard.hosts - {""} == {urlsplit(url).netloc}
