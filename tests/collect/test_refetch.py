"""The windows that a fire, healing and a query request for the stored state."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from collector.collect import refetch
from collector.collect.refetch import WantedWindows
from collector.interval import AggInterval
from collector.model import Question, Slice, Window
from collector.rules.finality import Evidence, GapRequest
from collector.store import ExpectedWindow, SeriesState
from tests.harness.factories import profile, query

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIDNIGHT = datetime(2026, 3, 10, tzinfo=UTC)
NOW = MIDNIGHT + timedelta(hours=12, minutes=7)
SETTLE = 14 * DAY


def ago(start, end):
    """From so many days before this midnight to so many."""
    return Window(MIDNIGHT - start * DAY, MIDNIGHT - end * DAY)


def epoch(window):
    return int(window.start.timestamp()), int(window.end.timestamp())


def state(extent, *, settle=None, evidence=(), current=None):
    return SeriesState(1, epoch(extent), epoch(current or extent), evidence, settle)


@pytest.mark.parametrize(("expected", "settle"), [(14, None), (14, 7 * 86_400), (20, 20 * 86_400)])
def test_the_longest_settle_of_all_profiles_counts(expected, settle):
    assert refetch.settle_of(profile(), state(ago(9, 0), settle=settle)) == expected * 86_400


@pytest.mark.parametrize(
    ("expected", "due", "changes"),
    [
        ([(1, -0.5)], [], {}),
        ([(3, -0.5)], [(3, 2)], {}),
        ([(3, -0.5)], [(2.5, 2)], {}),
        ([(15, -0.5)], [(15, 14.5)], {}),
        ([(16, -0.5)], [(15.5, 15)], {}),
        ([(1, -0.5), (16, 15)], [(15.5 + 1 / 24, 15)], {}),
        ([(1, -0.5), (20, 17)], [(20, 17)], {}),
        ([(1, -0.5), (20, 16)], [(19.5, 16.5)], {}),
        ([(1, -0.5), (20, 18), (40, 39)], [(40, 39.5), (20, 18)], {}),
        ([(20, -0.5)], [(20, 1)], {}),
        ([(20, -0.5)], [(20, 0.5)], {}),
        ([(1, -0.5), (20, 1.0)], [(20, 1 + 1 / 24)], {}),
        ([(20, -0.5)], [(20, 14), (14, 1)], {}),
        ([(20, -0.5)], [(19, 0), (20, 19)], {}),
        ([(1, -0.5), (25, 19)], [(25, 19)], {"settle": SETTLE}),
        ([(25, -0.5)], [(24.5, 23)], {"settle": 23 * DAY}),
        ([(2, 0)], [], {"agg_interval": AggInterval.ONE_DAY}),
        ([(8, 1), (36, 29)], [(36, 29)], {"agg_interval": AggInterval.ONE_WEEK}),
        ([(8, 1), (36, 29)], [(36, 30)], {"agg_interval": AggInterval.ONE_WEEK}),
        ([(3, -0.5)], [(3, 2)], {"since": MIDNIGHT + DAY}),
        ([], [], {"since": MIDNIGHT + DAY}),
    ],
)
def test_a_fire_reads_the_newest_buckets_and_what_is_due(expected, due, changes):
    known = state(ago(60, -0.5))
    windows = refetch.fire_windows(profile(**changes), known, [ago(*bounds) for bounds in due], NOW)
    assert windows == [ago(*bounds) for bounds in expected]


def test_the_first_fire_reads_lookback():
    assert refetch.fire_windows(profile(), None, [], NOW) == [ago(1, -0.5)]
    assert refetch.fire_windows(profile(lookback=3 * DAY), None, [], NOW) == [ago(3, -0.5)]


def test_a_fire_starts_at_the_newest_bucket_with_evidence():
    evidence = Evidence(*epoch(ago(60, 4)), 0, 0, 0, None, confirmed=False)
    assert refetch.fire_windows(profile(), state(ago(60, 6)), [], NOW) == [ago(8, -0.5)]
    assert refetch.fire_windows(profile(), state(ago(60, 6), evidence=[evidence]), [], NOW) == [ago(6, -0.5)]


@pytest.mark.parametrize(
    ("expected", "evidence", "extent", "current"),
    [
        ([(60, 50)], [], (60, 50), None),
        ([(55, 50)], [], (60, 50), (55, 50)),
        ([], [Evidence(*epoch(ago(60, 50)), 0, 0, 30 * 86_400, None, confirmed=False)], (60, 50), None),
        ([(60, 50)], [Evidence(*epoch(ago(60, 50)), 0, 0, 15 * 86_400, None, confirmed=False)], (60, 50), None),
    ],
)
def test_windows_of_the_active_unit_are_due_by_the_longest_settle(expected, evidence, extent, current):
    known = state(ago(*extent), settle=20 * 86_400, evidence=evidence, current=current and ago(*current))
    windows = refetch._windows_due(profile(), query(), known, NOW)
    assert windows == [ago(*bounds) for bounds in expected]


def hours(start, end):
    return Window(MIDNIGHT + start * HOUR, MIDNIGHT + end * HOUR)


@pytest.mark.parametrize(
    ("expected", "border", "just_now", "lately"),
    [
        ([(0, 4), (4, 8)], 4, [], []),
        ([(0, 8)], 0, [], []),
        ([(0, 8)], -5, [], []),
        ([(0, 8)], 8, [], []),
        ([(0, 8)], 20, [], []),
        ([(1, 4), (4, 8)], 4, [(0, 1), (4, 8)], []),
        ([(0, 4), (4, 7)], 4, [], [(0, 4), (7, 9)]),
        ([(0, 1), (2, 4)], 4, [(1, 2)], [(4, 8)]),
    ],
)
def test_windows_that_an_answer_has_just_covered_are_not_requested(expected, border, just_now, lately):
    answered = ([hours(*bounds) for bounds in windows] for windows in (just_now, lately))
    uncovered = refetch._not_covered(hours(0, 8), MIDNIGHT + border * HOUR, *answered)
    assert uncovered == [hours(*bounds) for bounds in expected]


@pytest.mark.parametrize(
    ("expected", "gap"), [((3, 5), (3, 5)), ((-3, 1), (0, 1)), ((0, 4), (0, 4)), ((0, 6), (0, 6)), ((-1, 3), (0, 3))]
)
def test_a_gap_that_is_requested_alone_has_four_buckets_at_the_start_of_the_expected_window(expected, gap):
    window, width = refetch._exact_window(hours(*gap), ExpectedWindow(query(), hours(0, 24), SETTLE))
    assert (window, width) == (hours(*expected), (expected[1] - expected[0]) * 3600)


class Answers:
    """A store in which answers have covered windows, by when they came; *gaps* are the parts that are worth asking.

    It is its own read view.
    """

    def __init__(self, covered=(), gaps=(), relative=(), holes=()):
        self.covered, self.gaps, self.are_relative, self.holes = covered, gaps, relative, holes
        self.explicit, self.expected, self.states, self.adopted = None, [], {}, []

    async def adopt(self, now):
        self.adopted.append(now)

    async def with_read_view(self, work):
        return work(self)

    def series_states(self, queries):
        return {question: known for question, known in self.states.items() if question in queries}

    def covered_windows(self, question, window, since):
        return [covered for covered, came in self.covered if came >= since]

    def relative_queries(self, queries):
        return {*self.are_relative} & {*queries}

    def gap_requests(self, expected, now, *, explicit):
        self.explicit, self.expected = explicit, expected
        return [[GapRequest(*epoch(part), width, lacked) for part, width, lacked in self.gaps] for _ in expected]

    def find_gaps(self, expected):
        return [[SimpleNamespace(window=hole) for hole in self.holes]]


class Spans:
    """A batch runner that may request so many days at once."""

    def __init__(self, days):
        self.shape = SimpleNamespace(span=timedelta(days=days))

    async def limits(self, _agg_interval):
        return self


def days(start, end):
    """A window in days from a Monday two months ago."""
    return Window(datetime(2026, 1, 5, tzinfo=UTC) + start * DAY, datetime(2026, 1, 5, tzinfo=UTC) + end * DAY)


async def asked(store, window, now=NOW, **options):
    windows = [window] if isinstance(window, Window) else window
    expected = [ExpectedWindow(query(), window, SETTLE) for window in windows]
    slices = await refetch.gap_slices(expected, now, store, Spans(7), **options)
    assert all(piece.series == query() for piece in slices)
    return [piece.window for piece in slices]


HISTORY = days(0, 30)
GAP = days(8, 10)
OLD = NOW - 8 * DAY
ALONE = [days(8, 10)]
WIDE = [days(7, 14)]


@pytest.mark.parametrize(
    ("expected", "covered", "part"),
    [
        (WIDE, [], (GAP, None, False)),
        ([days(7, 9)], [], (GAP, None, False, days(0, 9))),
        ([days(8, 9), days(9, 10)], [], (GAP, 86_400, False)),
        ([GAP], [], (GAP, 10 * 86_400, False)),
        (ALONE, [(GAP, NOW - 7 * DAY)], (GAP, None, False)),
        (WIDE, [(GAP, NOW - 7 * DAY - HOUR)], (GAP, None, False)),
        (WIDE, [(days(8, 9), NOW - DAY)], (GAP, None, False)),
        (WIDE, [(GAP, NOW - DAY)], (GAP, None, True)),
        ([], [(GAP, NOW - HOUR)], (GAP, None, True)),
        (WIDE, [(GAP, NOW - HOUR - timedelta(seconds=1))], (GAP, None, True)),
        ([days(9, 10)], [(days(8, 9), NOW)], (GAP, 2 * 86_400, True)),
        (
            [Window(days(8, 9).end - HOUR, days(8, 9).end)],
            [],
            (Window(days(8, 9).end - HOUR, days(8, 9).end), 60, False),
        ),
    ],
)
async def test_a_gap_is_requested_in_grid_windows_or_alone_by_its_evidence(expected, covered, part):
    gap, width, lacked, *within = part
    assert await asked(Answers(covered, [(gap, width, lacked)]), *within or [HISTORY]) == expected


YOUNG = Window(MIDNIGHT - 2 * DAY, MIDNIGHT - DAY)


@pytest.mark.parametrize(
    ("count", "came"), [(1, NOW - DAY - timedelta(seconds=1)), (0, NOW - DAY), (0, NOW - 2 * HOUR), (0, NOW)]
)
async def test_a_young_gap_is_requested_once_a_day(count, came):
    windows = await asked(Answers([(YOUNG, came)], [(YOUNG, None, False)]), Window(MIDNIGHT - 9 * DAY, MIDNIGHT))
    assert len(windows) == count


async def test_a_gap_across_the_border_of_settle_is_requested_in_two_parts():
    border = AggInterval.ONE_HOUR.floor(NOW - SETTLE)
    gap = Window(border - 6 * HOUR, border + 6 * HOUR)
    covered = [(gap, NOW - 2 * DAY)]
    windows = await asked(Answers(covered, [(gap, None, False)]), Window(border - 60 * DAY, border + DAY))
    assert Window(gap.start, border) in windows
    assert any(window.start <= border and gap.end <= window.end for window in windows)


async def test_an_explicit_request_asks_again_unless_an_answer_came_since():
    gaps = [(GAP, None, True)]
    since = NOW - 3 * HOUR
    assert await asked(Answers([(GAP, since)], gaps), HISTORY, explicit_since=since) == []
    store = Answers([(GAP, since - HOUR)], gaps)
    assert (await asked(store, HISTORY, explicit_since=since), store.explicit) == (WIDE, True)
    store = Answers([], gaps)
    assert (await asked(store, HISTORY), store.explicit) == (WIDE, False)


async def test_two_expected_windows_of_one_series_are_requested_together():
    store = Answers([], [(GAP, None, True), (days(20, 21), 86_400, True)])
    assert await asked(store, [days(0, 12), days(9, 30)]) == [days(7, 14), days(20, 21), days(20, 21)]


async def test_nothing_is_requested_without_gaps_or_for_relative_values():
    assert await asked(Answers(), HISTORY) == []
    assert await asked(Answers([], [(GAP, None, True)], relative=[query()]), HISTORY) == []


@pytest.mark.parametrize(
    ("expected", "covered"),
    [
        ([GAP], []),
        ([GAP], [(GAP, NOW - timedelta(minutes=15, seconds=1))]),
        ([], [(GAP, NOW - timedelta(minutes=15))]),
        ([days(9, 10)], [(days(7, 9), NOW)]),
    ],
)
async def test_a_query_requests_missing_buckets_unless_they_were_just_requested(expected, covered):
    slices = await refetch.query_slices(ExpectedWindow(query(), HISTORY, SETTLE), NOW, Answers(covered, holes=[GAP]))
    assert slices == [Slice(query(), window) for window in expected]


@pytest.mark.parametrize(
    ("asked_for", "window", "relative"),
    [
        (query(), days(1, 1), ()),
        (query(expirationStatus=["VALID"]), HISTORY, ()),
        (query(), HISTORY, [query()]),
    ],
)
async def test_a_query_requests_nothing_if_a_second_answer_cannot_be_joined(asked_for, window, relative):
    store = Answers(holes=[GAP], relative=relative)
    assert await refetch.query_slices(ExpectedWindow(asked_for, window, SETTLE), NOW, store) == []


async def test_windows_are_widened_inside_their_bounds():
    other = Question(AggInterval.ONE_DAY, {})
    wanted = {query(): [days(8, 9), days(13, 15)], other: [days(1, 2)]}
    slices = await refetch.whole_cells(wanted, {query(): days(0, 16), other: days(1, 30)}, Spans(7))
    assert slices == [Slice(query(), days(7, 16)), Slice(other, days(1, 7))]


async def test_a_narrow_window_is_cut_to_whole_buckets_of_at_most_its_width():
    wanted = WantedWindows(HISTORY, [], [(days(8, 9), 7 * 3600 + 1800)])
    slices = await refetch._slices({query(): wanted}, Spans(7))
    assert {piece.window.duration for piece in slices} == {6 * HOUR}
    wanted = WantedWindows(HISTORY, [], [(hours(0, 2), 60)])
    assert len(await refetch._slices({query(): wanted}, Spans(7))) == 2


async def test_a_fire_requests_a_series_of_two_profiles_once_and_no_old_relative_values():
    long, short = profile("one", lookback=3 * DAY), profile("other", lookback=DAY)
    relative, first = profile("relative", filters={"tld": ("com",)}), profile("first", filters={"tld": ("org",)})
    store = Answers(relative=[query(tld=["com"])])
    store.states = {query(): state(ago(60, -0.5)), query(tld=["com"]): state(ago(60, -0.5))}
    slices = (await refetch.plan_fire([long, short, relative, first], NOW, store)).slices
    assert slices == [
        Slice(query(), ago(60, -0.5)),
        Slice(query(tld=["com"]), ago(1, -0.5)),
        Slice(query(tld=["org"]), ago(1, -0.5)),
    ]
    assert store.adopted == [NOW]


@pytest.mark.parametrize(
    ("expected", "age", "changes"),
    [
        (days(3, 20), None, {}),
        (days(3, 22), 22, {}),
        (days(1, 20), None, {"since": days(1, 2).start}),
        (days(9, 20), None, {"since": days(9, 10).start}),
        (None, None, {"heal": False}),
        (None, None, {"since": days(20, 21).start}),
    ],
)
async def test_healing_looks_for_gaps_up_to_the_newest_evidence(expected, age, changes):
    evidence = [Evidence(*epoch(days(3, age)), 0, 0, 0, None, confirmed=False)] if age else ()
    store = Answers([], [(GAP, None, True)])
    store.states = {query(): state(days(3, 20), evidence=evidence)}
    slices = await refetch.healing_slices([profile(settle=9 * DAY, **changes)], NOW, store, Spans(7))
    assert store.expected == ([ExpectedWindow(query(), expected, 9 * DAY)] if expected else [])
    assert bool(slices) is bool(expected)


@pytest.mark.parametrize(("expected", "since"), [(None, None), (Window(MIDNIGHT, NOW.replace(minute=0)), MIDNIGHT)])
async def test_healing_of_a_series_without_points_begins_at_since(expected, since):
    store = Answers()
    await refetch.healing_slices([profile(since=since)], NOW, store, Spans(7))
    assert [expected_window.window for expected_window in store.expected] == ([expected] if expected else [])
