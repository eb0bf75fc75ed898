"""Replicas on one Postgres: leases, fences, and duties that one of them has at a time."""

import asyncio
import threading
import time
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import psycopg
import pytest

from collector.interval import AggInterval
from collector.store import PROFILE, Fire, LeaseLost, NewReplica, Store, StoreUnavailable, ValueRejected, WorkItem
from collector.store.ledger import replicas as replicas_of_store
from tests.harness.factories import DAY, HOUR, LIMIT, NOW, answer, batch, filtered, hours, profile, query, rows

ALL = query()
ASKED = batch((ALL, hours(0, 4)))
LONG = timedelta(minutes=5)


@asynccontextmanager
async def replicas(url, *names, profiles=("all",), lease=LONG):
    """So many replicas of one store."""
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(Store.open(url, owner=name)) for name in names]
        for name, store in zip(names, opened, strict=True):
            await store.register(NewReplica(name, "1.0", profiles, lease))
        yield opened


async def claim(store, *names, most=100, now=NOW):
    return (await store.claim(PROFILE, names or ("all",), now, lambda free, _: [one.name for one in free][:most])).mine


def expire(url, name):
    """Let a lease run out as a silence would, by the database's clock."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "UPDATE replicas SET expires_at = clock_timestamp() - interval '1 ms' WHERE name = %s", [name]
        )


async def test_a_duty_is_one_replicas_until_it_is_finished(postgres_url):
    async with replicas(postgres_url, "a", "b") as (a, b):
        assert await claim(a) == ("all",)
        assert await claim(b) == ()
        await a.finish([Fire("all", DAY, "collected", NOW)], [WorkItem("all", DAY, NOW)])
        found = await b.claim(PROFILE, ["all"], NOW, lambda free, _: [one.name for one in free])
        assert found.mine == ("all",)
        assert (found.work_items["all"].due, found.work_items["all"].success) == (DAY, NOW)


async def test_of_many_that_claim_at_once_each_duty_has_one(postgres_url):
    names = [f"p{number}" for number in range(20)]
    async with replicas(postgres_url, "a", "b", "c", "d", profiles=names) as opened:
        found = await asyncio.gather(*(claim(store, *names, most=7) for store in opened for _ in range(2)))
        claimed = [name for one in found for name in one]
        assert len(set(claimed)) >= len(claimed) - 7 * len(opened)  # a replica may be told twice of what is its own
        with psycopg.connect(postgres_url) as connection:
            held = connection.execute(
                "SELECT count(*), count(DISTINCT name) FROM duties WHERE replica_id > 0"
            ).fetchone()
        assert held[0] == held[1] == len(set(claimed))


async def test_a_transaction_that_a_replica_froze_in_is_ended_before_its_lease_is(postgres_url):
    async with replicas(postgres_url, "a", lease=timedelta(seconds=2)) as (a,), replicas(postgres_url, "b") as (b,):

        def frozen(connection):
            connection.exec_driver_sql("UPDATE replicas SET version = 'frozen'")
            entered.set()
            go_on.wait(30)
            connection.exec_driver_sql("SELECT 1")

        entered, go_on = threading.Event(), threading.Event()
        freezing = asyncio.create_task(a._database.write(frozen, repeatable=False))
        await asyncio.to_thread(entered.wait, 30)
        began = time.monotonic()
        await b._database.write(lambda connection: connection.exec_driver_sql("UPDATE replicas SET version = '2'"))
        assert time.monotonic() - began < 2, "seconds that others wait for its locks"
        go_on.set()
        with pytest.raises(StoreUnavailable, match="idle-in-transaction"):
            await freezing


async def test_who_froze_in_the_midst_of_a_statement_is_cut_off_when_its_lease_is_over(postgres_url):
    async with replicas(postgres_url, "a", "b") as (a, b):
        assert await claim(a) == ("all",)

        def frozen(connection):
            replicas_of_store.check(connection, a._replica_id)
            raw = connection.connection.driver_connection
            with raw.cursor() as cursor, cursor.copy("COPY points FROM STDIN"):
                entered.set()
                go_on.wait(30)

        entered, go_on = threading.Event(), threading.Event()
        freezing = asyncio.create_task(a._database.write(frozen, repeatable=False))
        await asyncio.to_thread(entered.wait, 30)
        assert await claim(b) == ()
        expire(postgres_url, "a")
        looks = 0
        while await claim(b) != ("all",):
            looks += 1
            assert looks < 100
            await asyncio.sleep(0.1)
        assert [replica.name for replica in await b.list_replicas()] == ["b"]
        go_on.set()
        with pytest.raises(StoreUnavailable, match=r"connection is lost|terminating connection"):
            await freezing


async def test_who_was_silent_for_longer_than_its_lease_is_buried_and_refused_everything(postgres_url):
    async with replicas(postgres_url, "a", "b") as (a, b):
        await a.activate_labels([profile()], NOW)
        fetch_id = (await a.start_fetch(ASKED, ["all"], NOW, LIMIT)).fetch_id
        assert await claim(a) == ("all",)
        expire(postgres_url, "a")
        assert await claim(b) == ("all",)
        with pytest.raises(ValueRejected, match="interrupted"):
            await a.save(fetch_id, ASKED, answer(ASKED, [1, 2, 3, 4]), NOW, 10)
        for attempt in (
            a.start_fetch(ASKED, ["all"], NOW, LIMIT),
            a.finish([Fire("all", DAY, "collected", NOW)], [WorkItem("all")]),
            a.renew_lease(LONG, NOW),
            claim(a),
        ):
            with pytest.raises(LeaseLost):
                await attempt
        assert await rows(b, "SELECT count(*) FROM points") == [(0,)]
        assert await b.list_fires() == []
        assert [one.name for one in await b.list_replicas()] == ["b"]


async def test_a_lease_that_is_renewed_is_kept(postgres_url):
    async with replicas(postgres_url, "a", "b") as (a, b):
        assert await claim(a) == ("all",)
        expire(postgres_url, "a")
        await a.renew_lease(LONG, NOW)
        assert await claim(b) == ()


async def test_a_save_under_way_is_waited_for_and_counts(postgres_url):
    """The burial waits for the rows of the fetch, so what was committed first is seen by who takes over."""
    async with replicas(postgres_url, "a", "b") as (a, b):
        await a.activate_labels([profile()], NOW)
        for number in range(20):
            asked = batch((ALL, hours(number, number + 1)))
            fetch_id = (await a.start_fetch(asked, ["all"], NOW, LIMIT)).fetch_id
            expire(postgres_url, "a")
            saved, _ = await asyncio.gather(
                a.save(fetch_id, asked, answer(asked, [1]), NOW, 10), claim(b), return_exceptions=True
            )
            outcome = (await rows(b, "SELECT outcome FROM fetches WHERE id = :i", i=fetch_id))[0][0]
            stored = (await rows(b, "SELECT count(*) FROM points WHERE fetch_id = :i", i=fetch_id))[0][0]
            assert (outcome, stored) == (("interrupted", 0) if isinstance(saved, ValueRejected) else ("ok", 1))
            await a.register(NewReplica("a", "1.0", ["all"], LONG))


async def test_who_resigns_leaves_nothing_behind(postgres_url):
    async with replicas(postgres_url, "a", "b") as (a, b):
        await a.start_fetch(ASKED, ["all"], NOW, LIMIT)
        assert await claim(a) == ("all",)
        await a.deregister(NOW)
        assert await claim(b) == ("all",)
        assert [fetch.outcome for fetch in await b.list_fetches()] == ["interrupted"]


async def test_replicas_with_other_profiles_leave_each_others_labels_alone(postgres_url):
    one, other = profile("one"), filtered("other", tld="com")
    async with AsyncExitStack() as stack:
        a, b = [await stack.enter_async_context(Store.open(postgres_url, owner=name)) for name in "ab"]
        await a.register(NewReplica("a", "1.0", ["one"], LONG))
        await a.activate_labels([one], NOW)
        await b.register(NewReplica("b", "0.9", ["other"], LONG))
        await b.activate_labels([other], NOW)
        assert {row.label for row in await a.list_series() if row.active} == {"one", "other"}
        await a.deregister(NOW)
        await b.activate_labels([other], NOW)
        assert {row.label for row in await b.list_series() if row.active} == {"other"}


async def test_the_budget_is_one_for_all_replicas(postgres_url):
    async with replicas(postgres_url, "a", "b") as (a, b):
        begun = [await store.start_fetch(ASKED, ["all"], NOW, 3) for store in (a, b, a, b)]
        assert [hasattr(one, "fetch_id") for one in begun] == [True, True, True, False]


async def test_a_replica_that_was_asleep_does_not_restamp_what_others_asked(postgres_url):
    async with replicas(postgres_url, "a", "b") as (a, b):
        for _ in range(3):
            fetch_id = (await b.start_fetch(ASKED, ["all"], NOW, 3)).fetch_id
            await b.save(fetch_id, ASKED, answer(ASKED, [1, 2, 3, 4]), NOW, 10)
        assert not hasattr(await a.start_fetch(ASKED, ["all"], NOW - HOUR, 3), "fetch_id")
        assert not hasattr(await b.start_fetch(ASKED, ["all"], NOW, 3), "fetch_id")


async def test_the_databases_clock_counts(postgres_url, sqlite_url):
    async with Store.open(postgres_url, owner=None) as store:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            before = connection.execute("SELECT clock_timestamp()").fetchone()[0]
            told = store.clock()
            after = connection.execute("SELECT clock_timestamp()").fetchone()[0]
        assert before - timedelta(seconds=1) <= told <= after + timedelta(seconds=1)


async def test_on_sqlite_there_are_no_replicas_and_every_duty_is_the_owners(sqlite_url):
    async with Store.open(sqlite_url, owner="run") as store:
        await store.register(NewReplica("a", "1.0", ["all"], LONG))
        assert await claim(store) == await claim(store) == ("all",)
        await store.renew_lease(LONG, NOW)
        assert await store.list_replicas() == []
        await store.deregister(NOW)


async def test_a_new_duty_goes_on_from_the_last_fire(store_url):
    async with Store.open(store_url, owner="run") as store:
        await store.finish([Fire("all", DAY, "failed", NOW, "no answer")], [])
        found = await store.claim(PROFILE, ["all"], NOW, lambda _free, _replicas: [])
        assert found.work_items["all"] == WorkItem("all", DAY, None, 1, "no answer")
        assert AggInterval.ONE_HOUR.floor(NOW) > DAY
