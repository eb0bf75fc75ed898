"""A second answer for history that was past settle when it was first read."""

from datetime import timedelta

import pytest

from collector.additivity import UNIQUE_ENTRIES
from collector.collect.collect import collect, heal
from collector.collect.confirm import REQUESTS_PER_HOUR, confirm, whole_days
from collector.finality import DAY as DAY_SECONDS
from collector.model import AggInterval, Window
from collector.radar.simulator import Hole, faults
from collector.serve.gaps import all_gaps
from tests.collect.doubles import DAY, HOUR, NOW, core, many, profile, query
from tests.collect.test_history import run_backfill

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
    return await confirm(profiles, opened.clock(), opened.store, opened.gatherer)


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
def test_days_are_compared_that_are_final_from_end_to_end(expected, windows, final):
    def seconds(ranges):
        return [(int(start * DAY_SECONDS), int(end * DAY_SECONDS)) for start, end in ranges]

    assert whole_days(seconds(windows), seconds(final)) == seconds(expected)


async def test_a_year_of_twenty_series_is_confirmed_by_one_request(sqlite_url):
    twenty = many(20)
    async with core(sqlite_url, twenty) as opened:
        await run_backfill(opened, MIDNIGHT - 365 * DAY)
        points = 20 * (365 - 14) * 24
        assert await unconfirmed(opened, twenty) >= points
        assert await requests_of(opened, confirmed(opened, twenty)) == 0, "a second answer is not asked for at once"
        opened.clock.advance(hours=2)
        assert await requests_of(opened, confirmed(opened, twenty)) == 1
        assert await unconfirmed(opened, twenty) == 20 * 12, "half a day is not final yet"
        opened.clock.advance(days=1)
        await collect([twenty], opened.clock(), opened.store, opened.gatherer)
        assert await unconfirmed(opened, twenty) == 0, "the daily re-read has confirmed it"
        assert await requests_of(opened, confirmed(opened, twenty)) == 0


async def test_a_first_answer_of_zeros_is_found_and_mended(store_url):
    hourly = profile(since=SINCE)
    async with core(store_url, hourly) as opened:
        opened.script(zeros())
        await heal([hourly], opened.clock(), opened.store, opened.gatherer)
        opened.clock.advance(hours=2)
        await confirmed(opened, hourly)
        for _ in range(2):
            opened.clock.advance(days=1)
            await collect([hourly], opened.clock(), opened.store, opened.gatherer)
            await confirmed(opened, hourly)
        truth = opened.truth(hourly.series[0].query, Window(SINCE, HOUR.floor(opened.clock())))
        assert (await opened.stored())["all"] == truth
        assert await unconfirmed(opened, hourly) == 0


async def test_a_daily_answer_that_is_wrong_once_costs_a_second_reading_and_does_no_harm(store_url):
    hourly = profile(since=SINCE)
    async with core(store_url, hourly) as opened:
        await heal([hourly], opened.clock(), opened.store, opened.gatherer)
        before = await opened.stored()
        opened.clock.advance(hours=2)
        opened.script(faults.edit("a day is off by one", one_day_off))
        assert await requests_of(opened, confirmed(opened, hourly)) == 2
        assert await opened.stored() == before
        assert await unconfirmed(opened, hourly) == 12, "half a day is not final yet"


async def test_where_daily_values_are_no_sums_the_comparison_is_switched_off_with_a_warning(store_url, caplog):
    hourly = profile(since=SINCE)
    async with core(store_url, hourly) as opened:
        daily = faults.edit("days are no sums", one_day_off)
        opened.script(daily.only(lambda received: received.question.agg_interval is AggInterval.ONE_DAY).always())
        await heal([hourly], opened.clock(), opened.store, opened.gatherer)
        opened.clock.advance(hours=2)
        await confirmed(opened, hourly)
        assert [record.outcome for record in caplog.records if record.message == "confirm"] == ["differs"]
        (state,) = (await opened.store.series_states([query()])).values()
        assert state.sums_differ
        await run_backfill(opened, SINCE - 30 * DAY)
        opened.clock.advance(hours=2)
        assert await unconfirmed(opened, hourly) == 30 * 24
        assert await requests_of(opened, confirmed(opened, hourly)) == 1
        assert opened.requests[-1].question.agg_interval is HOUR
        assert await unconfirmed(opened, hourly) == 0


async def test_values_that_do_not_add_up_are_read_once_more_at_most_ten_requests_an_hour(sqlite_url):
    unique = profile(filters={UNIQUE_ENTRIES: ("true",)}, agg_interval=AggInterval.FIFTEEN_MINUTES)
    short = dict.fromkeys(AggInterval, 7 * DAY)
    async with core(sqlite_url, unique, max_span=short, series_per_request=1) as opened:
        await run_backfill(opened, MIDNIGHT - 200 * DAY)
        costs = []
        while await unconfirmed(opened, unique):
            opened.clock.advance(minutes=30)
            costs.append(await requests_of(opened, confirmed(opened, unique)))
        assert max(costs[i] + costs[i + 1] for i in range(len(costs) - 1)) <= REQUESTS_PER_HOUR
        assert sum(costs) <= -(-200 // 7) + 1


async def test_what_is_read_daily_needs_no_confirmation(sqlite_url):
    hourly = profile(settle=2 * DAY)
    async with core(sqlite_url, hourly) as opened:
        for _ in range(24 * 8):
            await collect([hourly], opened.clock(), opened.store, opened.gatherer)
            opened.clock.advance(hours=1)
        assert await unconfirmed(opened, hourly) == 0
        assert await requests_of(opened, confirmed(opened, hourly)) == 0


async def test_the_last_revision_is_seen_however_late_it_comes(store_url):
    settle = timedelta(days=2)
    hourly = profile(settle=settle, heal=False)
    async with core(store_url, hourly, revised_for=timedelta(hours=47)) as opened:
        for _ in range(10 * 8):
            await collect([hourly], opened.clock(), opened.store, opened.gatherer)
            opened.clock.advance(hours=3)
        until = HOUR.floor(opened.clock() - settle - DAY - timedelta(hours=6))
        stored = {t: v for t, v in (await opened.stored())["all"].items() if t < until.timestamp()}
        truth = opened.truth(hourly.series[0].query, Window(MIDNIGHT, until))
        assert {t: v for t, v in stored.items() if t >= MIDNIGHT.timestamp()} == truth


async def test_a_hole_of_days_is_not_read_again_once_it_is_proven(store_url):
    daily = profile(agg_interval=AggInterval.ONE_DAY, since=MIDNIGHT - 30 * DAY, settle=DAY)
    async with core(store_url, daily) as opened:
        opened.simulator.change(Hole(Window(MIDNIGHT - 10 * DAY, MIDNIGHT - 9 * DAY)))
        for _ in range(5):
            await collect([daily], opened.clock(), opened.store, opened.gatherer)
            await heal([daily], opened.clock(), opened.store, opened.gatherer)
            await confirmed(opened, daily)
            opened.clock.advance(days=1)
        gaps = await all_gaps(opened.store, [daily], opened.clock() - DAY)
        assert [gap.reason for gap in gaps] == ["upstream"]
        assert await requests_of(opened, confirmed(opened, daily)) == 0
