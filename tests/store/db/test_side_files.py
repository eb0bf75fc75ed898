"""The files beside a SQLite store: a log that is another file's, and folders in which none can be made."""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from collector.store import ServiceHeartbeat, Store, StoreAliased, StoreUnavailable
from collector.store.admin.backup import backup
from collector.store.admin.commands import digest
from collector.store.admin.verify import verify
from tests.harness.factories import NOW, batch, filled, hours, query, values
from tests.harness.store_owner import holding, killed_after_writing

ASKED = batch((query(), hours(0, 4)))


def killed(url, *numbers):
    """Let a process write the four hours and be killed; gives the log that it leaves."""
    path = Path(url.removeprefix("sqlite:///"))
    killed_after_writing(url, path.parent, *numbers)
    log = path.with_name(f"{path.name}-wal")
    assert log.stat().st_size > 0
    return log


@pytest.fixture
async def url(sqlite_url):
    return await filled(sqlite_url)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "collector.db"


async def stored(url, owner=None):
    async with Store.open(url, owner=owner) as store:
        return list((await values(store)).values())


def kept(path):
    return sorted(path.parent.glob("collector.db.replaced-*"))


async def test_after_a_kill_the_log_is_the_stores_own(url, path):
    killed(url, 5, 6, 7, 8)
    assert await stored(url) == [5, 6, 7, 8]
    assert await stored(url, "run") == [5, 6, 7, 8]
    assert kept(path) == []


async def test_the_log_of_the_store_before_is_not_replayed_over_a_backup(url, path, tmp_path, caplog):
    backup(url, tmp_path / "backup.db")
    before = digest(url)
    log = killed(url, 5, 6, 7, 8)
    written = log.read_bytes()
    shutil.copyfile(tmp_path / "backup.db", path)
    assert await stored(url) == [1, 2, 3, 4]
    assert (digest(url), (verify(url)).findings) == (before, [])
    assert (log.read_bytes(), kept(path)) == (written, []), "a reader changes nothing"
    assert await stored(url, "run") == [1, 2, 3, 4]
    assert (digest(url), (verify(url)).findings) == (before, [])
    (aside,) = kept(path)
    assert aside.name.endswith("-wal")
    assert aside.read_bytes() == written
    assert [r.outcome for r in caplog.records if r.msg == "write_ahead_log"][-1] == "set aside"
    assert [r.kept for r in caplog.records if hasattr(r, "kept")] == [str(aside)]


async def test_a_backup_that_has_become_the_store_keeps_its_own_log(url, path, tmp_path):
    backup(url, tmp_path / "backup.db")
    shutil.copyfile(tmp_path / "backup.db", path)
    killed(url, 9, 9, 9, 9)
    assert await stored(url, "run") == [9, 9, 9, 9]
    assert kept(path) == []


async def test_what_a_deleted_store_left_behind_is_not_replayed_over_a_new_one(url, path):
    killed(url, 5, 6, 7, 8)
    path.unlink()
    async with Store.open(url, owner="run") as store:
        assert await store.list_series() == []
    assert (verify(url)).findings == []
    assert len(kept(path)) == 1


async def test_a_backup_put_in_place_of_a_store_in_use_is_said_to_be_one(url, path, tmp_path):
    backup(url, tmp_path / "backup.db")
    with holding(url, tmp_path):
        shutil.copyfile(tmp_path / "backup.db", path)
        with pytest.raises(StoreUnavailable, match="was overwritten by a backup while it is in use"):
            await stored(url)


@contextmanager
def common_folder():
    """Make a folder that other users can read."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


@contextmanager
def unprivileged():
    """Root may write anywhere, so be somebody else for a while."""
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(os.getuid())


@contextmanager
def read_only(*files):
    """Copy *files* into a folder in which this process can make none."""
    with common_folder() as folder:
        for file in files:
            Path(shutil.copy(file, folder)).chmod(0o644)
        folder.chmod(0o555)
        with unprivileged():
            yield f"sqlite:///{folder}/collector.db"


def beside(path, *suffixes):
    return [path.with_name(path.name + suffix) for suffix in ("", *suffixes)]


async def test_a_store_in_a_read_only_folder_can_be_read_copied_and_verified(url, path, tmp_path):
    before = digest(url)
    with read_only(path) as there:
        assert await stored(there) == [1, 2, 3, 4]
        assert (digest(there), (verify(there)).findings) == (before, [])
        assert [file.name for file in Path(there.removeprefix("sqlite:///")).parent.iterdir()] == ["collector.db"]
        target = Path(tempfile.mkdtemp()) / "backup.db"
        backup(there, target)
    assert digest(f"sqlite:///{target}") == before


async def test_a_log_in_a_read_only_folder_is_read_or_said_to_lack_its_index(url, path):
    killed(url, 5, 6, 7, 8)
    with read_only(*beside(path, "-wal", "-shm")) as there:
        assert await stored(there) == [5, 6, 7, 8]
    with read_only(*beside(path, "-wal")) as there:
        with pytest.raises(StoreUnavailable, match=r"changes in .*collector.db-wal, and collector.db-shm is missing"):
            await stored(there)
        with pytest.raises(StoreUnavailable, match="is missing"):
            verify(there)


async def test_a_backup_in_a_read_only_folder_is_read_without_the_log_of_another_file(url, path, tmp_path):
    backup(url, tmp_path / "backup.db")
    killed(url, 5, 6, 7, 8)
    shutil.copyfile(tmp_path / "backup.db", path)
    with read_only(*beside(path, "-wal", "-shm")) as there:
        assert await stored(there) == [1, 2, 3, 4]


async def test_an_interrupted_change_in_a_read_only_folder_is_said_to_be_one(url, path):
    beside(path, "-journal")[1].write_bytes(b"something")
    with read_only(*beside(path, "-journal")) as there, pytest.raises(StoreUnavailable, match="has to be undone by"):
        await stored(there)


async def test_a_file_that_is_changed_while_it_is_read_alone_gives_no_answer(url, path):
    with read_only(path) as there:
        async with Store.open(there, owner=None) as reader:
            assert list((await values(reader)).values()) == [1, 2, 3, 4]

            def disturbed(view):
                os.seteuid(os.getuid())
                os.utime(there.removeprefix("sqlite:///"), (1, 1))
                return view.list_series()

            with pytest.raises(StoreUnavailable, match="was changed while it was read"):
                await reader.with_read_view(disturbed)


async def test_another_user_reads_beside_an_owner_whose_lock_file_it_may_not_read(url, path):
    with common_folder() as folder:
        there = f"sqlite:///{shutil.copy(path, folder)}"
        with holding(there, folder):
            for file in folder.iterdir():
                file.chmod(0o000 if file.suffix == ".lock" else 0o644)
            with unprivileged():
                assert await stored(there) == [1, 2, 3, 4]


async def test_hard_links_of_a_backup_can_be_read_but_not_written_to(url, tmp_path):
    backup(url, tmp_path / "backup.db")
    (tmp_path / "weekly.db").hardlink_to(tmp_path / "backup.db")
    there = f"sqlite:///{tmp_path}/weekly.db"
    assert await stored(there) == [1, 2, 3, 4]
    with pytest.raises(StoreAliased):
        await stored(there, "run")
    with closing(sqlite3.connect(tmp_path / "weekly.db")) as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("delete",)


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
async def test_files_beside_a_store_that_may_not_be_read_are_named_or_not_needed(url, path, suffix):
    with read_only(path) as there:
        folder = Path(there.removeprefix("sqlite:///")).parent
        os.seteuid(os.getuid())
        denied = folder / f"collector.db{suffix}"
        for name in ("collector.db-wal", "collector.db-shm"):
            (folder / name).touch(0o644)
        denied.chmod(0)
        with unprivileged():
            assert await stored(there) == [1, 2, 3, 4], "nothing is in the log"
        killed(url, 5, 6, 7, 8)
        for one in beside(path, "-wal", "-shm"):
            shutil.copyfile(one, folder / one.name)
        message = f"changes in collector.db-wal, and this user may not read {denied.name}"
        with unprivileged(), pytest.raises(StoreUnavailable, match=message):
            await stored(there)


async def test_a_service_is_seen_although_its_lock_file_may_not_be_read(url, path):
    async def seen(there):
        async with Store.open(there, owner=None) as store:
            return (await store.service()).running, len(await store.commands())

    with common_folder() as folder:
        there = f"sqlite:///{shutil.copy(path, folder)}"
        async with Store.open(there, owner="run") as store:
            await store.write_heartbeat(ServiceHeartbeat("host:1", "1.2.3", NOW))
        with holding(there, folder):
            for file in folder.iterdir():
                file.chmod(0o000 if file.suffix == ".lock" else 0o644)
            for started, expected in ((NOW.timestamp() - 9, (True, 0)), (NOW.timestamp() + 9, (False, 1))):
                os.utime(folder / "collector.db.lock", (started, started))
                with unprivileged():
                    assert await seen(there) == expected
        with unprivileged():
            assert await seen(there) == (False, 0)
