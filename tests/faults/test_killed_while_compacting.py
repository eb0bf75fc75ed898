"""`db compact` is killed or stopped at random moments: the store is whole each time, and a last compaction ends."""

import asyncio
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from collector.store import Store
from collector.store.admin.commands import digest
from collector.store.admin.verify import verify
from collector.store.db.lock_file import owner_of
from tests.harness.factories import NOW, batch, hours, profile, query, saved
from tests.harness.fork_server import fork_server

MANY = 50_000
TIMES = 4
MOST = 20
"""Attempts: a signal may come too late."""
_LOOK_SECONDS = 0.0005
"""A compaction takes some hundred times as long."""


async def _fill(url):
    """Write two series of MANY points, and delete one of them."""
    kept, other = profile(), profile("other", filters={"validationLevel": ("DOMAIN",)})
    async with Store.open(url, owner="test") as store:
        await store.activate_labels([kept, other], NOW)
        for asked, name in ((query(), "all"), (query(validationLevel="DOMAIN"), "other")):
            for first in range(-MANY, 0, 10_000):
                window = hours(first, first + 10_000)
                await saved(store, batch((asked, window)), [n / 7 for n in range(10_000)], profiles=(name,))
        (number,) = [row.id for row in await store.list_series(profile="other")]
        await store.delete_series(number, [kept], dry_run=False)


@pytest.fixture(scope="module")
def large(sqlite_template, tmp_path_factory):
    """The store to compact, to be copied, and its digest."""
    path = Path(shutil.copy(sqlite_template, tmp_path_factory.mktemp("large") / "collector.db"))
    asyncio.run(_fill(f"sqlite:///{path}"))
    return path, digest(f"sqlite:///{path}")


def _compacting(folder, url):
    environ = {**os.environ, "COLLECTOR_DATABASE__URL": url}
    output = (folder / "said").open("ab")
    with output:
        return fork_server().fork(["db", "compact"], folder, environ, (output, output))


def _ended(process, path, number, moment, last):
    """Send a signal to the owner of the store so many seconds after it is that, or once the log has so many bytes.

    Returns the exit code.
    """
    begun = None
    while process.poll() is None:
        begun = begun or (time.monotonic() if owner_of(path) else None)
        if begun and (_size(path) >= moment > 0 or (not moment and time.monotonic() - begun >= last)):
            process.send_signal(number)
            break
        time.sleep(_LOOK_SECONDS)
    return process.wait(60)


def _size(path):
    """The bytes of the log, which is there while the store is open."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size
    except FileNotFoundError:
        return 0


def _put_back(large, path):
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.copy(large, path)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 1), (signal.SIGTERM, 143)])
def test_ended_at_a_random_moment_it_leaves_the_store_whole(large, tmp_path, seed, number, code):
    large, before = large
    path, size = tmp_path / "collector.db", large.stat().st_size
    sqlite_url = f"sqlite:///{shutil.copy(large, path)}"
    codes = []
    while codes.count(code) < TIMES and len(codes) < MOST:
        moment = random.randrange(1, size // 2) if len(codes) % 2 else 0
        codes.append(_ended(_compacting(tmp_path, sqlite_url), path, number, moment, random.uniform(0, 0.1)))
        assert verify(sqlite_url).findings == []
        assert digest(sqlite_url) == before
        if path.stat().st_size < size:  # it was compacted, so begin again
            _put_back(large, path)
    assert code in codes
    assert {*codes} <= {code, 0, -number}  # without a handler while the interpreter ends
    assert "Traceback" not in (tmp_path / "said").read_text()
    _put_back(large, path)
    assert _compacting(tmp_path, sqlite_url).wait(60) == 0
    assert path.stat().st_size < 0.7 * size
    assert verify(sqlite_url).findings == []
    assert digest(sqlite_url) == before
