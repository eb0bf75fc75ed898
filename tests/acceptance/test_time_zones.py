"""No time depends on `TZ`: not on its offset, nor on leap seconds, which `right/UTC` and its like subtract."""

import json
import os
import struct
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from collector.interval import AggInterval
from collector.model import Question
from tests.harness.processes import COLLECTOR, Collector, closed, simulating, truth

HOUR = AggInterval.ONE_HOUR
PROFILE = '[[profiles]]\nname = "all"\nagg_interval = "1h"\nsince = "{}"\n'
_LEAPS = 27
ZONES = ["leap seconds", "America/St_Johns"]


def leap_zone(path):
    """Write a zone as `right/UTC` is: UTC, less a leap second at the end of every year from 1972 on, 27 of them."""
    ends = [int(datetime(1973 + n, 1, 1, tzinfo=UTC).timestamp()) + n for n in range(_LEAPS)]
    head = b"TZif2" + bytes(15)
    v1 = head + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lBB", 0, 0, 0) + b"UTC\0"
    v2 = head + struct.pack(">6l", 0, 0, _LEAPS, 0, 1, 4) + struct.pack(">lBB", 0, 0, 0) + b"UTC\0"
    leaps = b"".join(struct.pack(">ql", end, n + 1) for n, end in enumerate(ends))
    path.write_bytes(v1 + v2 + leaps + b"\nUTC0\n")
    return f":{path}"


@pytest.fixture(params=ZONES)
def zone(request, tmp_path):
    """What TZ is set to."""
    return leap_zone(tmp_path / "leaps.tzif") if request.param == "leap seconds" else request.param


def python(text, zone):
    """What a line of Python prints under a zone."""
    environ = {**os.environ, "TZ": zone, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", text], env=environ, capture_output=True, text=True, check=True
    ).stdout.strip()


def run(collector, zone, *arguments, expect=0):
    """Run a command in a process of its own, for a zone is read once."""
    environ = {**collector.environ, "TZ": zone}
    done = subprocess.run(
        [*COLLECTOR, *arguments], cwd=collector.folder, env=environ, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == expect, done.stderr[-3000:]
    return done.stdout


def test_a_zone_with_leap_seconds_moves_what_the_c_library_says(tmp_path):
    zone = leap_zone(tmp_path / "leaps.tzif")
    assert python("import time; print(time.gmtime(1_700_000_000).tm_sec)", zone) == str((20 - _LEAPS) % 60)
    assert python("import time; print(time.gmtime(1_700_000_000).tm_sec)", "UTC0") == "20"


def test_moments_are_counted_from_the_epoch(zone):
    told = python("from collector.timestamps import from_epoch; print(from_epoch(1_700_000_000.25))", zone)
    assert told == "2023-11-14 22:13:20.250000+00:00"
    line = "import time; from collector.timestamps import utc_now; print(abs(utc_now().timestamp() - time.time()))"
    assert float(python(line, zone)) < 1


def test_the_libraries_of_a_command_are_not_moved_either(zone):
    line = "from collector.cli.main import ignore_local_time as i; i(); import datetime, time; "
    told = (
        "print(abs(datetime.datetime.now(datetime.UTC).timestamp() - time.time()), time.gmtime(1_700_000_000).tm_sec)"
    )
    difference, seconds = python(line + told, zone).split()
    assert float(difference) < 1
    assert seconds == "20"


def test_a_log_tells_the_time_that_it_is(zone):
    line = "import logging; from collector import logs; logs.configure('info', 'json'); logging.info('x')"
    line += (
        "; r = logging.makeLogRecord({'created': 1_700_000_000.0}); print(logging.getLogger().handlers[0].format(r))"
    )
    assert json.loads(python(line, zone))["time"] == "2023-11-14T22:13:20.000Z"


def test_a_pass_finds_every_bucket_with_few_requests(zone, tmp_path, database):
    with simulating() as (simulator, url):
        collector = Collector(tmp_path, url, database=database)
        yesterday = AggInterval.ONE_DAY.floor(datetime.fromtimestamp(time.time() - 86_400, UTC))
        collector.configure(PROFILE.format(yesterday.date()))
        run(collector, zone, "collect")
        query = Question(HOUR, {})
        for now in (time.time(), time.time() - 60):
            expected = truth(simulator, query, closed(query, 1, now), now)
            if collector.points()["all"].items() >= expected.items():
                break
        else:
            raise AssertionError("buckets are missing")
        assert 1 <= len(simulator.requests) <= 3
        assert {request.status for request in simulator.requests} == {200}
        for request in simulator.requests:
            assert ":00:00Z" in request.raw_query.replace("%3A", ":")
        told = json.loads(run(collector, zone, "status", "--format", "json"))
        assert [row["gaps"] for row in told["profiles"]] == [0]
        assert "Z" in run(collector, zone, "export")
        run(collector, zone, "db", "verify")


def test_the_demo_is_fresh(tmp_path):
    zone = leap_zone(tmp_path / "leaps.tzif")
    shown = run(Collector(tmp_path, ""), zone, "demo", "--once", "--data", "kept")
    assert {line.split()[0] for line in shown.splitlines() if line.endswith("fresh")} == {
        "all", "by-owner", "short-lived",
    }  # fmt: skip
    listed = run(Collector(tmp_path / "kept", ""), zone, "fetches", "--config", "config.toml", "--format", "json")
    outcomes = [row["outcome"] for row in json.loads(listed)]
    assert outcomes.count("ok") >= len(outcomes) - 1  # a year of days is too much for one request
    assert len(outcomes) <= 10
