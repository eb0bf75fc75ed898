"""Nothing depends on what a database, a role, the environment or the address sets for a session of Postgres."""

import asyncio
from contextlib import closing
from datetime import timedelta

import psycopg
import pytest
import sqlalchemy as sa

from collector.model import Annotation
from collector.store import Store, StoreUnfit, ValueRejected
from collector.store.admin import commands
from collector.store.admin.copy import copy
from collector.store.admin.verify import verify
from collector.store.db.engine import ENCODINGS
from tests.harness.processes import Collector
from tests.harness.processes import profile_toml as history_of
from tests.store.making import DAY, NOW, batch, exported, filtered, hours, profile, query, rows, saved, values

OWNER = 'C:\\new "Œuvre" 東京 ЖĦ'
PROFILES = [profile(), filtered("owner", caOwner=OWNER)]
ASKED = batch((query(), hours(0, 6)), (query(caOwner=OWNER), hours(0, 6)))
VALUES = [0.30000000000000004, 1e300, 5e-324, 2.0**53, 1 / 3]
REMARK = Annotation(
    start_date=DAY,
    end_date=None,
    data_source="ALL",
    event_type="OUTAGE",
    description=OWNER,
    linked_url="https://example.com/\\",
    is_instantaneous=False,
    tags=(),
)


async def fill(url):
    """Do what writes: save, revise, let a bucket vanish, confirm; what each of it counted."""
    async with Store.open(url, owner="test") as store:
        await store.activate_labels(PROFILES, NOW)
        return [
            await saved(store, ASKED, [*VALUES, 1], VALUES, annotations=[REMARK]),
            await saved(store, ASKED, [*VALUES, 2], VALUES, annotations=[REMARK], now=NOW + timedelta(hours=1)),
            await saved(store, ASKED, VALUES, VALUES, annotations=[REMARK], now=NOW + timedelta(hours=2)),
        ]


async def told(url):
    """All that the store answers: by each of its readers, and by the commands that look after it."""
    found = [commands.check(url), (verify(url)).findings, commands.digest(url)]
    async with Store.open(url, owner=None) as store:
        found += [
            await exported(store),
            await exported(store, as_of=NOW + timedelta(minutes=1)),
            await store.gaps(query(caOwner=OWNER), hours(0, 7), hours(0, 1).duration),
            await store.extents([query()]),
            await store.with_read_view(lambda reader: reader.list_revisions()),
            [row.description for row in await store.list_annotations()],
            [(row.started_at, row.outcome, row.inserted) for row in await store.list_fetches()],
            await store.read_as_of(_series),
            await rows(store, "SELECT profile, series, value FROM history ORDER BY profile, timestamp, value"),
        ]
    return found


def _series(history):
    return sorted((tuple(one.labels), one.query.key) for one in history.series("ct"))


@pytest.fixture
async def truth(sqlite_url):
    """What a store on SQLite counts and answers, which has no sessions."""
    return await fill(sqlite_url), await told(sqlite_url)


def setting(postgres_server, url, *settings):
    for one in settings:
        postgres_server.run(f"ALTER DATABASE {sa.make_url(url).database} SET {one}")
    return url


SETTINGS = {
    "doubles are cut off": ["extra_float_digits = 0"],
    "doubles are cut off further": ["extra_float_digits = -15"],
    "text comes as bytes": ["client_encoding = 'SQL_ASCII'"],
    "text comes in another encoding": ["client_encoding = 'LATIN1'"],
    "names are quoted": ["quote_all_identifiers = on"],
    "strings have escapes": ["standard_conforming_strings = off", "backslash_quote = off", "bytea_output = escape"],
    "NULL means other things": ["transform_null_equals = on", "array_nulls = off"],
    "times are written differently": [
        "TimeZone = 'Asia/Kathmandu'",
        "DateStyle = 'SQL, DMY'",
        "IntervalStyle = iso_8601",
    ],
    "transactions only read": ["default_transaction_read_only = on"],
    "transactions wait": ["default_transaction_isolation = serializable", "default_transaction_deferrable = on"],
    "views are closed": ["restrict_nonsystem_relation_kind = 'view'"],
    "the catalogue comes last": ["search_path = nowhere, public, pg_catalog"],
    "no schema is searched": ["search_path = ''"],
    "errors end the session": ["exit_on_error = on", "row_security = on", "client_min_messages = error"],
}


TOGETHER = [{name: SETTINGS[name] for name in [*SETTINGS][first::4]} for first in range(4)]
"""The same in groups that do not contradict each other, for a database of each costs seconds."""


@pytest.fixture(params=TOGETHER, ids=", ".join)
def settings(request):
    """What a database is set to."""
    return [one for several in request.param.values() for one in several]


async def test_what_a_session_is_set_to_changes_no_answer(postgres_server, postgres_url, truth, settings):
    setting(postgres_server, postgres_url, *settings)
    assert (await fill(postgres_url), await told(postgres_url)) == truth


async def test_a_store_is_created_copied_and_taken_back_under_any_setting(
    postgres_server, empty_postgres_url, sqlite_url, truth, settings
):
    setting(postgres_server, empty_postgres_url, *settings)
    copy(sqlite_url, empty_postgres_url)
    assert await told(empty_postgres_url) == truth[1]
    commands.downgrade(empty_postgres_url, "0006")
    commands.upgrade(empty_postgres_url)
    assert (verify(empty_postgres_url)).findings == []
    assert commands.check(empty_postgres_url) == []


_LEFT_OUT = {"debug_discard_caches", "transaction_isolation", "transaction_read_only", "transaction_deferrable"}
"""Settings that only cost minutes, or stand for the transaction that is under way."""


def odd(server, number):
    """The *number*th other value of every switch that a session may set, where the server takes it."""
    dsn = server.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        known = "SELECT name, vartype, setting, enumvals FROM pg_settings WHERE context IN ('user', 'superuser')"
        for name, kind, now, allowed in connection.execute(known).fetchall():
            others = ["off", "on"] if kind == "bool" else allowed or []
            others = [value for value in others if value != now]
            if not others or name in _LEFT_OUT or name.startswith(("log_", "debug_print")):
                continue
            try:
                connection.execute(f"SET {name} = '{others[number % len(others)]}'")
            except psycopg.Error:
                continue
            yield f"{name} = '{others[number % len(others)]}'"


@pytest.mark.parametrize("number", range(4))
async def test_all_switches_at_once_change_no_answer(postgres_server, postgres_url, truth, number):
    settings = [*odd(postgres_server, number)]
    assert len(settings) > 50
    setting(postgres_server, postgres_url, *settings)
    assert (await fill(postgres_url), await told(postgres_url)) == truth


async def test_the_role_and_the_address_change_no_answer_either(postgres_server, postgres_url, truth):
    role = sa.make_url(postgres_url).database + "_role"
    postgres_server.run(f"CREATE ROLE {role} SUPERUSER LOGIN")
    try:
        for one in ("extra_float_digits = 0", "quote_all_identifiers = on", "synchronous_commit = off"):
            postgres_server.run(f"ALTER ROLE {role} SET {one}")
        options = {"options": "-c extra_float_digits=-3 -c bytea_output=escape", "client_encoding": "latin1"}
        url = sa.make_url(postgres_url).set(username=role).update_query_dict(options)
        url = url.render_as_string(hide_password=False)
        assert (await fill(url), await told(url)) == truth
    finally:
        postgres_server.run(f"DROP OWNED BY {role}")
        postgres_server.run(f"DROP ROLE {role}")


ENVIRONMENTS = [
    {"PGCLIENTENCODING": "SQL_ASCII", "PGTZ": "Asia/Kathmandu", "PGDATESTYLE": "German"},
    {"PGCLIENTENCODING": "LATIN1", "PGTZ": "right/UTC", "PGDATESTYLE": "none", "PGGEQO": "none"},
    {"PGOPTIONS": "-c extra_float_digits=0 -c quote_all_identifiers=on -c default_transaction_read_only=on"},
]


@pytest.fixture
def collector(tmp_path):
    """The real command, on a store that is still to be named."""
    return Collector(tmp_path, "http://127.0.0.1:9")


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=str)
async def test_the_environment_changes_no_answer(postgres_url, truth, collector, environment):
    await fill(postgres_url)
    collector.database = postgres_url
    collector.configure(history_of())
    export = collector.run("export", "--format=jsonl", environ=environment)
    assert '"value":0.30000000000000004' in export.stdout.replace(" ", "")
    for command in ("verify", "check"):
        collector.run("db", command, environ=environment)
    digest = collector.run("db", "dump", "--digest", environ=environment)
    assert digest.stdout.split()[0] == truth[1][2]


async def test_a_database_that_knows_no_encoding_keeps_utf_8(postgres_server, truth):
    url = postgres_server.create(options="ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        address = url.render_as_string(hide_password=False)
        assert (await fill(address), await told(address)) == truth
    finally:
        postgres_server.drop(url)


@pytest.fixture
def latin1(postgres_server):
    """The address of an empty database that holds only the characters of LATIN1."""
    url = postgres_server.create(options="ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    yield url.render_as_string(hide_password=False)
    postgres_server.drop(url)


async def test_a_database_that_cannot_hold_every_text_is_refused_before_anything_is_written(
    latin1, sqlite_url, collector
):
    with pytest.raises(StoreUnfit, match=r"LATIN1.*ENCODING 'UTF8' TEMPLATE template0"):
        async with Store.open(latin1, owner="test"):
            pass
    with pytest.raises(StoreUnfit):
        copy(sqlite_url, latin1)
    assert commands.current(latin1) is None
    collector.database = latin1
    collector.configure(history_of())
    done = collector.run("db", "upgrade", expect=1)
    (line,) = done.stderr.splitlines()
    assert line.startswith("collector: the database of the store postgresql://")


async def test_what_was_stored_in_such_a_database_can_be_read_and_copied(latin1, empty_postgres_url, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr("collector.store.db.engine.ENCODINGS", ENCODINGS | {"LATIN1"})
        async with Store.open(latin1, owner="test") as store:
            await store.activate_labels([profile("Zürich")], NOW)
            await saved(store, batch((query(), hours(0, 2))), [0.30000000000000004, 2], profiles=["Zürich"])
            with pytest.raises(ValueRejected):
                await store.set_state("x", "東京")
    copy(latin1, empty_postgres_url)
    async with Store.open(empty_postgres_url, owner="test") as store:
        assert await values(store, "Zürich") == {0: 0.30000000000000004, 1: 2.0}


async def test_an_answer_is_durable_although_the_role_would_not_wait_for_the_disk(postgres_server, postgres_url):
    def shown(connection):
        return connection.exec_driver_sql("SHOW synchronous_commit").scalar()

    for given, expected in {"off": "on", "local": "on", "remote_write": "on", "remote_apply": "remote_apply"}.items():
        setting(postgres_server, postgres_url, f"synchronous_commit = {given}")
        async with Store.open(postgres_url, owner="test") as store:
            assert await store._database.write(shown) == expected


async def test_limits_of_time_end_nothing_that_takes_longer(postgres_server, postgres_url):
    limits = "statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout", "lock_timeout"
    await fill(postgres_url)
    setting(postgres_server, postgres_url, *(f"{name} = '200ms'" for name in limits))

    def work(connection):
        connection.exec_driver_sql("SELECT pg_sleep(0.4)")

    async with Store.open(postgres_url, owner="test") as store:
        await store._database.write(work)
        await store._database.read_in_thread(work)
        with store._database.read() as connection:
            work(connection)
            await asyncio.sleep(0.4)
            work(connection)


async def test_rows_that_a_policy_would_hide_are_an_error_and_not_an_absence(postgres_server, postgres_url):
    await fill(postgres_url)
    url = sa.make_url(postgres_url)
    role = f"{url.database}_role"
    postgres_server.run(f"CREATE ROLE {role} LOGIN")
    there = psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True)
    with closing(there):
        there.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        there.execute("ALTER TABLE points ENABLE ROW LEVEL SECURITY")
        there.execute("CREATE POLICY only_some ON points USING (value > 1)")
        try:
            address = url.set(username=role).render_as_string(hide_password=False)
            async with Store.open(address, owner=None) as store:
                with pytest.raises(Exception, match="row-level security"):
                    await exported(store)
        finally:
            there.execute(f"DROP OWNED BY {role}")
            there.execute(f"DROP ROLE {role}")


async def test_a_store_stays_in_its_schema_when_another_one_comes_to_stand_before_it(postgres_server, postgres_url):
    """By `"$user", public` a store in public was hidden as soon as somebody made a schema named as the user."""
    await fill(postgres_url)
    url = sa.make_url(postgres_url)
    dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg.connect(dsn, autocommit=True)) as there:
        there.execute("CREATE SCHEMA AUTHORIZATION current_user")
    before = await told(postgres_url)
    commands.downgrade(postgres_url, "0006")
    commands.upgrade(postgres_url)
    async with Store.open(postgres_url, owner="test") as store:
        kept = "SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        assert await rows(store, kept) == [("public",)]
    assert await told(postgres_url) == before
