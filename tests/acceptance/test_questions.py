"""The questions of the reference: a command, a URL and a view of the page for each, held against exported points.

The store has fourteen months of days and six weeks of hours, on each database for commands and URLs. What is expected
is computed from plain exports, without code of the product.
"""

import asyncio
import csv
import io
import json
import os
import re
import shlex
import threading
import urllib.request
from collections import defaultdict
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe

from collector import docs
from collector.analysis.marks import make_mark
from collector.daemon import Daemon
from collector.datasets.catalogue import CatalogueEntry
from collector.model import Answer, Batch, Meta, Points, Slice, Window
from collector.serve.app import make_app, serving
from collector.settings import load
from collector.store import ListRecord, Store, Taken
from collector.timestamps import utc_now
from tests.conftest import in_a_thread
from tests.harness.browser import CHROMIUM, browsing, looking
from tests.harness.command_line import invoke
from tests.harness.processes import eventually

DAY, HOUR, WEEK = 86_400, 3_600, 604_800
START, HOURS_FROM, END = (datetime(*each, tzinfo=UTC) for each in ((2024, 1, 1), (2025, 1, 20), (2025, 3, 3)))
FIRST, SECOND = datetime(2025, 3, 5, tzinfo=UTC), datetime(2025, 3, 10, tzinfo=UTC)
NOW = datetime(2025, 3, 12, tzinfo=UTC)
REVISED = datetime(2025, 2, 10, tzinfo=UTC)
BULK = range(
    int(datetime(2025, 2, 27, 3, tzinfo=UTC).timestamp()), int(datetime(2025, 2, 27, 6, tzinfo=UTC).timestamp())
)
DOWN = [int(datetime(2025, 2, 11, hour, tzinfo=UTC).timestamp()) for hour in (10, 11)]
MARK = make_mark("2025-01-20", "another method")
LOG_STATES = {"argon2025h1": "USABLE", "nimbus2025": "RETIRED"}
TEXT = docs.page("questions")
QUESTIONS = {
    number: SimpleNamespace(command=command, api=api, page=page)
    for number, command, api, page in re.findall(
        r"^## (\w+)\. .*\n\n```text\n(.+)\n(.+)\n(.+)\n```$", TEXT, re.MULTILINE
    )
}


# The store.


def _value(name, at):
    """A whole number that depends on series and time, with a week in it."""
    day = at // DAY
    return float(
        1_000 + sum(map(ord, name)) % 211 + (day * (3 + len(name) % 5)) % 97 + 40 * (day % 7) + at % DAY // HOUR
    )


def _values(label, step, start):
    for at in range(int(start.timestamp()), int(END.timestamp()), step):
        value = _value(label, at)
        if label == "all-hourly" and at in BULK:
            value *= 3
        if label == "lets-encrypt" and at in DOWN:
            value = 0.0
        yield at, value


async def _save(store, profile, values, now, window):
    asked = Batch(tuple(Slice(series.query, window) for series in profile.series))
    fetch = await store.start_fetch(asked, [profile.name], now, 1_000)
    ranges = tuple((window.start, window.end) for _ in profile.series)
    meta = Meta(profile.agg_interval, now, "RAW_VALUES", "*", 5, ranges, ())
    await store.save(
        fetch.fetch_id,
        asked,
        Answer(meta, tuple(Points(*map(list, zip(*rows, strict=True))) for rows in values)),
        now,
        1_000,
    )


async def _fill(url, profiles):
    async with Store.open(url, owner="test") as store:
        await store.activate_labels(profiles, FIRST)
        for profile in profiles:
            step, hourly = profile.agg_interval.seconds, profile.agg_interval.value == "1h"
            window = Window(HOURS_FROM if hourly else START, END)
            if profile.takes_snapshots:
                window = Window(END - timedelta(days=7), END)
                (query,) = (series.query for series in profile.series)
                points = Points(*map(list, zip(*_values(profile.name, step, window.start), strict=True)))
                meta = Meta(profile.agg_interval, FIRST, "RAW_VALUES", "*", 5, (), ())
                await store.save_snapshots([Taken(query, FIRST, window, meta, FIRST, points, {})], FIRST)
                continue
            values = [list(_values(series.label, step, window.start)) for series in profile.series]
            await _save(store, profile, values, FIRST, window)
        (every,) = (profile for profile in profiles if profile.name == "all")
        window = Window(REVISED, REVISED + timedelta(days=1))
        await _save(store, every, [[(int(REVISED.timestamp()), 5_000.0)]], SECOND, window)
        while (await store.build_days(NOW)).more:
            pass
        await store.add_mark(MARK, FIRST)
        entries = [
            CatalogueEntry(slug, json.dumps({"description": slug, "state": state, "operator": "A", "api": "RFC6962"}))
            for slug, state in LOG_STATES.items()
        ]
        await store.save_list("logs", entries, FIRST, ListRecord(), is_whole=True)


@contextmanager
def _serving(settings, url):
    """Serve a store on a thread, without a scheduler; gives the address."""
    loop, stop, ready, addresses = asyncio.new_event_loop(), asyncio.Event(), threading.Event(), []

    async def main():
        async with Store.open(url, owner="run") as store:
            app = make_app(Daemon(settings, store, lambda: settings, utc_now), "127.0.0.1", metrics_values=True)
            async with serving(app, "127.0.0.1", 0) as address:
                addresses.append(address)
                ready.set()
                await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.Runner(loop_factory=lambda: loop).run(main()))
    thread.start()
    try:
        assert ready.wait(30)
        yield addresses[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)


def _world(folder, url):
    """Write the configuration of the reference for the store *url*, and fill it; return its settings."""
    (toml,) = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    config = folder / "config.toml"
    config.write_text(f'[radar]\nbase_url = "http://127.0.0.1:9/client/v4"\n[database]\nurl = "{url}"\n{toml}')
    settings = load(str(config), environ={"CLOUDFLARE_API_TOKEN": "t" * 20})
    in_a_thread(_fill(url, settings.profiles))
    return SimpleNamespace(settings=settings, config=config, url=url)


@pytest.fixture(scope="module")
def world(tmp_path_factory, sqlite_template):
    folder = tmp_path_factory.mktemp("asked")
    (folder / "collector.db").write_bytes(sqlite_template.read_bytes())
    return _world(folder, f"sqlite:///{folder / 'collector.db'}")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def each_world(request, tmp_path_factory):
    """The world on each database."""
    if request.param == "sqlite":
        yield request.getfixturevalue("world")
        return
    server = request.getfixturevalue("postgres_server")
    address = server.create(request.getfixturevalue("postgres_template"))
    yield _world(tmp_path_factory.mktemp("asked"), address.render_as_string(hide_password=False))
    server.drop(address)


@pytest.fixture(scope="module")
def each_server(request, each_world, world):
    if each_world is world:
        yield request.getfixturevalue("served")
        return
    with _serving(each_world.settings, each_world.url) as address:
        yield address


@pytest.fixture(scope="module")
def points(world):
    """What `export` gives, by profile, label and timestamp."""
    found = defaultdict(lambda: defaultdict(dict))
    for row in _rows(_run(world, "collector export")):
        found[row["profile"]][row["series"]][_at(row["timestamp"])] = float(row["value"])
    return found


@pytest.fixture(scope="module")
def served(world, points):
    with _serving(world.settings, world.url) as address:
        yield address


@pytest.fixture(scope="module")
def browser(served):
    with browsing() as found:
        yield found


def _run(world, command):
    """Run a command on a thread of its own, because a browser in this process has a running loop; return its output."""
    arguments = [*shlex.split(command)[1:], "--config", str(world.config)]

    async def work():
        return await asyncio.to_thread(invoke, *arguments)

    done = in_a_thread(work())
    assert done.exit_code == 0, (command, done.stderr)
    return done


def _rows(done):
    return list(csv.DictReader(io.StringIO(done.stdout)))


def _at(text):
    """Epoch seconds of a time or a date, in UTC."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


# What is expected.


def _start_of(at, per):
    """The start of the day, week or month of a moment; the moment itself without *per*."""
    if per is None:
        return at
    day = date(1970, 1, 1) + timedelta(days=at // DAY)
    first = {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[per]
    return int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp())


def _sums(series, span, per=None):
    """Add up each of *series* by period, within *span*, two dates."""
    first, last = map(_at, span)
    sums = {label: defaultdict(float) for label in series}
    for label, values in series.items():
        for at, value in values.items():
            if first <= at < last:
                sums[label][_start_of(at, per)] += value
    return sums


def _totals(series, span):
    return {label: sum(values.values()) for label, values in _sums(series, span).items()}


def _added(columns):
    sums = defaultdict(float)
    for column in columns:
        for at, value in column.items():
            sums[at] += value
    return sums


def _percent(sums, whole):
    """Each sum in percent of what *whole* gives for its label."""
    return {
        (label, at): 100 * value / whole(label)[at] for label, values in sums.items() for at, value in values.items()
    }


def _flat(sums):
    return {(label, at): value for label, values in sums.items() for at, value in values.items()}


def _growth(values, span, weeks):
    """The change in percent against the mean of the same hour so many weeks before."""
    first, last = map(_at, span)
    usual = {at: sum(values[at - week * WEEK] for week in weeks) / len(weeks) for at in range(first, last, HOUR)}
    return {at: 100 * (values[at] - mean) / mean for at, mean in usual.items()}


LONG, FEBRUARY = ("2024-01-01", "2025-03-01"), ("2025-02-01", "2025-03-01")
AFTER, BEFORE = ("2025-01-15", "2025-02-12"), ("2024-12-18", "2025-01-15")
A_YEAR_AGO = ("2024-02-03", "2024-03-02")  # 52 weeks before FEBRUARY


def _algorithms(points):
    sums = _sums(points["by-algorithm"], LONG, "month")
    return _percent(sums, lambda _: _added(sums.values()))


def _logs_of_owners(points):
    sums = _sums(points["owner-log"], LONG, "month")
    return _percent(
        sums, lambda label: _added(s for one, s in sums.items() if one.split("/")[1] == label.split("/")[1])
    )


def _unique(points):
    span = ("2025-03-01", "2025-03-03")
    whole = _sums(points["by-log"], span)
    return _percent(_sums(points["unique-by-log"], span), lambda label: whole[label.removeprefix("unique-")])


def _ranks(points):
    sums = _sums(points["by-log"], ("2025-02-24", "2025-03-03"), "day")
    return {
        (label, at): 1 + sum(other[at] > value for other in sums.values())
        for label, values in sums.items()
        for at, value in values.items()
    }


def _bulk(points):
    growth = _growth(points["all-hourly"]["all-hourly"], ("2025-02-17", "2025-03-03"), (1, 2, 3, 4))
    assert sorted(sorted(growth, key=growth.get)[-3:]) == [*BULK][::HOUR]
    return {("all-hourly", at): value for at, value in growth.items()}


def _lifetimes(points):
    return _flat(_sums(points["by-duration"], ("2024-12-30", "2025-03-03"), "week"))


def _largest(points):
    totals, sums = _totals(points["by-owner"], FEBRUARY), _sums(points["by-owner"], FEBRUARY, "day")
    rest = sorted(totals, key=totals.get)[:2]
    return _flat({label: values for label, values in sums.items() if label not in rest}) | {
        ("rest", at): value for at, value in _added(sums[label] for label in rest).items()
    }


def _down(points):
    span = ("2025-02-11T08:00:00Z", "2025-02-11T14:00:00Z")
    found = _flat(_sums(points["lets-encrypt"], span))
    assert [at for (_, at), value in found.items() if not value] == DOWN
    return found


def _load_test(points):
    growth = _growth(points["all-hourly"]["all-hourly"], ("2025-02-27", "2025-02-28"), (1,))
    return {("all-hourly", at): value for at, value in growth.items()}


def _as_of(points):
    found = _flat(_sums(points["all"], ("2025-02-08", "2025-02-15")))
    revised = "all", int(REVISED.timestamp())
    assert found[revised] == 5_000
    return found | {revised: _value(*revised)}


def _lifetime_shares(points):
    sums = _sums(points["by-duration"], LONG, "month")
    return _percent(sums, lambda _: _added(sums.values()))


def _by_log(points):
    return _flat(_sums(points["by-log"], ("2025-03-02T23:00:00Z", "2025-03-03")))


PER_PERIOD = {
    "1": ("share", _algorithms),
    "3": ("share", _logs_of_owners),
    "4": ("share", _unique),
    "4b": ("rank", _ranks),
    "5": ("growth", _bulk),
    "8": ("value", _lifetimes),
    "12": ("value", _largest),
    "15": ("value", _down),
    "16": ("growth", _load_test),
    "17": ("value", _by_log),
    "19": ("value", _as_of),
    "20": ("share", _lifetime_shares),
}
"""The column of the answer, and the function that gives the expected cells by (label, time)."""


def _valid(points):
    return {"valid-unique": {"at_most": sum(points["valid-unique"]["valid-unique"].values()), "total": None}}


def _static(points):
    now, before = (_totals(points["by-api"], span) for span in (AFTER, BEFORE))
    return {
        label: {
            "total": total,
            "share": 100 * total / sum(now.values()),
            "compared_share": 100 * before[label] / sum(before.values()),
            "growth": 100 * (total - before[label]) / before[label],
        }
        for label, total in now.items()
    }


def _policy(points):
    now, before = (_totals(points["all"], span)["all"] for span in (AFTER, BEFORE))
    return {"all": {"total": now, "previous": before, "growth_previous": 100 * (now - before) / before}}


def _distrusted(points):
    return {"distrusted": {"total": _totals(points["distrusted"], ("2025-01-01", "2025-03-01"))["distrusted"]}}


def _market(points):
    now, before = (_totals(points["by-owner"], span) for span in (FEBRUARY, A_YEAR_AGO))
    whole, whole_before = (_totals(points["all"], span)["all"] for span in (FEBRUARY, A_YEAR_AGO))
    parts = {label: [label] for label in sorted(now, key=now.get)[2:]} | {"rest": sorted(now, key=now.get)[:2]}
    return {
        label: {
            "total": sum(now[one] for one in same),
            "share": 100 * sum(now[one] for one in same) / whole,
            "compared_share": 100 * sum(before[one] for one in same) / whole_before,
        }
        for label, same in parts.items()
    }


def _shares_of(totals):
    return {label: {"total": total, "share": 100 * total / sum(totals.values())} for label, total in totals.items()}


PER_SERIES = {
    "2": _valid,
    "6": _static,
    "7": _policy,
    "9": _distrusted,
    "10": _market,
    "11": lambda points: _shares_of(_totals(points["precert-by-owner"], FEBRUARY)),
    "14": lambda points: _shares_of(_totals(points["by-type"], ("2025-02-28", "2025-03-01"))),
}
"""The function that gives the expected cells of each row, by label."""


def close(expected):
    return pytest.approx(expected, rel=1e-9, abs=1e-9)


def _get(served, path):
    more = "&limit=10000" if path.startswith("/api/v1/points") else ""
    with urllib.request.urlopen(f"{served}{path}{more}") as answer:
        return answer.read().decode()


def _cells(rows, column):
    """The cells of a column by (label, time), those that have a value."""
    cells = {(row["series"], _at(row["timestamp"])): row[column] for row in rows}
    return {key: float(cell) for key, cell in cells.items() if cell not in {"", None}}


# The tests.


def test_every_question_has_an_answer_here():
    assert {*QUESTIONS} == {*PER_PERIOD, *PER_SERIES, "13", "18"}
    assert {number.rstrip("b") for number in QUESTIONS} == {str(number) for number in range(1, 21)}


@pytest.mark.parametrize("number", PER_PERIOD)
def test_a_command_gives_the_values_of_each_period(each_world, points, number):
    column, expected = PER_PERIOD[number]
    assert _cells(_rows(_run(each_world, QUESTIONS[number].command)), column) == close(expected(points))


@pytest.mark.parametrize("number", PER_PERIOD)
def test_the_api_gives_the_values_of_each_period(each_server, points, number):
    column, expected = PER_PERIOD[number]
    text = _get(each_server, QUESTIONS[number].api)
    if number != "17":
        document = json.loads(text)
        assert document["next"] is None
        assert _cells(document["points"], column) == close(expected(points))
        return
    sample = r'^collector_series_value\{.*profile="by-log",series="([^"]+)",.*\} (\S+)$'
    values = {label: float(value) for label, value in re.findall(sample, text, re.MULTILINE)}
    assert values == {label: value for (label, _), value in expected(points).items()}


@pytest.mark.parametrize("number", PER_SERIES)
def test_a_command_gives_the_figures_of_each_series(each_world, points, number):
    done = _run(each_world, f"{QUESTIONS[number].command} --format json")
    _check_rows(json.loads(done.stdout), PER_SERIES[number](points))
    if number == "14":
        assert "by-type counts entries, not certificates: one of them may count in each of its logs" in done.stderr


@pytest.mark.parametrize("number", PER_SERIES)
def test_the_api_gives_the_figures_of_each_series(each_server, points, number):
    document = json.loads(_get(each_server, QUESTIONS[number].api))
    _check_rows(document[urlsplit(QUESTIONS[number].api).path.rpartition("/")[2]], PER_SERIES[number](points))
    if number == "14":
        assert "by-type counts entries, not certificates" in document["notes"][0]


def _check_rows(rows, expected):
    assert {row["series"] for row in rows} == {*expected}
    for row in rows:
        for name, value in expected[row["series"]].items():
            assert row[name] == (value if value is None else close(value)), (row["series"], name)
    if [*expected] == ["valid-unique"]:
        assert rows[0]["asked_at"] == "2025-03-05T00:00:00Z"


def test_marks_and_logs_are_listed(each_world, each_server):
    (mark,) = json.loads(_run(each_world, f"{QUESTIONS['13'].command} --format json").stdout)
    assert (mark["start"], mark["text"]) == ("2025-01-20T00:00:00Z", MARK.text)
    (served_mark,) = json.loads(_get(each_server, QUESTIONS["13"].api))["marks"]
    assert served_mark == mark
    for rows in (
        json.loads(_run(each_world, f"{QUESTIONS['18'].command} --format json").stdout),
        json.loads(_get(each_server, QUESTIONS["18"].api))["logs"],
    ):
        assert {row["slug"]: row["state"] for row in rows} == LOG_STATES


if CHROMIUM is None and not os.environ.get("CI"):
    pytest.skip("there is no chromium here: apt-get install chromium", allow_module_level=True)

REST = "other (2 series)"


@pytest.fixture(scope="module")
def page(served, browser):
    with looking(browser, served, viewport={"width": 1440, "height": 900}) as dashboard:
        dashboard.open(f"#{urlsplit(QUESTIONS['1'].page).fragment}")
        yield dashboard


def _show(dashboard, number):
    """Go to the view of a question as an entry of the address bar does, and wait until it is drawn."""
    fragment = urlsplit(QUESTIONS[number].page).fragment
    dashboard.page.evaluate(
        "text => new Promise((done) => { if (location.hash === `#${text}`) return done();"
        " addEventListener('popstate', () => done(), { once: true }); location.hash = text; })",
        fragment,
    )
    dashboard.drawn()
    assert dashboard.page.locator("#notices").is_hidden()
    shown = parse_qs(urlsplit(dashboard.page.url).fragment)
    for name in parse_qs(fragment).keys() - {"profile", "start", "end", "as_of"}:
        assert shown[name] == parse_qs(fragment)[name]


def _drawn(dashboard):
    """The rows of the CSV of the drawing."""
    text = dashboard.page.evaluate(
        "Promise.all(['download', 'state'].map((name) => import(`/dashboard/${name}.js`)))"
        ".then(([{ asCsv }, { state }]) => asCsv(state.drawn.frame, state.view, 'radar'))"
    )
    return [{**row, "timestamp": row["start"]} for row in csv.DictReader(io.StringIO(text))]


@pytest.mark.parametrize("number", PER_PERIOD)
def test_the_page_draws_the_values_of_each_period(page, points, number):
    column, expected = PER_PERIOD[number]
    _show(page, number)
    rows = _drawn(page)
    is_part = column == "share" and "of=" not in QUESTIONS[number].page
    cells = _cells(rows, "share" if is_part else "value")
    if is_part:
        cells = {key: 100 * value for key, value in cells.items()}
    wanted = {(REST if label == "rest" else label, at): value for (label, at), value in expected(points).items()}
    assert {key: value for key, value in cells.items() if number != "17" or key in wanted} == close(wanted)


def _title(dashboard):
    """What the first figure of the headline says in full."""
    return dashboard.page.locator("#headline div").first.get_attribute("title")


def _row_of(dashboard, label):
    return dashboard.page.locator(f'#readout tr[data-label="{label}"]').inner_text()


def _beside(dashboard, rows):
    """What the table says of shares and ranks now, in the compared period, and of their difference."""
    by_share, by_earlier = (sorted(rows, key=lambda label: -rows[label][name]) for name in ("share", "compared_share"))
    texts = [
        f"{_part(row['share'])}\t{_part(row['compared_share'])}\t{_points(row['share'] - row['compared_share'])}\t"
        f"{by_share.index(label) + 1} ({by_earlier.index(label) + 1})"
        for label, row in rows.items()
    ]
    return texts, [_row_of(dashboard, label) for label in rows]


def _part(share):
    return f"{share:.0f} %" if share >= 99.95 else f"{share:.1f} %"


def _points(difference):
    sign = "+" if difference >= 0.05 else "\N{MINUS SIGN}" if difference <= -0.05 else "±"
    return f"{sign}{abs(difference):.1f} points"


PAGE_FIGURES = {
    "6": _beside,
    "10": lambda found, rows: _beside(found, {label: row for label, row in rows.items() if label != "rest"}),
    "11": lambda found, rows: (
        [f"{row['share']:.1f} %" for row in rows.values()],
        [_row_of(found, label) for label in rows],
    ),
    "14": lambda found, rows: (
        [f"{sum(row['total'] for row in rows.values()):,.0f}", "counts entries, not certificates"],
        [_title(found), found.text("#trust")],
    ),
    "2": lambda found, rows: (
        [f"{row['at_most']:,.0f} unique in valid-unique" for row in rows.values()] + ["asked on 5 Mar 2025, 00:00 UTC"],
        [_title(found)] * 2,
    ),
    "7": lambda found, rows: (
        [f"{rows['all']['total']:,.0f}", f"{abs(rows['all']['growth_previous']):.1f} %"],
        [_title(found), found.text("#headline")],
    ),
    "9": lambda found, rows: ([f"{rows['distrusted']['total']:,.0f}"], [_title(found)]),
}
"""What the page must say: texts, and where each of them stands."""


@pytest.mark.parametrize("number", PER_SERIES)
def test_the_page_says_the_figures_of_each_series(page, points, number):
    _show(page, number)
    rows = PER_SERIES[number](points)

    def is_said():
        texts, places = PAGE_FIGURES[number](page, rows)
        return all(text in place for text, place in zip(texts, places, strict=True))

    eventually(is_said, seconds=20)  # what is read after the chart
    if "compare=" in QUESTIONS[number].page:
        assert Axe().run(page.page).response["violations"] == []


def test_the_page_shows_marks_and_logs(page):
    _show(page, "13")
    assert page.page.locator("#lane .note.own").all_inner_texts() == [MARK.text]
    _show(page, "18")
    page.page.wait_for_selector("#known-rows tbody tr")
    listed = page.text("#known-rows")
    for slug, state in LOG_STATES.items():
        assert slug in listed
        assert state.lower() in listed


def test_months_are_compared_with_months(page, points):
    days = points["all"]["all"]

    def month(first, last):
        return _totals({"all": days}, (first, last))["all"]

    view = page.page
    for compare, before in (("52w", ("2024-02-01", "2024-03-01")), ("previous", ("2024-12-01", "2025-01-01"))):
        view.evaluate(f"location.hash = '#series=all&start=2025-01-01&end=2025-03-01&per=month&compare={compare}'")
        page.drawn()
        last, other = month("2025-02-01", "2025-03-01"), month(*before)
        texts = f"{last:,.0f}\t{other:,.0f}\t{_change(last, other)}"
        eventually(lambda texts=texts: texts in _row_of(page, "all"), seconds=20)
    view.evaluate("location.hash = '#series=all&start=2025-02-01&end=2025-03-03&per=month&compare=52w'")
    eventually(lambda: f"{month('2024-03-01', '2024-04-01'):,.0f}\t\t" in _row_of(page, "all"), seconds=20)  # partial
    view.evaluate("location.hash = '#series=all&start=2025-01-01&end=2025-03-01&per=month&compare=4w'")
    eventually(lambda: "no other month begins whole weeks before one" in page.text("#measure"), seconds=20)


def test_points_of_compared_months_are_those_of_both_years(page, tmp_path):
    page.page.evaluate("location.hash = '#series=all&start=2025-01-15&end=2025-02-10&per=month&compare=52w'")
    page.drawn()
    with page.page.expect_download() as download:
        page.page.locator("#save summary").click()
        page.page.get_by_role("button", name="Download CSV").click()
    download.value.save_as(tmp_path / "points.csv")
    rows = list(csv.DictReader((tmp_path / "points.csv").read_text().splitlines()))
    days = [row["timestamp"][:10] for row in rows]
    assert (len(days), days[0], days[59], days[60], days[-1]) == (
        60 + 59,
        "2024-01-01",
        "2024-02-29",
        "2025-01-01",
        "2025-02-28",
    )


def _change(now, before):
    return _points(100 * (now - before) / before).replace(" points", " %")


def test_series_that_overlap_have_no_sum(page):
    profiles = json.loads(_get(page.page.url.partition("/#")[0], "/api/v1/profiles"))["profiles"]
    assert [one["name"] for one in profiles if one["overlap"]] == ["unique-by-log"]
    page.page.route(
        "**/api/v1/profiles?*",
        lambda route: route.fulfill(json={"profiles": [one | {"overlap": "A and B overlap"} for one in profiles]}),
    )
    page.page.goto("about:blank")
    page.open("#profile=by-type&start=2025-02-01&end=2025-03-01&share=1")
    assert "drawn as lines, because A and B overlap" in page.text("#measure")
    assert "no total, because A and B overlap" in _title(page)
    assert "Share" not in page.text("#readout-head")
    page.page.unroute("**/api/v1/profiles?*")
    page.page.goto("about:blank")


def test_a_period_before_the_history_says_when_it_begins(page):
    page.open("#series=all&start=2023-01-01&end=2023-02-01")
    eventually(lambda: "No points in this period: the history begins on 1 Jan 2024." in page.text("#message"))
    assert page.page.locator("#trust").is_hidden()


def test_a_slider_goes_through_what_was_known_and_today_is_beside_it(page):
    _show(page, "19")
    first, revised = _value("all", int(REVISED.timestamp())), 5_000
    eventually(lambda: "Since then 1 value has changed and none is new" in page.text("#as-of-said"), seconds=20)
    place = (int(REVISED.timestamp()) - _at("2025-02-08")) // DAY
    box = page.page.locator(".u-over").bounding_box()
    page.page.mouse.move(box["x"] + box["width"] * (place + 0.5) / 7, box["y"] + box["height"] / 2)
    change = f"{100 * (revised - first) / first:.1f} %"
    eventually(
        lambda: all(text in _row_of(page, "all") for text in (f"{first:,.0f}", f"{revised:,}", change)), seconds=20
    )
    assert Axe().run(page.page).response["violations"] == []
    slider = page.page.locator("#as-of-day")
    assert slider.get_attribute("aria-valuetext") == "7 Mar 2025"
    slider.focus()
    for _ in range(4):
        page.page.keyboard.press("ArrowRight")
        page.drawn()
    assert "as_of=2025-03-11T00%3A00%3A00Z" in page.page.url
    eventually(lambda: "Nothing of this has changed since then." in page.text("#as-of-said"), seconds=20)
    page.page.get_by_role("button", name="As known now").last.click()
    page.drawn()
    assert page.page.locator("#as-of-bar").is_hidden()


def test_a_mark_leads_to_the_time_before_and_after_it(page, points):
    _show(page, "13")
    page.page.locator("#lane .note.own").click()
    page.page.get_by_role("button", name="Before and after").click()
    page.drawn()
    shown = {name: values[0] for name, values in parse_qs(urlsplit(page.page.url).fragment).items()}
    assert (shown["start"], shown["end"]) == ("2025-01-20T00:00:00Z", "2025-02-17T00:00:00Z")
    assert shown["compare"] == "previous"
    now, before = (
        _totals(points["all"], span)["all"] for span in (("2025-01-20", "2025-02-17"), ("2024-12-23", "2025-01-20"))
    )
    eventually(lambda: f"{abs(100 * (now - before) / before):.1f} %" in page.text("#headline"), seconds=20)


def test_values_are_chosen_by_controls_and_a_wrong_address_is_said(page, points):
    _show(page, "11")
    view = page.page
    view.locator("#values").select_option("of")
    view.locator("#of").select_option("by-owner")
    view.locator("#within").select_option("ca_owner")
    page.drawn()
    own, whole = (_totals(points[name], FEBRUARY) for name in ("precert-by-owner", "by-owner"))
    for label, total in own.items():
        share = f"{100 * total / whole[label.removeprefix('precert-')]:.1f} %"
        eventually(lambda label=label, share=share: share in _row_of(page, label), seconds=20)
    assert Axe().run(view).response["violations"] == []
    view.locator("#values").select_option("mean")
    view.locator("#mean").fill("3")
    view.locator("#mean").press("Enter")
    page.drawn()
    assert parse_qs(urlsplit(view.url).fragment)["mean"] == ["3"]
    days = points["precert-by-owner"]["precert-by-owner/DigiCert, Inc."]
    last = _at("2025-02-28")
    drawn = _cells(_drawn(page), "value")["precert-by-owner/DigiCert, Inc.", last]
    assert drawn == close(sum(days[last - n * DAY] for n in range(3)) / 3)
    view.evaluate("location.hash = '#series=all&start=2025-02-01&end=2025-03-01&mean=x&rank=1&growth=1&within=log'")
    eventually(lambda: "possible: a whole number from 1" in page.text("#notices"), seconds=20)
    assert "asks for growth and rank; one of them can be drawn: this is growth" in page.text("#notices")
    assert "“within” without of or rank" in page.text("#notices")


@pytest.mark.parametrize("steps", [3, pytest.param(20, marks=pytest.mark.campaign)], ids=["150", "1000"])
def test_refreshes_leave_no_objects_behind(served, browser, steps):
    """A thousand minutes in a few seconds: what the page reads every minute, it reads here without a pause."""
    with looking(browser, served, viewport={"width": 1440, "height": 900}) as dashboard:
        code = urllib.request.urlopen(f"{served}/dashboard/app.js").read().decode()
        assert code.count("() => POINTS_EVERY") == 1
        body = code.replace("() => POINTS_EVERY", "() => globalThis.pause")
        page = dashboard.page
        page.add_init_script("globalThis.pause = 500")
        page.route("**/dashboard/app.js", lambda route: route.fulfill(body=body, content_type="text/javascript"))
        page.goto(f"{served}/#series=all-hourly&start=2025-03-01&end=2025-03-03")
        eventually(lambda: "%" in dashboard.text("#headline"))  # what is read after the chart is there, and stays
        page.evaluate("globalThis.pause = 0")
        session = page.context.new_cdp_session(page)

        def objects():
            session.send("HeapProfiler.collectGarbage")
            (prototype,) = (session.send("Runtime.evaluate", {"expression": "Object.prototype"})["result"]["objectId"],)
            found = session.send("Runtime.queryObjects", {"prototypeObjectId": prototype})["objects"]["objectId"]
            size = {
                "objectId": found,
                "functionDeclaration": "function () { return this.length }",
                "returnByValue": True,
            }
            count = session.send("Runtime.callFunctionOn", size)["result"]["value"]
            session.send("Runtime.releaseObject", {"objectId": found})
            return count, int(page.locator("#chart").get_attribute("data-drawn"))

        marks, heaps = [], []
        for drawn in range(20, 21 + steps * 50, 50):
            eventually(lambda least=drawn: int(page.locator("#chart").get_attribute("data-drawn")) >= least, seconds=60)
            marks.append(min(objects() for _ in range(4)))  # the least, for what is being read goes again
            heaps.append(session.send("Runtime.getHeapUsage")["usedSize"])
        # a table that has one row more is a step; what is left behind grows with every refresh
        grown = [(after - before) / (last - first) for (before, first), (after, last) in pairwise(marks)]
        assert min(grown) < 0.5, (marks, heaps)
        assert heaps[-1] < 1.2 * heaps[0], (marks, heaps)
