import csv
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from collector.store import Store
from collector.timestamps import rfc3339
from tests.conftest import in_a_thread
from tests.harness.command_line import folder_of_store, invoke
from tests.harness.factories import DAY, HOUR, NOW, answer, batch, filtered, hours, profile, query, saved, start_fetch
from tests.store.write.test_snapshots import taken

LICENCE = "Data: Cloudflare Radar (https://radar.cloudflare.com), licensed CC BY-NC 4.0.\n"
LATER = NOW + 2 * HOUR
DAYS = 24 * HOUR


async def _fill(url):
    """Three hours of a profile, one of which was revised two hours later."""
    asked = batch((query(), hours(0, 3)))
    async with Store.open(url, owner="test") as store:
        await store.activate_labels([profile("all")], DAY)
        await saved(store, asked, [1, 2, 3])
        fetch_id = await start_fetch(store, asked, LATER)
        await store.save(fetch_id, asked, answer(asked, [1, 20, 3], updated=LATER), LATER, 100)


@pytest.fixture
def folder(tmp_path, monkeypatch, store_url):
    """A working directory whose configuration names a store with points; the test runs once on each database."""
    in_a_thread(_fill(store_url))
    return folder_of_store(tmp_path, monkeypatch, store_url)


@pytest.fixture
def run(folder):
    return partial(invoke, "export")


def _values(result):
    assert result.exit_code == 0, result.stderr
    return [float(row["value"]) for row in csv.DictReader(result.stdout.splitlines())]


def test_points_go_to_stdout_and_the_licence_to_stderr(run):
    done = run("all", "--start", "2026-04-30T01:00:00Z")
    assert done.stdout == (
        "profile,series,timestamp,value\nall,all,2026-04-30T01:00:00Z,20\nall,all,2026-04-30T02:00:00Z,3\n"
    )
    assert done.exit_code == 0
    assert done.stderr.endswith(LICENCE)


@pytest.mark.parametrize("format_", ["csv", "jsonl", "json", "parquet"])
def test_a_file_holds_what_stdout_would(run, folder, format_):
    assert run("--format", format_, "-o", "points").exit_code == 0
    assert (folder / "points").read_bytes() == run("--format", format_, "-o", "-").stdout_bytes
    assert sorted(folder.iterdir()) == [folder / "config.toml", folder / "points"]


def test_as_of_returns_exactly_the_known_values(run):
    before = rfc3339(NOW.replace(microsecond=NOW.microsecond - 1))
    assert _values(run("--as-of", before)) == []
    assert _values(run("--as-of", rfc3339(NOW))) == [1, 2, 3]
    assert _values(run("--as-of", rfc3339(LATER.replace(microsecond=0)))) == [1, 2, 3]
    assert _values(run("--as-of", rfc3339(LATER))) == [1, 20, 3]


def test_an_age_is_a_period_too(run):
    assert _values(run("--start", "9000d", "--end", "now")) == _values(run())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["al"], "the store has no profile 'al' (did you mean \"all\"?); it has: all"),
        (["--start", "2026-05-02", "--end", "2026-05-01"], "2026-05-02T00:00:00Z is after --end 2026-05-01T00:00:00Z"),
        (["--start", "2026-05-01", "--end", "2026-05-01"], "is equal to --end 2026-05-01T00:00:00Z"),
        (["-o", "none/points.csv"], "cannot write none/points.csv: no such file or directory"),
        (["-o", "."], "cannot write .: is a directory"),
        (["--format", "xlsx"], "'xlsx' is not one of 'csv', 'jsonl', 'json', 'parquet'"),
    ],
)
def test_an_invalid_export_is_rejected_in_a_sentence(run, folder, arguments, said):
    refused = run(*arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert said in refused.stderr
    assert list(folder.iterdir()) == [folder / "config.toml"]


def _python(folder, *arguments, **options):
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environ, **options)


def test_gaps_of_a_range_are_reported_by_label(run):
    day = ("--start", "2026-04-30", "--end", "2026-04-30T02:00:00Z")
    assert run("all", *day).stderr == LICENCE
    assert run("all").stderr == LICENCE
    two = "all: 1h buckets absent: 2026-04-30T03:00:00Z..2026-04-30T04:00:00Z (2)\n"
    assert run("all", "--end", "2026-04-30T04:30:00Z").stderr == two + LICENCE
    early = run("all", "--start", "2026-04-29T22:30:00Z", "--end", "2026-04-30T02:00:00Z", "--format", "jsonl")
    assert early.stderr == (
        "all: 1h buckets absent: 2026-04-29T23:00:00Z..2026-04-29T23:00:00Z (1); "
        f"--start is before the first stored bucket, 2026-04-30T00:00:00Z\n{LICENCE}"
    )
    nothing = run("all", "--start", "2026-04-30T05:00:00Z", "--end", "2026-04-30T06:00:00Z")
    assert "all: 1h buckets absent: 2026-04-30T05:00:00Z..2026-04-30T05:00:00Z (1)\n" in nothing.stderr
    assert "; nothing is stored\n" in run(*day, "--as-of", "2026-04-30T12:00:00Z").stderr


def test_unpublished_buckets_are_not_gaps(run):
    said = "no point was known at 2026-04-30T00:30:00Z\n"
    assert run("--start", "2026-04-30", "--as-of", "2026-04-30T00:30:00Z").stderr == said + LICENCE


def test_as_of_before_anything_was_known_says_so(run):
    before = rfc3339(NOW.replace(microsecond=NOW.microsecond - 1))
    assert f"no point was known at {before}\n" in run("--as-of", before).stderr
    assert "was known" not in run("--as-of", rfc3339(NOW)).stderr


def test_a_moment_whose_snapshot_was_replaced_is_named_with_the_first_that_can_be_asked(run, store_url):
    async def fill():
        async with Store.open(store_url, owner="test") as store:
            await store.activate_labels([filtered("valid", expirationStatus="VALID")], NOW)
            for moment in (NOW, NOW + 6 * HOUR, NOW + 30 * HOUR):
                await store.save_snapshots([taken(3, 2, 1, asked_at=moment)], moment)

    in_a_thread(fill())
    said = (
        f"valid: no snapshot of {rfc3339(NOW + HOUR)} or before is kept: of each UTC day, a snapshot replaces the "
        f"earlier ones; the oldest one that can be asked for was requested at {rfc3339(NOW + 6 * HOUR)}\n"
    )
    replaced = run("valid", "--as-of", rfc3339(NOW + HOUR))
    assert (replaced.exit_code, replaced.stderr) == (0, said + LICENCE)
    assert said in run("--as-of", rfc3339(NOW + HOUR)).stderr  # beside points of another profile
    assert said in invoke("stats", "valid", "--as-of", rfc3339(NOW + HOUR)).stderr
    drawn = invoke("plot", "valid", "--as-of", rfc3339(NOW + HOUR))
    assert (drawn.exit_code, said.strip() in drawn.stderr) == (1, True)
    stored = run("valid", "--as-of", rfc3339(NOW + 7 * HOUR))
    assert (_values(stored), "is kept" in stored.stderr) == ([3, 2, 1], False)


def test_a_closed_pipe_ends_the_export_without_a_message(run, folder):
    read, write = os.pipe()
    os.close(read)
    export = ("-m", "collector", "export", "--format", "json")
    process = _python(folder, *export, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert process.communicate(timeout=30)[1] == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_reported_in_a_sentence(run):
    failed = run("-o", "/dev/full")
    assert failed.exit_code == 1
    assert failed.stderr == "collector: cannot write /dev/full: no space left on device\n"


def test_json_lines_are_what_programs_read(run):
    lines = run("--format", "jsonl").stdout.splitlines()
    expected = {"profile": "all", "series": "all", "timestamp": "2026-04-30T01:00:00Z", "value": 20, "unit": "*"}
    assert json.loads(lines[1]) == expected


async def _change_the_unit(url, *, spelling=False):
    """A day later the newest hours come in another unit, or in another spelling of it, in two answers."""
    async with Store.open(url, owner="test") as store:
        for moment in (LATER + DAYS, LATER + DAYS + HOUR):
            asked = batch((query(), hours(2, 6)))
            unit = " * " if spelling else "requests"
            await saved(store, asked, [30, 40, 50, 60], now=moment, updated=moment, unit=unit)


def test_after_a_change_of_the_unit_all_points_are_exported_and_csv_warns_on_stderr(run, store_url):
    in_a_thread(_change_the_unit(store_url))
    done = run()
    assert _values(done) == [1, 20, 30, 40, 50, 60]
    assert done.stdout.splitlines()[0] == "profile,series,timestamp,value"
    said = "all: the unit changes from '*' to 'requests' with the bucket 2026-04-30T02:00:00Z\n"
    assert done.stderr == said + LICENCE
    change, end = "2026-04-30T02:00:00Z", "2026-04-30T06:00:00Z"
    assert run("--end", change).stderr == run("--start", change, "--end", end).stderr == LICENCE


def test_the_other_formats_have_the_unit_of_every_point(run, store_url):
    in_a_thread(_change_the_unit(store_url))
    units = ["*", "*", *["requests"] * 4]
    done = run("--format", "jsonl")
    assert [json.loads(line)["unit"] for line in done.stdout.splitlines()] == units
    assert done.stderr == LICENCE
    assert [row["unit"] for row in json.loads(run("--format", "json").stdout)] == units
    table = parquet.read_table(pa.BufferReader(run("--format", "parquet").stdout_bytes))
    assert table.column("unit").to_pylist() == units
    assert table.column("value").to_pylist() == [1, 20, 30, 40, 50, 60]


def test_as_of_before_a_change_returns_the_values_known_then(run, store_url):
    in_a_thread(_change_the_unit(store_url))
    done = run("--as-of", rfc3339(LATER + DAYS))
    assert _values(done) == [1, 20, 3]
    assert done.stderr == LICENCE


def test_another_spelling_of_the_unit_is_no_change(run, store_url):
    in_a_thread(_change_the_unit(store_url, spelling=True))
    done = run()
    assert _values(done) == [1, 20, 30, 40, 50, 60]
    assert done.stderr == LICENCE
