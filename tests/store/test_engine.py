import asyncio
import sqlite3
import threading
import time
from contextlib import closing
from urllib.parse import urlsplit

import psycopg
import pytest
import sqlalchemy as sa

from collector.store import SaveResult, Store, StoreDenied, StoreUnavailable
from collector.store.db import sql
from tests.harness.postgres_proxy import Proxy
from tests.store.making import NOW, answer, batch, begin, hours, profile, query, rows, saved, values

ALL = query()
ASKED = batch((ALL, hours(0, 4)))


async def pragma(store, name):
    def read(connection):
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()

    with store._database.read() as connection:
        return await store._database.write(read), read(connection)


async def test_an_acknowledged_commit_survives_the_power_failing(sqlite_url):
    async with Store.open(sqlite_url, owner="test") as store:
        assert (await pragma(store, "journal_mode"))[0] == "wal"
        assert (await pragma(store, "synchronous"))[0] == 2


async def test_only_the_writing_connection_can_write(sqlite_url):
    async with Store.open(sqlite_url, owner="test") as store:
        assert await pragma(store, "query_only") == (0, 1)
        with store._database.read() as connection, pytest.raises(sa.exc.OperationalError, match="readonly"):
            connection.exec_driver_sql("DELETE FROM points")


async def test_a_reader_of_postgres_cannot_write(postgres_url):
    async with Store.open(postgres_url, owner="test") as store:
        with store._database.read() as connection, pytest.raises(sa.exc.DBAPIError, match="read-only"):
            connection.exec_driver_sql("DELETE FROM points")


async def test_a_store_opened_for_reading_takes_no_writes(store_url):
    async with Store.open(store_url, owner=None) as store:
        with pytest.raises(StoreUnavailable, match="for reading only"):
            await store.set_state("a", "b")


async def test_no_update_is_lost_when_many_write_at_once(store):
    await store.set_state("count", "0")

    def count(connection):
        connection.exec_driver_sql("UPDATE state SET value = CAST(value AS integer) + 1 WHERE key = 'count'")

    await asyncio.gather(*(store._database.write(count) for _ in range(200)))
    assert await store.get_state("count") == "200"


async def test_a_transaction_that_fails_leaves_nothing(store):
    def half(connection):
        sql.put_state(connection, "a", "b")
        raise LookupError

    with pytest.raises(LookupError):
        await store._database.write(half)
    assert await store.get_state("a") is None
    await store.check_writable()


async def test_who_is_cancelled_leaves_a_whole_transaction_or_none(store):
    await store.activate_labels([profile()], NOW)
    asked = [batch((ALL, hours(n, n + 4))) for n in range(0, 80, 4)]
    ids = [await begin(store, each) for each in asked]
    for number, (fetch_id, each) in enumerate(zip(ids, asked, strict=True)):
        task = asyncio.create_task(store.save(fetch_id, each, answer(each, [1] * 4), NOW, 10))
        for _ in range(number):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    done = sum(fetch.outcome == "ok" for fetch in await store.list_fetches())
    assert await rows(store, "SELECT COUNT(*) FROM points") == [(4 * done,)]
    for fetch_id, each in zip(ids, asked, strict=True):
        assert await store.save(fetch_id, each, answer(each, [1] * 4), NOW, 10) == SaveResult(inserted=4)


@pytest.mark.parametrize(
    "setting", ["TimeZone TO 'Pacific/Kiritimati'", "TimeZone TO '<+13:07>-13:07'", "DateStyle TO 'German'"]
)
async def test_what_the_server_is_set_to_does_not_matter(postgres_server, postgres_url, setting):
    name = sa.make_url(postgres_url).database
    postgres_server.run(f"ALTER DATABASE {name} SET {setting}")
    async with Store.open(postgres_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        assert await saved(store, ASKED, [1, 2, 3, 4]) == SaveResult(inserted=4)
        assert await saved(store, ASKED, [1, 2, 3, 5]) == SaveResult(revised=1, unchanged=3)
        assert await values(store) == {0: 1.0, 1: 2.0, 2: 3.0, 3: 5.0}
        assert (await store.list_fetches())[0].started_at == NOW
        assert await store.extents([ALL]) == {ALL: hours(0, 4)}
        assert await store.gaps(ALL, hours(0, 5), hours(0, 1).duration)


async def test_nothing_is_left_in_a_session_that_a_pooler_could_hand_to_another(postgres_url):
    async with Store.open(postgres_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        for _ in range(10):
            await saved(store, ASKED, [1, 2, 3, 4])
            await store.list_fetches()

        def session(connection):
            prepared = connection.exec_driver_sql("SELECT COUNT(*) FROM pg_prepared_statements").scalar()
            locks = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
            held = connection.exec_driver_sql(locks).scalar()
            tables = connection.exec_driver_sql("SELECT COUNT(*) FROM pg_class WHERE relpersistence = 't'").scalar()
            return prepared, held, tables

        assert await store._database.write(session) == (0, 0, 0)
        with store._database.read() as connection:
            assert session(connection) == (0, 0, 0)


async def deadlock(store):
    """Two transactions that lock two rows in opposite order: one of them must lose, and try again."""
    both = threading.Barrier(2)

    def work(first, second):
        met = []

        def update(connection):
            sql.put_state(connection, first, "x")
            if not met:
                met.append(True)
                both.wait(10)
            sql.put_state(connection, second, "x")

        return update

    await asyncio.gather(store._database.write(work("a", "b")), store._database.write(work("b", "a")))


async def test_who_loses_a_deadlock_tries_again(postgres_url):
    async with Store.open(postgres_url, owner="test") as store:
        await store.set_state("a", "")
        await store.set_state("b", "")
        await deadlock(store)
        assert (await store.get_state("a"), await store.get_state("b")) == ("x", "x")


async def test_answers_that_lock_the_same_series_in_any_order_all_get_in(postgres_url):
    names = ("a", "b", "c", "d")
    async with Store.open(postgres_url, owner="test") as one, Store.open(postgres_url, owner="test") as two:
        await one.activate_labels([profile("p", tld=names)], NOW)
        asked = [
            batch(*((query(tld=name), hours(n, n + 2)) for name in order))
            for n in range(6)
            for order in (names, names[::-1])
        ]
        stores = [one, two] * 6
        ids = [await begin(store, each) for store, each in zip(stores, asked, strict=True)]
        await asyncio.gather(
            *(
                store.save(fetch_id, each, answer(each, *[[1, 1]] * 4), NOW, 10)
                for store, fetch_id, each in zip(stores, ids, asked, strict=True)
            )
        )
        assert await rows(one, "SELECT DISTINCT points FROM series") == [(7,)]


async def terminate(postgres_server, url):
    name = sa.make_url(url).database
    postgres_server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


async def test_connections_that_the_server_closed_are_opened_anew(postgres_server, postgres_url):
    async with Store.open(postgres_url, owner="test") as store:
        for _ in range(3):
            await store.set_state("a", "b")
            assert await store.get_state("a") == "b"
            await terminate(postgres_server, postgres_url)


async def test_a_commit_whose_answer_was_lost_is_found_on_record(postgres_url):
    proxy = Proxy(postgres_url)
    async with proxy.serving() as url, Store.open(url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        fetch_id = await begin(store, ASKED)
        proxy.cuts = 1
        assert await store.save(fetch_id, ASKED, answer(ASKED, [1, 2, 3, 4]), NOW, 10) == SaveResult(inserted=4)
        assert proxy.cut == 1
        assert await values(store) == {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}
        assert await rows(store, "SELECT points FROM series") == [(4,)]


async def test_an_answer_whose_points_were_cut_off_on_their_way_is_written_again(postgres_url):
    proxy = Proxy(postgres_url, b"COPY points")
    async with proxy.serving() as url, Store.open(url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        fetch_id = await begin(store, ASKED)
        proxy.cuts = 1
        assert await store.save(fetch_id, ASKED, answer(ASKED, [1, 2, 3, 4]), NOW, 10) == SaveResult(inserted=4)
        assert proxy.cut == 1
        assert await values(store) == {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}
        more = batch((query(), hours(4, 8)))
        fetch_id = await begin(store, more)
        proxy.cuts = 100
        with pytest.raises(StoreUnavailable, match="server closed the connection"):
            await store.save(fetch_id, more, answer(more, [1, 2, 3, 4]), NOW, 10)


async def test_a_request_is_not_put_on_record_twice_because_the_answer_was_lost(postgres_url):
    proxy = Proxy(postgres_url)
    async with proxy.serving() as url, Store.open(url, owner="test") as store:
        proxy.cuts = 1
        with pytest.raises(StoreUnavailable):
            await begin(store, ASKED)
        assert [fetch.outcome for fetch in await store.list_fetches()] == ["started"]


async def test_a_store_that_is_down_is_said_to_be_down_without_its_password():
    with pytest.raises(StoreUnavailable) as refused:
        async with Store.open("postgresql://user:s3cr%40t@127.0.0.1:1/history", owner="test"):
            pass
    assert "the store postgresql://127.0.0.1:1/history does not answer" in str(refused.value)
    assert "s3cr" not in str(refused.value)


async def test_a_wrong_password_is_not_repeated(postgres_url):
    url = sa.make_url(postgres_url).set(username="nobody_of_that_name", password="s3cr@t")
    with pytest.raises(StoreDenied) as refused:
        async with Store.open(url.render_as_string(hide_password=False), owner="test"):
            pass
    assert "s3cr" not in str(refused.value)
    assert urlsplit(postgres_url).path[1:] in str(refused.value)


async def test_a_waiting_reader_does_not_keep_the_writer(sqlite_url):
    async with Store.open(sqlite_url, owner="test") as store:
        with store._database.read() as connection:
            connection.exec_driver_sql("SELECT COUNT(*) FROM points")
            begun = time.monotonic()
            await store.check_writable()
            assert time.monotonic() - begun < 2


async def test_the_database_is_whole_after_all_of_this(sqlite_url, tmp_path):
    async with Store.open(sqlite_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        await saved(store, ASKED, [1, 2, 3, 4])
    with closing(sqlite3.connect(tmp_path / "collector.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_a_pooler_may_refuse_start_up_parameters(postgres_url):
    """Behind transaction pooling only what every pooler knows may be sent when a connection opens."""
    async with Store.open(postgres_url, owner="test") as store:
        with store._database.read() as connection:
            raw = connection.connection.driver_connection
            assert isinstance(raw, psycopg.Connection)
            assert "options" not in {part.split("=")[0] for part in raw.info.dsn.split()}
            assert raw.prepare_threshold is None
