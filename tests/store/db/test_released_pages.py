"""Idle connections to SQLite forget the pages that they keep; whoever reads goes on."""

import asyncio
import threading
from contextlib import aclosing

import sqlalchemy as sa

from collector.store import Store

PRAGMA = "PRAGMA shrink_memory"


async def test_every_idle_connection_and_the_writer_forget_their_pages(sqlite_url, monkeypatch):
    async with Store.open(sqlite_url, owner="test") as store:
        meeting = threading.Barrier(3)
        await asyncio.gather(*(store._database.read_in_thread(lambda _: meeting.wait(10)) for _ in range(3)))
        readers, writers = set(), []

        @sa.event.listens_for(store._database._reader, "before_cursor_execute")
        def note(connection, _cursor, statement, *_):
            if statement == PRAGMA:
                readers.add(id(connection.connection.driver_connection))

        run_alone = store._database.run_alone
        monkeypatch.setattr(store._database, "run_alone", lambda work: writers.append(1) or run_alone(work))
        await store.release_memory()
        assert (len(readers), len(writers)) == (3, 1)
        assert store._database._reader.pool.checkedin() == 3


async def test_a_stream_goes_on(store):
    def numbers(connection):
        for number in range(3):
            yield connection.execute(sa.select(sa.literal(number))).scalar_one()

    async with aclosing(store._database.stream(numbers)) as stream:
        assert await anext(stream) == 0
        await store.release_memory()
        assert [number async for number in stream] == [1, 2]
    await store.check_writable()
