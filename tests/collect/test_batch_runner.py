"""Many slices in few requests: limits are found, failing series are isolated, a dead server gets few requests."""

from collections import Counter
from datetime import timedelta

import pytest

from collector.collect.one_pass import named
from collector.interval import AggInterval
from collector.model import Slice, Window
from collector.simulator import MAX_SPAN, TOO_COSTLY, SimulatorOptions
from tests.harness import faults
from tests.harness.collect_core import CALM, DAY, HOUR, NOW, open_core, window_of
from tests.harness.factories import many, profile


async def _run_batches(core, days=1, end=NOW):
    until = HOUR.floor(end)
    window = Window(until - days * DAY, until)
    slices = [Slice(series.query, window) for profile in core.profiles for series in profile.series]
    return await core.batch_runner.run(slices, named(core.profiles)), window


async def _assert_whole(core, window, without=()):
    stored = await core.stored()
    for profile_ in core.profiles:
        for series in profile_.series:
            expected = {} if series.label in without else core.truth(series.query, window)
            assert stored.get(series.label, {}) == expected, series.label


def _asks(owner):
    """Return a predicate of requests for this owner."""
    return lambda received: any(owner in series.query.filters.get("caOwner", ()) for series in received.request.series)


async def test_it_works(store_url):
    async with open_core(store_url, many(20)) as core:
        result, window = await _run_batches(core)
        await _assert_whole(core, window)
        assert len(core.requests) == result.requests == result.batches == 1
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
async def test_limits_are_found_and_stored(sqlite_url, limits, most, refusal):
    options = {**limits, **({"span_error": refusal, "series_error": refusal} if refusal else {})}
    mixed = (many(20), many(10, "with", filters={"validationLevel": ("DOMAIN",)}), profile("all"))
    async with open_core(sqlite_url, *mixed, limit=1200, **options) as core:
        result, window = await _run_batches(core, days=40)
        assert not result.failures
        await _assert_whole(core, window)
        assert len(core.requests) <= most
        core.restart()
        seen = len(core.requests)
        await _run_batches(core, days=40)
        again = Counter(received.status for received in core.requests[seen:])
        assert set(again) == {200}


async def test_a_limit_that_is_lifted_is_noticed_after_a_week(sqlite_url):
    async with open_core(sqlite_url, many(10), series_per_request=2) as core:
        await _run_batches(core)
        core.simulator.options = SimulatorOptions(**CALM)
        core.clock.advance(days=8)
        seen = len(core.requests)
        for _ in range(4):
            result, _ = await _run_batches(core, end=core.clock())
            assert not result.failures
            core.clock.advance(days=8)
        assert len(core.requests) - seen < 4 * 5
        assert core.requests[-1].series == 10


_ILL = {
    "a bad filter": faults.api_error(400, 2001, "unknown caOwner"),
    "NaN": faults.value(float("nan")),
    "a value of no sense": faults.value(str(2**53 + 1)),
    "an error whenever it is asked": faults.api_error(500, 2000),
    "an error page": faults.html(502),
}


@pytest.mark.parametrize("ill", _ILL)
async def test_one_failing_series_of_twenty_leaves_the_others_complete(sqlite_url, ill):
    async with open_core(sqlite_url, many(20)) as core:
        core.script(_ILL[ill].always().only(_asks("Owner 7")))
        result, window = await _run_batches(core)
        await _assert_whole(core, window, without={"many/Owner 7"})
        assert {query.filters["caOwner"] for query in result.failed} == {("Owner 7",)}
        assert len(core.requests) <= 40

        seen = len(core.requests)
        core.clock.advance(minutes=1)
        result, _ = await _run_batches(core)
        assert len(core.requests) - seen <= 5  # the culprit alone, at most four times, and the others together
        assert {query.filters["caOwner"] for query in result.failed} == {("Owner 7",)}

        core.simulator.clear_script()
        core.clock.advance(minutes=2)
        result, window = await _run_batches(core)
        await _assert_whole(core, window)
        assert not result.failures
        seen = len(core.requests)
        await _run_batches(core)
        assert len(core.requests) - seen == 1  # it is well again and goes with the others


async def test_one_window_without_an_answer_leaves_the_others_complete(sqlite_url):
    poison = Window(HOUR.floor(NOW) - 20 * DAY, HOUR.floor(NOW) - 19 * DAY)
    options = {"max_span": {**MAX_SPAN, HOUR: timedelta(days=7)}}
    async with open_core(sqlite_url, profile("other", filters={"tld": ("com",)}), **options) as core:
        await _run_batches(core, days=40)
        await core.activate_labels(profile("all"))

        def rule(received):
            hit = any(window_of(series).overlaps(poison) for series in received.request.series)
            return faults.api_error(500, 2000) if hit else None

        core.script(rule)
        result, window = await _run_batches(core, days=40)
        (failure,) = result.failures
        assert poison.overlaps(failure.slices[0].window)
        assert failure.slices[0].window.duration <= 7 * DAY
        stored = (await core.stored())["all"]
        assert len(stored) == 40 * 24 - failure.slices[0].window.duration // HOUR.step
        assert stored.items() <= core.truth(core.profiles[0].series[0].query, window).items()


async def test_a_server_that_is_down_gets_three_batches_of_four_requests(sqlite_url):
    options = {"max_span": {**MAX_SPAN, HOUR: DAY}}
    async with open_core(sqlite_url, many(20), concurrency=1, **options) as core:
        result, _ = await _run_batches(core, days=20)
        learned = len(core.requests)
        core.script(faults.html(503).always())
        result, _ = await _run_batches(core, days=20)
        assert len(core.requests) - learned == 12
        assert len(result.failed) == 20
        assert all("503" in str(failure.error) for failure in result.failures)


async def test_wrong_credentials_end_the_run_after_one_request(sqlite_url):
    async with open_core(sqlite_url, many(20), token="another") as core:
        result, _ = await _run_batches(core, days=40)
        assert len(core.requests) == 1
        assert len(result.failed) == 20


async def test_a_stopped_run_is_marked_as_stopped_without_failures(sqlite_url):
    async with open_core(sqlite_url, many(20)) as core:
        core.fetcher.stop.set()
        result, _ = await _run_batches(core)
        assert result.stopped
        assert not result.failures
        assert not core.requests


async def test_intervals_are_never_mixed_in_one_request(sqlite_url):
    profiles = (profile("h"), profile("d", AggInterval.ONE_DAY), profile("q", AggInterval.FIFTEEN_MINUTES))
    async with open_core(sqlite_url, *profiles) as core:
        midnight = NOW.replace(hour=0, minute=0)
        slices = [Slice(profile.series[0].query, Window(midnight - 3 * DAY, midnight)) for profile in profiles]
        result = await core.batch_runner.run(slices, named(profiles))
        assert not result.failures
        assert len(core.requests) == 3


@pytest.mark.parametrize("normalization", ["MIN0_MAX", "PERCENTAGE_CHANGE"])
async def test_values_that_do_not_compare_across_answers_are_never_joined(sqlite_url, normalization):
    async with open_core(sqlite_url, many(3), normalization=normalization) as core:
        for _ in range(2):
            await _run_batches(core)
            core.clock.advance(hours=1)
        async for row in core.store.export():
            assert row
        ranges = Counter()
        for row in await core.store.list_fetches():
            if row.outcome == "ok":
                assert row.positions == 1
                ranges[row.normalization] += 1
        assert set(ranges) == {normalization}
