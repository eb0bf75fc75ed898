import asyncio
import json
import os
import signal
import subprocess
import sys

import pytest

from collector.store import Store, StoreOwned
from collector.store.owner import lock_path, owner_of, owning
from tests.store.making import NOW, profile

HOLD = """
import asyncio, sys
from collector.store import Store
async def main():
    async with Store.open(sys.argv[1], owner="run") as store:
        await store.announce("http://127.0.0.1:1234")
        sys.stdout.write("open\\n")
        sys.stdout.flush()
        await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "collector.db"


@pytest.fixture
def holder(sqlite_url):
    process = subprocess.Popen([sys.executable, "-c", HOLD, sqlite_url], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "open\n"
    yield process
    process.kill()
    process.communicate()


async def test_a_second_writer_is_told_who_the_first_one_is(sqlite_url, path, holder):
    since = json.loads(lock_path(path).read_text())["since"]
    with pytest.raises(StoreOwned) as refused:
        async with Store.open(sqlite_url, owner="collect"):
            pass
    assert f"`collector run` (process {holder.pid}, since {since})" in str(refused.value)
    assert str(path) in str(refused.value)


async def test_others_can_find_the_owner_and_its_server(path, holder):
    owner = owner_of(path)
    assert (owner.pid, owner.command, owner.url) == (holder.pid, "run", "http://127.0.0.1:1234")


async def test_a_reader_works_beside_the_owner(sqlite_url, holder):
    async with Store.open(sqlite_url, owner=None) as reader:
        assert await reader.list_series() == []


async def test_a_killed_owner_owns_nothing(sqlite_url, path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert owner_of(path) is None
    async with Store.open(sqlite_url, owner="collect") as store:
        await store.declare([profile()], NOW)
        assert owner_of(path).pid == os.getpid()
    assert owner_of(path) is None


async def test_one_process_does_not_own_a_store_twice_either(sqlite_url):
    async with Store.open(sqlite_url, owner="run"):
        with pytest.raises(StoreOwned):
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
        with owning(path, "run"):
            await asyncio.sleep(0)
    await looking


async def test_a_lock_file_that_says_nothing_still_locks(path):
    with owning(path, "run"):
        lock_path(path).write_bytes(b"\xff{")
        assert owner_of(path) is None
        with pytest.raises(StoreOwned, match="another process"), owning(path, "run"):
            pass


async def test_postgres_has_no_single_owner(postgres_url):
    async with Store.open(postgres_url, owner="run") as one, Store.open(postgres_url, owner="run") as two:
        await one.announce("http://127.0.0.1:1234")
        await one.set_state("x", "1")
        assert await two.get_state("x") == "1"
