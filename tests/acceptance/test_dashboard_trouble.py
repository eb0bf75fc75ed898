"""The dashboard in a real Chromium when something is hostile, missing, broken, guarded, or large."""

import os
import signal
import socket
from datetime import timedelta
from statistics import median

import pytest
from axe_playwright_python.sync_playwright import Axe

from collector.model import Annotation
from collector.timestamps import rfc3339
from tests.harness import faults
from tests.harness.browser import CHROMIUM, browsing, looking
from tests.harness.processes import Collector, eventually, midnight, profile_toml, simulating

if CHROMIUM is None and not os.environ.get("CI"):
    pytest.skip("there is no chromium here: apt-get install chromium", allow_module_level=True)

CANVAS = "document.querySelector('.uplot canvas').toDataURL()"
SIX_MINUTES = timedelta(minutes=6)
_MARKUP = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "</table><form action=//evil.example><button autofocus onfocus=alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<style>*{display:none}</style>",
    "{{7*7}} ${7*7} <%= 7*7 %>",
    "&lt;b&gt; \N{RIGHT-TO-LEFT OVERRIDE}evil",
    "x" * 900,
]
_LINKS = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "//evil.example",
    "https://example.com/?q=<script>",
    "x",
]
HOSTILE = tuple(
    Annotation(
        midnight(1) + n * SIX_MINUTES,
        midnight(1) + n * SIX_MINUTES + 10 * SIX_MINUTES,
        "CT",
        kind,
        text,
        link,
        is_instantaneous=False,
    )
    for n, (text, link, kind) in enumerate(
        (t, k, e) for t in _MARKUP for k in _LINKS for e in ("OUTAGE", "<b>EVENT</b>")
    )
)


@pytest.fixture(scope="module")
def browser():
    with browsing() as found:
        yield found


def test_hostile_annotations_are_text_and_nothing_else(browser, tmp_path):
    with simulating(annotations=HOSTILE) as (_, url):
        collector = Collector(tmp_path, url)
        collector.configure(profile_toml("all", "1h", 3))
        with collector.running("run") as process, looking(browser, process.url) as dashboard:
            process.says("heal outcome=ok", seconds=60)
            dashboard.open("#series=all&range=7d")
            dashboard.settled()
            page = dashboard.page
            assert page.locator("#annotations tbody tr").count() == len(HOSTILE) == 200
            for button in page.locator("#lane button").all():
                button.click()
            page.wait_for_timeout(300)
            inside = "#annotations, #lane, #detail"
            for live in ("script", "img", "svg", "iframe", "form", "style", "b", "[onload], [onerror], [onfocus]"):
                assert page.locator(inside).locator(live).count() == 0, live
            hrefs = page.locator(inside).locator("a").evaluate_all("all => all.map((a) => a.getAttribute('href'))")
            assert set(hrefs) == {"https://example.com/?q=%3Cscript%3E"}
            shown = page.locator("#annotations tbody").inner_text()
            assert all(text in shown for text in _MARKUP if "\N{RIGHT-TO-LEFT OVERRIDE}" not in text)


def test_before_the_first_point_the_page_says_so(browser, tmp_path):
    with simulating() as (simulator, url):
        simulator.script(faults.html(503).always())
        collector = Collector(tmp_path, url)
        collector.configure(profile_toml("all", "1h", 3))
        with collector.running("run") as process, looking(browser, process.url) as dashboard:
            process.says("collect outcome=failed")
            dashboard.open()
            assert dashboard.text("#message") == "No points in this period yet."
            dashboard.page.wait_for_selector("#fetches .trouble")


def test_a_store_that_is_gone_is_said_and_what_was_read_stays(browser, tmp_path):
    with simulating() as (_, url):
        collector = Collector(tmp_path, url)
        collector.configure(profile_toml("all", "1h", 3))
        with collector.running("run") as process, looking(browser, process.url) as dashboard:
            process.says("heal outcome=ok", seconds=60)
            dashboard.open()
            dashboard.settled()
            values = dashboard.readout()
            (tmp_path / "collector.db").rename(tmp_path / "away")
            dashboard.page.get_by_role("button", name="28d").click()
            dashboard.page.wait_for_selector("#banner:not([hidden])")
            assert "the store does not answer" in dashboard.text("#banner")
            assert dashboard.readout() == values
            (tmp_path / "away").rename(tmp_path / "collector.db")
            dashboard.page.get_by_role("button", name="Try again").click()
            dashboard.page.wait_for_selector("#banner[hidden]", state="attached")
            dashboard.complaints[:] = [said for said in dashboard.complaints if "503" not in said]


def test_a_server_with_a_token_asks_for_it(browser, tmp_path):
    with simulating() as (_, url):
        (tmp_path / "token").write_text("0123456789abcdefghij")
        (tmp_path / "token").chmod(0o600)
        collector = Collector(tmp_path, url, server='port = 0\ntoken_file = "token"')
        collector.configure(profile_toml("all", "1h", 3))
        with collector.running("run") as process, looking(browser, process.url) as dashboard:
            process.says("heal outcome=ok", seconds=60)
            dashboard.page.goto(dashboard.url)
            box = dashboard.page.get_by_role("textbox", name="Token")
            go = dashboard.page.get_by_role("button", name="Go on")
            assert dashboard.text("#ask-said") == ""
            for wrong, said in (("a b", "no blanks"), ("x" * 20, "This token is wrong.")):
                box.fill(wrong)
                go.click()
                eventually(lambda said=said: said in dashboard.text("#ask-said"))
                assert dashboard.page.locator("#ask").is_visible()
            dashboard.page.keyboard.press("Escape")
            assert "The token is wrong." in dashboard.text("#banner")
            dashboard.page.get_by_role("button", name="Enter the token").click()
            box.fill("0123456789abcdefghij")
            go.click()
            dashboard.settled()
            assert dashboard.readout()[0][0] == "all 1h"
            dashboard.complaints[:] = [said for said in dashboard.complaints if "401" not in said]


def test_an_outage_is_said_and_ends_by_itself(browser, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with simulating() as (_, url):
        collector = Collector(tmp_path, url, server=f"port = {port}")
        collector.configure(profile_toml("all", "1h", 3))
        with looking(browser, f"http://127.0.0.1:{port}") as dashboard:
            page = dashboard.page
            with collector.running("run") as process:
                process.says("heal outcome=ok", seconds=60)
                start, end = midnight(2), midnight(1)
                dashboard.open(f"#series=all&start={rfc3339(start)}&end={rfc3339(end)}")
                dashboard.settled()
                shown = [dashboard.text("#period"), dashboard.readout()]
            page.get_by_role("button", name="Later").click()
            page.wait_for_selector("#banner:not([hidden])")
            assert "The collector does not answer. What was chosen, " in dashboard.text("#banner")
            eventually(lambda: "Trying again in " in dashboard.text("#again"))
            assert page.get_attribute("#chart", "aria-busy") == "false"
            assert [dashboard.text("#period"), dashboard.readout()] == shown
            assert Axe().run(page).response["violations"] == []
            with collector.running("run") as process:
                process.says("url=http")
                page.wait_for_selector("#banner[hidden]", state="attached", timeout=40_000)
                middle = f"{midnight(2):%-d %b}, 12:00 \N{EN DASH} {midnight(1):%-d %b %Y}, 12:00"
                assert dashboard.text("#period") == middle
            dashboard.complaints[:] = [said for said in dashboard.complaints if "ERR_" not in said]


def test_a_page_recovers_whatever_it_could_not_read(browser, tmp_path):
    with simulating() as (_, url):
        collector = Collector(tmp_path, url)
        collector.configure(profile_toml("all", "1h", 3))
        with collector.running("run") as process, looking(browser, process.url) as dashboard:
            process.says("heal outcome=ok", seconds=60)
            page, held, asked = dashboard.page, [], []
            page.clock.install()
            page.route("**/api/v1/**", lambda route: route.abort())
            page.goto(f"{dashboard.url}/#series=all&start={rfc3339(midnight(2))}&end={rfc3339(midnight(1))}")
            page.wait_for_selector("#banner:not([hidden])")
            assert dashboard.text("#message") == "Nothing can be read at the moment."
            page.unroute("**/api/v1/**")
            page.clock.run_for(2_000)
            dashboard.settled()
            assert page.locator("#banner").is_hidden()

            page.on("request", lambda request: "/points?" in request.url and asked.append(request.url))
            page.clock.run_for(61_000)  # a fixed period is read again, too
            eventually(lambda: asked)
            dashboard.drawn()

            page.route("**/api/v1/points*", lambda route: held.append(route))  # noqa: PLW0108 - playwright marks it
            page.mouse.move(5, 5)
            drawn = page.evaluate(CANVAS)
            page.keyboard.down("Shift")
            dashboard.drag(0.6, 0.3)
            page.keyboard.up("Shift")
            page.mouse.move(5, 5)
            eventually(lambda: held)
            assert page.get_attribute("#chart", "aria-busy") == "true"
            before = dashboard.text("#period")
            page.clock.run_for(21_000)  # longer than an answer may take
            page.wait_for_selector("#banner:not([hidden])")
            assert dashboard.text("#period") == before
            assert page.evaluate(CANVAS) == drawn
            page.unroute("**/api/v1/points*")
            page.clock.run_for(31_000)
            page.wait_for_selector("#banner[hidden]", state="attached")
            dashboard.drawn()
            assert dashboard.text("#period") != before
            dashboard.complaints[:] = [said for said in dashboard.complaints if "ERR_" not in said]


@pytest.mark.campaign
@pytest.mark.parametrize("series", [10, 30])
def test_a_year_of_many_series_is_there_within_a_second(browser, tmp_path, series):
    """On two cores that nothing else uses; what keeps it so is tested without a watch beside the other views."""
    each = "[profiles.each]\nca_owner = [" + ", ".join(f'"Owner {n}"' for n in range(series)) + "]\n"
    with simulating() as (_, url):
        collector = Collector(tmp_path, url)
        collector.configure(profile_toml("owners", "15m", 365, each))
        with collector.running("run") as process, looking(browser, process.url) as dashboard:
            process.says("heal outcome=ok", seconds=180)
            assert collector.rows("SELECT count(*) FROM points")[0][0] > 35_000 * series
            took = []
            for _ in range(9):
                dashboard.open("#range=52w")
                dashboard.settled()
                took.append(dashboard.page.evaluate("performance.getEntriesByName('drawn')[0].startTime"))
                dashboard.page.goto("about:blank")
            print("drawn after", sorted(round(milliseconds) for milliseconds in took), "ms")  # noqa: T201 - the figure
            assert median(took) < 1_000, took


TYPO = '[profiles.filters]\nca_owner = ["Lets Encrypt"]\n'


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_waits_stalls_and_warnings_are_in_sight(browser, tmp_path, scheme):
    with simulating(unknown_names="zero", lag=timedelta(days=2)) as (simulator, url):
        collector = Collector(tmp_path, url)
        known = profile_toml("all", "1d", 9), profile_toml("typo", "1d", 9, TYPO)
        collector.configure(*known)
        with collector.running("run") as process:
            process.says("url=http", "heal outcome=ok")
            eventually(lambda: collector.count("fires") == 2)
            simulator.script(faults.too_many("3600").always())
            collector.configure(*known, profile_toml("never", "1w", None))
            process.process.send_signal(signal.SIGHUP)
            process.says("outcome=rate_limited")
            with looking(browser, process.url, color_scheme=scheme) as dashboard:
                dashboard.open()
                dashboard.page.wait_for_selector("#warnings:not([hidden])")
                warnings = dashboard.text("#warnings")
                assert "Radar refuses requests; asked again in " in warnings
                assert 'typo: Radar counted nothing in 9 days for ca_owner "Lets Encrypt"' in warnings
                states = {
                    item.get_attribute("data-name"): item.get_attribute("data-state")
                    for item in dashboard.page.locator(".profile").all()
                }
                assert states == {"all": "stale", "typo": "stale", "never": "waiting"}
                assert "Radar has no newer data" in dashboard.text(".profile[data-name=all] .trouble")
                assert "HTTP 429" in dashboard.text(".profile[data-name=never] .trouble")
                assert dashboard.text("#facts dd >> nth=0").split()[0] in ("runs", "active")
                assert Axe().run(dashboard.page).response["violations"] == []
