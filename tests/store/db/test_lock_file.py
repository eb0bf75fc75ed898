import asyncio
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from collector.store import Store, StoreAliased, StoreLocked, StoreUnavailable
from collector.store.db.lock_file import hold_lock, lock_path, owner_of
from tests.harness.factories import NOW, profile
from tests.harness.store_owner import URL, holding


@pytest.fixture
def path(tmp_path):
    return tmp_path / "collector.db"


@pytest.fixture
def holder(sqlite_url, tmp_path):
    with holding(sqlite_url, tmp_path) as process:
        yield process


async def test_a_second_writer_is_told_who_the_first_one_is(sqlite_url, path, holder):
    since = json.loads(lock_path(path).read_text())["since"]
    with pytest.raises(StoreLocked) as refused:
        async with Store.open(sqlite_url, owner="collect"):
            pass
    assert f"`collector run` (process {holder.pid}, since {since})" in str(refused.value)
    assert str(path) in str(refused.value)


async def test_others_can_find_the_owner_and_its_server(path, holder):
    owner = owner_of(path)
    assert (owner.pid, owner.command, owner.url) == (holder.pid, "run", URL)


async def test_a_reader_works_beside_the_owner(sqlite_url, holder):
    async with Store.open(sqlite_url, owner=None) as reader:
        assert await reader.list_series() == []


async def test_a_killed_owner_owns_nothing(sqlite_url, path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert owner_of(path) is None
    async with Store.open(sqlite_url, owner="collect") as store:
        await store.activate_labels([profile()], NOW)
        assert owner_of(path).pid == os.getpid()
    assert owner_of(path) is None


async def test_one_process_does_not_own_a_store_twice_either(sqlite_url):
    async with Store.open(sqlite_url, owner="run"):
        with pytest.raises(StoreLocked):
            async with Store.open(sqlite_url, owner="run"):
                pass


async def test_a_store_that_could_not_be_opened_is_let_go(path):
    path.write_bytes(b"not a store")
    for _ in range(2):
        with pytest.raises(Exception, match="not a SQLite database"):
            async with Store.open(f"sqlite:///{path}", owner="run"):
                pass
    assert owner_of(path) is None


async def test_who_only_looks_does_not_keep_an_owner_out(path):
    async def look():
        for _ in range(200):
            owner_of(path)
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    for _ in range(20):
        with hold_lock(path, "run"):
            await asyncio.sleep(0)
    await looking


async def test_a_lock_file_that_says_nothing_still_locks(path):
    with hold_lock(path, "run"):
        lock_path(path).write_bytes(b"\xff{")
        assert owner_of(path) is None
        with pytest.raises(StoreLocked, match="another process"), hold_lock(path, "run"):
            pass


async def test_postgres_has_no_single_owner(postgres_url):
    async with Store.open(postgres_url, owner="run") as one, Store.open(postgres_url, owner="run") as two:
        await one.announce("http://127.0.0.1:1234")
        await one.set_state("x", "1")
        assert await two.get_state("x") == "1"


@contextmanager
def locked_as_the_previous_version_does(path):
    with lock_path(path).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


async def refusal(url, owner="collect", kind=StoreLocked):
    with pytest.raises(kind) as refused:
        async with Store.open(url, owner=owner):
            pass
    return str(refused.value)


async def test_a_symbolic_link_is_the_file_that_it_points_to(path, tmp_path, holder):
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "link.db"
    link.symlink_to(path)
    assert f"{path} is in use by `collector run` (process {holder.pid}," in await refusal(f"sqlite:///{link}")
    async with Store.open(f"sqlite:///{link}", owner=None) as reader:
        assert (await reader.service()).running
    holder.kill()
    holder.wait()
    async with Store.open(f"sqlite:///{link}", owner="run"):
        assert "in use by `collector run`" in await refusal(f"sqlite:///{path}")
    assert link.is_symlink()
    assert [file.name for file in link.parent.iterdir()] == ["link.db"]


async def test_a_hard_link_is_refused_for_writing_and_reading(sqlite_url, path, tmp_path):
    (tmp_path / "other.db").hardlink_to(path)
    for url in (sqlite_url, f"sqlite:///{tmp_path}/other.db"):
        for owner in ("collect", None):
            assert "is a file with 2 names (also " in await refusal(url, owner, StoreAliased)
    (tmp_path / "other.db").unlink()
    async with Store.open(sqlite_url, owner="collect") as store:
        await store.check_writable()


@pytest.fixture
def elsewhere(path, tmp_path):
    """The same file in another folder, as a mount of the file alone makes it."""
    (tmp_path / "mounted").mkdir()
    other = tmp_path / "mounted" / "collector.db"
    other.hardlink_to(path)
    return other


@pytest.fixture
def mounted(monkeypatch):
    """Let a hard link count as what it stands for."""
    monkeypatch.setattr("collector.store.db.sqlite_file._check_names", lambda *_args, **_options: None)


async def test_one_file_in_two_folders_has_one_owner(path, holder, elsewhere, mounted):
    url = f"sqlite:///{elsewhere}"
    assert "another process, which opened it under another name" in await refusal(url)
    assert "is in use under another name" in await refusal(url, None, StoreAliased)
    holder.kill()
    holder.wait()
    async with Store.open(url, owner="run"):
        assert "another process, which opened it under another name" in await refusal(f"sqlite:///{path}")
    async with Store.open(url, owner=None):
        pass


async def test_a_deleted_lock_file_lets_nobody_in(sqlite_url, path, holder):
    lock_path(path).unlink()
    assert "or whose lock file was deleted" in await refusal(sqlite_url)


async def test_a_new_store_is_locked_as_well(path, tmp_path):
    async with Store.open(f"sqlite:///{path}", owner="run"):
        lock_path(path).unlink()
        assert "or whose lock file was deleted" in await refusal(f"sqlite:///{path}")


async def test_the_previous_version_keeps_this_one_out_also_from_beside_a_link(sqlite_url, path, tmp_path):
    with locked_as_the_previous_version_does(path):
        assert "in use by another process" in await refusal(sqlite_url)
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with locked_as_the_previous_version_does(link):
        assert "in use by another process" in await refusal(f"sqlite:///{link}")
    async with Store.open(f"sqlite:///{link}", owner="run"):
        pass


READ_LOCKS = """
import fcntl, os, struct, sys
file = os.open(sys.argv[1], os.O_RDWR)
wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0x40000002, 510, 0)
print(struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, wanted))[4])
"""


def holder_of_sqlites_lock(path):
    """The process that has SQLite's lock of a reader on the file."""
    done = subprocess.run([sys.executable, "-c", READ_LOCKS, path], capture_output=True, text=True, check=True)
    return int(done.stdout)


async def test_whoever_comes_and_goes_in_one_process_sqlite_keeps_its_locks(sqlite_url, path):
    async with Store.open(sqlite_url, owner="run") as store:
        await store.check_writable()
        assert holder_of_sqlites_lock(path) == os.getpid()
        await refusal(sqlite_url)
        async with Store.open(sqlite_url, owner=None) as reader:
            assert await reader.list_series() == []
        assert owner_of(path)
        assert holder_of_sqlites_lock(path) == os.getpid()


async def test_descriptors_are_closed_with_the_last_user(sqlite_url, path):
    def opened():
        return [one for one in Path("/proc/self/fd").iterdir() if one.resolve() == path]

    for _ in range(3):
        async with Store.open(sqlite_url, owner="run"), Store.open(sqlite_url, owner=None):
            assert opened()
    assert not opened()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("call", ["flock", "fcntl"])
async def test_a_file_system_that_does_not_lock_is_a_sentence(sqlite_url, number, call, monkeypatch):
    def refuse(*_arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, call, refuse)
    told = await refusal(sqlite_url, kind=StoreUnavailable)
    assert f"cannot be locked ({os.strerror(number).lower()})" in told
    async with Store.open(sqlite_url, owner=None) as reader:
        assert await reader.service() is None


async def test_a_kernel_that_cannot_lock_for_a_descriptor_has_the_lock_file(sqlite_url, monkeypatch):
    def unknown(*_arguments):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(fcntl, "fcntl", unknown)
    async with Store.open(sqlite_url, owner="run"):
        assert "in use by `collector run`" in await refusal(sqlite_url)


async def test_a_full_disk_keeps_nobody_from_owning(path, monkeypatch):
    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with hold_lock(path, "run"), pytest.raises(StoreLocked, match="another process"), hold_lock(path, "run"):
        pass
