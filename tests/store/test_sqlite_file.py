"""What a SQLite store can be instead of a store, told apart in sentences, with every byte kept."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from collector.errors import CollectorError
from collector.store import NotAStore, SchemaTooNew, SchemaTooOld, Store, StoreCorrupt, StoreMissing, StoreUnavailable
from collector.store.db import engine
from tests.store.making import NOW, batch, hours, profile, query, saved, values


def mode(path):
    return stat.S_IMODE(Path(path).stat().st_mode)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "collector.db"


async def refusal(path, owner, **options):
    """What is said when the store is opened, which leaves the file as it is."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(CollectorError) as refused:
        async with Store.open(f"sqlite:///{path}", owner=owner, **options):
            pass
    assert before is None or path.read_bytes() == before
    assert not [*path.parent.glob("*-journal"), *path.parent.glob("*.new")]
    assert not any(wal.stat().st_size for wal in path.parent.glob("*-wal"))
    return refused.value


both = pytest.mark.parametrize("owner", ["test", None])


async def test_a_missing_store_is_created_for_its_owner_alone(tmp_path):
    path = tmp_path / "deep" / "data" / "collector.db"
    async with Store.open(f"sqlite:///{path}", owner="test") as store:
        await store.activate_labels([profile()], NOW)
        assert mode(path.parent) == 0o700
        assert {file.name: mode(file) for file in path.parent.iterdir()} == {
            "collector.db": 0o600,
            "collector.db-shm": 0o600,
            "collector.db-wal": 0o600,
            "collector.db.lock": 0o600,
        }
    assert {file.name for file in path.parent.iterdir()} == {"collector.db", "collector.db.lock"}


async def test_a_folder_that_is_there_keeps_its_mode(tmp_path):
    tmp_path.chmod(0o755)
    async with Store.open(f"sqlite:///{tmp_path}/collector.db", owner="test"):
        assert mode(tmp_path) == 0o755


@pytest.mark.parametrize("name", ["with blank.db", "100%.db", "q?u#e.db", "ünï.db", "a'b\"c;.db"])
async def test_a_file_may_have_any_name(tmp_path, name):
    async with Store.open(f"sqlite:///{tmp_path}/{quote(name)}", owner="test") as store:
        await store.activate_labels([profile()], NOW)
        await saved(store, batch((query(), hours(0, 1))), [1])
        assert await values(store) == {0: 1.0}
    assert (tmp_path / name).is_file()


async def test_a_link_to_a_file_that_does_not_exist_is_followed(tmp_path):
    (tmp_path / "data").mkdir()
    link = tmp_path / "collector.db"
    link.symlink_to("data/history.db")
    async with Store.open(f"sqlite:///{link}", owner="test") as store:
        await store.check_writable()
    assert (link.is_symlink(), (tmp_path / "data" / "history.db").is_file()) == (True, True)


@pytest.mark.parametrize(("link", "to"), [("x.db", "gone/x.db"), ("folder", "gone"), ("x.db", "x.db")])
async def test_a_link_that_leads_nowhere_is_neither_replaced_nor_followed(tmp_path, link, to):
    """A disk that is not mounted must not be taken for an empty one."""
    (tmp_path / link).symlink_to(to)
    path = tmp_path / link if link == "x.db" else tmp_path / link / "x.db"
    with pytest.raises(StoreUnavailable, match=f"{link} is a symbolic link to .*{to}, which cannot be reached"):
        async with Store.open(f"sqlite:///{path}", owner="test"):
            pass
    assert [file.name for file in tmp_path.iterdir()] == [link]


async def test_a_relative_path_is_taken_from_where_the_process_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with Store.open("sqlite:///collector.db", owner="test"):
        assert (tmp_path / "collector.db").is_file()


async def test_a_reader_creates_nothing(path):
    error = await refusal(path, None)
    assert isinstance(error, StoreMissing)
    assert "there is no store at" in str(error)
    assert list(path.parent.iterdir()) == []


async def test_without_leave_to_migrate_nothing_is_created(path):
    assert isinstance(await refusal(path, "test", upgrade=False), SchemaTooOld)
    assert not path.exists()


@both
async def test_an_empty_file_is_not_a_store(path, owner):
    path.touch()
    error = await refusal(path, owner)
    assert isinstance(error, NotAStore)
    assert "is empty: not a store" in str(error)


@both
@pytest.mark.parametrize("content", [b"x", b"timestamp,value\n1,2\n" * 1000, b"SQLite format 3", bytes(100_000)])
async def test_a_foreign_file_is_not_a_store(path, owner, content):
    path.write_bytes(content)
    error = await refusal(path, owner)
    assert isinstance(error, NotAStore)
    assert "is not a SQLite database" in str(error)


@both
async def test_another_programs_database_is_not_a_store(path, owner):
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE points (series_id, timestamp, value, fetch_id)")
    error = await refusal(path, owner)
    assert isinstance(error, NotAStore)
    assert "of another program" in str(error)


@both
async def test_a_folder_is_not_a_store(path, owner):
    path.mkdir()
    assert isinstance(await refusal(path, owner), NotAStore)


@both
async def test_a_store_of_a_newer_version_is_left_alone(sqlite_url, path, owner):
    with closing(sqlite3.connect(path)) as store, store:
        store.execute("UPDATE schema_revision SET version_num = '9999'")
    error = await refusal(path, owner)
    assert isinstance(error, SchemaTooNew)
    assert "revision 9999" in str(error)


@pytest.mark.parametrize("owner", ["test", None])
async def test_an_older_store_is_left_alone_without_leave_to_migrate(sqlite_url, path, owner):
    with closing(sqlite3.connect(path)) as store, store:
        store.execute("UPDATE schema_revision SET version_num = '0000'")
    error = await refusal(path, owner, upgrade=owner is None)
    assert isinstance(error, SchemaTooOld)
    assert "collector db upgrade" in str(error)


async def test_a_store_cut_short_is_damaged(sqlite_url, path):
    path.write_bytes(path.read_bytes()[: 3 * 4096])
    assert isinstance(await refusal(path, "test"), StoreCorrupt)


@contextmanager
def unprivileged():
    """Root may write anywhere, so be somebody else for a while."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def read_only(sqlite_template):
    folder = Path(tempfile.mkdtemp())
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("stored", [True, False])
async def test_a_read_only_folder_is_said_to_be_one(read_only, sqlite_template, stored):
    if stored:
        shutil.copy(sqlite_template, read_only / "collector.db").chmod(0o644)
    read_only.chmod(0o555)
    with unprivileged():
        with pytest.raises(StoreUnavailable, match="cannot be written to"):
            async with Store.open(f"sqlite:///{read_only}/collector.db", owner="test"):
                pass
        with pytest.raises(StoreUnavailable, match="cannot be created"):
            async with Store.open(f"sqlite:///{read_only}/data/collector.db", owner="test"):
                pass


async def test_a_file_that_may_not_be_read_is_said_to_be_one(read_only, sqlite_template):
    shutil.copy(sqlite_template, read_only / "collector.db").chmod(0o000)
    read_only.chmod(0o777)
    with unprivileged(), pytest.raises(StoreUnavailable, match="cannot be opened"):
        async with Store.open(f"sqlite:///{read_only}/collector.db", owner=None):
            pass


async def test_a_file_deleted_while_open_takes_no_more_writes(sqlite_url, path):
    async with Store.open(sqlite_url, owner="test") as store:
        path.unlink()
        for attempt in (store.check_writable(), store.get_state("x"), store.activate_labels([profile()], NOW)):
            with pytest.raises(StoreUnavailable, match="deleted or replaced"):
                await attempt


async def test_a_file_replaced_while_open_takes_no_more_writes(sqlite_url, path, tmp_path):
    async with Store.open(sqlite_url, owner="test") as store:
        shutil.copy(path, tmp_path / "other.db")
        (tmp_path / "other.db").replace(path)
        with pytest.raises(StoreUnavailable, match="deleted or replaced"):
            await store.check_writable()


async def test_what_an_interrupted_creation_left_behind_is_no_hindrance(path):
    for suffix in (".new", ".new-wal", ".new-shm"):
        path.with_name(path.name + suffix).write_bytes(b"half")
    async with Store.open(f"sqlite:///{path}", owner="test") as store:
        await store.check_writable()
    assert {file.name for file in path.parent.iterdir()} == {"collector.db", "collector.db.lock"}


def died(script, *arguments):
    """Run a script in a process of its own that ends as if it were killed."""
    return subprocess.run([sys.executable, "-c", script, *arguments], check=False, timeout=60).returncode == 9


OPEN_AND_DIE = """
import asyncio, os, sys
from collector.store import Store
from collector.store.db import sqlite_file
step = sys.argv[2]
original = getattr(sqlite_file, step)
setattr(sqlite_file, step, lambda *a, **k: os._exit(9))
async def main():
    async with Store.open(sys.argv[1], owner="test"):
        raise AssertionError("not to be reached")
asyncio.run(main())
"""


@pytest.mark.parametrize("step", ["_remove", "sqlite_engine", "sync"])
async def test_killed_while_it_is_created_a_store_is_missing_and_not_half_there(path, step):
    assert died(OPEN_AND_DIE, f"sqlite:///{path}", step)
    assert not path.exists()
    async with Store.open(f"sqlite:///{path}", owner="test") as store:
        await store.check_writable()


async def test_committed_points_survive_a_kill(path):
    script = """
import asyncio, os, sys
from collector.store import Store
from tests.store.making import *
async def main():
    async with Store.open(sys.argv[1], owner="test") as store:
        await store.activate_labels([profile()], NOW)
        await saved(store, batch((query(), hours(0, 4))), [1, 2, 3, 4])
        fetch_id = await begin(store, batch((query(), hours(0, 4))))
        os._exit(9)
asyncio.run(main())
"""
    assert died(script, f"sqlite:///{path}")
    async with Store.open(f"sqlite:///{path}", owner=None) as reader:
        assert await values(reader) == {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}
    async with Store.open(f"sqlite:///{path}", owner="test") as store:
        assert await store.interrupt(NOW) == 1
        assert await values(store) == {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}


async def test_a_store_locked_by_another_program_at_start_is_said_to_be_locked(sqlite_url, path, monkeypatch):
    monkeypatch.setitem(engine._SQLITE_OPTIONS, "connect_args", {"isolation_level": None, "timeout": 0.1})
    monkeypatch.setattr("collector.store.db.sqlite_file.BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match="locked by another program"):
            async with Store.open(sqlite_url, owner="test"):
                pass
