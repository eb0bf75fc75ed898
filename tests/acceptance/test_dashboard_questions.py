"""Questions that the page answers at a glance, in a real Chromium: what happened, and can it be trusted?"""

import csv
import os
from datetime import timedelta
from urllib.parse import parse_qs

import pytest
from axe_playwright_python.sync_playwright import Axe

from collector.model import Window
from collector.simulator import GapChange
from collector.timestamps import rfc3339
from tests.harness.browser import CHROMIUM, browsing, looking
from tests.harness.processes import Collector, eventually, midnight, profile_toml, simulating

if CHROMIUM is None and not os.environ.get("CI"):
    pytest.skip("there is no chromium here: apt-get install chromium", allow_module_level=True)

HOUR = timedelta(hours=1)
LOST = Window(midnight(3) + 6 * HOUR, midnight(3) + 12 * HOUR)
OWNERS = [f"Owner {n}" for n in range(12)]
TWELVE = "[profiles.each]\nca_owner = [" + ", ".join(f'"{name}"' for name in OWNERS) + "]\n"
FIRST, LAST = midnight(6), midnight(0)
RANGE = f"start={rfc3339(FIRST)}&end={rfc3339(LAST)}"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with simulating() as (simulator, url):
        simulator.change(GapChange(LOST))
        collector = Collector(tmp_path_factory.mktemp("questions"), url, server='port = 0\nbase_path = "/radar"')
        collector.configure(profile_toml("all", "1h", 13), profile_toml("by-owner", "1h", 13, TWELVE))
        with collector.running("run") as process:
            process.says("heal outcome=ok", seconds=60)
            points = collector.points()
            with browsing() as browser:
                yield browser, process.url, points


@pytest.fixture
def dashboard(served):
    browser, url, _ = served
    with looking(browser, url, viewport={"width": 1440, "height": 900}, accept_downloads=True) as found:
        yield found


def _sum(points, label, start, end):
    return sum(value for at, value in points[label].items() if start.timestamp() <= at < end.timestamp())


def test_shares_per_day_are_those_of_the_exported_points(dashboard, served, tmp_path):
    _, _, points = served
    dashboard.open(f"#profile=by-owner&{RANGE}&per=day&share=1&top=5")
    page = dashboard.page
    with page.expect_download() as download:
        page.locator("#save summary").click()
        page.get_by_role("button", name="CSV of the drawing").click()
    download.value.save_as(tmp_path / "drawn.csv")
    with (tmp_path / "drawn.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    day = midnight(5)
    totals = {name: _sum(points, f"by-owner/{name}", day, day + 24 * HOUR) for name in OWNERS}
    drawn = {row["series"]: row for row in rows if row["start"] == rfc3339(day)}
    assert len(drawn) == 6
    assert {row["source"] for row in rows} == {"simulated"}
    for label, row in drawn.items():
        if not label.startswith("other"):
            assert float(row["value"]) == totals[label.removeprefix("by-owner/")]
            assert float(row["share"]) == pytest.approx(float(row["value"]) / sum(totals.values()), rel=1e-12)
    assert sum(float(row["value"]) for row in drawn.values()) == sum(totals.values())
    partial = [row for row in rows if row["start"] == rfc3339(midnight(3))]
    assert {row["part"] for row in partial} == {"0.75"}
    assert "1 columns are left out, because a part is missing" in dashboard.text("#key")

    box = page.locator(".u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 1.5 / 6, box["y"] + 80)
    eventually(lambda: page.locator(".tip").is_visible())
    tip = page.locator(".tip").bounding_box()
    assert abs(tip["x"] - (box["x"] + box["width"] * 1.5 / 6)) < 40
    values = [int(text.replace(",", "")) for text in page.locator(".tip td.strong").all_inner_texts()]
    assert values == sorted(values, reverse=True)


def test_the_first_screen_says_what_is_shown_and_whether_to_trust_it(dashboard, served):
    _, _, points = served
    dashboard.open(f"#profile=by-owner&{RANGE}")
    dashboard.settled()
    page = dashboard.page
    assert dashboard.text("#subject") == "by-owner (12 series)"
    totals = {name: _sum(points, f"by-owner/{name}", FIRST, LAST) for name in OWNERS}
    whole, largest = sum(totals.values()), max(totals, key=totals.get)
    title = page.locator("#headline div").first.get_attribute("title")
    assert title.startswith(f"{round(whole):,} certificates")
    assert f"{100 * totals[largest] / whole:.1f} %" in dashboard.text("#headline")
    week = timedelta(weeks=1)
    lost = {at.timestamp() for at in (LOST.start + n * HOUR for n in range(6))}
    kept = [
        (points[f"by-owner/{name}"][at], points[f"by-owner/{name}"][at - week.total_seconds()])
        for name in OWNERS
        for at in (FIRST.timestamp() + n * 3600 for n in range(144))
        if at not in lost
    ]
    now, before = (sum(pair[side] for pair in kept) for side in (0, 1))
    change = f"{abs(100 * (now - before) / before):.1f} %"
    eventually(lambda: change in dashboard.text("#headline"))
    assert "72 buckets missing" in dashboard.text("#trust")
    for selector in ("#headline", "#trust", "#chart", "#overview"):
        eventually(lambda selector=selector: page.locator(selector).is_visible())
        box = page.locator(selector).bounding_box()
        assert box["y"] + box["height"] <= 900, selector
    assert page.title().endswith("by-owner (12 series) \N{EN DASH} Radar history")
    assert Axe().run(page).response["violations"] == []


def test_one_name_shows_one_line_and_escape_goes_back(dashboard):
    dashboard.open(f"#profile=by-owner&{RANGE}&top=5")
    dashboard.settled()
    page = dashboard.page
    names = page.locator(".tail").all_inner_texts()
    assert len(names) == 5
    page.locator(".tail").first.click()
    eventually(lambda: "11 series hidden" in dashboard.text("#key"))
    page.locator("#readout button", has_text="Owner").nth(1).click(modifiers=["Shift"])
    eventually(lambda: "10 series hidden" in dashboard.text("#key"))
    assert len(parse_qs(page.url.partition("#")[2])["only"]) == 2
    page.locator("#dates summary").click()
    page.locator("#from").fill("2001-01-01T00:00")
    page.locator("#until").fill("2001-01-02T00:00")
    page.keyboard.press("Enter")
    eventually(lambda: dashboard.text("#dates-said").startswith("The history begins"))
    page.locator("#from").fill(f"{midnight(4):%Y-%m-%dT%H:%M}")
    page.locator("#until").fill(f"{midnight(2):%Y-%m-%dT%H:%M}")
    page.keyboard.press("Enter")
    dashboard.drawn()
    assert dashboard.text("#period") == f"{midnight(4):%-d %b} \N{EN DASH} {midnight(3):%-d %b %Y}"
    assert page.evaluate("document.activeElement.id") == "chart"
    page.keyboard.press("Escape")
    dashboard.drawn()
    eventually(lambda: page.locator("#presets [aria-pressed=true]").all_inner_texts() == ["7d"])
    assert "hidden" not in dashboard.text("#key")


def test_a_backfill_is_estimated_and_a_moment_of_the_past_is_shown(dashboard):
    page = dashboard.page
    dashboard.open(f"#series=all&{RANGE}&as_of={rfc3339(midnight(0))}")
    dashboard.settled()
    eventually(lambda: "new" in dashboard.text("#as-of-said"))
    assert dashboard.text("#message") == "No points in this period yet."
    page.get_by_role("button", name="Estimate").click()
    assert dashboard.text("#order-said") == "From: give the first day."
    page.get_by_label("From", exact=True).fill(f"{midnight(40):%Y-%m-%d}")
    page.get_by_role("button", name="Estimate").click()
    eventually(lambda: "Nothing was requested." in dashboard.text("#order-said"))
    assert page.locator("#jobs li[data-job]").count() == 0


def test_a_period_that_reaches_the_present_has_shares_of_what_is_published(dashboard):
    dashboard.open("#profile=by-owner&range=1d&of=by-owner")
    eventually(lambda: "%" in dashboard.text("#headline"), 20)
    shares = [cell for row in dashboard.readout() for cell in row if cell.endswith("%")]
    assert len(shares) == len(OWNERS)
    assert sum(float(share.removesuffix("%")) for share in shares) == pytest.approx(100, abs=1)
