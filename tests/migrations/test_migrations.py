"""The migrations, tried on both databases: they build what is declared, go back and forth, and run once."""

import asyncio
import re
import sqlite3
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

import alembic.command
import psycopg
import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

import collector
from collector.errors import UsageError
from collector.model import Annotation
from collector.store import Fire, NotAStore, SchemaTooNew, SchemaTooOld, Store, StoreError, StoreMissing
from collector.store.admin import commands
from collector.store.admin.verify import verify
from collector.store.db import engine, migrate
from collector.store.db.schema import APPLICATION_ID, metadata, partitions
from collector.store.db.sql import MIGRATION
from tests.harness.factories import DAY, HOUR, NOW, batch, hours, profile, query, saved, values
from tests.harness.store_owner import start_together

PROCESSES = 8


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request, tmp_path):
    """The address of a store that is not there yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/collector.db"
    return request.getfixturevalue("empty_postgres_url")


def test_the_newest_migration_is_the_revision_this_version_knows():
    directory = ScriptDirectory(str(migrate.folder()))
    assert directory.get_heads() == [migrate.HEAD]
    revisions = [script.revision for script in directory.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True)
    assert all(re.fullmatch(r"\d{4}", revision) for revision in revisions)


def test_migrations_are_found_in_a_checkout_and_in_a_package(tmp_path, monkeypatch):
    assert migrate.folder() == Path(collector.__file__).parents[1] / "migrations"
    (tmp_path / "collector" / "migrations").mkdir(parents=True)
    monkeypatch.setattr(collector, "__file__", str(tmp_path / "collector" / "__init__.py"))
    assert migrate.folder() == tmp_path / "collector" / "migrations"


async def test_migrations_build_what_is_declared(new_url):
    assert commands.upgrade(new_url) == (None, migrate.HEAD)
    assert commands.check(new_url) == []
    assert commands.upgrade(new_url) == (migrate.HEAD, migrate.HEAD)


def sqlite_schema(path):
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE tbl_name <> ?", (migrate.VERSION_TABLE,)
        )
        return {(kind, name): re.sub(r"\s+", " ", sql or "") for kind, name, sql in found}


async def test_on_sqlite_migrations_and_declaration_agree_to_the_letter(tmp_path):
    commands.upgrade(f"sqlite:///{tmp_path}/migrated.db")
    declared = sa.create_engine(f"sqlite:///{tmp_path}/declared.db")
    metadata.create_all(declared)
    declared.dispose()
    assert sqlite_schema(tmp_path / "migrated.db") == sqlite_schema(tmp_path / "declared.db")
    assert all("STRICT" in sql for (kind, _), sql in sqlite_schema(tmp_path / "migrated.db").items() if kind == "table")


def postgres_schema(url):
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    queries = (
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns",
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint",
        "SELECT tablename, indexname, indexdef FROM pg_indexes",
        "SELECT table_name, view_definition, '' FROM information_schema.views",
        "SELECT relname, pg_get_expr(relpartbound, oid), pg_get_partkeydef(oid) FROM pg_class",
    )
    ours = [*metadata.tables, *partitions(), "labels", "history"]
    with engine.connect() as connection:
        found = [tuple(row) for query in queries for row in connection.execute(sa.text(query))]
    engine.dispose()
    return {row for row in found if row[0] in ours}


async def test_on_postgres_migrations_and_declaration_agree(postgres_server, empty_postgres_url):
    commands.upgrade(empty_postgres_url)
    declared = postgres_server.create()
    engine = sa.create_engine(declared.set(drivername="postgresql+psycopg"))
    metadata.create_all(engine)
    engine.dispose()
    expected = postgres_schema(declared)
    assert postgres_schema(empty_postgres_url) == expected
    assert len(expected) > 100
    postgres_server.drop(declared)


async def test_a_store_goes_back_to_nothing_and_comes_again(new_url):
    commands.upgrade(new_url)
    assert commands.downgrade(new_url, "base") is None
    assert commands.current(new_url) is None
    with pytest.raises(SchemaTooOld, match="holds no store yet"):
        commands.check(new_url)
    assert commands.upgrade(new_url) == (None, migrate.HEAD)
    assert commands.check(new_url) == []


REMARK = Annotation(DAY + HOUR, None, "CT", "OUTAGE", description=None, linked_url=None, is_instantaneous=False)


def revisions():
    return [script.revision for script in ScriptDirectory(str(migrate.folder())).walk_revisions()][1:]


def stepped_to():
    """The first revision, every fourth and the newest ones; the steps to all of them are on the way to the first."""
    known = sorted(revisions())
    ordinary = {known[0], *known[::4], *known[-3:]}
    return [pytest.param(r, marks=[] if r in ordinary else pytest.mark.campaign) for r in known]


@pytest.mark.parametrize("revision", stepped_to())
async def test_what_is_stored_survives_a_step_back_and_forth(store_url, revision):
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        await saved(store, batch((query(), hours(0, 4))), [1, 2, 3, 4], annotations=[REMARK])
    assert commands.downgrade(store_url, revision) == revision
    with pytest.raises(SchemaTooOld, match=f"revision {revision}"):
        async with Store.open(store_url, owner="test", upgrade=False):
            pass
    async with Store.open(store_url, owner="test") as store:
        assert await values(store) == {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}
        (remark,) = await store.list_annotations()
        assert (remark.start_date, remark.description or "", remark.linked_url or "") == (DAY + HOUR, "", "")
    assert commands.check(store_url) == []
    assert (verify(store_url)).findings == []


async def test_what_was_written_before_there_were_seals_is_sealed(store_url):
    window = hours(0, 4)
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        await saved(store, batch((query(), window)), [1, 2, 3, 4])
        await saved(store, batch((query(), window)), {0: 1, 1: 2}, now=NOW + HOUR, updated=NOW + HOUR)
        await store.finish([Fire("all", DAY + n * HOUR / 4, "collected", NOW) for n in range(3)], [])
    commands.downgrade(store_url, "0005")
    commands.upgrade(store_url)
    assert (verify(store_url)).findings == []
    async with Store.open(store_url, owner="test") as store:
        await saved(store, batch((query(), window)), {0: 1, 2: 3}, now=NOW + 2 * HOUR, updated=NOW + 2 * HOUR)
        await store.finish([Fire("all", DAY + n * HOUR / 4, "failed", NOW) for n in range(5)], [])
    assert (verify(store_url)).findings == []


async def test_an_unknown_revision_is_refused_and_nothing_changes(store_url):
    for revision in ("0099", "nonsense", "000"):
        with pytest.raises(UsageError, match="no schema revision"):
            commands.downgrade(store_url, revision)
    assert commands.check(store_url) == []


async def test_a_missing_file_is_not_created_by_looking(tmp_path):
    url = f"sqlite:///{tmp_path}/collector.db"
    for attempt in (commands.current, commands.check, partial(commands.downgrade, revision="base")):
        with pytest.raises(StoreMissing):
            attempt(url)
    assert list(tmp_path.iterdir()) == []


async def test_a_migration_that_fails_leaves_the_store_as_it_was(store_url, monkeypatch, tmp_path):
    broken = tmp_path / "migrations"
    (broken / "versions").mkdir(parents=True)
    for name in ("env.py", "script.py.mako"):
        (broken / name).write_text((migrate.folder() / name).read_text())
    for file in (migrate.folder() / "versions").glob("*.py"):
        (broken / "versions" / file.name).write_text(file.read_text())
    (broken / "versions" / "9000_broken.py").write_text(
        f"from alembic import op\nrevision, down_revision = '9000', '{migrate.HEAD}'\n"
        "def upgrade():\n    op.execute('CREATE TABLE half (x integer)')\n    op.execute('nonsense')\n"
    )
    before = commands.current(store_url)
    monkeypatch.setattr(migrate, "folder", lambda: broken)
    monkeypatch.setattr(migrate, "HEAD", "9000")
    with pytest.raises(Exception, match="nonsense"):
        async with Store.open(store_url, owner="test"):
            pass
    monkeypatch.undo()
    assert commands.current(store_url) == before
    assert commands.check(store_url) == []
    async with Store.open(store_url, owner="test") as store:
        with store._database.read() as connection:
            assert not sa.inspect(connection).has_table("half")


async def test_a_newer_postgres_store_is_left_alone(postgres_server, postgres_url):
    async with Store.open(postgres_url, owner="test") as store:

        def newer(connection):
            connection.exec_driver_sql("UPDATE schema_revision SET version_num = '9999'")

        await store._database.write(newer)
    for owner, upgrade in (("test", True), ("test", False), (None, False)):
        with pytest.raises(SchemaTooNew, match="9999"):
            async with Store.open(postgres_url, owner=owner, upgrade=upgrade):
                pass
    with pytest.raises(SchemaTooNew):
        commands.check(postgres_url)


@pytest.mark.parametrize("revision", ["0000", "-006", " 006", "6"])
async def test_a_revision_that_no_version_had_is_told_in_a_sentence(store_url, revision):
    async with Store.open(store_url, owner="test") as store:

        def spoil(connection):
            connection.exec_driver_sql(f"UPDATE schema_revision SET version_num = '{revision}'")

        await store._database.write(spoil)
    with pytest.raises(StoreError, match=f"revision .*{revision}"):
        async with Store.open(store_url, owner="test"):
            pass


async def test_an_empty_postgres_database_is_for_a_writer_to_fill(empty_postgres_url):
    for owner, upgrade in ((None, True), ("test", False)):
        with pytest.raises(SchemaTooOld, match="holds no store yet"):
            async with Store.open(empty_postgres_url, owner=owner, upgrade=upgrade):
                pass


async def test_another_programs_table_of_the_same_name_is_not_touched(empty_postgres_url):
    engine = sa.create_engine(sa.make_url(empty_postgres_url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE points (x integer)"))
    with pytest.raises(NotAStore, match="points"):
        async with Store.open(empty_postgres_url, owner="test"):
            pass
    with engine.begin() as connection:
        assert sa.inspect(connection).get_table_names() == ["points"]
    engine.dispose()


async def test_drift_is_named(store_url):
    async with Store.open(store_url, owner="test") as store:

        def drift(connection):
            connection.exec_driver_sql("DROP VIEW history")
            on_sqlite = connection.dialect.name == "sqlite"
            connection.exec_driver_sql("DROP INDEX ix_fetches_last_updated")
            connection.exec_driver_sql(f"ALTER TABLE {'fire_records' if on_sqlite else 'fires'} ADD COLUMN note TEXT")
            connection.exec_driver_sql("CREATE TABLE other (x INTEGER)")

        await store._database.write(drift)
    found = "\n".join(commands.check(store_url))
    assert "history" in found
    assert "ix_fetches_last_updated" in found
    assert "note" in found
    assert "other" not in found


def test_many_that_start_at_once_migrate_once(new_url, tmp_path):
    with ExitStack() as files:
        outputs = [[files.enter_context(TemporaryFile("w+")) for _ in range(2)] for _ in range(PROCESSES)]
        processes = start_together(new_url, tmp_path, outputs)
        assert [process.wait(120) for process in processes] == [0] * PROCESSES
        outcomes, complaints = ([file.seek(0) or file.read() for file in kind] for kind in zip(*outputs, strict=True))
    assert complaints == [""] * PROCESSES
    if new_url.startswith("sqlite"):  # there one owns the store, and the others are told so
        assert "opened" in outcomes
        assert set(outcomes) <= {"opened", "StoreLocked"}
    else:
        assert outcomes == ["opened"] * PROCESSES
    assert (commands.check(new_url)) == []


async def test_a_migration_of_another_is_waited_for_longer_than_any_lock(postgres_url, monkeypatch):
    commands.downgrade(postgres_url, "0003")
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.05)
    waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND clock_timestamp() - waitstart > '0.2 s')"
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [MIGRATION])
        upgrading = asyncio.create_task(asyncio.to_thread(commands.upgrade, postgres_url))
        while not upgrading.done() and other.execute(waits).fetchone() == (False,):  # noqa: ASYNC110 - the server tells
            await asyncio.sleep(0.02)
        assert not upgrading.done()
    assert await upgrading == ("0003", migrate.HEAD)


async def test_a_store_is_marked_as_ours(sqlite_url, tmp_path):
    with closing(sqlite3.connect(tmp_path / "collector.db")) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_alembics_own_command_says_what_to_use_instead():
    config = Config()
    config.set_main_option("script_location", str(migrate.folder()))
    with pytest.raises(SystemExit, match="collector db upgrade"):
        alembic.command.current(config)
