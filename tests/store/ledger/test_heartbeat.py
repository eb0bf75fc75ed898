"""Whether a service runs on the store, as everybody can read it."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from collector.store import NewReplica, ServiceHeartbeat, Store, process_name
from tests.harness.factories import NOW

HOLD = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from collector import __version__
from collector.store import NewReplica, ServiceHeartbeat, Store, process_name
import os, socket
async def main():
    url, command = sys.argv[1:]
    async with Store.open(url, owner=command) as store:
        name = process_name(socket.gethostname(), os.getpid(), command)
        await store.register(NewReplica(name, "1.2.3", ["all"], timedelta(minutes=5)))
        if command == "run":
            progress = datetime(2026, 5, 1, tzinfo=UTC)
            await store.write_heartbeat(ServiceHeartbeat(name, "1.2.3", datetime.now(UTC), progress))
        sys.stdout.write("open\\n")
        sys.stdout.flush()
        await asyncio.sleep(60)
asyncio.run(main())
"""


class Process:
    """A process that has the store open as a command."""

    def __init__(self, url, command):
        self.process = subprocess.Popen([sys.executable, "-c", HOLD, url, command], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "open\n"

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def started(store_url):
    processes = []

    def start(command):
        processes.append(Process(store_url, command))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


async def test_none_was_ever_seen(store_url):
    async with Store.open(store_url, owner=None) as store:
        assert await store.service() is None
        assert await store.commands() == []


async def test_a_service_runs_and_made_progress(store_url, started):
    process = started("run")
    async with Store.open(store_url, owner=None) as store:
        found = await store.service()
        assert await store.commands() == []
    assert found.running
    assert found.name.endswith(f":{process.process.pid}")
    assert found.version == "1.2.3"
    assert found.last_progress == datetime(2026, 5, 1, tzinfo=UTC)
    assert abs(found.since - datetime.now(UTC)) < timedelta(minutes=1)


async def test_a_service_that_was_killed_runs_no_more(store_url, started):
    process = started("run")
    process.kill()
    async with Store.open(store_url, owner="test") as store:
        if store.backend == "postgresql":
            await _expire(store)
        found = await store.service()
    assert not found.running
    assert abs(found.since - datetime.now(UTC)) < timedelta(minutes=1)
    assert found.last_progress == datetime(2026, 5, 1, tzinfo=UTC)


async def _expire(store):
    """End the leases without waiting for it."""

    def work(connection):
        connection.exec_driver_sql("UPDATE replicas SET expires_at = now() - interval '1 hour'")

    await store._database.write(work)


async def test_a_command_that_ends_by_itself_is_no_service(store_url, started):
    process = started("backfill")
    async with Store.open(store_url, owner=None) as store:
        assert await store.service() is None
        (command,) = await store.commands()
    assert "backfill" in command
    assert str(process.process.pid) in command


async def test_progress_of_another_replica_stays_and_no_moment_lies_ahead(store):
    later, early = NOW + timedelta(minutes=5), NOW - timedelta(minutes=5)
    await store.write_heartbeat(ServiceHeartbeat("a:1", "1", NOW, NOW))
    await store.write_heartbeat(ServiceHeartbeat("b:2", "1", NOW, early))
    assert (await store.service()).last_progress == NOW
    await store.write_heartbeat(ServiceHeartbeat("b:2", "1", NOW, later))
    assert (await store.service()).last_progress == NOW


async def test_the_profiles_of_replicas_are_known_on_postgres(postgres_url):
    async with Store.open(postgres_url, owner="run") as store:
        await store.register(NewReplica(process_name("me", os.getpid()), "1", ["all", "other"], timedelta(minutes=5)))
        assert (await store.service()).profiles == {"all", "other"}
