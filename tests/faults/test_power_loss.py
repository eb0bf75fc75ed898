"""The power fails while SQLite writes: what was not synced is lost, kept, or torn, in any combination.

The calls on the store's files are recorded with strace, with what they wrote. From any prefix of that record a disk is
built: all that was synced, and of the rest each write whole, in part, or not at all. Every such store must open, be
sound, hold what was acknowledged, and be the state after some step: nothing is half there.
"""

import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytestmark = pytest.mark.campaign  # strace comes from the system's packages

ROOT = Path(__file__).parents[2]
STATES = 100_000
SECTOR = 512
WORK = """
import asyncio, os, sys
from collector.store import Store
from tests.harness.factories import HOUR, NOW, batch, hours, query, saved

folder, sittings, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

async def main():
    number = 0
    for sitting in range(sittings):  # closing the store moves what the journal has into the file
        async with Store.open(f"sqlite:///{folder}/collector.db", owner="test") as store:
            for _ in range(steps):
                number += 1
                asked = batch((query(), hours(number, number + 200)))
                values = [1000.0 * number + hour for hour in range(200)]
                await saved(store, asked, values, now=NOW + number * HOUR, updated=NOW + number * HOUR)
                with open(f"{folder}/acknowledged", "ab", buffering=0) as said:
                    os.pwrite(said.fileno(), b"x", number)

asyncio.run(main())
"""
_CALL = re.compile(
    r'^\d+ +(?P<name>\w+)\((?:(?P<fd>\d+)<(?P<path>[^>]+)>)?(?:"(?P<target>[^"]+)")?'
    r'(?:, "(?P<bytes>(?:\\x[0-9a-f]{2})*)"(?:, \d+)?)?(?:, (?P<number>\d+))?.*\) += (?P<result>-?\d+)',
)


@dataclass
class Disk:
    """The files: *synced* bytes, and what was *pending* since, as (offset, bytes), or (size, None) for a truncation."""

    synced: dict[str, bytearray] = field(default_factory=dict)
    pending: dict[str, list] = field(default_factory=dict)
    acknowledged: int = 0

    def apply(self, name, path, data, number):
        """Let one recorded call happen."""
        if path == "acknowledged":
            self.acknowledged = max(self.acknowledged, number)
        elif name in ("pwrite64", "ftruncate"):
            self.pending.setdefault(path, []).append((number, data if name == "pwrite64" else None))
        elif name in ("fdatasync", "fsync"):
            content = self.synced.setdefault(path, bytearray())
            for write in self.pending.pop(path, []):
                _write(content, *write)
        else:  # unlink
            self.synced.pop(path, None)
            self.pending.pop(path, None)

    def whole(self):
        """Build the files as a running system sees them."""
        files = {path: bytearray(content) for path, content in self.synced.items()}
        for path, writes in self.pending.items():
            for write in writes:
                _write(files.setdefault(path, bytearray()), *write)
        return files

    def found(self, chance):
        """Build the files as a power failure may leave them now."""
        files = {path: bytearray(content) for path, content in self.synced.items()}
        for path, writes in self.pending.items():
            kept = [write for write in writes if chance.random() < 0.5]
            chance.shuffle(kept)
            content = files.setdefault(path, bytearray())
            for offset, data in kept:
                if data is not None and chance.random() < 0.3:
                    data = data[: SECTOR * chance.randrange(len(data) // SECTOR + 1)]  # noqa: PLW2901 - torn
                _write(content, offset, data)
        return files


def _write(content, offset, data):
    if data is None:
        del content[offset:]
        content.extend(bytes(offset - len(content)))
    elif data:
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data


def _recorded(folder):
    """What was done to the files, in order: (call, file name, bytes, offset or size)."""
    paths = [f"{folder}/collector.db{name}" for name in ("", "-wal", "-journal")] + [f"{folder}/acknowledged"]
    chosen = [part for path in paths for part in ("-P", path)]
    calls = "trace=pwrite64,fdatasync,fsync,ftruncate,unlink"
    tracing = ["strace", "-f", "-qq", "-y", "-xx", "-s", "100000", "-o", f"{folder}/log", *chosen, "-e", calls]
    command = [*tracing, sys.executable, "-c", WORK, str(folder), "4", "6"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    for line in Path(folder, "log").read_text().splitlines():
        call = _CALL.match(line)
        assert call, line[:300]
        if call["result"].startswith("-"):
            continue
        path = Path(_unescaped(call["path"] or call["target"]).decode())
        yield call["name"], path.name, _unescaped(call["bytes"] or ""), int(call["number"] or 0)


def _unescaped(text):
    return bytes.fromhex(text.replace("\\x", ""))


def _read(folder):
    """What a store says: every point, and how many values were replaced; and whether SQLite finds it sound."""
    with closing(sqlite3.connect(folder / "collector.db")) as store:
        (sound,) = store.execute("PRAGMA integrity_check").fetchone()
        points = store.execute("SELECT timestamp, value FROM points ORDER BY timestamp").fetchall()
        (revisions,) = store.execute("SELECT count(*) FROM revisions").fetchone()
    return sound, hash((tuple(points), revisions))


def _lay(folder, files):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.fixture
def scratch():
    """A folder in memory: a hundred thousand stores are laid down in it."""
    folder = Path(f"/dev/shm/collector-power-{os.getpid()}")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_after_a_power_failure_every_acknowledged_save_is_there_and_none_is_half(
    sqlite_template, tmp_path, scratch, seed
):
    chance = random.Random(seed)
    shutil.copy(sqlite_template, tmp_path / "collector.db")
    begun = {"collector.db": bytearray(sqlite_template.read_bytes())}
    calls = list(_recorded(tmp_path))
    whole = Disk({name: bytearray(content) for name, content in begun.items()})
    known = []
    for call in calls:
        whole.apply(*call)
        if call[1] == "acknowledged":
            _lay(scratch, whole.whole())
            known.append(_read(scratch)[1])
    steps = {state: number for number, state in enumerate(known, 1)}
    assert len(steps) == len(known) == 24
    _lay(scratch, begun)
    steps[_read(scratch)[1]] = 0
    disk, tried = Disk({name: bytearray(content) for name, content in begun.items()}), 0
    for at, call in enumerate(calls):
        disk.apply(*call)
        for _ in range(STATES // len(calls) + 1):
            _lay(scratch, disk.found(chance))
            sound, state = _read(scratch)
            told = f"after call {at} of {len(calls)}: {call[0]} {call[1]}"
            assert sound == "ok", told
            assert state in steps, told
            assert steps[state] >= disk.acknowledged, told
            tried += 1
    assert tried >= STATES
