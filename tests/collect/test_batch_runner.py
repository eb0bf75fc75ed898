"""Many slices in few requests: limits are found out, what is ill stands alone, and nobody asks a dead server much."""

from collections import Counter
from datetime import timedelta

import pytest

from collector.collect.one_pass import named
from collector.model import AggInterval, Slice, Window
from collector.simulator import MAX_SPAN, TOO_COSTLY, SimulatorOptions
from tests.harness import faults
from tests.harness.collect_core import CALM, DAY, HOUR, NOW, core, window_of
from tests.harness.factories import many, profile


async def _run_batches(world, days=1, end=NOW):
    until = HOUR.floor(end)
    window = Window(until - days * DAY, until)
    slices = [Slice(series.query, window) for one in world.profiles for series in one.series]
    return await world.batch_runner.run(slices, named(world.profiles)), window


async def _assert_whole(world, window, without=()):
    found = await world.stored()
    for one in world.profiles:
        for series in one.series:
            expected = {} if series.label in without else world.truth(series.query, window)
            assert found.get(series.label, {}) == expected, series.label


def _asks(owner):
    """Tell whether a request asks for this owner."""
    return lambda received: any(owner in asked.query.filters.get("caOwner", ()) for asked in received.question.series)


async def test_it_works(store_url):
    async with core(store_url, many(20)) as world:
        result, window = await _run_batches(world)
        await _assert_whole(world, window)
        assert len(world.requests) == result.requests == result.batches == 1
        assert result.saved.inserted == 20 * 24
        assert not result.failures


@pytest.mark.parametrize("refusal", [None, TOO_COSTLY])
@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({}, 6),
        ({"series_per_request": 7}, 30),
        ({"max_span": {**MAX_SPAN, HOUR: timedelta(days=5)}}, 40),
        ({"series_per_request": 1, "max_span": {**MAX_SPAN, HOUR: timedelta(days=14)}}, 140),
        ({"empty_values": False}, 11),
        ({"url_bytes": 2000}, 40),
    ],
)
async def test_limits_are_found_out_and_remembered(sqlite_url, limits, most, refusal):
    options = {**limits, **({"span_error": refusal, "series_error": refusal} if refusal else {})}
    mixed = (many(20), many(10, "with", filters={"validationLevel": ("DOMAIN",)}), profile("all"))
    async with core(sqlite_url, *mixed, limit=1200, **options) as world:
        result, window = await _run_batches(world, days=40)
        assert not result.failures
        await _assert_whole(world, window)
        assert len(world.requests) <= most
        world.restart()
        seen = len(world.requests)
        await _run_batches(world, days=40)
        again = Counter(received.status for received in world.requests[seen:])
        assert set(again) == {200}


async def test_a_limit_that_is_lifted_is_noticed_after_a_week(sqlite_url):
    async with core(sqlite_url, many(10), series_per_request=2) as world:
        await _run_batches(world)
        world.simulator.options = SimulatorOptions(**CALM)
        world.clock.advance(days=8)
        seen = len(world.requests)
        for _ in range(4):
            result, _ = await _run_batches(world, end=world.clock())
            assert not result.failures
            world.clock.advance(days=8)
        assert len(world.requests) - seen < 4 * 5
        assert world.requests[-1].series == 10


_ILL = {
    "a bad filter": faults.api_error(400, 2001, "unknown caOwner"),
    "NaN": faults.value(float("nan")),
    "a value of no sense": faults.value(str(2**53 + 1)),
    "an error whenever it is asked": faults.api_error(500, 2000),
    "an error page": faults.html(502),
}


@pytest.mark.parametrize("ill", _ILL)
async def test_one_ill_series_of_twenty_takes_nobody_down(sqlite_url, ill):
    async with core(sqlite_url, many(20)) as world:
        world.script(_ILL[ill].always().only(_asks("Owner 7")))
        result, window = await _run_batches(world)
        await _assert_whole(world, window, without={"many/Owner 7"})
        assert {query.filters["caOwner"] for query in result.failed} == {("Owner 7",)}
        assert len(world.requests) <= 40

        seen = len(world.requests)
        world.clock.advance(minutes=1)
        result, _ = await _run_batches(world)
        assert len(world.requests) - seen <= 5  # the culprit alone, at most four times, and the others together
        assert {query.filters["caOwner"] for query in result.failed} == {("Owner 7",)}

        world.simulator.clear_script()
        world.clock.advance(minutes=2)
        result, window = await _run_batches(world)
        await _assert_whole(world, window)
        assert not result.failures
        seen = len(world.requests)
        await _run_batches(world)
        assert len(world.requests) - seen == 1  # it is well again and goes with the others


async def test_one_window_that_never_answers_leaves_the_other_windows(sqlite_url):
    poison = Window(HOUR.floor(NOW) - 20 * DAY, HOUR.floor(NOW) - 19 * DAY)
    options = {"max_span": {**MAX_SPAN, HOUR: timedelta(days=7)}}
    async with core(sqlite_url, profile("other", filters={"tld": ("com",)}), **options) as world:
        await _run_batches(world, days=40)
        await world.declare(profile("all"))

        def rule(received):
            hit = any(window_of(asked).overlaps(poison) for asked in received.question.series)
            return faults.api_error(500, 2000) if hit else None

        world.script(rule)
        result, window = await _run_batches(world, days=40)
        (failure,) = result.failures
        assert poison.overlaps(failure.slices[0].window)
        assert failure.slices[0].window.duration <= 7 * DAY
        stored = (await world.stored())["all"]
        assert len(stored) == 40 * 24 - failure.slices[0].window.duration // HOUR.step
        assert stored.items() <= world.truth(world.profiles[0].series[0].query, window).items()


async def test_a_dead_server_is_asked_with_three_batches_and_no_more(sqlite_url):
    options = {"max_span": {**MAX_SPAN, HOUR: DAY}}
    async with core(sqlite_url, many(20), concurrency=1, **options) as world:
        result, _ = await _run_batches(world, days=20)
        learned = len(world.requests)
        world.script(faults.html(503).always())
        result, _ = await _run_batches(world, days=20)
        assert len(world.requests) - learned == 12
        assert len(result.failed) == 20
        assert all("503" in str(failure.error) for failure in result.failures)


async def test_wrong_credentials_end_it_with_one_request(sqlite_url):
    async with core(sqlite_url, many(20), token="another") as world:
        result, _ = await _run_batches(world, days=40)
        assert len(world.requests) == 1
        assert len(result.failed) == 20


async def test_told_to_stop_it_says_so_and_nothing_is_a_failure(sqlite_url):
    async with core(sqlite_url, many(20)) as world:
        world.fetcher.stop.set()
        result, _ = await _run_batches(world)
        assert result.stopped
        assert not result.failures
        assert not world.requests


async def test_intervals_are_never_mixed_in_one_request(sqlite_url):
    profiles = (profile("h"), profile("d", AggInterval.ONE_DAY), profile("q", AggInterval.FIFTEEN_MINUTES))
    async with core(sqlite_url, *profiles) as world:
        midnight = NOW.replace(hour=0, minute=0)
        slices = [Slice(one.series[0].query, Window(midnight - 3 * DAY, midnight)) for one in profiles]
        result = await world.batch_runner.run(slices, named(profiles))
        assert not result.failures
        assert len(world.requests) == 3


@pytest.mark.parametrize("normalization", ["MIN0_MAX", "PERCENTAGE_CHANGE"])
async def test_values_that_do_not_compare_across_answers_are_never_joined(sqlite_url, normalization):
    async with core(sqlite_url, many(3), normalization=normalization) as world:
        for _ in range(2):
            await _run_batches(world)
            world.clock.advance(hours=1)
        async for row in world.store.export():
            assert row
        ranges = Counter()
        for row in await world.store.list_fetches():
            if row.outcome == "ok":
                assert row.positions == 1
                ranges[row.normalization] += 1
        assert set(ranges) == {normalization}
