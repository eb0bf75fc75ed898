"""One statement outside of a transaction: alone on SQLite, and interrupted if its caller is cancelled."""

import asyncio
import threading
import time

import pytest

from collector.store import Store, StoreUnavailable

ENDLESS = {
    "sqlite": "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c",
    "postgresql": "SELECT pg_sleep(600)",
}


class Gate:
    """A statement that waits until it is opened."""

    def __init__(self):
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self, driver):
        self.begun.set()
        assert self.open.wait(10)
        return driver.execute("SELECT 1").fetchone()[0]


async def test_it_works(store):
    assert await store._database.run_alone(lambda driver: driver.execute("SELECT 1").fetchone()[0]) == 1
    await store._database.run_alone(lambda driver: driver.execute("VACUUM"))  # refused inside a transaction
    await store.check_writable()


async def test_no_other_write_runs_meanwhile_on_sqlite_and_reads_go_on(sqlite_url):
    async with Store.open(sqlite_url, owner="test") as store:
        gate = Gate()
        alone = asyncio.create_task(store._database.run_alone(gate))
        await asyncio.to_thread(gate.begun.wait, 10)
        writes = [asyncio.create_task(store.set_state("a", str(number))) for number in range(3)]
        await asyncio.sleep(0.1)
        assert await store.get_state("a") is None
        assert not any(write.done() for write in writes)
        gate.open.set()
        assert await alone == 1
        await asyncio.gather(*writes)
        assert await store.get_state("a") == "2"


async def test_a_statement_is_interrupted_if_its_caller_is_cancelled(store):
    task = asyncio.create_task(store._database.run_alone(lambda driver: driver.execute(ENDLESS[store.backend])))
    await asyncio.sleep(0.3)
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - begun < 30
    await store.check_writable()


async def test_a_statement_that_is_cancelled_before_its_turn_does_not_run(sqlite_url):
    async with Store.open(sqlite_url, owner="test") as store:
        gate, ran = Gate(), []
        first = asyncio.create_task(store._database.run_alone(gate))
        await asyncio.to_thread(gate.begun.wait, 10)
        second = asyncio.create_task(store._database.run_alone(ran.append))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.sleep(0.05)
        gate.open.set()
        assert await first == 1
        with pytest.raises(asyncio.CancelledError):
            await second
        assert ran == []


async def test_what_a_statement_raises_is_a_sentence_about_the_store(store):
    with pytest.raises(StoreUnavailable, match=r"the store .* (cannot be used|lacks a table)"):
        await store._database.run_alone(lambda driver: driver.execute("SELECT * FROM nowhere"))
    await store.check_writable()


async def test_a_store_that_is_closed_or_opened_for_reading_runs_none(store_url):
    async with Store.open(store_url, owner=None) as store:
        with pytest.raises(StoreUnavailable, match="was opened for reading only"):
            await store._database.run_alone(lambda driver: driver.execute("SELECT 1"))
    with pytest.raises(StoreUnavailable, match="the store is closed"):
        await store._database.run_alone(lambda driver: driver.execute("SELECT 1"))


async def test_a_store_that_is_closed_after_the_cancellation_does_not_wait_for_the_end(store_url):
    begun = time.monotonic()
    async with Store.open(store_url, owner="test") as store:
        task = asyncio.create_task(store._database.run_alone(lambda driver: driver.execute(ENDLESS[store.backend])))
        await asyncio.sleep(0.3)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - begun < 60
