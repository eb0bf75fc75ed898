import asyncio
import subprocess
import sys
from datetime import timedelta

import pytest

from collector.circuit_breaker import Wait
from collector.radar.errors import RateLimited, Refused, Unavailable
from collector.store import Budget, StartedFetch, Store
from tests.harness.factories import NOW, answer, batch, hours, profile, query, rows, saved, start_fetch

ASKED = batch((query(), hours(0, 1)))
MINUTES = timedelta(minutes=1)
WINDOW = timedelta(seconds=300)
INSTANT = timedelta(microseconds=1)


async def ask(store, now, limit):
    """Send one request and have it fail at once, as far as the ledger is concerned."""
    begun = await store.start_fetch(ASKED, ["all"], now, limit)
    if isinstance(begun, StartedFetch):
        await store.fail(begun.fetch_id, Unavailable("down"), now)
    return begun


async def test_a_request_is_on_record_before_it_is_sent(store):
    assert await store.start_fetch(ASKED, ["b", "a"], NOW, 1) == StartedFetch(1)
    (fetch,) = await store.list_fetches()
    assert (fetch.outcome, fetch.started_at, fetch.finished_at) == ("started", NOW, None)
    assert fetch.profiles == ("b", "a")


async def test_a_request_with_several_windows_is_on_record_with_all_of_them(store):
    one, other, third = query(), query(tld="com"), query(tld="net")
    asked = batch((one, hours(0, 1)), (other, hours(5, 6)), (third, hours(0, 1)))
    await store.start_fetch(asked, ["all"], NOW, 1)
    (fetch,) = await store.list_fetches()
    assert fetch.request == "3 x 1h over 2026-04-30T00:00:00Z..2026-04-30T06:00:00Z in 2 windows"
    assert fetch.windows == (hours(0, 1), hours(5, 6), hours(0, 1))
    assert str(ASKED) == "1 x 1h over 2026-04-30T00:00:00Z..2026-04-30T01:00:00Z"


async def test_windows_are_on_record_whether_they_differ_or_not(store):
    alike = batch((query(), hours(0, 1)), (query(tld="com"), hours(0, 1)))
    different = batch((query(), hours(0, 1)), (query(tld="com"), hours(1, 2)))
    for asked in (alike, different):
        await store.start_fetch(asked, ["all"], NOW, 9)
    assert [fetch.windows for fetch in await store.list_fetches()] == [different.windows, alike.windows]
    assert await rows(store, "SELECT windows IS NULL FROM fetches ORDER BY id") == [(True,), (False,)]


async def test_different_windows_of_a_request_of_an_older_version_are_not_known(store):
    asked = batch((query(), hours(0, 1)), (query(tld="com"), hours(1, 2)))
    await store.start_fetch(asked, ["all"], NOW, 1)
    await store._database.write(lambda connection: connection.exec_driver_sql("UPDATE fetches SET windows = NULL"))
    assert [fetch.windows for fetch in await store.list_fetches()] == [None]


async def test_a_request_under_way_counts_until_it_ends(store):
    await start_fetch(store, ASKED, NOW)
    much_later = NOW + timedelta(minutes=14)
    assert await store.start_fetch(ASKED, ["all"], much_later, 1) == Wait(much_later + timedelta(seconds=1), "budget")


async def test_a_request_counts_for_300_seconds_after_it_ended(store):
    await ask(store, NOW, 1)
    assert await store.start_fetch(ASKED, ["all"], NOW + WINDOW - INSTANT, 1) == Wait(NOW + WINDOW, "budget")
    assert isinstance(await store.start_fetch(ASKED, ["all"], NOW + WINDOW, 1), StartedFetch)


async def test_the_wait_ends_when_enough_requests_are_old(store):
    for minute in range(4):
        await ask(store, NOW + minute * MINUTES, 10)
    now = NOW + 4 * MINUTES
    assert await store.start_fetch(ASKED, ["all"], now, 4) == Wait(NOW + WINDOW, "budget")
    assert await store.start_fetch(ASKED, ["all"], now, 2) == Wait(NOW + 2 * MINUTES + WINDOW, "budget")


async def test_the_budget_counts_what_the_ledger_counts(store):
    await ask(store, NOW, 10)
    await start_fetch(store, ASKED, NOW + MINUTES)
    assert await store.budget(NOW + MINUTES, 10) == Budget(10, 2, None)
    assert await store.budget(NOW + WINDOW, 10) == Budget(10, 1, None)
    assert (await store.budget(NOW, 10)).window_seconds == 300


async def test_after_429_nobody_asks_before_the_moment_named(store):
    until = NOW + timedelta(seconds=7)
    fetch_id = await start_fetch(store, ASKED, NOW)
    await store.fail(fetch_id, RateLimited("slow down", not_before=until, status=429, code=1015), NOW)
    assert await store.start_fetch(ASKED, ["all"], NOW, 100) == Wait(until, "blocked")
    assert await store.start_fetch(ASKED, ["all"], until - INSTANT, 100) == Wait(until, "blocked")
    assert (await store.budget(NOW, 100)).blocked_until == until
    assert isinstance(await store.start_fetch(ASKED, ["all"], until, 100), StartedFetch)
    assert (await store.budget(until, 100)).blocked_until is None


async def test_a_block_is_never_shortened_by_a_later_word(store):
    first, second = await start_fetch(store, ASKED, NOW), await start_fetch(store, ASKED, NOW)
    await store.fail(first, RateLimited("wait", not_before=NOW + WINDOW), NOW)
    await store.fail(second, RateLimited("wait", not_before=NOW + MINUTES), NOW)
    assert await store.start_fetch(ASKED, ["all"], NOW, 100) == Wait(NOW + WINDOW, "blocked")


async def test_the_moment_any_failure_names_holds_everyone_back(store):
    await store.fail(await start_fetch(store, ASKED, NOW), Unavailable("down", not_before=NOW + WINDOW), NOW)
    assert await store.start_fetch(ASKED, ["all"], NOW, 100) == Wait(NOW + WINDOW, "blocked")


async def test_a_failure_is_on_record_with_its_reason(store):
    await store.fail(
        await start_fetch(store, ASKED, NOW), Refused("too fine \0 \ud800", status=400, code=2001), NOW + MINUTES
    )
    (fetch,) = await store.list_fetches()
    assert (fetch.outcome, fetch.status, fetch.code) == ("refused", 400, 2001)
    assert (fetch.message, fetch.finished_at) == ("too fine \N{REPLACEMENT CHARACTER} ?", NOW + MINUTES)


async def test_a_long_reason_is_cut(store):
    await store.fail(await start_fetch(store, ASKED, NOW), Unavailable("x" * 100_000), NOW)
    assert len((await store.list_fetches())[0].message) == 2000


async def test_a_fetch_has_one_outcome(store):
    fetch_id = await start_fetch(store, ASKED, NOW)
    await store.save(fetch_id, ASKED, answer(ASKED, [1]), NOW, 10)
    await store.fail(fetch_id, Unavailable("too late"), NOW)
    assert [(f.outcome, f.message) for f in await store.list_fetches()] == [("ok", None)]


async def test_what_a_dead_process_left_under_way_is_ended(store):
    await start_fetch(store, ASKED, NOW)
    await saved(store, ASKED, [1])
    later = NOW + timedelta(hours=1)
    assert await store.interrupt(later) == 1
    assert await store.interrupt(later) == 0
    assert [(f.outcome, f.finished_at) for f in await store.list_fetches()] == [("ok", NOW), ("interrupted", later)]


async def test_where_others_may_write_a_young_request_may_still_be_under_way(postgres_url):
    async with Store.open(postgres_url, owner="test") as store:
        await start_fetch(store, ASKED, NOW)
        assert await store.interrupt(NOW + MINUTES) == 0


async def test_many_that_ask_at_once_stay_within_the_budget(store_url):
    async with Store.open(store_url, owner="test") as store:
        found = await asyncio.gather(*(store.start_fetch(ASKED, ["all"], NOW, 7) for _ in range(20)))
        assert sum(isinstance(begun, StartedFetch) for begun in found) == 7


ASK_TEN_TIMES = """
import asyncio, sys
from tests.harness.factories import NOW, batch, hours, query
from collector.store import StartedFetch, Store
async def main():
    async with Store.open(sys.argv[1], owner="test") as store:
        asked = batch((query(), hours(0, 1)))
        found = [await store.start_fetch(asked, ["all"], NOW, 12) for _ in range(10)]
        sys.stdout.write(str(sum(isinstance(begun, StartedFetch) for begun in found)))
asyncio.run(main())
"""


def test_processes_side_by_side_share_one_budget(postgres_url):
    argv = [sys.executable, "-c", ASK_TEN_TIMES, postgres_url]
    processes = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sum(int(process.communicate(timeout=60)[0]) for process in processes) == 12


async def test_the_budget_survives_a_restart(store_url):
    async with Store.open(store_url, owner="test") as store:
        await ask(store, NOW, 1)
    async with Store.open(store_url, owner="test") as store:
        assert isinstance(await store.start_fetch(ASKED, ["all"], NOW + MINUTES, 1), Wait)


async def test_a_fetch_is_linked_to_each_of_its_profiles(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, ASKED, [1], profiles=["one", "two"])
    await saved(store, ASKED, [1], profiles=["two"])
    assert [fetch.id for fetch in await store.list_fetches(profile="two")] == [2, 1]
    assert [fetch.id for fetch in await store.list_fetches(profile="one")] == [1]
    assert await store.list_fetches(profile="three") == []
    assert len(await rows(store, "SELECT * FROM fetch_profiles")) == 3


@pytest.mark.parametrize("number", [1, 3])
async def test_a_list_of_fetches_is_newest_first_and_can_be_cut(store, number):
    for minute in range(3):
        await ask(store, NOW + minute * MINUTES, 10)
    assert [fetch.id for fetch in await store.list_fetches(limit=number)] == [3, 2, 1][:number]
    assert [f.id for f in await store.list_fetches(start=NOW + MINUTES, end=NOW + 2 * MINUTES)] == [2]
