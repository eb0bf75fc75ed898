import os
import shutil
import sqlite3
from contextlib import closing

import pytest

from collector.errors import UsageError
from collector.store import NotAStore, SchemaTooNew, Store, StoreAliased, StoreCorrupt, StoreLocked, StoreUnavailable
from collector.store.admin.backup import backup, restore
from collector.store.admin.commands import current, digest, downgrade
from collector.store.admin.verify import verify
from collector.store.db import sqlite_file
from collector.store.db.migrate import HEAD
from tests.harness.factories import batch, filled, hours, query, values
from tests.harness.store_owner import holding, killed_after_writing, killed_while_restoring

ASKED = batch((query(), hours(0, 4)))


@pytest.fixture
async def url(sqlite_url):
    return await filled(sqlite_url)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "collector.db"


@pytest.fixture
async def saved_copy(url, tmp_path):
    (tmp_path / "backups").mkdir()
    backup(url, tmp_path / "backups" / "backup.db")
    return tmp_path / "backups" / "backup.db"


async def stored(url, owner=None):
    async with Store.open(url, owner=owner) as store:
        return list((await values(store)).values())


def names(path):
    """The files there, but for those that go with a store that is open."""
    own = [f"{path.name}{suffix}" for suffix in ("-wal", "-shm", ".lock")]
    return sorted(file.name for file in path.parent.iterdir() if file.is_file() and file.name not in own)


async def test_it_works_after_a_kill_and_keeps_what_was_there(url, path, saved_copy):
    before = digest(url)
    killed_after_writing(url, path.parent, 5, 6, 7, 8)
    after = digest(url)
    restored = restore(url, saved_copy)
    assert (restored.path, restored.size) == (path, path.stat().st_size)
    assert (digest(url), (verify(url)).findings) == (before, [])
    assert names(path) == ["collector.db", restored.kept.name, f"{restored.kept.name}-wal"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert digest(f"sqlite:///{restored.kept}") == after, "what was there is whole, with its log"
    assert await stored(url, "run") == [1, 2, 3, 4]
    assert names(saved_copy) == ["backup.db"]


async def test_a_missing_store_and_what_it_left_behind_are_no_hindrance(url, path, saved_copy, tmp_path):
    killed_after_writing(url, path.parent, 5, 6, 7, 8)
    path.unlink()
    assert (restore(url, saved_copy)).kept is None
    assert await stored(url, "run") == [1, 2, 3, 4]
    there = tmp_path / "new" / "folder" / "collector.db"
    restore(f"sqlite:///{there}", saved_copy)
    assert await stored(f"sqlite:///{there}") == [1, 2, 3, 4]


@pytest.mark.parametrize("content", [b"", b"rubbish" * 1000, None])
async def test_a_destroyed_store_is_replaced_and_kept(url, path, saved_copy, content):
    path.write_bytes(path.read_bytes()[:4096] if content is None else content)
    destroyed = path.read_bytes()
    restored = restore(url, saved_copy)
    assert restored.kept.read_bytes() == destroyed
    assert await stored(url) == [1, 2, 3, 4]


async def test_a_store_in_use_is_not_replaced(url, path, saved_copy, tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with holding(url, tmp_path) as holder:
        before = path.stat().st_ino
        for there in (url, f"sqlite:///{link}"):
            with pytest.raises(StoreLocked, match=rf"`collector run` \(process {holder.pid},"):
                restore(there, saved_copy)
        assert (path.stat().st_ino, names(saved_copy)) == (before, ["backup.db"])


async def test_a_link_to_the_store_stays_one(url, path, saved_copy, tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(path)
    restore(f"sqlite:///{link}", saved_copy)
    assert link.is_symlink()
    assert await stored(url) == [1, 2, 3, 4]


async def test_an_older_store_is_restored_and_migrated_when_opened(url, path, tmp_path, sqlite_template):
    shutil.copy(sqlite_template, tmp_path / "older.db")
    downgrade(f"sqlite:///{tmp_path}/older.db", "0005")
    restore(url, tmp_path / "older.db")
    assert current(url) == "0005"
    assert await stored(url, "run") == []
    assert current(url) == HEAD


def foreign(file):
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("CREATE TABLE t (x)")


def newer(file):
    with closing(sqlite3.connect(file)) as store, store:
        store.execute("UPDATE schema_revision SET version_num = '9999'")


def unfinished(file):
    with closing(sqlite3.connect(file)) as store, store:
        store.execute("UPDATE schema_revision SET version_num = 'copying'")


def wrong(file):
    with closing(sqlite3.connect(file)) as store, store:
        store.execute("UPDATE points SET value = 5 WHERE value = 4")


def itself(file):
    file.unlink()
    file.symlink_to(file.parents[1] / "collector.db")


def cut(file):
    os.truncate(file, 8192)


@pytest.mark.parametrize(
    ("kind", "told", "spoil"),
    [
        (NotAStore, "of another program", lambda file: [file.unlink(), foreign(file)]),
        (NotAStore, "is not a SQLite database", lambda file: file.write_text("points" * 1000)),
        (NotAStore, "a copy that was interrupted", unfinished),
        (SchemaTooNew, "revision 9999", newer),
        (StoreCorrupt, "is damaged, so it was not restored; `collector db verify` says: all", wrong),
        (StoreCorrupt, "is damaged", cut),
        (UsageError, "is no file", lambda file: file.unlink()),
        (UsageError, "is no file", lambda file: [file.unlink(), file.mkdir()]),
        (
            UsageError,
            "is the store itself",
            itself,
        ),
    ],
)
async def test_what_is_no_sound_store_is_not_restored(url, saved_copy, kind, told, spoil):
    path = saved_copy.parents[1] / "collector.db"
    spoil(saved_copy)
    before = path.read_bytes()
    with pytest.raises(kind, match=told):
        restore(url, saved_copy)
    assert (names(path), path.read_bytes()) == (["collector.db"], before)


async def test_a_folder_is_not_replaced(saved_copy, tmp_path):
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        restore(f"sqlite:///{tmp_path}/folder.db", saved_copy)


async def test_postgres_has_its_own_tool(saved_copy):
    with pytest.raises(UsageError, match="pg_restore") as refused:
        restore("postgresql://me:hunter2@127.0.0.1:1/radar", saved_copy)
    assert "hunter2" not in str(refused.value)


CALLS = 12
"""More than a restore makes."""


async def test_killed_at_any_step_one_of_the_two_is_there_whole(url, path, saved_copy):
    killed_after_writing(url, path.parent, 5, 6, 7, 8)
    files = {file: file.read_bytes() for file in path.parent.glob("collector.db*")}
    died = 0
    for call in range(CALLS):
        for file, content in files.items():
            file.unlink(missing_ok=True)
            file.write_bytes(content)
        died += killed_while_restoring(url, path.parent, saved_copy, call)
        for other in path.parent.glob("collector.db.replaced-*Z"):
            if other.samefile(path):
                with pytest.raises(StoreAliased, match=f"is a file with 2 names .also {other.name}.:"):
                    await stored(url, "run")
            other.unlink()
        assert await stored(url, "run") in ([1, 2, 3, 4], [5, 6, 7, 8])
        assert (verify(url)).findings == []
    assert 8 <= died < CALLS
    restore(url, saved_copy)
    assert await stored(url, "run") == [1, 2, 3, 4]


async def test_a_file_system_without_links_will_do(url, path, saved_copy, monkeypatch):
    def refuse(*_arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    restored = restore(url, saved_copy)
    assert await stored(f"sqlite:///{restored.kept}") == await stored(url) == [1, 2, 3, 4]


async def test_a_full_disk_changes_nothing(url, path, saved_copy, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(sqlite_file, "sync", full)
    with pytest.raises(StoreUnavailable, match=r"cannot be written \(no space left on device\)"):
        restore(url, saved_copy)
    assert (names(path), path.read_bytes()) == (["collector.db"], before)


def test_a_name_that_exists_is_not_taken_for_what_is_kept(path):
    first = sqlite_file.aside(path)
    first.touch()
    second = sqlite_file.aside(path)
    assert second != first
