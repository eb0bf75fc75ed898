"""A second answer for history that was past settle when it was first read."""

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest

from collector.collect import confirm as confirm_module
from collector.collect.batches.pending_slices import BatchResult, FailedSlices
from collector.collect.confirm import (
    REQUESTS_PER_HOUR,
    Unconfirmed,
    _compare_days,
    _confirm_annotations,
    _DailyAnswers,
    _days,
    _differing_days,
    _judge_sums,
    confirm,
    days_around,
    read_again,
    unconfirmed_windows,
    whole_days,
)
from collector.collect.one_pass import collect
from collector.interval import AggInterval
from collector.model import Answer, Batch, Meta, Points, Question, Slice, Window
from collector.radar.errors import Unavailable
from collector.report.gaps import find_gaps
from collector.rules.finality import DAY as DAY_SECONDS
from collector.rules.finality import Evidence
from collector.simulator import GapChange
from collector.store import SeriesState
from collector.timestamps import rfc3339, utc
from tests.collect.test_history import run_backfill
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, open_core
from tests.harness.factories import many, profile, query

MIDNIGHT = NOW.replace(hour=0, minute=0)
SINCE = MIDNIGHT - 60 * DAY


def zeros(name="serie_0"):
    def spoil(document):
        for key, series in document["result"].items():
            if key != "meta":
                series["values"] = ["0"] * len(series["values"])

    return faults.edit("zeros", spoil)


def one_day_off(document):
    series = next(value for key, value in document["result"].items() if key != "meta")
    series["values"][5] = str(int(float(series["values"][5])) + 1)


async def requests_of(opened, work):
    before = len(opened.requests)
    await work
    return len(opened.requests) - before


async def confirmed(opened, *profiles):
    return await confirm(profiles, opened.clock(), opened.store, opened.batch_runner)


async def unconfirmed(opened, *profiles):
    return sum((await opened.store.unconfirmed(profiles)).values())


@pytest.mark.parametrize(
    ("expected", "windows", "final"),
    [
        ([], [], [(0, 9)]),
        ([(0, 2)], [(0, 2)], [(0, 9)]),
        ([(0, 1), (3, 4)], [(0.5, 1), (3, 3.5)], [(0, 9)]),
        ([(1, 2)], [(0.5, 2.5)], [(0.5, 2.5)]),
    ],
)
def test_only_days_that_are_final_throughout_are_compared(expected, windows, final):
    def seconds(ranges):
        return [(int(start * DAY_SECONDS), int(end * DAY_SECONDS)) for start, end in ranges]

    assert whole_days(seconds(windows), seconds(final)) == seconds(expected)


SETTLE = 14 * DAY_SECONDS
TODAY = int(MIDNIGHT.timestamp())


def days(start, end):
    """From so many days before this midnight to so many, in epoch seconds."""
    return TODAY - int(start * DAY_SECONDS), TODAY - int(end * DAY_SECONDS)


def told(start, end, *, hours_ago=9, confirmed=False, changed=False):
    """Evidence for those days from an answer of *hours_ago*."""
    asked_at = NOW.timestamp() - hours_ago * 3600
    return Evidence(*days(start, end), asked_at, asked_at, SETTLE, asked_at if changed else None, confirmed=confirmed)


def state_of(*rows, current=(60, 0), **options):
    return SeriesState(1, days(60, 0), days(*current), rows, None, **options)


@pytest.mark.parametrize(
    ("compared", "rest", "rows", "options"),
    [
        ([(40, 20)], [], [told(40, 20)], {}),
        ([], [], [told(40, 20, hours_ago=0.99)], {}),
        ([(40, 20)], [], [told(40, 20, hours_ago=1)], {}),
        ([], [], [told(40, 20, confirmed=True)], {}),
        ([], [], [told(40, 20, changed=True)], {}),
        ([(30, 20)], [], [told(40, 20)], {"current": (30, 0)}),
        ([(40, 25)], [], [told(40, 20)], {"current": (60, 25)}),
        ([], [], [told(40, 20)], {"current": (20, 0)}),
        ([], [(40, 20)], [told(40, 20)], {"sums_differ": True}),
        ([(40, 20)], [(40.5, 40), (20, 19.5)], [told(40.5, 19.5)], {}),
        ([(41, 19)], [], [told(41, 40.5, confirmed=True), told(40.5, 19.5), told(19.5, 19, hours_ago=0)], {}),
        ([(40, 16)], [(16, 15.75)], [told(40, 15.75)], {}),
        ([(40, 15)], [], [told(40, 14.75)], {}),
        ([(40, 15)], [(15, 14.75)], [told(40, 14.75)], {"days_later": 1}),
        (
            [(40, 16)],
            [(16, 15.875), (15.75, 15.5)],
            [told(40, 15.875), told(15.875, 15.75, changed=True), told(15.75, 14.5)],
            {},
        ),
    ],
)
def test_values_of_a_single_answer_are_compared_by_days_or_read_again(compared, rest, rows, options):
    now = NOW + options.pop("days_later", 0) * DAY
    unconfirmed = unconfirmed_windows(query(), state_of(*rows, **options), SETTLE, now)
    assert unconfirmed == Unconfirmed(
        query(), SETTLE, [days(*ages) for ages in compared], [days(*ages) for ages in rest]
    )


@pytest.mark.parametrize(
    ("compared", "question"),
    [
        (True, query(AggInterval.FIFTEEN_MINUTES)),
        (True, query(caOwner=["A"])),
        (False, query(AggInterval.ONE_DAY)),
        (False, query(AggInterval.ONE_WEEK)),
        (False, query(uniqueEntries=["true"])),
    ],
)
def test_only_counts_of_finer_buckets_are_compared_by_days(compared, question):
    unconfirmed = unconfirmed_windows(question, state_of(told(40, 20)), SETTLE, NOW)
    assert (bool(unconfirmed.days), bool(unconfirmed.rest)) == (compared, not compared)
    daily = unconfirmed.daily_query
    assert (daily.agg_interval, daily.filters) == (AggInterval.ONE_DAY, question.filters)


def test_the_daily_question_is_the_same_but_for_its_interval():
    question = Question(HOUR, {"ca": ("A",)}, "dataset", "dimension", "group")
    expected = Question(AggInterval.ONE_DAY, {"ca": ("A",)}, "dataset", "dimension", "group")
    assert Unconfirmed(question, 0, [], []).daily_query == expected


@pytest.mark.parametrize(("first", "hour"), [(-1, 0), (-1, 11.99), (0, 12), (0, 23.99), (0, 24), (1, 36)])
def test_an_annotation_concerns_the_two_days_around_it(first, hour):
    start = MIDNIGHT + first * DAY
    assert days_around(MIDNIGHT + timedelta(hours=hour)) == Window(start, start + 2 * DAY)


def daily_answers(last_updated, normalization="RAW_VALUES"):
    """Answers to two positions of two days each, with a value for every day but the last."""
    windows = [Window(MIDNIGHT - 20 * DAY, MIDNIGHT - 18 * DAY), Window(MIDNIGHT - 18 * DAY, MIDNIGHT - 16 * DAY)]
    batch = Batch(tuple(Slice(query(AggInterval.ONE_DAY), window) for window in windows))
    points = (Points([days(20, 0)[0], days(19, 0)[0]], [1.0, 2.0]), Points([days(18, 0)[0]], [3.0]))
    ranges = tuple((window.start, window.end) for window in windows)
    answers = _DailyAnswers()
    answers.keep(7, batch, Answer(Meta(AggInterval.ONE_DAY, last_updated, normalization, "*", 5, ranges, ()), points))
    return answers


@pytest.mark.parametrize(
    ("expected", "day", "settled"),
    [
        (True, 20, 16),
        (True, 19, 16),
        (True, 17, 16),
        (False, 21, 16),
        (False, 16, 16),
        (True, 18, 17),
        (False, 17, 16.9),
        (True, 17, 15),
    ],
)
def test_a_daily_value_counts_from_an_answer_past_settle_that_covered_its_day(expected, day, settled):
    answers = daily_answers(MIDNIGHT + timedelta(seconds=SETTLE) - settled * DAY)
    assert answers.covers(query(AggInterval.ONE_DAY), days(day, day - 1), SETTLE) is expected
    assert not answers.covers(query(AggInterval.ONE_DAY, tld=["com"]), days(day, day - 1), SETTLE)


def test_daily_values_are_kept_by_day_if_they_are_counts():
    values = {query(AggInterval.ONE_DAY): {days(20, 0)[0]: 1.0, days(19, 0)[0]: 2.0, days(18, 0)[0]: 3.0}}
    assert daily_answers(NOW).values == values
    assert daily_answers(NOW, "PERCENTAGE").values == daily_answers(NOW, "PERCENTAGE").answered == {}


def test_windows_are_split_into_days():
    assert _days([days(5, 3), days(1, 0)]) == [days(5, 4), days(4, 3), days(1, 0)]


class Sums:
    """A store with the sums of four days, of which the second answer has *confirmed* some, or (*agreed*) none."""

    def __init__(self, *confirmed, agreed=True):
        self.confirmed, self.agreed, self.asked, self.now_confirmed, self.differing = confirmed, agreed, [], [], []

    async def daily_sums(self, question, window, _offset):
        self.asked.append((question, window))
        return {days(20, 0)[0]: 1.0, days(19, 0)[0]: 5.0, days(18, 0)[0]: 3.0, days(17, 0)[0]: 4.0}

    async def confirm(self, question, windows, settle):
        self.now_confirmed.append((question, windows, settle))

    async def series_states(self, queries):
        return (
            {queries[0]: state_of(*(told(*ages, confirmed=self.agreed) for ages in self.confirmed))}
            if self.confirmed
            else {}
        )

    async def set_sums_differ(self, question):
        self.differing.append(question)


FOUR_DAYS = Unconfirmed(query(), SETTLE, [days(20, 18), days(18, 16)], [])
HULL = Window(MIDNIGHT - 20 * DAY, MIDNIGHT - 16 * DAY)


async def test_days_with_equal_sums_are_confirmed_and_days_with_evidence_that_differ_are_read_again():
    store, answers = Sums(), daily_answers(MIDNIGHT - 2 * DAY)
    assert await _differing_days(FOUR_DAYS, answers, store) == [days(19, 18), days(17, 16)]
    assert store.now_confirmed == [(query(), [days(20, 19), days(18, 17)], SETTLE)]
    assert store.asked == [(query(), HULL)]
    store, answers = Sums(), daily_answers(MIDNIGHT - 3 * DAY)
    assert await _differing_days(FOUR_DAYS, answers, store) == [days(19, 18)]


@pytest.mark.parametrize(
    ("day", "confirmed"),
    [(19, [(20, 16)]), (17, [(17, 16)]), (None, [(20, 19), (18, 17)]), (None, [(18.5, 18)]), (None, [])],
)
async def test_a_day_that_differs_though_its_parts_are_confirmed_ends_the_comparison(day, confirmed, caplog):
    store = Sums(*confirmed)
    await _judge_sums(FOUR_DAYS, [days(20, 19), days(19, 18), days(17, 16)], daily_answers(NOW), store)
    assert store.differing == ([query()] if day else [])
    store = Sums(*confirmed, agreed=False)
    await _judge_sums(FOUR_DAYS, [days(19, 18)], daily_answers(NOW), store)
    assert store.differing == []
    said = [record.reason[:36] for record in caplog.records if record.message == "confirm"]
    assert said == ([f"the daily value of {rfc3339(MIDNIGHT - day * DAY)[:10]}T00:00:00Z"[:36]] if day else [])


class Gathering:
    """A batch runner with a store. *results* are those of its calls, *daily* the values of its first answer."""

    def __init__(self, *results, daily=None, state=None, doubtful=()):
        self.fetcher = SimpleNamespace(store=self)
        self.results, self.daily, self.doubtful = list(results), daily, doubtful
        self.state, self.calls, self.looked, self.judged = state, [], [], []

    async def run(self, slices, names, **options):
        self.calls.append((list(slices), names, options))
        if self.daily is not None and len(self.calls) == 1:
            windows = tuple((piece.window.start, piece.window.end) for piece in slices)
            meta = Meta(AggInterval.ONE_DAY, NOW, "RAW_VALUES", "*", 5, windows, ())
            points = tuple(Points([*self.daily], [*self.daily.values()]) for _ in slices)
            options["handling"].keep(1, Batch(tuple(slices)), Answer(meta, points))
        return self.results.pop(0) if self.results else BatchResult(requests=1)

    async def get_state(self, key):
        return self.state

    async def set_state(self, key, text):
        self.state = text

    async def doubtful_annotations(self, after, until):
        self.looked.append((after, until))
        return self.doubtful

    async def daily_sums(self, question, window, _offset):
        return self.daily if question.filters else {days(19, 0)[0]: 2.0, days(20, 0)[0]: 1.0}

    async def confirm(self, question, windows, settle):
        pass

    async def series_states(self, queries):
        self.judged.append(queries[0])
        return {}


FAILED = BatchResult(failures=[FailedSlices((Slice(query(), HULL),), Unavailable("down"))])


@pytest.mark.parametrize("state", [None, "2026-03-01T00:00:00Z"])
async def test_annotations_are_checked_since_the_last_check_and_at_first_for_two_days(state):
    batch_runner = Gathering(state=state)
    assert await _confirm_annotations([profile()], NOW, batch_runner) == BatchResult()
    assert batch_runner.looked == [(utc(state) if state else NOW - 2 * DAY, NOW - timedelta(hours=1))]
    assert (batch_runner.state, batch_runner.calls) == ("2026-03-10T11:07:00Z", [])


async def test_the_days_of_annotations_from_a_single_answer_are_requested_daily():
    starts = [("ct", MIDNIGHT - timedelta(hours=hours)) for hours in (6, 12, 36, 37)]
    batch_runner = Gathering(doubtful=[*starts, ("other", MIDNIGHT - 9 * DAY)])
    profiles = [profile(name, filters={"tld": ("com",)}) for name in ("one", "other")]
    await _confirm_annotations(profiles, NOW, batch_runner)
    [(slices, names, options)] = batch_runner.calls
    daily = query(AggInterval.ONE_DAY, tld=["com"])
    windows = [Window(MIDNIGHT - first * DAY, MIDNIGHT - (first - 2) * DAY) for first in (3, 2)]
    assert slices == [Slice(daily, window) for window in windows]
    assert names == {daily: ["one", "other"]}
    assert (options["background"], options["handling"].history) == (True, False)


@pytest.mark.parametrize(
    ("done", "result"), [(True, BatchResult()), (False, FAILED), (False, BatchResult(stopped=True))]
)
async def test_annotations_are_checked_again_after_a_failure(done, result):
    batch_runner = Gathering(result, doubtful=[("ct", MIDNIGHT - 3 * DAY)])
    await _confirm_annotations([profile()], NOW, batch_runner)
    assert (batch_runner.state is not None) is done


EQUAL, OTHER = ({days(20, 0)[0]: 1.0, days(19, 0)[0]: second} for second in (2.0, 5.0))
TWO_DAYS = Unconfirmed(query(), SETTLE, [days(20, 18)], [])
ONCE, STOPPED = BatchResult(requests=1), BatchResult(requests=1, stopped=True)


@pytest.mark.parametrize(
    ("again", "judged", "daily", "results"),
    [
        (False, False, EQUAL, [ONCE]),
        (False, False, OTHER, [STOPPED]),
        (True, True, OTHER, [ONCE, ONCE]),
        (True, False, OTHER, [ONCE, STOPPED]),
        (True, False, OTHER, [ONCE, FAILED]),
    ],
)
async def test_days_that_differ_are_read_again_and_then_judged(again, judged, daily, results):
    batch_runner = Gathering(*results, daily=daily)
    equal = Unconfirmed(query(tld=["com"]), SETTLE, [days(20, 18)], [])
    result = await _compare_days([TWO_DAYS, equal], {}, batch_runner)
    assert result == sum(results[1:], results[0])
    window = Window(MIDNIGHT - 20 * DAY, MIDNIGHT - 18 * DAY)
    daily_slices, _, options = batch_runner.calls[0]
    assert daily_slices == [Slice(unconfirmed.daily_query, window) for unconfirmed in (TWO_DAYS, equal)]
    assert (options["background"], options["handling"].history) == (True, False)
    differing = [Slice(query(), Window(window.start + DAY, window.end))]
    assert [call[0] for call in batch_runner.calls[1:]] == [differing] * again
    assert [call[2] for call in batch_runner.calls[1:]] == [{"background": True}] * again
    assert batch_runner.judged == [query()] * judged


@pytest.mark.parametrize(
    ("most", "counted", "record"),
    [
        (10, False, None),
        (10, False, ["2026-03-10T11:07:00Z", 9]),
        (1, True, ["2026-03-10T11:07:01Z", 9]),
        (8, True, ["2026-03-10T12:07:00Z", 2]),
        (10, False, ["2026-03-10T12:07:01Z", 9]),
        (0, True, ["2026-03-10T12:00:00Z", 10]),
        (0, True, ["2026-03-10T12:00:00Z", 11]),
    ],
)
async def test_the_remaining_windows_are_read_within_ten_requests_an_hour(most, counted, record, monkeypatch):
    pieces = [Slice(query(caOwner=[str(number)]), HULL) for number in range(12)]

    async def batches(slices, _batch_runner):
        return [Batch((piece,)) for piece in slices]

    monkeypatch.setattr(confirm_module, "pack_slices", batches)
    batch_runner = Gathering(BatchResult(requests=4), state=json.dumps([record]) if record else None)
    result = await read_again(pieces, {}, NOW, batch_runner)
    assert result.requests == (4 if most else 0)
    assert batch_runner.calls == ([(pieces[:most], {}, {"background": True, "most_requests": most})] if most else [])
    if most:
        assert json.loads(batch_runner.state) == [record] * counted + [["2026-03-10T12:07:00Z", 4]]


async def test_a_year_of_twenty_series_is_confirmed_by_one_request(sqlite_url):
    twenty = many(20)
    async with open_core(sqlite_url, twenty) as opened:
        await run_backfill(opened, MIDNIGHT - 365 * DAY)
        points = 20 * (365 - 14) * 24
        assert await unconfirmed(opened, twenty) >= points
        assert await requests_of(opened, confirmed(opened, twenty)) == 0, "a second answer is not asked for at once"
        opened.clock.advance(hours=2)
        assert await requests_of(opened, confirmed(opened, twenty)) == 1
        assert await unconfirmed(opened, twenty) == 20 * 12, "half a day is not final yet"
        opened.clock.advance(days=1)
        await collect([twenty], opened.clock(), opened.store, opened.batch_runner)
        assert await unconfirmed(opened, twenty) == 0, "the daily re-read has confirmed it"
        assert await requests_of(opened, confirmed(opened, twenty)) == 0


async def test_a_first_answer_of_zeros_is_found_and_corrected(store_url):
    hourly = profile(since=SINCE)
    async with open_core(store_url, hourly) as opened:
        opened.script(zeros())
        await collect([hourly], opened.clock(), opened.store, opened.batch_runner, fires=False, gaps=True)
        opened.clock.advance(hours=2)
        await confirmed(opened, hourly)
        for _ in range(2):
            opened.clock.advance(days=1)
            await collect([hourly], opened.clock(), opened.store, opened.batch_runner)
            await confirmed(opened, hourly)
        truth = opened.truth(hourly.series[0].query, Window(SINCE, HOUR.floor(opened.clock())))
        assert (await opened.stored())["all"] == truth
        assert await unconfirmed(opened, hourly) == 0


async def test_a_daily_answer_that_is_wrong_once_costs_a_second_reading_and_does_no_harm(store_url):
    hourly = profile(since=SINCE)
    async with open_core(store_url, hourly) as opened:
        await collect([hourly], opened.clock(), opened.store, opened.batch_runner, fires=False, gaps=True)
        before = await opened.stored()
        opened.clock.advance(hours=2)
        opened.script(faults.edit("a day is off by one", one_day_off))
        assert await requests_of(opened, confirmed(opened, hourly)) == 2
        assert await opened.stored() == before
        assert await unconfirmed(opened, hourly) == 12, "half a day is not final yet"


async def test_the_comparison_is_switched_off_with_a_warning_if_daily_values_are_no_sums(store_url, caplog):
    hourly = profile(since=SINCE)
    async with open_core(store_url, hourly) as opened:
        daily = faults.edit("days are no sums", one_day_off)
        opened.script(daily.only(lambda received: received.request.agg_interval is AggInterval.ONE_DAY).always())
        await collect([hourly], opened.clock(), opened.store, opened.batch_runner, fires=False, gaps=True)
        opened.clock.advance(hours=2)
        await confirmed(opened, hourly)
        assert [record.outcome for record in caplog.records if record.message == "confirm"] == ["differs"]
        (state,) = (await opened.store.series_states([query()])).values()
        assert state.sums_differ
        await run_backfill(opened, SINCE - 30 * DAY)
        opened.clock.advance(hours=2)
        assert await unconfirmed(opened, hourly) == 30 * 24
        assert await requests_of(opened, confirmed(opened, hourly)) == 1
        assert opened.requests[-1].request.agg_interval is HOUR
        assert await unconfirmed(opened, hourly) == 0


async def test_values_that_do_not_add_up_are_read_once_more_at_most_ten_requests_an_hour(sqlite_url):
    unique = profile(filters={"uniqueEntries": ("true",)}, agg_interval=AggInterval.FIFTEEN_MINUTES)
    short = dict.fromkeys(AggInterval, 7 * DAY)
    async with open_core(sqlite_url, unique, max_span=short, series_per_request=1) as opened:
        await run_backfill(opened, MIDNIGHT - 200 * DAY)
        costs = []
        while await unconfirmed(opened, unique):
            opened.clock.advance(minutes=30)
            costs.append(await requests_of(opened, confirmed(opened, unique)))
        assert max(costs[i] + costs[i + 1] for i in range(len(costs) - 1)) <= REQUESTS_PER_HOUR
        assert sum(costs) <= -(-200 // 7) + 1


async def test_values_that_are_read_daily_need_no_confirmation(sqlite_url):
    hourly = profile(settle=2 * DAY)
    async with open_core(sqlite_url, hourly) as opened:
        for _ in range(24 * 8):
            await collect([hourly], opened.clock(), opened.store, opened.batch_runner)
            opened.clock.advance(hours=1)
        assert await unconfirmed(opened, hourly) == 0
        assert await requests_of(opened, confirmed(opened, hourly)) == 0


async def test_the_last_revision_is_seen_however_late_it_comes(store_url):
    settle = timedelta(days=2)
    hourly = profile(settle=settle, heal=False)
    async with open_core(store_url, hourly, revised_for=timedelta(hours=47)) as opened:
        for _ in range(10 * 8):
            await collect([hourly], opened.clock(), opened.store, opened.batch_runner)
            opened.clock.advance(hours=3)
        until = HOUR.floor(opened.clock() - settle - DAY - timedelta(hours=6))
        stored = {t: v for t, v in (await opened.stored())["all"].items() if t < until.timestamp()}
        truth = opened.truth(hourly.series[0].query, Window(MIDNIGHT, until))
        assert {t: v for t, v in stored.items() if t >= MIDNIGHT.timestamp()} == truth


async def test_a_proven_gap_of_days_is_not_requested_again(store_url):
    daily = profile(agg_interval=AggInterval.ONE_DAY, since=MIDNIGHT - 30 * DAY, settle=DAY)
    async with open_core(store_url, daily) as opened:
        opened.simulator.change(GapChange(Window(MIDNIGHT - 10 * DAY, MIDNIGHT - 9 * DAY)))
        for _ in range(5):
            await collect([daily], opened.clock(), opened.store, opened.batch_runner)
            await collect([daily], opened.clock(), opened.store, opened.batch_runner, fires=False, gaps=True)
            await confirmed(opened, daily)
            opened.clock.advance(days=1)
        gaps = await find_gaps(opened.store, [daily], opened.clock() - DAY)
        assert [gap.reason for gap in gaps] == ["upstream"]
        assert await requests_of(opened, confirmed(opened, daily)) == 0
