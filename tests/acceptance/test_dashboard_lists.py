"""Marks, policy dates, lists of owners and logs, and groups of a dimension, in a real Chromium on a filled store."""

import json
import os
import urllib.request

import pytest
from axe_playwright_python.sync_playwright import Axe

from collector.simulator.options import Life
from collector.timestamps import rfc3339
from tests.harness.browser import CHROMIUM, browsing, looking
from tests.harness.processes import Collector, eventually, midnight, profile_toml, simulating

if CHROMIUM is None and not os.environ.get("CI"):
    pytest.skip("there is no chromium here: apt-get install chromium", allow_module_level=True)

GROUPS = 'dimension = "CA_OWNER"\n'
NAMED = '[profiles.each]\nlog = ["Google Argon2026h1"]\n'
LARGEST = "Internet Security Research Group"
CLOSED = "Amazon Trust Services"
FIRST, LAST = midnight(6), midnight(0)
RANGE = f"start={rfc3339(FIRST)}&end={rfc3339(LAST)}"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with simulating(more_values={"caOwner": 88}, lives={CLOSED: Life(end=midnight(31))}) as (_, url):
        collector = Collector(tmp_path_factory.mktemp("lists"), url, catalogue=True)
        collector.configure(
            profile_toml("all", "1d", 33),
            profile_toml("groups", "1d", 33, GROUPS),
            profile_toml("by-log", "1d", 8, NAMED),
        )
        with collector.running("run") as process:
            process.says("list=logs outcome=ok", seconds=60)
            with browsing() as browser:
                yield browser, process.url


@pytest.fixture
def dashboard(served):
    browser, url = served
    with looking(browser, url, viewport={"width": 1440, "height": 900}) as found:
        yield found


def _get(url, path):
    with urllib.request.urlopen(f"{url}/api/v1/{path}") as answer:
        return json.load(answer)


def _rows(page, table):
    return [row.locator("td").all_inner_texts() for row in page.locator(f"{table} tbody tr").all()]


def test_own_marks_are_added_and_removed_on_the_page_and_policy_dates_are_switched_on(dashboard, served):
    page, text = dashboard.page, "Our <b>move</b>"
    dashboard.open(f"#series=all&{RANGE}")
    dashboard.settled()
    page.get_by_role("button", name="Add", exact=True).click()
    assert dashboard.text("#mark-said") == "A mark needs a date and a text."
    page.locator("#mark-date").fill(f"{midnight(3):%Y-%m-%d}")
    page.locator("#mark-text").fill(text)
    page.keyboard.press("Enter")
    page.wait_for_selector("#lane .note.own")
    assert [mark["text"] for mark in _get(served[1], "marks")["marks"]] == [text]
    assert dashboard.text("#lane .note.own .words") == text
    assert dashboard.text("#trust").endswith("1 mark")
    assert [row[2:] for row in _rows(page, "#annotations")] == [["own mark", f"{text} Remove"]]
    assert Axe().run(page).response["violations"] == []
    page.get_by_role("button", name=f"Remove the mark {text}").click()
    eventually(lambda: page.locator("#lane .note.own").count() == 0)
    assert _get(served[1], "marks")["marks"] == []

    page.get_by_role("button", name="Policy dates").click()
    dashboard.drawn()
    assert page.url.endswith("&marks=policy")
    page.evaluate("location.hash = '#series=all&start=2026-03-01T00:00:00Z&end=2026-04-01T00:00:00Z&marks=policy'")
    eventually(lambda: [row[2:3] for row in _rows(page, "#annotations")] == [["policy date"]])
    page.get_by_role("button", name="Policy dates").click()
    eventually(lambda: _rows(page, "#annotations") == [["None."]])


def test_owners_and_logs_are_searched_and_their_series_shown(dashboard, served):
    page = dashboard.page
    dashboard.open(f"#series=all&{RANGE}")
    page.get_by_role("heading", name="Authorities and logs").click()
    first = page.locator("#known-rows tbody tr").first
    eventually(lambda: first.locator("td").first.inner_text() == LARGEST)
    value = _get(served[1], "values/ca_owner?limit=1")["values"][0]
    assert f"{value['volume']:,.0f} certificates in the 1d" in first.locator(".number").first.get_attribute("title")
    assert first.locator(".share").inner_text() == f"{100 * value['share']:.1f} %"
    page.locator("#find-known").fill("digicert")
    eventually(lambda: dashboard.text("#known-said") == "1 owner")
    show = page.get_by_role("button", name="Show groups/DigiCert, Inc. on the chart")
    show.focus()
    page.keyboard.press("Enter")
    eventually(lambda: [row[0].strip() for row in dashboard.readout()] == ["all 1d", "groups/DigiCert, Inc. 1d"])
    assert show.get_attribute("aria-pressed") == "true"
    assert show.evaluate("(button) => document.activeElement === button")

    page.get_by_role("button", name="logs", exact=True).click()
    page.locator("#find-known").fill("argon2026h1")
    eventually(lambda: [row[:3] for row in _rows(page, "#known-rows")] == [["Google Argon2026h1", "Google", "usable"]])
    assert _rows(page, "#known-rows")[0][4] != ""
    page.get_by_role("button", name="Show by-log/Google Argon2026h1 on the chart").click()
    eventually(lambda: len(dashboard.readout()) == 3)
    assert Axe().run(page).response["violations"] == []


def test_a_hundred_groups_are_ranked_with_their_rest_and_closed_ones_are_named(dashboard, served):
    page = dashboard.page
    dashboard.open(f"#profile=groups&{RANGE}&share=1&top=10")
    dashboard.settled()
    rows = dashboard.readout()
    assert (len(rows), rows[0][0].strip(), rows[-1][0].strip()) == (11, f"groups/{LARGEST} 1d", "other (90 series) 1d")
    assert sum(float(row[3].removesuffix(" %")) for row in rows) == pytest.approx(100, abs=0.5)
    points = _get(served[1], f"points?profile=all&{RANGE}")["points"]
    whole = sum(point["value"] for point in points)
    assert page.locator("#headline div").first.get_attribute("title").startswith(f"{whole:,.0f} certificates")

    box = page.locator(".profile[data-name=groups]")
    assert box.locator("[data-part=facts]").inner_text().startswith("1d \N{MIDDLE DOT} by CA_OWNER")
    box.locator("summary").click()
    page.get_by_role("searchbox", name="Search profiles").fill("amazon")
    eventually(lambda: box.locator("li.gone").all_inner_texts() == [f"{CLOSED}\nclosed"])
    assert box.locator(".lines > li").count() == 2  # the one that fits, and how many more there are
    assert "after the end of a bucket" in box.locator("[data-part=times]").inner_text()
    assert Axe().run(page).response["violations"] == []


def test_the_state_of_trust_says_how_many_sums_of_groups_are_proven(dashboard, served):
    """The groups of the newest 14 days are not final; before them, each day has the total of another answer."""
    eventually(lambda: _get(served[1], "status")["profiles"][1]["proof"]["proven"])
    dashboard.open(f"#profile=groups&start={rfc3339(midnight(20))}&end={rfc3339(LAST)}")
    dashboard.settled()
    (first, *_) = _get(served[1], f"proof?profile=groups&start={rfc3339(midnight(20))}&end={rfc3339(LAST)}")["proof"]
    assert first["state"] == "proven"
    eventually(lambda: f"{first['buckets']} sums proven" in dashboard.text("#trust"))
    dashboard.open(f"#series=all&{RANGE}")
    dashboard.settled()
    assert "proven" not in dashboard.text("#trust")
    module = dashboard.page.evaluate("document.querySelector('script[type=module]').src").replace("app.js", "proof.js")
    counts = {"proven": 4, "differing": 1, "not_comparable": 2}
    said = dashboard.page.evaluate(f"import('{module}').then((m) => m.proofWords({json.dumps(counts)}))")
    assert (said["text"], said["kind"]) == ("1 sum differs from the total", "bad")
