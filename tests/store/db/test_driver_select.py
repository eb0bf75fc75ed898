"""A SELECT that the driver executes returns what SQLAlchemy returns, and fails as it does."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from collector.store import Store, StoreUnavailable
from collector.store.db.column_types import Timestamp, epoch
from collector.store.db.driver_select import _LONGEST_LIST, DriverSelect, _Compiled
from collector.store.db.schema import fetches, points, series, state
from collector.store.db.sql import get_state, put_state
from tests.harness.factories import NOW, filled

IDS = sa.bindparam("ids", expanding=True)
SINCE = sa.bindparam("since", type_=Timestamp)
OF_IDS = sa.select(series.c.id, series.c.label).where(series.c.id.in_(IDS), series.c.id.in_(IDS))
SELECTS = {
    "every type": (sa.select(fetches).order_by(fetches.c.id), {}),
    "true and none": (sa.select(series.c.sums_differ, sa.true().label("yes"), sa.null().label("none")), {}),
    "a moment": (
        sa.select(epoch(points.c.timestamp), points.c.value)
        .where(points.c.timestamp >= SINCE)
        .order_by(points.c.value),
        {"since": NOW - timedelta(days=900)},
    ),
    "a list, twice": (OF_IDS, {"ids": [1, 2]}),
    "an empty list": (OF_IDS, {"ids": []}),
    "a long list": (OF_IDS, {"ids": [*range(_LONGEST_LIST + 1)]}),
    "constants": (
        sa.select(series.c.label)
        .where(series.c.dataset == "ct", series.c.id.in_([1, 2]), series.c.created_at > NOW - timedelta(days=1))
        .limit(3),
        {},
    ),
    "two in one": (sa.union_all(sa.select(series.c.id, series.c.unit), sa.select(fetches.c.id, fetches.c.outcome)), {}),
    "no names": (
        sa.select(sa.func.count(), sa.func.max(points.c.value)).where(points.c.series_id.in_(IDS)),
        {"ids": [1]},
    ),
}


@pytest.mark.parametrize("name", SELECTS)
async def test_rows_are_those_of_sqlalchemy(store_url, name):
    select, parameters = SELECTS[name]
    async with Store.open(await filled(store_url), owner=None) as store:
        with store._database.read() as connection:
            expected = connection.execute(select, parameters).all()
            read = DriverSelect(select).rows(connection, parameters)
    assert [tuple(row) for row in read] == [tuple(row) for row in expected]
    assert [[type(value) for value in row] for row in read] == [[type(value) for value in row] for row in expected]
    assert [row._asdict() for row in read] == [dict(row._mapping) for row in expected]
    assert read or name == "an empty list"


async def test_it_is_compiled_for_few_lengths_of_a_list(store_url):
    select = DriverSelect(OF_IDS)
    async with Store.open(await filled(store_url), owner=None) as store:
        with store._database.read() as connection:
            before = _Compiled.cache_info().misses
            for length in (1, 1, 2, 3, 4, 5, 8, _LONGEST_LIST + 1):
                (row,) = select.rows(connection, {"ids": [*range(1, length + 1)]})
                assert row.id == 1
    assert _Compiled.cache_info().misses == before + 4  # 1, 2, 4, 8


async def test_a_value_that_the_database_refuses_is_said_as_ever(store_url):
    unknown = sa.select(sa.func.no_such_function(series.c.id))
    errors = []
    async with Store.open(await filled(store_url), owner=None) as store:
        for read in (lambda c: c.execute(unknown), lambda c: DriverSelect(unknown).rows(c, {})):
            with pytest.raises(StoreUnavailable) as raised, store._database.read() as connection:
                read(connection)
            errors.append(str(raised.value))
        assert (await store.list_series())[0].label == "all"
    assert errors[0] == errors[1]


async def test_another_sequence_is_not_taken_for_a_list(store_url):
    async with Store.open(await filled(store_url), owner=None) as store:
        with pytest.raises(TypeError, match="ids: a list is needed"), store._database.read() as connection:
            DriverSelect(OF_IDS).rows(connection, {"ids": (1, 2)})


async def test_a_connection_sees_later_writes_after_a_text_that_is_none(sqlite_url):
    select = DriverSelect(sa.select(state.c.key, state.c.value).order_by(state.c.key))
    async with Store.open(sqlite_url, owner="test") as store:
        damage = "INSERT INTO state VALUES ('a', CAST(x'ff' AS TEXT)), ('b', ''), ('c', '')"
        await store._database.write(lambda connection: connection.exec_driver_sql(damage).close())
        with pytest.raises(StoreUnavailable, match="UTF-8") as raised, store._database.read() as connection:
            select.rows(connection, {})
        await store._database.write(lambda connection: put_state(connection, "new", "value"))
        with store._database.read() as connection:
            assert get_state(connection, "new") == "value"
    assert raised.value  # it is still referred to, and with it the frame that read


async def test_all_connections_are_replaced_if_one_is_lost(postgres_server, postgres_url):
    select, name = DriverSelect(OF_IDS), sa.make_url(postgres_url).database
    kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    async with Store.open(await filled(postgres_url), owner=None) as store:

        def work(connection, lost):
            with store._database.read():
                pass  # so that there is another one in the pool
            if lost:
                postgres_server.run(kill)
            return [row.label for row in select.rows(connection, {"ids": [1]})]

        with pytest.raises(StoreUnavailable, match="terminating connection"), store._database.read() as connection:
            work(connection, lost=True)
        with store._database.read() as connection:
            assert work(connection, lost=False) == ["all"]


async def test_a_connection_that_the_driver_has_closed_is_said_to_be_lost(store_url):
    select = DriverSelect(OF_IDS)

    def work(connection):
        connection.connection.driver_connection.close()
        select.rows(connection, {"ids": [1]})

    async with Store.open(await filled(store_url), owner=None) as store:
        with pytest.raises(StoreUnavailable, match="closed"), store._database.read() as connection:
            work(connection)
        with store._database.read() as connection:
            assert [row.label for row in select.rows(connection, {"ids": [1]})] == ["all"]
