import asyncio
import json
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.interval import AggInterval
from collector.model import Answer, Meta, Points, Window
from collector.store import Store
from collector.store.retention import compact
from tests.harness.command_line import empty_folder, invoke
from tests.harness.factories import batch, profile, query, start_fetch

HOURS = 100


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    return empty_folder(tmp_path, monkeypatch)


async def fill(url):
    """The last hundred hours, each with its number and a tenth."""
    now = datetime.now(UTC)
    end = AggInterval.ONE_HOUR.floor(now)
    asked = batch((query(), Window(end - timedelta(hours=HOURS), end)))
    start = int(asked.slices[0].window.start.timestamp())
    points = Points([start + 3600 * n for n in range(HOURS)], [n + 0.1 for n in range(HOURS)])
    meta = Meta(asked.agg_interval, now, "RAW_VALUES", "*", 5, ((end, end),), ())
    async with Store.open(url, owner="test") as store:
        await store.activate_labels([profile()], now)
        await store.save(await start_fetch(store, asked, now), asked, Answer(meta, (points,)), now, 100)


@pytest.fixture
def url(sqlite_url):
    asyncio.run(fill(sqlite_url))
    return sqlite_url


@pytest.fixture
def run(url):
    def run(*arguments, **environ):
        return invoke("db", *arguments, **{"COLLECTOR_DATABASE__URL": url, **environ})

    return run


@contextmanager
def unprivileged():
    """Root may write anywhere, so be somebody else for a while."""
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(os.getuid())


def turn_bit(url):
    """Turn over one bit of a value, which SQLite does not see."""
    path, value = Path(url.removeprefix("sqlite:///")), struct.pack(">d", 0.1)
    content = path.read_bytes()
    assert content.count(value) == 1
    path.write_bytes(content.replace(value, struct.pack(">d", 0.1 + 2**-56)))


def test_verify_of_a_correct_store_exits_with_0(run):
    done = run("verify")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "100 points in 1 series are correct: 1 checksums match\n"


def test_verify_lists_findings_and_exits_with_1(run, url):
    turn_bit(url)
    done = run("verify")
    assert (done.exit_code, done.stderr) == (1, "")
    (line,) = done.stdout.splitlines()
    assert line.startswith("all: what fetch 1 brought for 20")
    assert line.endswith("is not what it was (checksum)")


def test_verify_of_a_foreign_file_prints_a_sentence(run, folder):
    (folder / "text.db").write_text("a text" * 1000)
    done = run("verify", COLLECTOR_DATABASE__URL=f"sqlite:///{folder}/text.db")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "is not a SQLite database" in done.stderr
    assert "Traceback" not in done.stderr


def test_dump_is_json_lines_whose_digest_is_sha256(run):
    import hashlib

    dumped = run("dump")
    assert dumped.exit_code == 0
    lines = [json.loads(line) for line in dumped.stdout.splitlines()]
    assert [line[0] for line in lines] == ["series", *["point"] * HOURS, "covered", "meta"]
    assert run("dump", "--digest").stdout == hashlib.sha256(dumped.stdout_bytes).hexdigest() + "\n"


def test_a_dump_may_be_cut_short_by_its_reader(url, folder):
    environ = {"COLLECTOR_DATABASE__URL": url, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2])}
    pipe = f"{sys.executable} -m collector db dump | true"
    done = subprocess.run(pipe, shell=True, env=environ, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_backup_writes_a_file_that_can_be_verified(run, folder):
    done = run("backup", "backup.db")
    size = (folder / "backup.db").stat().st_size
    assert (done.exit_code, done.stdout) == (0, f"backup.db: {size} bytes, verified\n")
    digests = {
        run("dump", "--digest", COLLECTOR_DATABASE__URL=f"sqlite:///{folder}/{name}.db").stdout
        for name in ("backup", "collector")
    }
    assert len(digests) == 1
    refused = run("backup", "backup.db")
    assert (refused.exit_code, refused.stderr) == (2, "collector: backup.db exists; --force overwrites it\n")
    assert run("backup", "--force", "backup.db").exit_code == 0


def test_restore_puts_a_backup_in_the_place_of_the_store(run, folder, url):
    assert run("backup", "backup.db").exit_code == 0
    before = run("dump", "--digest").stdout
    turn_bit(url)
    assert run("verify").exit_code == 1
    done = run("restore", "backup.db")
    path = folder / "collector.db"
    (kept,) = folder.glob("collector.db.replaced-*Z")
    said = f"{path}: {path.stat().st_size} bytes from backup.db, verified\n"
    said += f"the old store is kept as {kept}\n"
    assert (done.exit_code, done.stdout, done.stderr) == (0, said, "")
    assert (run("verify").exit_code, run("dump", "--digest").stdout) == (0, before)


@pytest.mark.parametrize(
    ("code", "told", "database"),
    [
        (2, "is no SQLite store: load what pg_dump wrote", "postgresql://me:hunter2@host/d"),
        (2, "an unknown option 'ssl_mode' (did you mean", "postgresql://me:hunter2@host/d?ssl_mode=x"),
        (2, "a % without two hexadecimal digits", "sqlite:///100%.db"),
        (2, "is no file", "sqlite:///other.db"),
    ],
)
def test_restore_of_an_invalid_backup_prints_a_sentence(run, code, told, database):
    done = run("restore", "nowhere.db", COLLECTOR_DATABASE__URL=database)
    assert (done.exit_code, done.stdout) == (code, "")
    assert told in done.stderr
    assert "hunter2" not in done.stderr


def test_copy_ends_with_one_digest(run, folder):
    done = run("copy", f"sqlite:///{folder}/copy.db")
    assert done.exit_code == 0
    digest = run("dump", "--digest").stdout.strip()
    assert done.stdout == f"111 rows copied; both stores have the digest {digest}\n"
    again = run("copy", f"sqlite:///{folder}/copy.db")
    assert again.exit_code == 1
    assert "is a store with something in it" in again.stderr


def test_a_copy_to_nowhere_is_refused_without_its_password(run):
    done = run("copy", "mysql://me:hunter2@host/db")
    assert done.exit_code == 2
    assert "postgresql://" in done.stderr
    assert "hunter2" not in done.stderr


def test_prune_deletes_nothing_by_default(run):
    done = run("prune")
    assert (done.exit_code, done.stdout) == (0, "deleted: 0 points, 0 revisions, 0 fetches, 0 fires\n")


def test_prune_prints_what_it_would_delete_and_then_deletes_it(run):
    keep = {"COLLECTOR_RETENTION__POINTS_1H": "2d"}
    rehearsed = run("prune", "--dry-run", **keep)
    assert rehearsed.stdout == "would be deleted: 52 points, 0 revisions, 0 fetches, 0 fires\n"
    assert run("prune", **keep).stdout == "deleted: 52 points, 0 revisions, 0 fetches, 0 fires\n"
    assert run("verify").stdout.startswith("48 points")
    assert run("prune", **keep).stdout == "deleted: 0 points, 0 revisions, 0 fetches, 0 fires\n"


async def test_prune_changes_no_store_that_a_collector_owns_but_rehearses(url, run):
    async with Store.open(url, owner="run"):
        refused = await asyncio.to_thread(run, "prune")
        assert refused.exit_code == 1
        assert "is in use by `collector run` (process" in refused.stderr
        assert (await asyncio.to_thread(run, "prune", "--dry-run")).exit_code == 0


@pytest.mark.parametrize(
    "name", ["upgrade", "downgrade", "current", "check", "verify", "dump", "backup", "copy", "prune", "compact"]
)
def test_every_command_has_an_example(run, name):
    done = run(name, "--help")
    assert done.exit_code == 0
    assert f"Example: collector db {name}" in done.stdout


def test_upgrade_current_and_check_agree(run):
    assert "unchanged" in run("upgrade").stdout
    assert run("current").exit_code == 0
    assert run("check").stdout == "the schema is correct\n"
    assert run("downgrade", "0099").exit_code == 2


def test_prune_reports_damage_and_exits_with_1(run, url):
    turn_bit(url)
    done = run("prune", COLLECTOR_RETENTION__POINTS_1H="2d")
    assert (done.exit_code, done.stdout) == (1, "deleted: 52 points, 0 revisions, 0 fetches, 0 fires\n")
    assert "the values of fetch 1, of series 1, do not match their checksum" in done.stderr


def test_compact_prints_the_bytes_before_and_after(run, folder):
    before = run("dump", "--digest").stdout
    size = (folder / "collector.db").stat().st_size
    done = run("compact")
    after = (folder / "collector.db").stat().st_size
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"compacted: {size} bytes before, {after} bytes after\n"
    assert run("verify").exit_code == 0
    assert run("dump", "--digest").stdout == before


async def test_compact_is_refused_if_another_command_owns_the_store(url, run):
    async with Store.open(url, owner="collect"):
        refused = await asyncio.to_thread(run, "compact")
    assert refused.exit_code == 1
    assert "is in use by `collector collect` (process" in refused.stderr
    assert "the owner has no HTTP server that could do the work; wait until that process has ended" in refused.stderr


def test_compact_of_a_store_that_cannot_be_compacted_prints_a_sentence(run, folder):
    def refusal(**environ):
        done = run("compact", **environ)
        assert (done.exit_code, done.stdout) == (1, "")
        return done.stderr

    assert "there is no store at" in refusal(COLLECTOR_DATABASE__URL=f"sqlite:///{folder}/other.db")
    assert not (folder / "other.db").exists()
    with closing(sqlite3.connect(folder / "collector.db")) as connection, connection:
        connection.execute("UPDATE schema_revision SET version_num = '9999'")
    assert "was changed by a newer collector" in refusal()


@pytest.fixture
def common_folder(monkeypatch):
    """A working folder that other users can read."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    monkeypatch.chdir(folder)
    yield folder
    shutil.rmtree(folder)


def test_compact_of_a_read_only_store_says_so(run, folder, common_folder):
    for name in ("collector.db", "collector.db.lock"):
        Path(shutil.copy(folder / name, common_folder)).chmod(0o444)
    with unprivileged():
        done = run("compact", COLLECTOR_DATABASE__URL=f"sqlite:///{common_folder}/collector.db")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "so the store can only be read" in done.stderr


def test_compact_needs_room_for_two_copies(run, folder, monkeypatch):
    monkeypatch.setattr(compact, "_MORE_BYTES", 10**18)
    done = run("compact")
    assert (done.exit_code, done.stdout) == (1, "")
    assert re.search(
        r"is not compacted: this needs [0-9]{19,} bytes of room on the disk of /\S+.*, and \d+ are free", done.stderr
    )
    assert run("verify").exit_code == 0
