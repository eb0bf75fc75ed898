"""Killed at a write or sync call of SQLite's, and continued: nothing acknowledged is lost, and the dump is the same.

Stands for "kill -9 at every write and sync" and "ENOSPC and EIO at every write". strace counts the calls on the store's
files and does the deed at the n-th: so every moment between two of them is tried. It comes from the system's packages,
which the test command does not install, so these are campaign tests.

Of each of a few thousand processes most of the time would go into importing, so they are forked from one that has done
that.
"""

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import aclosing
from pathlib import Path
from subprocess import PIPE

import pytest

from collector.store import upkeep

ROOT = Path(__file__).parents[2]
CALLS = "pwrite64,write,fdatasync,fsync,ftruncate"
STEPS = 36
pytestmark = pytest.mark.campaign

WORK = """
import asyncio, json, os, sys, time
from collector.store import Store, StoreError
from tests.store.making import HOUR, NOW, batch, hours, query, saved

EVERY, DOMAINS = query(), query(validationLevel="DOMAIN")

async def step(store, number):  # later answers revise earlier ones, and lack some of their buckets
    asked = batch((EVERY, hours(number, number + 12)), (DOMAINS, hours(number, number + 12)))
    first = [1000 * number + hour for hour in range(12)]
    other = {number + hour: float(hour) for hour in range(12) if hour != number % 5}
    await saved(store, asked, first, other, now=NOW + number * HOUR, updated=NOW + number * HOUR)

async def main(url, begin, end):
    async with Store.open(url, owner="test") as store:
        for number in range(begin, end):
            try:
                await step(store, number)
            except StoreError:  # it says so, and the next attempt must find the store as it was
                await step(store, number)
            print(number, flush=True)

def work(said, traced, *order):
    for descriptor in (1, 2):
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    while traced and not os.path.exists(said + ".traced"):
        time.sleep(0.002)
    try:
        asyncio.run(main(*order))
    except BaseException as error:
        print(repr(error), flush=True)
        os._exit(1)
    os._exit(0)

for line in sys.stdin:
    child = os.fork()
    if not child:
        work(*json.loads(line))
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Forking:
    """Does steps in processes of their own, forked from one that has imported all there is to import."""

    def __init__(self):
        command = [sys.executable, "-c", WORK]
        self._parent = subprocess.Popen(command, cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True)

    def close(self):
        self._parent.stdin.close()
        self._parent.wait(10)
        self._parent.stdout.close()

    def work(self, store, begin, *tracing):
        """Do the steps from *begin* on; gives the status of its end, the steps acknowledged, and what else it said."""
        said = Path(f"{store}.said-{begin}-{bool(tracing)}")
        self._parent.stdin.write(json.dumps([str(said), bool(tracing), f"sqlite:///{store}", begin, STEPS]) + "\n")
        self._parent.stdin.flush()
        pid = int(self._parent.stdout.readline())
        tracer = _attached(pid, Path(f"{said}.traced"), *tracing) if tracing else None
        status = int(self._parent.stdout.readline())
        if tracer:
            tracer.communicate(timeout=60)
        lines = said.read_text().splitlines()
        acknowledged = [int(line) for line in lines if line.isdigit()]
        assert acknowledged == list(range(begin, begin + len(acknowledged)))
        return status, acknowledged, "\n".join(line for line in lines if not line.isdigit())


def _attached(pid, signal_file, *tracing):
    """Trace a process that waits for *signal_file*, and let it go on."""
    tracer = subprocess.Popen([*tracing, "-p", str(pid)], stderr=PIPE, text=True)
    assert "attached" in tracer.stderr.readline()
    signal_file.touch()
    return tracer


def _tracing(store, log, *injection):
    paths = [part for name in ("", "-wal", "-shm", "-journal") for part in ("-P", f"{store}{name}")]
    return ["strace", "-f", "-o", str(log), *paths, "-e", f"trace={CALLS}", *injection]


def _dump(store):
    async def text():
        async with aclosing(upkeep.dump(f"sqlite:///{store}")) as parts:
            return "".join([part async for part in parts])

    return asyncio.run(text())


@pytest.fixture(scope="module")
def forking():
    made = Forking()
    yield made
    made.close()


@pytest.fixture(scope="module")
def calm(forking, sqlite_template, tmp_path_factory):
    """The dump of an uninterrupted run, and the calls of its busiest thread."""
    store = shutil.copy(sqlite_template, tmp_path_factory.mktemp("calm") / "collector.db")
    log = store.with_name("log")
    _, acknowledged, said = forking.work(store, 0, *_tracing(store, log))
    assert acknowledged == list(range(STEPS)), said
    lines = re.findall(r"^(\d+) +(\w+)\(", log.read_text(), re.MULTILINE)
    writer = max({thread for thread, _ in lines}, key=lambda thread: sum(thread == other for other, _ in lines))
    return _dump(store), [name for thread, name in lines if thread == writer]


@pytest.fixture
def scratch():
    """A folder in memory: what is tried is the order of the calls, not the disk."""
    folder = Path(tempfile.mkdtemp(prefix="collector-killed-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


def _fresh(scratch, template):
    """A store, in place of the one before."""
    for left in scratch.iterdir():
        left.unlink()
    return Path(shutil.copy(template, scratch / "collector.db"))


def test_killed_at_a_write_or_sync_it_goes_on_as_if_nothing_had_happened(calm, forking, sqlite_template, scratch):
    dump, calls = calm
    killed = 0
    for when in range(1, len(calls) + 1):
        store = _fresh(scratch, sqlite_template)
        injection = ["-e", f"inject={CALLS}:signal=KILL:when={when}"]
        status, acknowledged, _ = forking.work(store, 0, *_tracing(store, scratch / "log", *injection))
        killed += status == signal.SIGKILL  # one run makes a few calls more than another
        _, rest, _ = forking.work(store, len(acknowledged))
        assert acknowledged + rest == list(range(STEPS)), f"killed at call {when}"
        assert _dump(store) == dump, f"killed at call {when}, {calls[when - 1]}"
    assert killed >= 1_000
    print(f"killed at each of {killed} calls")  # noqa: T201 - counts for the record


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_write_or_sync_that_fails_is_not_acknowledged_and_done_again(calm, forking, sqlite_template, scratch, error):
    dump, calls = calm
    for when in range(1, len(calls) + 1):
        store = _fresh(scratch, sqlite_template)
        injection = ["-e", f"inject={CALLS}:error={error}:when={when}"]
        _, acknowledged, said = forking.work(store, 0, *_tracing(store, scratch / "log", *injection))
        assert not said or said.startswith("StoreUnavailable"), said
        _, rest, _ = forking.work(store, len(acknowledged))
        assert acknowledged + rest == list(range(STEPS)), f"{error} at call {when}"
        assert _dump(store) == dump, f"{error} at call {when}, {calls[when - 1]}"
    print(f"{error} at each of {len(calls)} calls")  # noqa: T201 - counts for the record
