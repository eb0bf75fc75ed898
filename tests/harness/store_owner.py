"""Processes that own a store, started by the fork server."""

import asyncio
import fcntl
import os
import sys
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from collector.errors import CollectorError
from collector.store import Store
from collector.store.admin.backup import restore
from tests.harness.factories import HOUR, NOW, batch, hours, profile, query, saved
from tests.harness.fork_server import fork_server

URL = "http://127.0.0.1:1234"


async def _hold(url, command):
    async with Store.open(url, owner=command) as store:
        await store.announce(URL)
        await store.check_writable()
        sys.stdout.write("open\n")
        sys.stdout.flush()
        await asyncio.sleep(60)


def hold():
    """Own the store whose address is the first argument, until killed."""
    asyncio.run(_hold(*sys.argv[1:]))


@contextmanager
def holding(url, folder, command="run"):
    """Let another process own the store at *url*; gives the process."""
    there, here = os.pipe()
    with os.fdopen(there) as told, os.fdopen(here, "w") as writing:
        process = fork_server().fork(
            [url, command], folder, dict(os.environ), (writing, sys.__stderr__), f"{__name__}:hold"
        )
        writing.close()
        try:
            assert told.readline() == "open\n"
            yield process
        finally:
            process.kill()
            process.wait(10)


async def _start(url):
    async with Store.open(url, owner="run") as store:
        await store.activate_labels([profile()], NOW)


def start():
    """Open the store whose address is the first argument, once the file that is the second is not locked any more."""
    url, gate = sys.argv[1:]
    with Path(gate).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    try:
        asyncio.run(_start(url))
        sys.stdout.write("opened")
    except CollectorError as error:
        sys.stdout.write(type(error).__name__)


def start_together(url, folder, outputs):
    """Start a process for each of *outputs*; once all are there, they open the store at *url*. Gives the processes."""
    gate = Path(folder, "gate")
    with gate.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        arguments = [url, str(gate)], folder, dict(os.environ)
        return [fork_server().fork(*arguments, output, f"{__name__}:start") for output in outputs]


async def _write(url, *numbers):
    later = NOW + HOUR
    async with Store.open(url, owner="run") as store:
        await store.activate_labels([profile()], NOW)
        await saved(store, batch((query(), hours(0, 4))), [float(one) for one in numbers], now=later, updated=later)
        os._exit(9)


def write():
    """Write the first four hours to a store, and end as if killed."""
    asyncio.run(_write(*sys.argv[1:]))


def killed_after_writing(url, folder, *numbers):
    """Let another process write the first four hours, and be killed."""
    assert _end(folder, "write", url, *numbers) == 9


def put_back():
    """Restore a backup, and end as if killed instead of a certain call of the system."""
    url, source, last = sys.argv[1:]
    calls = count()

    def dying(real):
        def call(*arguments, **options):
            if next(calls) == int(last):
                os._exit(9)
            return real(*arguments, **options)

        return call

    for owner, name in ((os, "link"), (os, "fsync"), (Path, "replace"), (Path, "unlink")):
        setattr(owner, name, dying(getattr(owner, name)))
    (restore(url, Path(source)))


def killed_while_restoring(url, folder, source, call):
    """Let another process restore *source* and be killed at its *call*; tells whether it came to that."""
    return _end(folder, "put_back", url, source, call) == 9


def _end(folder, entry, *arguments):
    outputs = (sys.__stderr__, sys.__stderr__)
    return fork_server().fork([*map(str, arguments)], folder, dict(os.environ), outputs, f"{__name__}:{entry}").wait(60)
