"""The decisions of the dashboard without its elements: its modules, imported one by one in Chromium."""

import json
import os
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from itertools import pairwise
from threading import Thread

import pytest

from tests.harness.browser import CHROMIUM, browsing

if CHROMIUM is None and not os.environ.get("CI"):
    pytest.skip("there is no chromium here: apt-get install chromium", allow_module_level=True)


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map = {".js": "text/javascript", ".html": "text/html"}  # noqa: RUF012 - as in the base class

    def log_message(self, *_arguments):
        pass


@pytest.fixture(scope="module")
def page():
    folder = str(files("collector.serve.dashboard"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
    Thread(target=server.serve_forever).start()
    with browsing() as browser:
        opened = browser.new_page()
        opened.goto(f"http://127.0.0.1:{server.server_port}/icon.svg")
        yield opened
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(page):
    """Evaluate an expression with the names of some modules."""

    def evaluate(expression, *modules):
        names = ", ".join(f"...await import('/{name}.js')" for name in modules)
        return page.evaluate(f"async () => {{ const m = {{ {names} }}; return {expression}; }}")

    return evaluate


MONDAY = 1_778_457_600  # 2026-05-11


@pytest.mark.parametrize(
    ("per", "start", "end"),
    [
        ("hour", "2026-05-13T17:00", "2026-05-13T18:00"),
        ("day", "2026-05-13T00:00", "2026-05-14T00:00"),
        ("week", "2026-05-11T00:00", "2026-05-18T00:00"),
        ("month", "2026-05-01T00:00", "2026-06-01T00:00"),
        ("quarter", "2026-04-01T00:00", "2026-07-01T00:00"),
        ("year", "2026-01-01T00:00", "2027-01-01T00:00"),
    ],
)
def test_periods_of_the_calendar_are_utc_and_weeks_begin_on_monday(run, per, start, end):
    at = "Date.parse('2026-05-13T17:42Z') / 1000"
    words = "[m.floor(p, at), m.next(p, at)].map((t) => new Date(t * 1000).toISOString().slice(0, 16))"
    assert run(f"((p, at) => {words})('{per}', {at})", "calendar") == [start, end]


@pytest.mark.parametrize(
    ("per", "compare", "count", "first"),
    [
        ("month", "52w", 12, "2025-01-01"),
        ("quarter", "52w", 4, "2025-01-01"),
        ("year", "52w", 1, "2025-01-01"),
        ("month", "previous", 3, "2025-10-01"),
        ("month", "2024-11-17", 14, "2024-11-01"),
        ("month", "4w", None, None),
        ("year", "usual", None, None),
    ],
)
def test_months_and_longer_are_compared_with_as_many_whole_ones(run, per, compare, count, first):
    span = "{start: Date.parse('2026-01-01') / 1000, end: Date.parse('2026-04-01') / 1000}"
    assert run(f"m.back('{per}', '{compare}', {span})", "calendar") == count
    if first:
        start = (
            f"new Date(1000 * m.after('{per}', Date.parse('2026-01-01') / 1000, -{count})).toISOString().slice(0, 10)"
        )
        assert run(start, "calendar") == first


def test_a_change_is_in_percent_or_in_points_and_not_of_a_part(run):
    def change(derived, value, part, today="false"):
        line = f"{{label: 'a', unit: 'u', derived: {derived}, values: [{value}], part: [{part}]}}"
        before = "{label: 'a', unit: 'u', values: [40], part: [null]}"
        return run(f"m.changeOf({{previous: [{before}], today: {today}}}, {line}, 0, 40)", "frame")

    assert change("null", 50, "null") == "+25.0 %"
    assert change("null", 50, 0.5) == ""
    assert change("'of'", 50, "null") == "+10.0 points"
    assert change("'of'", 50, "null", "true") == "\N{MINUS SIGN}10.0 points"
    assert change("'rank'", 38, "null") == "\N{MINUS SIGN}2"


def test_series_overlap_only_within_a_profile(run):
    series = "[{profile: 'p', overlap: 'why'}, {profile: 'q', overlap: null}]"
    assert run(f"m.overlapOf({series})", "frame") is None
    assert run(f"m.overlapOf([...{series}, {{profile: 'p', overlap: 'why'}}])", "frame") == "why"


_SERIES = """((label, start, width, mean, points) => ({label, profile: label.split('/')[0], start, width, mean, points,
  least: mean, most: mean, bucket: '1h', interval: '1h', unit: 'CERTIFICATES', normalization: 'RAW_VALUES',
  additive: true, axis: 'y', thinned: false}))"""


def test_a_sum_with_a_hole_is_partial_and_never_scaled_up(run):
    data = f"{{start: {MONDAY}, end: {MONDAY + 2 * 86400}, per: 'day', annotations: [], refused: [], previous: null,"
    data += f"series: [{_SERIES}('p/a', {MONDAY}, 86400, [10, 10], [24, 18])]}}"
    view = "{top: null, only: [], type: 'bars', compare: null}"
    parts = "[f.lines[0].values, f.lines[0].part, f.partial, f.left, [...f.tops.values()]]"
    found = run(f"((f) => {parts})(m.frame({data}, {view}))", "frame")
    assert found == [[240, 180], [1, 0.75], 1, 1, [[240, None]]]


def test_the_largest_come_first_and_the_rest_is_one_sum_only_within_a_profile(run):
    many = ", ".join(f"{_SERIES}('p/{n}', {MONDAY}, 3600, [{n}, {2 * n}], [1, 1])" for n in range(1, 8))
    data = f"{{start: {MONDAY}, end: {MONDAY + 7200}, per: null, annotations: [], refused: [], previous: null,"
    data += f"series: [{many}]}}"
    view = "{top: '5', only: [], type: 'share', compare: null}"
    lines = "f.lines.map((one) => [one.label, one.values])"
    found = run(f"((f) => [{lines}, [...f.tops.values()].at(-1)])(m.frame({data}, {view}))", "frame")
    assert found[0] == [
        *([f"p/{n}", [n, 2 * n]] for n in (7, 6, 5, 4, 3)),
        ["other (2 series)", [3, 6]],
    ]
    assert found[1] == [100, 100]
    mixed = data.replace("'p/1'", "'q/1'")
    assert run(f"m.frame({mixed}, {view}).others", "frame") is None
    alone = run(f"m.frame({data}, {{...{view}, only: ['p/2']}}).lines.map((one) => one.label)", "frame")
    assert alone == ["p/2"]


def test_a_change_compares_only_what_both_periods_have_in_full(run):
    now = f"{_SERIES}('p', {MONDAY}, 3600, [10, 20, 30, 40], [1, 1, 1, 2])"
    before = f"{_SERIES}('p', {MONDAY - 604800}, 3600, [5, null, 10, 20], [1, 0, 1, 1])"
    assert run(f"m.alike({now}, {before}, 604800)", "summary") == [40, 15]


FEBRUARY, MARCH, APRIL = "Date.UTC(2026, 1) / 1000", "Date.UTC(2026, 2) / 1000", "Date.UTC(2026, 3) / 1000"


def test_a_whole_month_is_compared_with_a_whole_shorter_one(run):
    def days(first, count, value):
        cells = f"Array({count}).fill({value}), Array({count}).fill(24)"
        return f"{_SERIES}('p/a', {first}, 86400, {cells})"

    march, february = days(MARCH, 31, 10), days(FEBRUARY, 28, 20)
    data = f"{{start: {MARCH}, end: {APRIL}, per: 'month', periods: 1, shift: 28 * 86400, annotations: [], refused: []"
    data += f", series: [{march}], previous: [{february}]}}"
    view = "{top: null, only: [], type: 'line', compare: 'previous'}"
    assert run(f"(({{previous: [one]}}) => [one.values, one.part])(m.frame({data}, {view}))", "frame") == [
        [28 * 24 * 20],
        [1],
    ]
    assert run(f"m.alikePeriods({march}, {february}, {data})", "summary") == [31 * 24 * 10, 28 * 24 * 20]
    lacking = days(FEBRUARY, 27, 20)
    assert run(f"m.alikePeriods({march}, {lacking}, {data})", "summary") is None


@pytest.mark.parametrize(
    ("compare", "per", "expected"),
    [
        ("null", "null", ["2026-01-15/2026-03-01"]),
        ("null", "'month'", ["2026-01-01/2026-03-01"]),
        ("'52w'", "null", ["2025-01-16/2025-03-02", "2026-01-15/2026-03-01"]),
        ("'52w'", "'month'", ["2025-01-01/2025-03-01", "2026-01-01/2026-03-01"]),
        ("'previous'", "'quarter'", ["2025-10-01/2026-01-01", "2026-01-01/2026-04-01"]),
        ("'4w'", "'month'", ["2026-01-01/2026-03-01"]),  # no other month begins four weeks before one
        ("'usual'", "null", [f"{day}" for day in ("2025-12-18/2026-02-01", "2025-12-25/2026-02-08")]),
    ],
)
def test_the_ranges_of_the_points_are_those_that_are_drawn(run, compare, per, expected):
    requested = "{start: Date.parse('2026-01-15') / 1000, end: Date.parse('2026-03-01') / 1000}"
    day = "(at) => new Date(1000 * at).toISOString().slice(0, 10)"
    ranges = f"m.ranges({{compare: {compare}}}, {requested}, {per})"
    found = run(f"{ranges}.map((one) => [one.start, one.end].map({day}).join('/'))", "data")
    if compare == "'usual'":
        assert (found[:2], len(found)) == (expected, 5)
    else:
        assert found == expected


@pytest.mark.parametrize("count", [8, 20, 32])
def test_no_two_lines_look_alike(run, count):
    labels = f"Array.from({{length: {count}}}, (_, i) => `p/${{i}}`)"
    styles = run(f"[...m.styles({labels}, {labels}.reverse()).values()]", "palette")
    assert len(set(styles)) == count
    assert all(style < 8 for style in styles) == (count == 8)


def test_an_address_is_read_as_it_was_written_and_names_what_it_cannot_show(run):
    view = run("m.parse('#series=a&range=28d&share=1&per=month&top=5&compare=52w&as_of=2026-05-01T00:00:00Z')", "view")
    assert (view["type"], view["per"], view["top"], view["compare"], view["odd"]) == ("share", "month", "5", "52w", [])
    again = run(f"m.parse(m.write({json.dumps(view)}))", "view")
    assert again == view
    odd = run("m.parse('#series=a&range=3d&per=decade&top=7&compare=x&colour=red&as_of=never').odd", "view")
    assert len(odd) == 6
    assert all(any(word in text for text in odd) for word in ("decade", "top=7", "colour", "never", "“x”", "period"))


def test_a_period_never_goes_beyond_the_data(run):
    bounds = f"{{start: {MONDAY}, end: {MONDAY + 10 * 86400}}}"
    span = f"{{start: {MONDAY + 86400}, end: {MONDAY + 3 * 86400}}}"
    view = "{range: '7d'}"
    for expression, start, end in (
        (f"m.moved({view}, {span}, -5, {bounds})", 0, 2),
        (f"m.moved({view}, {span}, 50, {bounds})", 8, 10),
        (f"m.zoomed({view}, {span}, 100, {bounds})", 0, 10),
    ):
        found = run(expression, "view")
        assert [(found[name] - MONDAY) / 86400 for name in ("start", "end")] == [start, end], expression


def test_names_at_the_ends_of_lines_never_overlap(run):
    places = run("m.spaced([10, 11, 12, 199, 200], 15, 200)", "labels")
    assert all(after - before >= 15 for before, after in pairwise(places))
    assert places[-1] <= 200


def test_annotations_have_five_lanes_and_the_others_are_counted(run):
    notes = "Array.from({length: 9}, (_, i) => ({start: i, end: 100}))"
    rows, left = run(f"((l) => [l.rows.length, l.left.length])(m.lanes({notes}, (t) => t * 10, 1000, 100))", "notes")
    assert (rows, left) == (5, 4)


def test_a_thousand_profiles_are_sifted_by_any_of_their_words(run):
    entries = """Array.from({length: 1000}, (_, i) => ({name: `profile-${i}`, series: [`profile-${i}/DigiCert ${i}`],
      state: i % 10 ? 'fresh' : 'failing', interval: '1h', filters: 'tld', points: i, last: null}))"""

    def of(wanted):
        return run(f"m.sifted({entries}, {wanted}).map((one) => one.name)", "sifting")

    assert of("{text: 'digicert 42'}")[:1] == ["profile-42"]
    assert len(of("{state: 'failing'}")) == 100
    assert of("{order: 'trouble', text: 'profile-1'}")[0] == "profile-10"
    assert of("{order: 'points'}")[0] == "profile-999"


def test_a_click_isolates_a_line_and_shift_adds_another(run):
    clicks = ("[], 'a', false", "['a'], 'b', true", "['a', 'b'], 'a', true", "['a'], 'a', false")
    steps = ", ".join(f"m.isolated({click})" for click in clicks)
    assert run(f"[{steps}]", "choice") == [["a"], ["a", "b"], ["b"], []]


def test_what_has_changed_since_a_moment_is_counted(run):
    then = f"{_SERIES}('p', {MONDAY}, 3600, [1, 2, null], [1, 1, 0])"
    today = f"{_SERIES}('p', {MONDAY}, 3600, [1, 4, 3], [1, 1, 1])"
    assert run(f"m.changes([{then}], [{today}])", "later") == {"changed": 1, "added": 1, "before": 3, "after": 8}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2026-05-11", MONDAY), ("2026-05-11 01:00", MONDAY + 3600), ("2026-05-11T01:00Z", MONDAY + 3600), ("May", None)],
)
def test_a_date_is_typed_in_utc(run, text, seconds):
    assert run(f"m.instant('{text}')", "picker") == seconds
