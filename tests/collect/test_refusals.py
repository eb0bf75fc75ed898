"""A question that was rejected for its content is repeated only after growing pauses, in any process."""

from datetime import timedelta
from itertools import pairwise

import pytest

from collector.collect.batches.batch_runner import BatchRunner
from collector.collect.batches.pending_slices import split_unreadable
from collector.collect.one_pass import collect, named
from collector.collect.worker import ProfileWorker
from collector.contract.response import HttpReply
from collector.interval import AggInterval
from collector.model import DATASET, RequestKind, Slice, Window
from collector.radar.errors import Paused
from collector.simulator.faults import instead
from collector.store import Store
from collector.timestamps import rfc3339
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, open_core, run_pass, window_of
from tests.harness.factories import many, profile, query

NOWHERE = faults.api_error(400, 2001, "unknown tld")
REFUSED = {"refused": NOWHERE, "too_costly": faults.api_error(422, 2002), "untrusted": faults.unequal()}


async def one_pass(core, *, by_hand=False):
    """Run one pass as `collector collect` does, in a new process."""
    core.restart()
    batch_runner = BatchRunner(core.fetcher, 4, by_hand=by_hand)
    return await collect(core.profiles, core.clock(), core.store, batch_runner, gaps=True)


async def newest(core):
    """Return the refusal that pauses the whole series, without those of past windows."""
    (known,) = [refusal for refusal in await core.store.refusals(core.clock()) if refusal.window is None]
    return known


@pytest.mark.parametrize("outcome", REFUSED)
async def test_a_command_in_a_loop_sends_few_requests(store_url, outcome):
    async with open_core(store_url, profile(filters={"tld": ("nowhere",)})) as core:
        core.script(REFUSED[outcome].always())
        asking = 0
        for _ in range(100):
            sent = len(core.requests)
            assert not (await one_pass(core)).complete
            asking += len(core.requests) > sent
            core.clock.advance(seconds=10)
        assert asking == 5  # at once, and after 1, 3, 7 and 15 minutes
        assert {row.outcome for row in await core.store.list_fetches()} == {outcome}
        assert len(core.requests) <= 4 * asking  # whether the size is to blame is found out without a pause


async def test_a_service_that_restarts_endlessly_sends_few_requests(store_url):
    async with open_core(store_url, profile(agg_interval=AggInterval.ONE_DAY, filters={"tld": ("nowhere",)})) as core:
        core.script(NOWHERE.always())
        for _ in range(80):
            core.restart()
            await ProfileWorker(core.profiles, core.store, core.batch_runner).run_due()
            core.clock.advance(seconds=15)
        assert len(core.requests) <= 6


async def test_the_reason_and_the_end_of_the_pause_are_reported(store_url):
    async with open_core(store_url, profile(filters={"tld": ("nowhere",)})) as core:
        core.script(NOWHERE.always())
        await one_pass(core)
        collected = await one_pass(core)
        known = await newest(core)
        assert (known.outcome, known.failures) == ("refused", 1)
        assert known.is_of(query(tld=("nowhere",)))
        assert not known.is_of(query())
        assert (known.refused_at, known.again_at) == (NOW, NOW + timedelta(minutes=1))
        end = rfc3339(known.again_at)
        assert collected.reasons == {"all": f"{known.reason}; the same question is asked again at {end}"}
        assert "unknown tld" in known.reason
        assert collected.refused == {"all"}
        core.clock.advance(minutes=1)
        assert await core.store.refusals(core.clock()) == []
        assert {refusal.failures for refusal in await core.store.refusals()} == {1}


async def test_pauses_double_up_to_an_hour_and_end_with_an_answer(store_url):
    async with open_core(store_url, profile(agg_interval=AggInterval.ONE_DAY)) as core:
        core.script(NOWHERE.always())
        pauses = []
        for _ in range(9):
            await one_pass(core)
            known = await newest(core)
            pauses.append((known.again_at - known.refused_at) / timedelta(minutes=1))
            core.clock.now = known.again_at
        assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        core.simulator.clear_script()
        assert (await one_pass(core)).complete
        assert await core.store.refusals() == []
        core.script(NOWHERE.always())
        core.clock.advance(days=1)
        await one_pass(core)
        assert [refusal.failures for refusal in await core.store.refusals()] == [1]


async def test_no_pause_is_longer_than_a_bucket(store_url):
    async with open_core(store_url, profile(agg_interval=AggInterval.FIFTEEN_MINUTES)) as core:
        core.script(NOWHERE.always())
        for _ in range(9):
            await one_pass(core)
            known = await newest(core)
            core.clock.now = known.again_at
        assert known.again_at - known.refused_at == timedelta(minutes=15)


async def test_a_pass_by_hand_may_try_again_after_a_minute(store_url):
    async with open_core(store_url, profile(agg_interval=AggInterval.ONE_DAY)) as core:
        core.script(NOWHERE.always())
        for _ in range(5):
            await one_pass(core)
            core.clock.now = max(refusal.again_at for refusal in await core.store.refusals())
        await one_pass(core)
        sent = len(core.requests)
        await one_pass(core, by_hand=True)
        assert len(core.requests) == sent
        core.clock.advance(minutes=1)
        await one_pass(core)
        assert len(core.requests) == sent
        await one_pass(core, by_hand=True)
        assert len(core.requests) == sent + 1


async def test_other_series_do_not_wait_for_a_refused_series(store_url):
    def asks(received):
        return any("Owner 7" in series.query.filters["caOwner"] for series in received.request.series)

    async with open_core(store_url, many(20)) as core:
        core.script(NOWHERE.always().only(asks))
        await one_pass(core)
        sent = len(core.requests)
        core.clock.advance(seconds=30)
        collected = await one_pass(core)
        assert len(core.requests) == sent + 1
        assert collected.refused == {"many"}
        assert len(await core.stored()) == 19


async def test_a_refused_window_of_the_past_pauses_alone_and_the_newest_is_still_requested(store_url):
    bad = Window(HOUR.floor(NOW) - 20 * DAY, HOUR.floor(NOW) - 19 * DAY)
    newest = Window(HOUR.floor(NOW) - DAY, HOUR.floor(NOW))
    async with open_core(store_url, profile()) as core:
        core.script(
            lambda received: (
                NOWHERE if any(window_of(series).overlaps(bad) for series in received.request.series) else None
            )
        )
        slices = [Slice(query(), window) for window in (bad, newest)]
        failures = []
        for _ in range(40):
            core.restart()
            result = await core.batch_runner.run(slices, named(core.profiles))
            failures += [type(failure.error) for failure in result.failures]
            assert result.batches == 1
            core.clock.advance(seconds=15)
        assert len(failures) == 40
        assert failures.count(Paused) >= 35
        assert [refusal.window for refusal in await core.store.refusals()] == [bad]


MONTH = Window(HOUR.floor(NOW) - 40 * DAY, HOUR.floor(NOW) - 9 * DAY)
UNREADABLE = Window(MONTH.start + 100 * HOUR.step, MONTH.start + 101 * HOUR.step)


def unreadable(bucket):
    """Answer unreadably if *bucket* is in the requested windows."""

    def answers(received):
        hit = any(window_of(series).overlaps(bucket) for series in received.request.series)
        return faults.unequal() if hit else None

    return answers


async def test_an_unreadable_long_window_is_split_at_later_tries_until_one_bucket_is_left(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        core.script(unreadable(UNREADABLE))
        sent = []
        for _ in range(20):
            core.restart()
            await core.batch_runner.run([Slice(query(), MONTH)], named(core.profiles))
            sent.append(len(core.requests))
            core.clock.advance(hours=2)
        stored = (await core.stored())["all"]
        truth = core.truth(query(), MONTH)
        assert stored == {at: value for at, value in truth.items() if at != UNREADABLE.start.timestamp()}
        assert sent[-1] - sent[-2] <= 12


async def test_the_readable_half_of_the_newest_window_is_stored_at_the_second_try(sqlite_url):
    newest = Window(HOUR.floor(NOW) - 20 * DAY, HOUR.floor(NOW))
    async with open_core(sqlite_url, profile()) as core:
        core.script(unreadable(Window(newest.start, newest.start + HOUR.step)))
        for _ in range(2):
            await core.batch_runner.run([Slice(query(), newest)], named(core.profiles))
            core.clock.advance(minutes=2)
        assert len((await core.stored())["all"]) == newest.duration // HOUR.step // 2


async def test_a_window_without_any_readable_part_is_not_split_endlessly(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        core.script(faults.unequal().always())
        sent = []
        for _ in range(12):
            core.restart()
            await core.batch_runner.run([Slice(query(), MONTH)], named(core.profiles))
            sent.append(len(core.requests))
            core.clock.advance(hours=2)
        assert sent[-1] <= 2 * 16 + 12
        assert sent[-1] - sent[-2] == 1


@pytest.mark.parametrize(
    ("pieces", "outcome", "window", "times"),
    [
        (1, "refused", MONTH, 3),
        (2, "untrusted", MONTH, 3),
        (2, "untrusted", Window(NOW - 9 * DAY, HOUR.floor(NOW)), 1),
        (2, "untrusted", Window(NOW - 9 * DAY, HOUR.floor(NOW)), 9),
        (1, "refused", Window(NOW - 9 * DAY, HOUR.floor(NOW)), 9),
        (1, "untrusted", Window(HOUR.floor(NOW) - HOUR.step, HOUR.floor(NOW)), 9),
    ],
)
async def test_only_unreadable_windows_are_split_and_no_bucket_is_lost(sqlite_url, pieces, outcome, window, times):
    window = Window(HOUR.floor(window.start), window.end)
    async with open_core(sqlite_url, profile()) as core:
        for _ in range(times):
            await core.store.refuse(Slice(query(), window), outcome, "odd", NOW)
        ended = {refusal.key: refusal for refusal in await core.store.refusals()}
    windows = [piece.window for piece in split_unreadable(Slice(query(), window), ended, NOW)]
    assert len(windows) == pieces
    assert (windows[0].start, windows[-1].end) == (window.start, window.end)
    assert all(earlier.end == later.start for earlier, later in pairwise(windows))
    assert not any(window.duration % HOUR.step for window in windows)


async def test_a_pause_that_a_wrong_clock_wrote_is_ignored(store_url):
    async with open_core(store_url, profile()) as core:
        core.script(NOWHERE)
        core.clock.advance(days=400)
        await one_pass(core)
        core.clock.now = NOW
        assert await core.store.refusals(NOW) == []
        assert (await one_pass(core)).complete
        assert await core.store.refusals() == []


async def test_replicas_share_the_pauses(postgres_url):
    async with open_core(postgres_url, profile()) as core, Store.open(postgres_url, owner="test") as other:
        core.script(NOWHERE.always())
        await one_pass(core)
        sent = len(core.requests)
        assert [refusal.outcome for refusal in await other.refusals(NOW)] == ["refused"] * 2  # in two pieces
        core.fetcher.store = other
        for _ in range(3):
            result = await core.batch_runner.run(
                [Slice(query(), Window(HOUR.floor(NOW) - DAY, HOUR.floor(NOW)))], named(core.profiles)
            )
            assert {type(failure.error) for failure in result.failures} == {Paused}
        assert len(core.requests) == sent


async def test_two_healthy_profiles_are_fresh_in_every_pass_beside_one_that_always_fails(sqlite_url):
    ill = many(1, "ill", filters={"validationLevel": ("DOMAIN",)})

    def fails(received):
        requested = received.request.series if received.request else ()
        bad = any(series.query.filters.get("validationLevel") for series in requested)
        return faults.api_error(500, 2000) if bad else None

    healthy = [many(3, "owners"), profile("all")]
    async with open_core(sqlite_url, ill, *healthy) as core:
        core.script(fails)
        for number in range(16):
            collected = await run_pass(core)
            assert [name for name, reason in collected.reasons.items() if reason] == ["ill"], number
            core.clock.advance(hours=1)
        (paused,) = await core.store.refusals()
        assert paused.is_of(ill.series[0].query)
        assert (await core.batch_runner.limits(RequestKind(DATASET, HOUR))).rejected == ()


async def test_a_dimension_whose_path_does_not_exist_costs_few_requests(store_url):
    owners = profile("owners", dimension="CA_OWNER", since=NOW - 60 * DAY)
    missing = HttpReply(404, b'{"error":"Not Found."}')

    def rule(received):
        return instead("missing", missing) if "timeseries_groups" in received.path else None

    async with open_core(store_url, owners, profile()) as core:
        core.script(rule)
        passes = []
        for _ in range(120):
            passes.append(await run_pass(core))
            core.clock.advance(seconds=30)
        of_groups = [each for each in core.requests if "timeseries_groups" in each.path]
        assert 3 < len(of_groups) <= 10
        assert passes[-1].reasons["all"] is None
        assert passes[-1].reasons["owners"].startswith("HTTP 404: Not Found.; the same question is asked again at ")
        core.simulator.clear_script()
        core.clock.advance(hours=1)
        await run_pass(core, gaps=True)
        assert any(label.startswith("owners/") for label in await core.stored())
