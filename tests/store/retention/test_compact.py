"""Compaction: the freed room is given back, and nothing else changes."""

import asyncio
import resource
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from collector.store import Store, StoreUnavailable, TooLittleRoom
from collector.store.admin.commands import digest
from collector.store.admin.verify import verify
from collector.store.retention import compact
from tests.harness.factories import DAY, HOUR, NOW, batch, hours, profile, query, saved, values

ALL, OTHER = query(), query(validationLevel="DOMAIN")
BOTH = [profile(), profile("other", filters={"validationLevel": ("DOMAIN",)})]
MANY = 10_000
"""Hours of each series, about 250 KB."""


@pytest.fixture
def path(sqlite_url):
    return Path(sqlite_url.removeprefix("sqlite:///"))


async def fill(store):
    """Write two series of MANY points each."""
    await store.activate_labels(BOTH, NOW)
    for asked, name in ((ALL, "all"), (OTHER, "other")):
        window = hours(-MANY, 0)
        await saved(store, batch((asked, window)), [n / 7 for n in range(MANY)], profiles=(name,))


async def delete_other(store):
    """Delete the second series, half of what is stored."""
    (number,) = [row.id for row in await store.list_series(profile="other")]
    await store.delete_series(number, BOTH[:1], dry_run=False)


async def digest_of(url):
    assert (await asyncio.to_thread(verify, url)).findings == []
    return await asyncio.to_thread(digest, url)


def log_of(path):
    return path.with_name(path.name + "-wal")


async def test_it_works(store_url):
    async with Store.open(store_url, owner="test") as store:
        await fill(store)
        await delete_other(store)
        before = await digest_of(store_url)
        size = (await store.info()).bytes
        done = await store.compact()
        assert done == compact.Compacted(size, (await store.info()).bytes)
        assert done.bytes_after < done.bytes_before
        assert await digest_of(store_url) == before
        assert (await store.compact()).bytes_after < done.bytes_before
        await store.check_writable()


async def test_a_sqlite_file_has_no_free_page_and_an_empty_log(sqlite_url, path):
    async with Store.open(sqlite_url, owner="test") as store:
        await fill(store)
        await delete_other(store)
        inode = path.stat().st_ino
        done = await store.compact()
        assert path.stat().st_size == done.bytes_after < 0.7 * done.bytes_before
        assert (path.stat().st_ino, log_of(path).stat().st_size) == (inode, 0)
        with store._database.read() as connection:
            assert connection.exec_driver_sql("PRAGMA freelist_count").scalar() == 0


async def test_writes_wait_and_reads_go_on(store_url):
    async with Store.open(store_url, owner="test") as store:
        await fill(store)
        compaction = asyncio.create_task(store.compact())
        while not compaction.done():
            await store.set_state("a", "b")
            assert len(await values(store, start=DAY - 4 * HOUR)) == 4
        assert (await compaction).bytes_after
        assert await store.get_state("a") == "b"
    await digest_of(store_url)


async def test_a_reader_keeps_what_it_began_with_and_delays_only_the_shrinking(sqlite_url, monkeypatch):
    monkeypatch.setattr(compact, "_READERS_SECONDS", 0.3)
    async with Store.open(sqlite_url, owner="test") as store:
        await fill(store)
        await delete_other(store)
        with store._database.read() as connection:
            before = connection.execute(sa.text("SELECT count(*), sum(value) FROM points")).one()
            held = await store.compact()
            assert held.waits_for_readers
            await store.check_writable()  # writes do not wait for the reader
            assert connection.execute(sa.text("SELECT count(*), sum(value) FROM points")).one() == before
        done = await store.compact()
        assert not done.waits_for_readers
        assert done.bytes_after < held.bytes_after


async def test_a_caller_that_is_cancelled_leaves_the_store_whole(store_url):
    async with Store.open(store_url, owner="test") as store:
        await fill(store)
        before = await digest_of(store_url)
        for delay in (0, 0.005, 0.01, 0.02, 0.04):
            compaction = asyncio.create_task(store.compact())
            await asyncio.sleep(delay)
            compaction.cancel()
            await asyncio.wait([compaction])
            await store.check_writable()
            assert await digest_of(store_url) == before


@pytest.mark.parametrize("limit", [0, 150_000])
async def test_a_disk_that_becomes_full_meanwhile_leaves_the_store_whole(sqlite_url, path, limit):
    async with Store.open(sqlite_url, owner="test") as store:
        await fill(store)
        before = await digest_of(sqlite_url)
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
        try:
            with pytest.raises(StoreUnavailable, match=r"the disk (is full|reports an error)"):
                await store.compact()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        await store.check_writable()
        assert await digest_of(sqlite_url) == before
        await store.compact()
        assert log_of(path).stat().st_size == 0
    assert await digest_of(sqlite_url) == before


async def test_too_little_room_is_found_before_anything_is_written(sqlite_url, path, monkeypatch):
    async with Store.open(sqlite_url, owner="test") as store:
        monkeypatch.setattr(compact, "_MORE_BYTES", 10**18)
        before = path.read_bytes(), log_of(path).read_bytes()
        with pytest.raises(TooLittleRoom, match="bytes of room on the disk of") as refused:
            await store.compact()
        assert (path.read_bytes(), log_of(path).read_bytes()) == before
        assert str(path.parent) not in refused.value.detail


def test_both_copies_on_one_disk_need_twice_the_room(tmp_path, monkeypatch):
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    free = compact.shutil.disk_usage(tmp_path).free
    compact.check_room(tmp_path / "collector.db", free // 4)
    with pytest.raises(TooLittleRoom, match=rf"on the disk of {tmp_path}, and"):
        compact.check_room(tmp_path / "collector.db", free // 4 * 3)


def test_temporary_files_are_where_sqlite_looks_for_room(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.delenv("SQLITE_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    assert compact.temporary_folder() == Path("/var/tmp")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "folder"))
    assert compact.temporary_folder() == tmp_path / "folder"
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path / "file"))
    assert compact.temporary_folder() == tmp_path / "folder"
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    assert compact.temporary_folder() == tmp_path


@pytest.fixture
def other_user(postgres_server, postgres_url):
    """The address of a store with a user who may read and write the tables but does not own them."""
    url = sa.make_url(postgres_url)
    postgres_server.run("CREATE ROLE somebody LOGIN")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO somebody")
        connection.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO somebody")
    yield url.set(username="somebody").render_as_string(hide_password=False)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP OWNED BY somebody")
    postgres_server.run("DROP ROLE somebody")


async def test_a_user_who_may_not_vacuum_is_told(other_user):
    async with Store.open(other_user, owner="test") as store:
        await store.check_writable()
        with pytest.raises(StoreUnavailable, match="is compacted in part only"):
            await store.compact()


async def test_a_time_out_of_the_server_is_said(postgres_url, postgres_server):
    database = sa.make_url(postgres_url).database
    async with Store.open(postgres_url, owner="test") as store:
        await store.check_writable()
        postgres_server.run(f"ALTER DATABASE {database} SET statement_timeout = 100")
        postgres_server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
        with pytest.raises(StoreUnavailable, match=r"ended a statement \(canceling statement due to"):
            await store._database.run_alone(lambda driver: driver.execute("SELECT pg_sleep(10)"))
