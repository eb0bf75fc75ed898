"""Killed at a write or sync call of SQLite's, and continued: nothing acknowledged is lost, and the dump is the same.

Stands for "kill -9 at every write and sync" and "ENOSPC and EIO at every write". strace counts the calls on the store's
files and does the deed at the n-th: so every moment between two of them is tried. It comes from the system's packages,
which the test command does not install, so these are campaign tests.

Of each of a few thousand processes most of the time would go into importing, so they are born in the nest.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.harness.factories import dump
from tests.harness.fork_server import fork_server

CALLS = "pwrite64,write,fdatasync,fsync,ftruncate"
STEPS = 36
pytestmark = pytest.mark.campaign


def _work(store, begin, *tracing):
    """Do the steps from *begin* on; gives the exit code, the steps acknowledged, and what else was said."""
    said = Path(f"{store}.said-{begin}-{bool(tracing)}")
    traced = Path(f"{said}.traced")
    order = [f"sqlite:///{store}", str(begin), str(STEPS), str(traced) if tracing else ""]
    with said.open("ab") as file:
        process = fork_server().fork(
            order, store.parent, dict(os.environ), (file, file), "tests.harness.write_steps:main"
        )
    tracer = _attached(process.pid, traced, *tracing) if tracing else None
    code = process.wait(60)
    if tracer:
        tracer.communicate(timeout=60)
    lines = said.read_text().splitlines()
    acknowledged = [int(line) for line in lines if line.isdigit()]
    assert acknowledged == list(range(begin, begin + len(acknowledged)))
    return code, acknowledged, "\n".join(line for line in lines if not line.isdigit())


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
    return dump(f"sqlite:///{store}")


@pytest.fixture(scope="module")
def calm(sqlite_template, tmp_path_factory):
    """The dump of an uninterrupted run, and the calls of its busiest thread."""
    store = shutil.copy(sqlite_template, tmp_path_factory.mktemp("calm") / "collector.db")
    log = store.with_name("log")
    _, acknowledged, said = _work(store, 0, *_tracing(store, log))
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


def test_killed_at_a_write_or_sync_it_goes_on_as_if_nothing_had_happened(calm, sqlite_template, scratch):
    dump, calls = calm
    killed = 0
    for when in range(1, len(calls) + 1):
        store = _fresh(scratch, sqlite_template)
        injection = ["-e", f"inject={CALLS}:signal=KILL:when={when}"]
        code, acknowledged, _ = _work(store, 0, *_tracing(store, scratch / "log", *injection))
        killed += code == -signal.SIGKILL  # one run makes a few calls more than another
        _, rest, _ = _work(store, len(acknowledged))
        assert acknowledged + rest == list(range(STEPS)), f"killed at call {when}"
        assert _dump(store) == dump, f"killed at call {when}, {calls[when - 1]}"
    assert killed >= 1_000
    print(f"killed at each of {killed} calls")  # noqa: T201 - counts for the record


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_write_or_sync_that_fails_is_not_acknowledged_and_done_again(calm, sqlite_template, scratch, error):
    dump, calls = calm
    for when in range(1, len(calls) + 1):
        store = _fresh(scratch, sqlite_template)
        injection = ["-e", f"inject={CALLS}:error={error}:when={when}"]
        _, acknowledged, said = _work(store, 0, *_tracing(store, scratch / "log", *injection))
        assert not said or said.startswith("StoreUnavailable"), said
        _, rest, _ = _work(store, len(acknowledged))
        assert acknowledged + rest == list(range(STEPS)), f"{error} at call {when}"
        assert _dump(store) == dump, f"{error} at call {when}, {calls[when - 1]}"
    print(f"{error} at each of {len(calls)} calls")  # noqa: T201 - counts for the record
