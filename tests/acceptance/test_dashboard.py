"""The dashboard in a real Chromium, used as a person would."""

import csv
import os
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe

from collector.model import Annotation, Window
from collector.simulator import GapChange, RevisionChange
from collector.timestamps import rfc3339
from tests.harness import faults
from tests.harness.browser import CHROMIUM, browsing, looking
from tests.harness.processes import Collector, eventually, midnight, profile_toml, simulating

if CHROMIUM is None and not os.environ.get("CI"):
    pytest.skip("there is no chromium here: apt-get install chromium", allow_module_level=True)

HOUR = timedelta(hours=1)
LOST = Window(midnight(3) + 6.5 * HOUR, midnight(3) + 12 * HOUR)
OUTAGE = Annotation(
    midnight(2), midnight(2) + 9 * HOUR, "CT", "OUTAGE", "A large log refused submissions",
    "https://radar.cloudflare.com/certificate-transparency", is_instantaneous=False,
)  # fmt: skip
OWNERS = '[profiles.each]\nca_owner = ["Sectigo Limited", "DigiCert, Inc."]\n'
MANY = "[profiles.each]\nca_owner = [" + ", ".join(f'"Owner {n}"' for n in range(105)) + "]\n"
UNIQUE = '[profiles.filters]\nunique_entries = ["true"]\n'
FAILING = '[profiles.filters]\ntld = ["dev"]\n'


def _refusing(received):
    return faults.api_error(400, 2001, "not <b>now</b>") if "tld=" in received.raw_query else None


@pytest.fixture(scope="module")
def browser():
    with browsing() as found:
        yield found


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A daemon with four weeks of history that has a gap, an annotation, revised values, and a profile that fails."""
    with simulating(annotations=(OUTAGE,)) as (simulator, url):
        simulator.change(GapChange(LOST))
        simulator.script(_refusing)
        collector = Collector(tmp_path_factory.mktemp("dashboard"), url)
        collector.configure(
            profile_toml("all", "15m", 28, 'settle = "1d"\n'),
            profile_toml("by-owner", "1h", 28, OWNERS),
            profile_toml("young", "1h", None),
            profile_toml("failing", "1h", 2, FAILING),
            profile_toml("unique", "15m", 2, UNIQUE),
            profile_toml("many", "1d", 3, MANY),
        )
        with collector.running("run") as process:
            process.says("heal outcome=ok", seconds=60)
            yield simulator, process.url


@pytest.fixture
def dashboard(browser, running):
    with looking(browser, running[1], accept_downloads=True) as found:
        yield found


def test_a_person_looks_at_history(dashboard):
    page = dashboard.page
    dashboard.open()
    dashboard.settled()
    assert page.locator(".profile .name").all_inner_texts() == ["all", "by-owner", "young", "failing", "unique", "many"]
    states = {
        item.get_attribute("data-name"): item.get_attribute("data-state") for item in page.locator(".profile").all()
    }
    assert states["failing"] == "failing"
    assert states["young"] == "fresh"
    assert "not <b>now</b>" in dashboard.text(".profile[data-name=failing] .trouble")

    dashboard.choose("by-owner/DigiCert, Inc.")
    assert [row[0] for row in dashboard.readout()] == ["all 15m, summed to 1h", "by-owner/DigiCert, Inc. 1h"]
    assert dashboard.text("#measure").startswith("Certificates per hour; finer series are summed")
    page.get_by_role("button", name="28d").click()
    dashboard.drawn()
    whole = dashboard.text("#period")
    dashboard.drag(0.82, 0.98)
    dashboard.drawn()
    eventually(lambda: dashboard.text("#period") != whole)
    page.get_by_role("button", name="7d").click()
    page.get_by_role("button", name="Compare").click()
    dashboard.drawn()
    page.wait_for_selector("#readout-head th:nth-child(4)")
    assert "1 w earlier" in dashboard.text("#key")
    assert dashboard.readout()[0][2] not in ("", "\N{EN DASH}")

    page.locator("#lane button").click()
    assert "A large log refused submissions" in dashboard.text("#detail")
    assert page.locator("#detail a").get_attribute("rel") == "noopener noreferrer"
    assert "gap" in dashboard.text("#key")
    page.locator("#gaps tbody tr", has=page.get_by_role("cell", name="all", exact=True)).get_by_role("button").click()
    dashboard.drawn()
    box = page.locator(".u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)  # where the chart has come into sight again
    eventually(lambda: "gap" in dashboard.readout()[0][-1])


def test_what_is_shown_can_be_downloaded(dashboard, running, tmp_path):
    start, end = midnight(5), midnight(4)
    dashboard.open(f"#series=all&series=by-owner%2FDigiCert%2C+Inc.&start={rfc3339(start)}&end={rfc3339(end)}")
    rows, name = _downloaded(dashboard, tmp_path)
    assert [row["series"] for row in rows] == ["all"] * 96 + ["by-owner/DigiCert, Inc."] * 24
    assert (rows[0]["timestamp"], rows[95]["timestamp"]) == (rfc3339(start), rfc3339(end - HOUR / 4))
    assert name == f"simulated-{start:%Y-%m-%d}-{end:%Y-%m-%d}.csv"
    dashboard.page.get_by_role("button", name="Compare", exact=True).click()
    dashboard.drawn()
    both, _ = _downloaded(dashboard, tmp_path)
    assert both[-len(rows) :] == rows
    earlier = [row["timestamp"] for row in both[: -len(rows)]]
    assert (min(earlier), max(earlier)) == (rfc3339(start - 168 * HOUR), rfc3339(end - 168 * HOUR - HOUR / 4))


def _downloaded(dashboard, folder):
    with dashboard.page.expect_download() as download:
        dashboard.page.locator("#save summary").click()
        dashboard.page.get_by_role("button", name="Download CSV").click()
    download.value.save_as(folder / "points.csv")
    with (folder / "points.csv").open() as lines:
        return list(csv.DictReader(lines)), download.value.suggested_filename


def test_no_more_is_read_than_pixels_can_show_and_at_once(dashboard):
    read = []
    dashboard.page.on("response", lambda response: "/api/v1/" in response.url and read.append(response))
    dashboard.open("#series=all&series=by-owner%2FDigiCert%2C+Inc.&range=28d")
    dashboard.settled()
    points = next(response for response in read if "/points?" in response.url)
    pixels = int(parse_qs(urlsplit(points.url).query)["thin"][0])
    assert pixels <= dashboard.page.locator("#chart").bounding_box()["width"]
    assert [len(one["most"]) <= pixels for one in points.json()["series"]] == [True, True]
    assert points.headers["content-encoding"] in ("gzip", "deflate")
    began = {urlsplit(one.url).path: one.request.timing["startTime"] for one in reversed(read)}
    assert min(began["/api/v1/status"], began["/api/v1/fetches"]) >= points.request.timing["startTime"]


def test_the_address_holds_the_whole_view(dashboard, browser, running):
    dashboard.open()
    dashboard.choose("by-owner/Sectigo Limited")
    for name in ("12w", "Compare", "From zero", "Log"):
        dashboard.page.get_by_role("button", name=name, exact=True).click()
        dashboard.drawn()
    dashboard.page.get_by_role("button", name="Zoom in").click()
    dashboard.drawn()
    given = parse_qs(dashboard.page.url.partition("#")[2])
    assert given["series"] == ["all", "by-owner/Sectigo Limited"]
    assert [given[name] for name in ("compare", "zero", "log")] == [["previous"], ["1"], ["1"]]
    seen = [dashboard.text("#period"), dashboard.readout(), dashboard.text("#key")]
    with looking(browser, running[1]) as other:
        other.open(f"#{dashboard.page.url.partition('#')[2]}")
        other.settled()
        assert [other.text("#period"), other.readout(), other.text("#key")] == seen
        pressed = other.page.locator("button[aria-pressed=true]").all_inner_texts()
        assert pressed == ["Compare", "Lines", "From zero", "Log"]
    dashboard.page.go_back()
    dashboard.drawn()
    eventually(lambda: dashboard.page.locator("#presets [aria-pressed=true]").all_inner_texts() == ["12w"])


def test_a_backfill_is_started_and_watched_to_its_end(dashboard):
    page = dashboard.page
    dashboard.open("#series=young&range=28d")
    dashboard.settled()
    page.get_by_role("combobox", name="Profile").select_option("young")
    page.get_by_label("From", exact=True).fill(f"{midnight(20):%Y-%m-%d}")
    page.get_by_role("button", name="Start").click()
    job = page.locator("#jobs li[data-job]").first
    page.wait_for_selector("#jobs li[data-state=done]")
    assert "young" in job.inner_text()
    assert not job.inner_text().splitlines()[-1].startswith("0 new")
    assert _first_point(dashboard) == midnight(20)
    eventually(lambda: dashboard.readout()[0][1] != "\N{EN DASH}")


def _first_point(dashboard):
    found = dashboard.page.request.get(f"{dashboard.url}/api/v1/points?series=young&limit=1").json()
    return datetime.fromisoformat(found["points"][0]["timestamp"])


def test_a_backfill_that_cannot_be_says_why(dashboard):
    dashboard.open()
    dashboard.settled()
    dashboard.page.get_by_label("From", exact=True).fill(f"{datetime.now(UTC) + timedelta(days=9):%Y-%m-%d}")
    dashboard.page.get_by_role("button", name="Start").click()
    eventually(lambda: "allowed: 2000-01-01 to tomorrow" in dashboard.text("#order-said"))
    assert dashboard.page.locator("#banner").is_hidden()
    dashboard.complaints[:] = [said for said in dashboard.complaints if "400" not in said]


def _backfilled(dashboard, order):
    """Order a backfill and give the state in which it ends."""
    request, address = dashboard.page.request, f"{dashboard.url}/api/v1/backfills"
    job = request.post(address, data=order).json()["id"]

    def state():
        return request.get(f"{address}/{job}").json()["state"]

    eventually(lambda: state() not in ("queued", "running"))
    return state()


def test_a_revised_value_tells_what_it_was(dashboard, running):
    simulator, _ = running
    simulator.change(RevisionChange(Window(midnight(1), midnight(1) + HOUR), 5_000))
    dashboard.open()
    dashboard.settled()
    order = {"profiles": ["by-owner"], "start": rfc3339(midnight(1)), "end": rfc3339(midnight(1) + HOUR), "force": True}
    assert _backfilled(dashboard, order) == "done"
    around = f"start={rfc3339(midnight(1) - 6 * HOUR)}&end={rfc3339(midnight(1) + 7 * HOUR)}"
    dashboard.open(f"#series=by-owner%2FDigiCert%2C+Inc.&{around}")
    dashboard.page.reload()
    dashboard.settled()
    assert "revised" in dashboard.text("#key")
    box = dashboard.page.locator(".u-over").bounding_box()
    dashboard.page.mouse.move(box["x"] + box["width"] * 6.4 / 13, box["y"] + 40)
    eventually(lambda: "was " in dashboard.readout()[0][-1])


def test_one_that_fails_again_and_again_hides_no_other_request(dashboard):
    asked = dashboard.page.request.get(f"{dashboard.url}/api/v1/fetches?limit=300").json()["fetches"]
    one = next(one for one in asked if one["profiles"] == ["failing"] and one["message"])
    refused = [one | {"id": one["id"] + more} for more in (3, 2, 1)]  # a real one would pause for minutes in between

    def again(route):
        answer = route.fetch()
        document = answer.json()
        document["fetches"] = [*refused, *document["fetches"]]
        route.fulfill(response=answer, json=document)

    dashboard.page.route("**/api/v1/fetches*", again)
    dashboard.open()
    dashboard.settled()
    rows = dashboard.page.locator("tr.bad", has=dashboard.page.get_by_role("cell", name="failing", exact=True))
    times = [
        int(text.partition(" \N{MULTIPLICATION SIGN} ")[2] or 1) for text in rows.locator(".again").all_inner_texts()
    ]
    assert len(times) < sum(times) <= len(asked) + len(refused)
    assert max(times) >= len(refused)
    dashboard.page.get_by_role("button", name="Only errors").click()
    eventually(lambda: dashboard.page.locator("#fetches tbody tr:not(.bad)").count() == 0)


def test_one_line_stands_out_while_its_row_is_pointed_at(dashboard):
    dashboard.open("#series=all&series=by-owner%2FDigiCert%2C+Inc.&range=7d")
    dashboard.settled()
    drawn = "document.querySelector('.uplot canvas').toDataURL()"
    dashboard.page.mouse.move(5, 5)
    alike = dashboard.page.evaluate(drawn)
    dashboard.page.locator("#readout tr").first.hover()
    eventually(lambda: dashboard.page.evaluate(drawn) != alike)
    dashboard.page.mouse.move(5, 5)
    eventually(lambda: dashboard.page.evaluate(drawn) == alike)
    dashboard.page.locator("input[data-series=all]").focus()
    eventually(lambda: dashboard.page.evaluate(drawn) != alike)


def test_everything_can_be_done_with_the_keyboard(dashboard):
    page = dashboard.page
    dashboard.open()
    dashboard.settled()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the chart"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "chart"
    for key in ("ArrowLeft", "ArrowLeft", "ArrowRight"):
        before = dashboard.text("#readout-head th:first-child")
        page.keyboard.press(key)
        eventually(lambda before=before: dashboard.text("#readout-head th:first-child") != before)
        assert "all" in dashboard.text("#spoken")
    for key in ("Shift+ArrowLeft", "+", "-", "Shift+ArrowRight"):
        before = dashboard.text("#period")
        page.keyboard.press(key)
        eventually(lambda before=before: dashboard.text("#period") != before)
        dashboard.drawn()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_nobody_is_shut_out(browser, running, scheme, size):
    phone = size[0] < 500
    screen = {"viewport": dict(zip(("width", "height"), size, strict=True)), "color_scheme": scheme}
    with looking(browser, running[1], **screen, has_touch=phone, is_mobile=phone) as dashboard:
        dashboard.open("#series=all&series=by-owner%2FDigiCert%2C+Inc.&range=7d&compare=1")
        dashboard.settled()
        found = Axe().run(dashboard.page)
        assert found.response["violations"] == [], found.generate_report()
        assert dashboard.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if phone:
            dashboard.page.get_by_role("heading", name="Profiles").click()
            dashboard.choose("by-owner/Sectigo Limited")
            assert len(dashboard.readout()) == 3


def test_the_other_scheme_is_one_click_away_and_stays(dashboard):
    dashboard.open()
    scheme = "getComputedStyle(document.documentElement).backgroundColor"
    light = dashboard.page.evaluate(scheme)
    dashboard.page.get_by_role("button", name="Switch between").click()
    dark = dashboard.page.evaluate(scheme)
    assert dark != light
    dashboard.page.reload()
    assert dashboard.page.evaluate(scheme) == dark


def _between(start, end):
    return f"start={rfc3339(start)}&end={rfc3339(end)}"


def _quoted(text):
    return f"\N{LEFT DOUBLE QUOTATION MARK}{text}\N{RIGHT DOUBLE QUOTATION MARK}"


def _point_at(dashboard, share):
    """Move the mouse to a share of the chart's width; gives its place on the screen."""
    box = dashboard.page.locator(".u-over").bounding_box()
    x = box["x"] + box["width"] * share
    dashboard.page.mouse.move(x, box["y"] + 60)
    return box


def test_counts_are_drawn_per_the_coarsest_bucket_that_is_shown(dashboard):
    day, hour = midnight(3), midnight(3) + 4 * HOUR
    dashboard.open(f"#series=all&series=by-owner%2FDigiCert%2C+Inc.&{_between(day, day + 24 * HOUR)}")
    found = dashboard.page.request.get(f"{dashboard.url}/api/v1/points?series=all&{_between(hour, hour + HOUR)}").json()
    total = sum(point["value"] for point in found["points"])
    assert len(found["points"]) == 4
    _point_at(dashboard, 4.5 / 24)
    eventually(lambda: dashboard.text("#readout-head th >> nth=0").endswith("04:00 \N{EN DASH} 05:00"))
    assert dashboard.readout()[0][:2] == ["all 15m, summed to 1h", f"{total:,}"]
    _point_at(dashboard, 6.5 / 24)  # half of this hour is lost
    eventually(lambda: dashboard.readout()[0][1] == "\N{EN DASH}")
    assert "gap" in dashboard.readout()[0][-1]
    dashboard.choose("by-owner/DigiCert, Inc.")
    assert dashboard.text("#measure") == "Certificates per 15 minutes"
    assert dashboard.readout()[0][0] == "all 15m"


def test_a_series_that_does_not_fit_the_axis_says_why(dashboard):
    dashboard.open("#series=by-owner%2FDigiCert%2C+Inc.&series=unique&range=1d")
    (_, refused) = dashboard.readout()
    assert refused[0] == "unique 15m"
    assert refused[1].startswith("Not drawn: its 15m values cannot be summed to 1h: uniqueEntries")
    assert dashboard.text("#measure") == "Certificates per hour"

    def another_unit(route):
        answer = route.fetch()
        document = answer.json()
        reason = "its unit is 'requests', the unit of this chart is 'certificates'"
        document["series"][0] |= {"refused": reason, "mean": [], "least": [], "most": [], "points": [], "start": None}
        route.fulfill(response=answer, json=document)

    dashboard.page.route("**/api/v1/points*", another_unit)
    dashboard.choose("unique")
    assert dashboard.readout()[0][1] == "Not drawn: its unit is 'requests', the unit of this chart is 'certificates'."
    assert dashboard.text("#message") == "None of these series can be drawn."


@pytest.mark.parametrize("view", ["series=all", "series=all&series=by-owner%2FDigiCert%2C+Inc."])
def test_dot_and_values_are_of_the_bucket_under_the_pointer(dashboard, view):
    start, hours = midnight(5), 6
    dashboard.open(f"#{view}&{_between(start, start + hours * HOUR)}")
    step = timedelta(minutes=15) if view.endswith("all") else HOUR
    for share in (0.05, 0.45, 0.55, 0.95):
        at = start + 3 * step + share * step
        box = _point_at(dashboard, (at - start) / (hours * HOUR))
        first = start + 3 * step
        words = f"{first:%H:%M} \N{EN DASH} {first + step:%H:%M}"
        eventually(lambda words=words: dashboard.text("#readout-head th >> nth=0").endswith(words))
        dot = dashboard.page.locator(".u-cursor-pt").first.bounding_box()
        left = box["x"] + box["width"] * ((first - start) / (hours * HOUR))
        assert dot["x"] + dot["width"] / 2 == pytest.approx(left, abs=1.5), share
        shade = dashboard.page.locator(".pointed").bounding_box()
        assert shade["x"] == pytest.approx(left, abs=1.5)
        assert shade["width"] == pytest.approx(box["width"] * (step / (hours * HOUR)), abs=1.5)


def test_a_chart_says_how_many_series_it_holds_and_any_can_be_swapped(dashboard):
    page = dashboard.page
    many = page.locator("input[data-profile=many]")
    dashboard.open("#series=all&range=7d")
    dashboard.settled()
    many.click()
    dashboard.drawn()
    assert page.evaluate("document.querySelector('input[data-profile=many]').indeterminate")
    assert dashboard.text("#chosen") == "100 series, the most"
    assert dashboard.text("#cap p") == "A chart holds 100 series. 6 series are not shown."
    page.get_by_label("Series to show").select_option("many/Owner 104")
    page.get_by_label("Series to hide").select_option("many/Owner 3")
    page.get_by_role("button", name="Swap").click()
    dashboard.drawn()
    assert page.locator("#cap").is_hidden()
    labels = parse_qs(page.url.partition("#")[2])["series"]
    assert len(labels) == 100
    assert "many/Owner 104" in labels
    assert "many/Owner 3" not in labels
    page.locator("input[data-series=young]").click()
    assert dashboard.text("#cap p").endswith(
        "\N{LEFT DOUBLE QUOTATION MARK}young\N{RIGHT DOUBLE QUOTATION MARK} is not shown."
    )
    many.click()
    dashboard.drawn()
    assert [row[0] for row in dashboard.readout()] == ["all 15m"]
    assert page.locator("#cap").is_hidden()


def test_an_address_that_names_what_is_not_there_says_so(dashboard):
    many = "&".join(f"series=many%2FOwner+{n}" for n in range(102))
    dashboard.open(f"#series=no%3Cb%3E&series=nor+this&{many}&range=3d")
    dashboard.settled()
    said = dashboard.text("#notices [role=status]").splitlines()[0]
    assert said == f"Not shown, because no profile has these series: {_quoted('no<b>')}, {_quoted('nor this')}."
    assert "no period that can be shown" in dashboard.text("#notices")
    assert dashboard.text("#cap p") == "A chart holds 100 series. 2 series are not shown."
    assert Axe().run(dashboard.page).response["violations"] == []
    dashboard.page.evaluate("location.hash = '#series=nowhere&range=1d'")
    eventually(lambda: "nowhere" in dashboard.text("#notices"))
    assert dashboard.page.locator("#banner").is_hidden()
    eventually(lambda: dashboard.text("#message") == "Choose a series on the left.")
    dashboard.page.locator("#notices").get_by_role("button", name="Close").click()
    assert dashboard.page.locator("#notices").is_hidden()


def test_simulated_data_is_called_so_and_a_logarithmic_axis_says_where_zeros_are(dashboard):
    def zeros(route):
        answer = route.fetch()
        document = answer.json()
        document["series"][0]["mean"][4:7] = [0, 0, 0]
        route.fulfill(response=answer, json=document)

    dashboard.page.route("**/api/v1/points*", zeros)
    dashboard.open("#series=all&range=1d")
    assert "zero" not in dashboard.text("#key")
    dashboard.page.get_by_role("button", name="Log", exact=True).click()
    eventually(lambda: "a logarithmic axis has no zero: 3 values are drawn at its lower end" in dashboard.text("#key"))
    assert dashboard.text("#simulated").startswith("Simulated data. This collector reads from http://127.0.0.1:")
    assert dashboard.page.title().startswith("Simulated")
    assert "Data: simulated." in dashboard.text("footer")
    assert "CC BY-NC" not in dashboard.text("footer")


def test_a_job_can_be_cancelled(dashboard):
    page, job = dashboard.page, dict.fromkeys(("requests", "points_inserted", "points_revised", "gaps_remaining"), 0)
    job |= {"id": 7, "profiles": ["all"], "start": rfc3339(midnight(9)), "end": rfc3339(midnight(8)), "force": False}
    job |= {"state": "running", "message": None, "finished_at": None, "buckets": 96, "buckets_done": 24}
    orders = []

    def cancel(route):
        orders.append((route.request.method, route.request.headers["content-type"], route.request.post_data))
        job.update(state="cancelled", finished_at=rfc3339(midnight(0)))
        route.fulfill(json=job)

    page.route("**/api/v1/backfills", lambda route: route.fulfill(json={"backfills": [job]}))
    page.route("**/api/v1/backfills/7/cancel", cancel)
    dashboard.open()
    page.get_by_role("button", name="Cancel backfill 7").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#jobs li[data-state=cancelled]")
    assert orders == [("POST", "application/json", "{}")]
    assert dashboard.text("#order-said") == "Backfill 7 is cancelled; what it has fetched stays."
    assert page.get_by_role("button", name="Cancel backfill").count() == 0


def test_pauses_what_radar_lacks_or_has_said_once_and_profiles_that_go_are_in_sight(dashboard):
    waits = {"reason": "refused", "until": rfc3339(midnight(-1)), "message": "HTTP 400: no"}

    def stand(route):
        answer = route.fetch()
        document = answer.json()
        document["service"] = None
        document["profiles"][0] |= {"state": "paused", "upstream_gaps": 7, "unconfirmed": 3}
        document["profiles"][1] |= {"state": "gaps", "waiting": waits}
        route.fulfill(response=answer, json=document)

    def without_young(route):
        answer = route.fetch()
        profiles = [one for one in answer.json()["profiles"] if one["name"] != "young"]
        route.fulfill(response=answer, json={"profiles": profiles, "next": None})

    dashboard.page.clock.install()
    dashboard.page.route("**/api/v1/status", stand)
    dashboard.open("#series=all&series=young&range=1d")
    dashboard.settled()
    paused, waiting = (dashboard.page.locator(f".profile[data-name={name}]") for name in ("all", "by-owner"))
    assert paused.get_attribute("data-state") == "paused"
    assert "7 not at Radar \N{MIDDLE DOT} 3 unconfirmed" in paused.inner_text()
    assert "Not collected while it is paused; its history stays." in paused.inner_text()
    assert "Radar's answer was refused; asked again in" in waiting.inner_text()
    assert "No service is running" in dashboard.text("#warnings")
    assert dashboard.text("#facts dd >> nth=0") == "not running"
    dashboard.page.route("**/api/v1/profiles*", without_young)
    dashboard.page.clock.run_for(16_000)
    eventually(lambda: dashboard.text("#notices").startswith("Not shown, because no profile has this series: "))
    eventually(lambda: [row[:1] for row in dashboard.readout()] == [["all 15m"]])
