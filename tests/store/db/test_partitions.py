"""How points lie on Postgres: in partitions that are never seen in SQL, and kept whole when they are made anew."""

import psycopg
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from collector.cli.main import command
from collector.model import Window
from collector.store import MissingExtension, Store, ValueRejected
from collector.store.admin import commands
from collector.store.db import migrate, schema
from tests.harness.factories import DAY, HOUR, NOW, batch, hours, profile, query, rows, saved, values

YEARS = (2019, 2024, 2026, 2031, 2045)
READER = "collector_test_reader"


async def fill(url):
    """Save four hours of several years."""
    async with Store.open(url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        for year in YEARS:
            start = DAY.replace(year=year)
            window = Window(start, start + 4 * HOUR)
            first = int((start - DAY) / HOUR)
            await saved(store, batch((query(), window)), {first + n: year + n for n in range(4)})
        return await values(store)


def test_partitions_cover_all_time_and_have_an_order():
    bounds = [bound.removeprefix("FROM ").split(" TO ") for bound in schema.partitions().values()]
    assert bounds[0][0] == "(MINVALUE)"
    assert bounds[-1][1] == "(MAXVALUE)"
    assert [end for _, end in bounds[:-1]] == [start for start, _ in bounds[1:]]


async def test_every_point_lies_in_the_partition_of_its_year(postgres_url):
    await fill(postgres_url)
    async with Store.open(postgres_url, owner=None) as store:
        found = await rows(store, "SELECT tableoid::regclass::text, count(*) FROM points GROUP BY 1 ORDER BY 1")
        plan = await rows(store, "EXPLAIN SELECT max(timestamp) FROM points WHERE series_id = 1")
        (size,) = await rows(store, "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits")
        assert (await store.info()).bytes > size[0] > 0
    names = ("points_2024", "points_2026", "points_2031", "points_before_2024", "points_from_2032")
    assert found == [(name, 4) for name in names]
    assert "Append" in str(plan)
    assert "Merge" not in str(plan)
    assert "Sort" not in str(plan)


@pytest.mark.parametrize("what", ["read", "holes"])
async def test_a_statement_with_a_time_leaves_the_other_years_out(postgres_url, what):
    seen = []
    await fill(postgres_url)
    async with Store.open(postgres_url, owner="test") as store:

        def explain(connection, _cursor, statement, parameters, _context, _many):
            if " points" in statement and "timestamp >= " in statement and not statement.startswith("INSERT"):
                raw = connection.connection.cursor()
                raw.execute(f"EXPLAIN {statement}", parameters)
                seen.append("\n".join(line for (line,) in raw.fetchall()))
                raw.close()

        for engine in (store._database._writer, store._database._reader):
            sa.event.listen(engine, "before_cursor_execute", explain)
        if what == "read":
            await saved(store, batch((query(), hours(0, 3))), [1, 2, 3])
        else:
            (gap,) = await store.gaps(query(), hours(0, 10), 14 * 24 * HOUR)
            assert gap.window == hours(4, 10)
    assert seen
    words = {word.removesuffix("_pkey") for plan in seen for word in plan.split()}
    assert {word for word in words if word.startswith("points_")} == {"points_2026"}


async def test_rights_and_views_of_others_outlive_a_move_and_the_data_too(postgres_server, postgres_url):
    before = await fill(postgres_url)
    digest = commands.digest(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {READER}")
        connection.execute(f"CREATE ROLE {READER}")
        connection.execute(f"GRANT SELECT ON points, history TO {READER}")
        connection.execute("CREATE VIEW mine AS SELECT series_id, '100 %' AS part FROM points")
    try:
        commands.downgrade(postgres_url, "0003")
        with psycopg.connect(postgres_url) as connection:
            assert connection.execute("SELECT relkind FROM pg_class WHERE relname = 'points'").fetchone() == ("r",)
        assert commands.upgrade(postgres_url) == ("0003", migrate.HEAD)
        async with Store.open(postgres_url, owner=None) as store:
            assert await values(store) == before
            assert await rows(store, "SELECT DISTINCT part FROM mine") == [("100 %",)]
            can = "SELECT has_table_privilege(:who, 'points', 'SELECT'), has_table_privilege(:who, 'points', 'INSERT')"
            assert await rows(store, can, who=READER) == [(True, False)]
            assert await rows(store, "SELECT to_regclass('points_replaced')") == [(None,)]
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {READER}")
        postgres_server.run(f"DROP ROLE {READER}")
    assert commands.digest(postgres_url) == digest
    assert commands.check(postgres_url) == []


async def test_what_cannot_be_moved_along_is_in_the_way(postgres_url):
    before = await fill(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE MATERIALIZED VIEW mine AS SELECT * FROM points")
    with pytest.raises(ValueRejected, match="depends on a table of ours"):
        commands.downgrade(postgres_url, "0003")
    assert commands.check(postgres_url) == []
    async with Store.open(postgres_url, owner=None) as store:
        assert await values(store) == before


async def test_a_partition_that_is_missing_is_named(postgres_url):
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP TABLE points_2025")
    assert commands.check(postgres_url) == ["the partition points_2025 is missing"]


@pytest.mark.parametrize("prepare", ["empty_postgres_url", "postgres_url"])
async def test_without_the_extension_a_hypertable_is_refused_and_nothing_changes(request, prepare):
    url = request.getfixturevalue(prepare)
    before = commands.current(url)
    for upgrade in (True, False):
        with pytest.raises(MissingExtension, match="TimescaleDB, which this server does not have"):
            async with Store.open(url, owner="test", upgrade=upgrade, timescale=True):
                pass
    assert commands.current(url) == before


async def test_readers_do_not_ask_for_a_hypertable(postgres_url):
    async with Store.open(postgres_url, owner=None, timescale=True) as store:
        assert await rows(store, "SELECT count(*) FROM points") == [(0,)]


def test_the_command_says_what_is_missing_in_a_sentence(postgres_url):
    environ = {"COLLECTOR_DATABASE__URL": postgres_url, "COLLECTOR_DATABASE__TIMESCALE": "true"}
    done = CliRunner().invoke(command, ["db", "upgrade"], env=environ)
    assert done.exit_code == 1
    assert done.stderr == (
        "collector: [database] timescale = true takes the extension TimescaleDB, which this server does not have"
        " (installed, and named in its shared_preload_libraries)\n"
    )
