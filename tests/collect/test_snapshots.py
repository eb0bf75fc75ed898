"""A pass requests the whole range of a snapshot. Its answers are never mixed with those of another pass."""

from datetime import timedelta

import pytest

from collector.collect.backfill import BackfillRunner
from collector.collect.one_pass import collect
from collector.collect.snapshots import Order, window
from collector.collect.worker import ProfileWorker
from collector.interval import AggInterval
from collector.model import Slice, Window
from collector.profile import Reach
from collector.report.gaps import find_gaps
from collector.report.status import status_document
from collector.simulator import NormalizationChange
from collector.store import PassRecord, Snapshot, backfill_request
from collector.timestamps import from_epoch
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, open_core, window_of
from tests.harness.factories import many, profile, query, rows

MIDNIGHT = NOW.replace(hour=0, minute=0)
DAILY = AggInterval.ONE_DAY
ONE_BY_ONE = {"series_per_request": 1, "max_span": {**dict.fromkeys(AggInterval, 7 * DAY)}}
"""Limits under which a month takes several requests."""


def valid(name="valid", **changed):
    return profile(name, **{"filters": {"expirationStatus": ("VALID",)}, "since": MIDNIGHT - 30 * DAY, **changed})


def whole(opened, taken):
    """Return the range that is requested for a snapshot of the profile now."""
    return Window(taken.since, taken.agg_interval.floor(opened.clock()))


async def pass_over(opened, *profiles):
    return await collect(profiles or opened.profiles, opened.clock(), opened.store, opened.batch_runner)


async def exported(opened, **chosen):
    return {timestamp: value async for *_, timestamp, value in opened.store.export(**chosen)}


async def moments(opened):
    """Return the moments of the stored snapshots."""
    snapshots = await rows(opened.store, "SELECT asked_at FROM snapshots ORDER BY asked_at")
    return [from_epoch(asked_at) if isinstance(asked_at, float) else asked_at for (asked_at,) in snapshots]


async def count(opened, table):
    return (await rows(opened.store, f"SELECT count(*) FROM {table}"))[0][0]


async def test_over_weeks_the_stored_snapshot_equals_the_newest_answer(store_url):
    taken = valid(agg_interval=DAILY, since=MIDNIGHT - 90 * DAY)
    async with open_core(store_url, taken) as opened:
        question, served = taken.series[0].query, []
        for _ in range(21):
            assert (await collect([taken], opened.clock(), opened.store, opened.batch_runner, gaps=True)).complete
            truth = opened.truth(question, whole(opened, taken))
            assert await exported(opened) == truth
            served.append((opened.clock(), truth))
            opened.clock.advance(days=1)
        first, last = served[0][1], served[-1][1]
        assert sum(last[t] for t in first) < 0.9 * sum(first.values()), "the valid ones of a past day shrink"
        for moment, truth in served:
            assert await exported(opened, as_of=moment) == truth
            assert await exported(opened, as_of=moment + timedelta(hours=23)) == truth
        assert await exported(opened, as_of=served[0][0] - timedelta(seconds=1)) == {}
        for table in ("points", "revisions", "vanished", "date_ranges"):
            assert await count(opened, table) == 0
        assert await find_gaps(opened.store, [taken], opened.clock()) == []


async def test_the_whole_range_of_a_snapshot_is_requested_at_every_fire_if_one_request_is_enough(store_url):
    taken = valid()
    async with open_core(store_url, taken) as opened:
        for _ in range(3):
            before = len(opened.requests)
            assert (await pass_over(opened)).complete
            assert len(opened.requests) == before + 1
            (requested,) = opened.requests[-1].request.series
            assert window_of(requested) == whole(opened, taken)
            opened.clock.advance(hours=1)


async def test_a_snapshot_that_takes_several_requests_is_requested_daily(store_url):
    taken = valid()
    async with open_core(store_url, taken, **ONE_BY_ONE) as opened:
        assert (await pass_over(opened)).complete
        first, stored = len(opened.requests), await exported(opened)
        for _ in range(23):
            opened.clock.advance(hours=1)
            assert (await pass_over(opened)).complete
        assert len(opened.requests) == first
        assert await exported(opened) == stored
        opened.clock.advance(hours=1)
        assert (await pass_over(opened)).complete
        assert first + 5 <= len(opened.requests) <= first + 7  # larger ones are tried again after hours
        assert await exported(opened) == opened.truth(taken.series[0].query, whole(opened, taken))


async def test_one_snapshot_a_day_is_kept(store_url):
    taken = valid()
    async with open_core(store_url, taken) as opened:
        for hours in (0, 3, 8, 13, 3):
            opened.clock.advance(hours=hours)
            await pass_over(opened)
        assert [moment.date() for moment in await moments(opened)] == [NOW.date(), (NOW + DAY).date()]
        (row,) = await opened.store.list_series()
        assert row.points == len(await exported(opened))
        assert await count(opened, "snapshot_points") > row.points


async def test_parts_of_two_passes_are_never_mixed_when_one_request_fails(store_url):
    taken = valid()
    async with open_core(store_url, taken, **ONE_BY_ONE) as opened:
        await pass_over(opened)
        stored, kept = await exported(opened), await moments(opened)
        opened.clock.advance(days=1)

        def ill(received):
            bad = (MIDNIGHT - 20 * DAY).timestamp()
            is_hit = received.request and any(series.start <= bad < series.end for series in received.request.series)
            return faults.api_error(500, 2000) if is_hit else None

        opened.script(ill)
        collected = await pass_over(opened)
        assert not collected.complete
        assert "500" in collected.reasons["valid"]
        assert await exported(opened) == stored
        assert await moments(opened) == kept
        assert {fetch.inserted for fetch in await opened.store.list_fetches(limit=8) if fetch.outcome == "ok"} == {0}
        document = await status_document(opened.store, [taken], 600, opened.clock())
        assert document["profiles"][0]["state"] == "failing"
        opened.simulator.clear_script()
        opened.clock.advance(minutes=2)
        assert (await pass_over(opened)).complete
        assert await exported(opened) == opened.truth(taken.series[0].query, whole(opened, taken))


async def test_a_pass_of_several_requests_that_failed_is_not_repeated_at_once_nor_after_a_restart(store_url):
    taken = valid()
    async with open_core(store_url, taken, **ONE_BY_ONE) as opened:
        await pass_over(opened)
        opened.clock.advance(days=1)
        opened.script(lambda _received: faults.api_error(500, 2000))
        before = len(opened.requests)
        first = await pass_over(opened)
        sent = len(opened.requests)
        opened.restart()
        again = await pass_over(opened)
        assert len(opened.requests) == sent > before
        assert again.reasons == first.reasons
        opened.simulator.clear_script()
        opened.clock.advance(hours=1, seconds=1)
        assert (await pass_over(opened)).complete


async def test_a_pass_that_is_stopped_stores_nothing(store_url):
    taken = valid()
    async with open_core(store_url, taken, concurrency=1, **ONE_BY_ONE) as opened:

        def stop(_received):
            if len(opened.requests) >= 4:
                opened.fetcher.stop.set()

        opened.script(stop)
        collected = await pass_over(opened)
        assert collected.stopped
        assert (await exported(opened), await moments(opened)) == ({}, [])
        opened.simulator.clear_script()
        opened.restart()
        assert (await pass_over(opened)).complete
        assert await exported(opened) == opened.truth(taken.series[0].query, whole(opened, taken))


async def test_if_a_series_fails_nothing_of_its_profile_is_stored_and_other_profiles_are(store_url):
    both = valid("both", filters={}, each={"expirationStatus": ("VALID", "EXPIRED")})
    other = valid("other", filters={"expirationStatus": ("VALID",), "tld": ("com",)})
    async with open_core(store_url, both, other) as opened:

        def ill(received):
            is_hit = received.request and any(
                series.query.filters["expirationStatus"] == ("EXPIRED",) for series in received.request.series
            )
            return faults.api_error(400, 2001) if is_hit else None

        opened.script(ill)
        collected = await pass_over(opened)
        assert collected.reasons["both"] is not None
        assert collected.reasons["other"] is None
        assert {label async for _, label, *_ in opened.store.export()} == {"other"}
        opened.simulator.clear_script()
        opened.clock.advance(minutes=2)
        assert (await pass_over(opened)).complete
        assert {label async for _, label, *_ in opened.store.export()} == {"both/VALID", "both/EXPIRED", "other"}
        moments = {asked_at for _, asked_at in await rows(opened.store, "SELECT series_id, asked_at FROM snapshots")}
        assert len(moments) == 1, "all answers of one pass are of one moment"


async def test_a_change_of_the_unit_within_a_pass_stores_nothing(store_url):
    taken = valid()
    async with open_core(store_url, taken, concurrency=1, **ONE_BY_ONE) as opened:
        changed = []

        def change(_received):
            if sum(request.status == 200 for request in opened.requests) == 2 and not changed:
                changed.append(True)
                opened.simulator.change(NormalizationChange(None, "names", since=opened.clock().timestamp()))

        opened.script(change)
        collected = await pass_over(opened)
        assert "RAW_VALUES in certificates and RAW_VALUES in names" in collected.reasons["valid"]
        assert await moments(opened) == []


async def test_the_earliest_since_of_several_profiles_counts_even_in_another_process(store_url):
    long, short = valid("long"), valid("short", since=MIDNIGHT - 2 * DAY, publication_delay=timedelta(minutes=5))
    async with open_core(store_url, long, short) as opened:
        assert (await pass_over(opened, short)).complete
        taken = await opened.store.snapshots([short.series[0].query])
        assert [window.start for window in taken.values()] == [long.since]
        assert len({label async for _, label, *_ in opened.store.export()}) == 2


async def test_without_since_a_snapshot_reaches_back_as_far_as_lookback(store_url):
    taken = valid(since=None, lookback=2 * DAY)
    async with open_core(store_url, taken) as opened:
        for _ in range(2):
            await pass_over(opened)
            start = MIDNIGHT - 2 * DAY + (opened.clock() - NOW)
            assert min(await exported(opened)) == int(start.replace(hour=0, minute=0).timestamp())
            opened.clock.advance(days=1)


async def test_healing_and_backfill_send_no_request_for_a_snapshot(store_url):
    taken, plain = valid(), profile("all", since=MIDNIGHT - 2 * DAY)
    async with open_core(store_url, taken, plain) as opened:
        await collect([taken], opened.clock(), opened.store, opened.batch_runner, fires=False, gaps=True)
        assert opened.requests == []
        order = backfill_request(["valid", "all"], MIDNIGHT - 3 * DAY, None, opened.clock(), force=True)
        job = await opened.store.create_backfill(order, opened.clock())
        done = await BackfillRunner(opened.store, opened.batch_runner).run(job, opened.profiles)
        assert done.state == "done"
        assert all(not series.query.filters for request in opened.requests for series in request.request.series)


async def test_a_snapshot_profile_shares_a_pass_with_others(store_url):
    taken, plain = valid(each={"ca": ("R12", "R13")}), many(3)
    async with open_core(store_url, taken, plain) as opened:
        collected = await pass_over(opened)
        assert collected.complete
        assert collected.saved.inserted == sum(row.points for row in await opened.store.list_series())
        assert {label.partition("/")[0] async for _, label, *_ in opened.store.export()} == {"valid", "many"}
        assert sum(fetch.inserted for fetch in await opened.store.list_fetches()) == collected.saved.inserted


async def test_the_daemon_takes_a_snapshot_when_it_is_due(store_url):
    taken = valid()
    async with open_core(store_url, taken, lag=timedelta(minutes=45)) as opened:
        worker = ProfileWorker([taken], opened.store, opened.batch_runner)
        for _ in range(30):
            assert await worker.run_due()
            opened.clock.advance(hours=1)
        assert {fire.outcome for fire in await opened.store.list_fires()} == {"collected"}
        stored = await exported(opened)
        opened.clock.advance(hours=-1)
        assert stored == opened.truth(taken.series[0].query, whole(opened, taken))


async def test_the_state_is_snapshot_until_the_snapshot_is_late(store_url):
    taken = valid()
    async with open_core(store_url, taken) as opened:

        async def state():
            (document,) = (await status_document(opened.store, [taken], 600, opened.clock()))["profiles"]
            return document["state"]

        assert await state() == "new"
        await pass_over(opened)
        (document,) = (await status_document(opened.store, [taken], 600, opened.clock()))["profiles"]
        assert (document["state"], document["gaps"], document["last_success"]) == ("snapshot", 0, NOW)
        assert document["lag_seconds"] == 0
        opened.clock.advance(minutes=56)
        assert await state() == "snapshot"
        opened.clock.advance(minutes=2)
        assert await state() == "late"


async def test_a_daily_snapshot_is_late_after_more_than_a_day(store_url):
    taken = valid()
    async with open_core(store_url, taken, **ONE_BY_ONE) as opened:
        await pass_over(opened)
        states = []
        for _ in range(27):
            opened.clock.advance(hours=1)
            (document,) = (await status_document(opened.store, [taken], 600, opened.clock()))["profiles"]
            states.append(document["state"])
        assert states[:24] == ["snapshot"] * 24
        assert states[-1] == "late"


async def test_the_first_snapshot_deletes_the_history_that_an_earlier_version_stored(store_url):
    taken = valid()
    async with open_core(store_url, taken) as opened:
        plain = profile("valid")
        await opened.activate_labels(plain)
        opened.clock.advance(hours=-5)
        await pass_over(opened, plain)
        opened.clock.advance(hours=5)
        await move_history(opened, plain.series[0].query, taken.series[0].query, taken)
        assert await count(opened, "points") > 0
        await pass_over(opened, taken)
        for table in ("points", "revisions", "vanished", "date_ranges"):
            assert await count(opened, table) == 0
        assert await exported(opened) == opened.truth(taken.series[0].query, whole(opened, taken))
        (row,) = [series for series in await opened.store.list_series() if series.active]
        assert row.points == len(await exported(opened))


async def move_history(opened, source, target, taken):
    """Move the points of *source* to *target*, as if an earlier version had collected them."""
    import sqlalchemy as sa

    same = {"old": source.digest, "new": target.digest, "filters": target.filters_json}
    change = sa.text("UPDATE series SET digest = :new, filters = :filters WHERE digest = :old")

    def work(connection):
        connection.execute(change, same)

    await opened.store._database.write(work)
    await opened.activate_labels(taken)


_QUERY = query(expirationStatus=["VALID"])
_MONTH = Window(MIDNIGHT - 30 * DAY, NOW.replace(minute=0))


def _snapshot(asked_at, start=_MONTH.start):
    return Snapshot(1, asked_at, start, _MONTH.end, asked_at, 0)


@pytest.mark.parametrize(
    ("expected", "requests", "stored"),
    [
        (True, 1, _snapshot(NOW - timedelta(minutes=1))),
        (True, 2, None),
        (False, 2, _snapshot(NOW - timedelta(hours=23))),
        (True, 2, _snapshot(NOW - timedelta(hours=23, minutes=45))),
        (True, 2, _snapshot(NOW - 2 * DAY)),
        (True, 2, _snapshot(NOW + timedelta(hours=1))),
        (True, 2, _snapshot(NOW - timedelta(hours=1), MIDNIGHT)),
    ],
)
def test_a_snapshot_is_due_at_every_fire_or_daily_or_if_it_begins_too_late(expected, requests, stored):
    order = Order(valid(), (Slice(_QUERY, _MONTH),), requests, PassRecord())
    assert order.is_due({_QUERY: stored} if stored else {}, NOW) is expected


@pytest.mark.parametrize(
    ("expected", "reaches"),
    [
        (Window(MIDNIGHT - DAY, HOUR.floor(NOW)), [Reach(None, DAY)]),
        (Window(MIDNIGHT - 9 * DAY, HOUR.floor(NOW)), [Reach(None, DAY), Reach(MIDNIGHT - 9 * DAY, DAY)]),
        (Window(MIDNIGHT - 3 * DAY, HOUR.floor(NOW)), [Reach(None, 3 * DAY), Reach(MIDNIGHT - DAY, DAY)]),
        (None, [Reach(NOW + DAY, DAY)]),
    ],
)
def test_the_range_begins_at_the_earliest_requested_start(expected, reaches):
    assert window(reaches, HOUR, NOW) == expected


def test_the_pause_after_a_failed_pass_of_several_requests_grows_to_an_hour():
    record, pauses = PassRecord(), []
    for _ in range(9):
        record = record.after("down", NOW, daily=True)
        pauses.append((record.again_at - NOW) // timedelta(minutes=1))
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert record.after("down", NOW, daily=False).again_at == NOW
    assert record.after(None, NOW, daily=True) == PassRecord(daily=True)
    assert record._replace(failures=0) != record
