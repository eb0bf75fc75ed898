"""Killed at a write or sync call of SQLite's, and continued: nothing acknowledged is lost, and the dump is the same.

Stands for "kill -9 at every write and sync" and "ENOSPC and EIO at every write". strace counts the calls on the store's
files and does the deed at the n-th: so every moment between two of them is tried. It comes from the system's packages,
which the test command does not install, so these are campaign tests.
"""

import asyncio
import re
import shutil
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from collector.store import upkeep

ROOT = Path(__file__).parents[2]
CALLS = "pwrite64,write,fdatasync,fsync,ftruncate"
STEPS = 12
pytestmark = pytest.mark.campaign

WORK = """
import asyncio, sys
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

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def _work(store, begin, end, *tracing):
    """Do the steps from *begin* up to *end* in a process; gives its exit code and the steps that it acknowledged."""
    command = [*tracing, sys.executable, "-c", WORK, f"sqlite:///{store}", str(begin), str(end)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    acknowledged = [int(line) for line in done.stdout.split()]
    assert acknowledged == list(range(begin, begin + len(acknowledged)))
    return done, acknowledged


def _tracing(store, log, *injection):
    paths = [part for name in ("", "-wal", "-shm", "-journal") for part in ("-P", f"{store}{name}")]
    return ["strace", "-f", "-qq", "-o", str(log), *paths, "-e", f"trace={CALLS}", *injection]


def _dump(store):
    async def text():
        async with aclosing(upkeep.dump(f"sqlite:///{store}")) as parts:
            return "".join([part async for part in parts])

    return asyncio.run(text())


@pytest.fixture(scope="module")
def calm(sqlite_template, tmp_path_factory):
    """The dump of an uninterrupted run, and how often a thread of it calls each of CALLS."""
    store = shutil.copy(sqlite_template, tmp_path_factory.mktemp("calm") / "collector.db")
    log = store.with_name("log")
    done, acknowledged = _work(store, 0, STEPS, *_tracing(store, log))
    assert acknowledged == list(range(STEPS)), done.stderr
    lines = re.findall(r"^(\d+) +(\w+)\(", log.read_text(), re.MULTILINE)
    writer = max({thread for thread, _ in lines}, key=lambda thread: sum(thread == other for other, _ in lines))
    return _dump(store), [name for thread, name in lines if thread == writer]


def test_killed_at_a_write_or_sync_it_goes_on_as_if_nothing_had_happened(calm, sqlite_template, tmp_path):
    dump, calls = calm
    killed = 0
    for when in range(1, len(calls) + 1):
        store = Path(shutil.copy(sqlite_template, tmp_path / f"{when}.db"))
        injection = ["-e", f"inject={CALLS}:signal=KILL:when={when}"]
        done, acknowledged = _work(store, 0, STEPS, *_tracing(store, tmp_path / "log", *injection))
        killed += done.returncode != 0
        _, rest = _work(store, len(acknowledged), STEPS)
        assert acknowledged + rest == list(range(STEPS)), f"killed at call {when}"
        assert _dump(store) == dump, f"killed at call {when}, {calls[when - 1]}"
    assert killed == len(calls)


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_write_or_sync_that_fails_is_not_acknowledged_and_done_again(calm, sqlite_template, tmp_path, error):
    dump, calls = calm
    for when in range(1, len(calls) + 1):
        store = Path(shutil.copy(sqlite_template, tmp_path / f"{when}.db"))
        injection = ["-e", f"inject={CALLS}:error={error}:when={when}"]
        done, acknowledged = _work(store, 0, STEPS, *_tracing(store, tmp_path / "log", *injection))
        assert "Traceback" not in done.stderr or "StoreUnavailable" in done.stderr, done.stderr
        _, rest = _work(store, len(acknowledged), STEPS)
        assert acknowledged + rest == list(range(STEPS)), f"{error} at call {when}"
        assert _dump(store) == dump, f"{error} at call {when}, {calls[when - 1]}"
