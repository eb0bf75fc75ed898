import asyncio
import threading

import pytest
import sqlalchemy as sa

from collector.store.db.database import BatchableWrite, WriteQueue, perform


class Notes:
    """A table of numbers in memory, the transactions on it, and a gate that holds up the first one."""

    def __init__(self):
        self.engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
        self.transactions = []
        self.begun, self.gate = threading.Event(), threading.Event()
        with self.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE notes (number INTEGER PRIMARY KEY)")

    def transact(self, works):
        self.begun.set()
        self.gate.wait(10)
        with self.engine.begin() as connection:
            results = perform(works, connection)
        self.transactions.append(results)
        return results

    def kept(self):
        with self.engine.begin() as connection:
            return [number for (number,) in connection.exec_driver_sql("SELECT number FROM notes ORDER BY number")]


def note(number):
    def work(connection):
        connection.exec_driver_sql("INSERT INTO notes VALUES (?)", (number,))
        return number

    return work


@pytest.fixture
async def notes():
    return Notes()


@pytest.fixture
async def queue(notes):
    made = WriteQueue(notes.transact, threads=1, max_writes=3)
    yield made
    notes.gate.set()
    await asyncio.to_thread(made.close)
    notes.engine.dispose()


async def waiting(notes, queue, works):
    """Put units in line behind a first one, which the gate holds up."""
    first = asyncio.create_task(queue.submit(note(0)))
    await asyncio.to_thread(notes.begun.wait, 10)
    tasks = [first, *(asyncio.create_task(queue.submit(work)) for work in works)]
    await asyncio.sleep(0)
    return tasks


async def test_a_unit_gives_its_result(notes, queue):
    notes.gate.set()
    assert await queue.submit(note(7)) == 7
    assert notes.kept() == [7]


async def test_those_that_wait_at_the_same_time_share_a_transaction(notes, queue):
    tasks = await waiting(notes, queue, [note(number) for number in (1, 2, 3, 4)])
    notes.gate.set()
    assert await asyncio.gather(*tasks) == [0, 1, 2, 3, 4]
    assert notes.transactions == [[0], [1, 2, 3], [4]]


async def test_those_that_come_at_the_same_time_share_one_even_where_nothing_was_under_way(notes, queue):
    notes.gate.set()
    assert await asyncio.gather(*(queue.submit(note(number)) for number in (1, 2, 3))) == [1, 2, 3]
    assert notes.transactions == [[1, 2, 3]]


@pytest.mark.parametrize(("threads", "max_writes"), [(1, 3), (8, 1), (4, 2)])
async def test_none_is_lost_among_threads(threads, max_writes):
    done = []

    def transact(works):
        done.extend(works)
        return works

    async def one(number):
        await asyncio.sleep(0.0001 * (number % 7))
        return await queue.submit(number)

    queue = WriteQueue(transact, threads=threads, max_writes=max_writes)
    async with asyncio.timeout(30):
        assert await asyncio.gather(*map(one, range(2000))) == [*range(2000)]
        await asyncio.to_thread(queue.close)
    assert sorted(done) == [*range(2000)]


async def test_only_the_one_to_blame_hears_of_a_failure(notes, queue):
    tasks = await waiting(notes, queue, [note(1), note(0), note(2)])
    notes.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [results[0], results[1], results[3]] == [0, 1, 2]
    assert isinstance(results[2], sa.exc.IntegrityError)
    assert notes.kept() == [0, 1, 2]
    assert notes.transactions == [[0], [1], [2]]


async def test_who_is_cancelled_waits_for_the_end_of_the_transaction(notes, queue):
    tasks = await waiting(notes, queue, [note(1)])
    tasks[1].cancel()
    await asyncio.sleep(0)
    assert not tasks[1].done()
    notes.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert notes.kept() == [0, 1]


async def test_writes_of_one_kind_are_done_at_once_and_each_gets_its_own_result(notes, queue):
    calls = []

    def double(_connection, numbers):
        calls.append([*numbers])
        return [2 * number for number in numbers]

    tasks = await waiting(notes, queue, [BatchableWrite(double, 1), note(9), BatchableWrite(double, 2)])
    notes.gate.set()
    assert await asyncio.gather(*tasks) == [0, 2, 9, 4]
    assert calls == [[1, 2]]
