import shutil
import sqlite3
import stat
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from collector.errors import UsageError
from collector.store import NotAStore, Store, StoreCorrupt, StoreLocked, StoreMissing
from collector.store.admin import backup as backing
from collector.store.admin.backup import backup
from collector.store.admin.commands import digest, downgrade
from collector.store.db.lock_file import lock_path
from tests.harness.factories import NOW, batch, filled, hours, query, saved

LATER = NOW + timedelta(minutes=15)
ASKED = batch((query(), hours(0, 4)))


@pytest.fixture
async def url(sqlite_url):
    return await filled(sqlite_url)


@pytest.fixture
def target(tmp_path):
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups" / "backup.db"


def there(target):
    """What stands where backups go."""
    return sorted(path.name for path in target.parent.iterdir())


def content(path):
    return path.read_bytes()


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def turn_bit(path, what):
    """Turn over one bit of a value, which SQLite does not see."""
    found = content(path)
    assert found.count(what) == 1
    path.write_bytes(found.replace(what, what[:-1] + bytes([what[-1] ^ 1])))


async def test_it_works(url, target):
    size = backup(url, target)
    assert there(target) == ["backup.db"]
    assert (size, mode(target)) == (len(content(target)), 0o600)
    assert digest(f"sqlite:///{target}") == digest(url)


async def test_a_backup_is_a_store_that_goes_on(url, target):
    backup(url, target)
    async with Store.open(f"sqlite:///{target}", owner="run") as store:
        assert (await saved(store, ASKED, [1, 2, 3, 5], now=LATER, updated=LATER)).revised == 1


async def test_it_is_made_beside_a_running_collector_and_shows_one_moment(url, target, monkeypatch):
    monkeypatch.setattr(backing, "_PAGES_A_STEP", 1)
    async with Store.open(url, owner="run") as store:
        await saved(store, batch((query(), hours(4, 8))), [5, 6, 7, 8], now=LATER)
        before = digest(url)
        backup(url, target)
        await saved(store, ASKED, [9, 9, 9, 9], now=LATER, updated=LATER)
    assert digest(f"sqlite:///{target}") == before


async def test_another_file_is_not_overwritten_unless_forced(url, target):
    target.write_text("mine")
    with pytest.raises(UsageError, match="exists; --force overwrites it"):
        backup(url, target)
    assert content(target) == b"mine"
    target.with_name("backup.db-wal").write_text("of the file that was there before")
    backup(url, target, force=True)
    assert there(target) == ["backup.db"]
    assert digest(f"sqlite:///{target}") == digest(url)


async def test_a_file_that_appears_meanwhile_is_not_overwritten_either(url, target, monkeypatch):
    real = backing.find_damage

    def slow(unfinished):
        target.write_text("mine")
        return real(unfinished)

    monkeypatch.setattr(backing, "find_damage", slow)
    with pytest.raises(UsageError, match="exists; --force overwrites it"):
        backup(url, target)
    assert (there(target), content(target)) == (["backup.db"], b"mine")


@pytest.mark.parametrize("force", [False, True])
async def test_the_store_is_not_overwritten_by_its_backup(url, force):
    path = Path(url.removeprefix("sqlite:///"))
    before = content(path)
    with pytest.raises(UsageError, match="is the store itself"):
        backup(url, path, force=force)
    assert content(path) == before


@pytest.mark.parametrize("there_is_one", [True, False])
async def test_a_symbolic_link_is_followed(url, target, tmp_path, there_is_one):
    link = tmp_path / "link.db"
    link.symlink_to(target)
    if there_is_one:
        target.write_text("mine")
        with pytest.raises(UsageError, match="exists; --force overwrites it"):
            backup(url, link)
    backup(url, link, force=there_is_one)
    assert link.readlink() == target
    assert there(target) == ["backup.db"]
    assert digest(f"sqlite:///{target}") == digest(url)


@pytest.mark.parametrize("where", ["nowhere/backup.db", "link.db"])
async def test_a_link_that_leads_nowhere_stays(url, tmp_path, where):
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / where)
    with pytest.raises(UsageError, match="name a file in a folder that exists"):
        backup(url, link, force=True)
    assert link.readlink() == tmp_path / where


async def test_links_to_the_store_are_the_store(url, tmp_path):
    (tmp_path / "link.db").symlink_to(tmp_path / "collector.db")
    with pytest.raises(UsageError, match="is the store itself"):
        backup(url, tmp_path / "link.db", force=True)


async def test_another_store_in_use_is_not_overwritten(url, target):
    shutil.copy(url.removeprefix("sqlite:///"), target)
    async with Store.open(f"sqlite:///{target}", owner="run") as store:
        for lock in (True, False):
            if not lock:
                lock_path(target).unlink()
            with pytest.raises(StoreLocked, match="is a store in use by " + ("`collector run`" if lock else "another")):
                backup(url, target, force=True)
        await store.check_writable()
    assert digest(f"sqlite:///{target}") == digest(url)


async def test_a_percent_sign_in_a_path_is_one(url, tmp_path):
    (tmp_path / "100%41").mkdir()
    backup(url, tmp_path / "100%41" / "backup%20.db")
    assert there(tmp_path / "100%41" / "backup%20.db") == ["backup%20.db"]


async def test_damage_is_not_backed_up(url, target):
    path = Path(url.removeprefix("sqlite:///"))
    async with Store.open(url, owner="test") as store:
        await saved(store, ASKED, [1, 2, 3, 1 / 3], now=LATER, updated=LATER)
    turn_bit(path, b"\x3f\xd5\x55\x55\x55\x55\x55\x55")
    target.write_text("an older backup")
    with pytest.raises(
        StoreCorrupt, match="there is no backup, for the store is damaged; `collector db verify` says: all"
    ):
        backup(url, target, force=True)
    assert (there(target), content(target)) == (["backup.db"], b"an older backup")


async def test_a_full_disk_leaves_nothing(url, target, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backing, "sync", full)
    with pytest.raises(Exception, match="cannot be written \\(no space left on device\\)"):
        backup(url, target)
    assert there(target) == []


async def test_a_store_of_an_older_schema_is_backed_up_too(url, target):
    before = downgrade(url, "0001")
    backup(url, target)
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("SELECT version_num FROM schema_revision").fetchone() == (before,)


async def test_what_is_no_store_is_not_backed_up(tmp_path, target):
    with closing(sqlite3.connect(tmp_path / "foreign.db")) as foreign:
        foreign.execute("CREATE TABLE t (x)")
    for name, kind in (("foreign", NotAStore), ("none", StoreMissing)):
        with pytest.raises(kind):
            backup(f"sqlite:///{tmp_path}/{name}.db", target)
    assert there(target) == []


async def test_a_folder_that_does_not_exist_is_told(url, tmp_path):
    for target in (tmp_path, tmp_path / "none" / "backup.db"):
        with pytest.raises(UsageError, match="name a file in a folder that exists"):
            backup(url, target)


async def test_postgres_has_its_own_tool(target):
    with pytest.raises(UsageError, match="pg_dump") as refused:
        backup("postgresql://me:hunter2@127.0.0.1:1/radar", target)
    assert "hunter2" not in str(refused.value)
