"""Points as a hypertable. Not of the ordinary run, for it takes a server that has TimescaleDB, where this runs it:

    COLLECTOR_TEST_PG_URL=postgresql://… python -m pytest tests/store/db/hypertable.py

Debian has one from trixie on: the package postgresql-17-timescaledb, and `shared_preload_libraries = 'timescaledb'`.
"""

import asyncio

import psycopg
import pytest

from collector.store import SchemaTooOld, Store
from collector.store.admin import commands
from collector.store.admin.copy import copy
from collector.store.admin.verify import verify
from collector.store.db import migrate
from tests.harness.factories import HOUR, NOW, batch, hours, query, rows, saved, values
from tests.store.db.test_partitions import YEARS, fill

IS_ONE = "SELECT hypertable_name FROM timescaledb_information.hypertables"


async def test_a_new_store_has_a_hypertable_and_keeps_what_sqlite_keeps(empty_postgres_url, sqlite_url):
    assert commands.upgrade(empty_postgres_url, timescale=True) == (None, migrate.HEAD)
    assert commands.check(empty_postgres_url) == []
    assert await fill(empty_postgres_url) == await fill(sqlite_url)
    assert commands.digest(empty_postgres_url) == commands.digest(sqlite_url)
    assert (verify(empty_postgres_url)).findings == []
    async with Store.open(empty_postgres_url, owner=None) as store:
        assert await rows(store, IS_ONE) == [("points",)]
        chunks = await rows(store, "SELECT count(*) FROM timescaledb_information.chunks")
        assert chunks == [(len(YEARS),)]
        (size,) = await rows(store, "SELECT hypertable_size('points')")
        assert (await store.info()).bytes > size[0] > 0


async def test_a_store_becomes_one_in_place_once_and_stays_one(empty_postgres_url):
    before = await fill(empty_postgres_url)
    digest = commands.digest(empty_postgres_url)
    with pytest.raises(SchemaTooOld, match="no hypertable yet"):
        async with Store.open(empty_postgres_url, owner="test", upgrade=False, timescale=True):
            pass

    async def start(timescale):
        async with Store.open(empty_postgres_url, owner="test", timescale=timescale) as store:
            assert await values(store) == before
            assert await rows(store, IS_ONE) == [("points",)]

    await asyncio.gather(*(start(timescale=True) for _ in range(4)))
    await start(timescale=False)
    assert commands.digest(empty_postgres_url) == digest
    assert commands.check(empty_postgres_url) == []
    async with Store.open(empty_postgres_url, owner="test") as store:
        done = await saved(store, batch((query(), hours(0, 5))), [7, 2027, 2028, 2029, 9])
    assert (done.inserted, done.revised, done.unchanged) == (1, 1, 3)
    assert (verify(empty_postgres_url)).findings == []


COMPRESS = "ALTER TABLE points SET (timescaledb.compress, timescaledb.compress_segmentby = 'series_id')"
LIMIT = "ALTER DATABASE {} SET timescaledb.max_tuples_decompressed_per_dml_transaction = 1"


async def test_what_lies_in_compressed_chunks_is_kept_revised_and_verified_like_any_other(empty_postgres_url):
    commands.upgrade(empty_postgres_url, timescale=True)
    before = await fill(empty_postgres_url)
    digest = commands.digest(empty_postgres_url)
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute(COMPRESS)
        assert len(connection.execute("SELECT compress_chunk(c) FROM show_chunks('points') c").fetchall()) == len(YEARS)
        connection.execute(LIMIT.format(connection.info.dbname))
    assert commands.digest(empty_postgres_url) == digest
    assert commands.check(empty_postgres_url) == []
    async with Store.open(empty_postgres_url, owner="test") as store:
        assert await values(store) == before
        done = await saved(store, batch((query(), hours(0, 5))), [7, 8, 9, 10, 11])
        assert (done.inserted, done.revised, done.unchanged) == (1, 4, 0)
    assert (verify(empty_postgres_url)).findings == []


async def test_a_compressed_store_of_the_previous_version_is_migrated(empty_postgres_url):
    commands.upgrade(empty_postgres_url, timescale=True)
    before = await fill(empty_postgres_url)
    commands.downgrade(empty_postgres_url, "0006")
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute(COMPRESS)
        connection.execute("SELECT compress_chunk(c) FROM show_chunks('points') c")
        connection.execute(LIMIT.format(connection.info.dbname))
        ends = connection.execute("SELECT min(timestamp), max(timestamp) + interval '1 h' FROM points").fetchone()
    assert commands.upgrade(empty_postgres_url) == ("0006", migrate.HEAD)
    assert commands.check(empty_postgres_url) == []
    assert (verify(empty_postgres_url)).findings == []
    async with Store.open(empty_postgres_url, owner="test") as store:
        assert await values(store) == before
        assert await rows(store, 'SELECT start, "end", confirmed FROM finality') == [(*ends, False)]
        assert await rows(store, "SELECT count(*) FROM history") == [(len(before),)]
        now = NOW + 24 * HOUR
        done = await saved(store, batch((query(), hours(0, 5))), [7, 8, 9, 10, 11], now=now, updated=now)
        assert (done.inserted, done.revised, done.unchanged) == (1, 4, 0)
    assert (verify(empty_postgres_url)).findings == []


async def test_it_goes_back_to_partitions_and_to_nothing(empty_postgres_url):
    before = await fill(empty_postgres_url)
    commands.upgrade(empty_postgres_url, timescale=True)
    assert commands.downgrade(empty_postgres_url, "0003") == "0003"
    assert commands.upgrade(empty_postgres_url) == ("0003", migrate.HEAD)
    assert commands.check(empty_postgres_url) == []
    async with Store.open(empty_postgres_url, owner=None) as store:
        assert await values(store) == before
        assert await rows(store, IS_ONE) == []
    commands.upgrade(empty_postgres_url, timescale=True)
    assert commands.downgrade(empty_postgres_url, "base") is None


async def test_a_copy_may_go_into_one_and_out_of_one(empty_postgres_url, sqlite_url, tmp_path):
    await fill(sqlite_url)
    commands.upgrade(empty_postgres_url, timescale=True)
    there = copy(sqlite_url, empty_postgres_url)
    back = copy(empty_postgres_url, f"sqlite:///{tmp_path}/back.db")
    assert there.digest == back.digest == commands.digest(sqlite_url)
    with psycopg.connect(empty_postgres_url) as connection:
        assert connection.execute(IS_ONE).fetchall() == [("points",)]
