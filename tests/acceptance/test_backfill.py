"""`collector backfill` as a user meets it: its cost, its progress, stopped, continued, handed over, failing."""

import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import closing

import pytest

from collector.radar.simulator import faults
from tests.acceptance.world import Collector, midnight, profile, simulating

_START, _END = f"{midnight(40):%Y-%m-%d}", f"{midnight(1):%Y-%m-%d}"
_ORDER = ("backfill", "--start", _START, "--end", _END)
_HOURS = 39 * 24
_SLOW = "concurrency = 1\nrequests_per_5min = 2"


@pytest.fixture
def narrow(tmp_path):
    """A simulator that gives a week of one series at a time."""
    with simulating(series_per_request=1) as (simulator, url):
        yield simulator, Collector(tmp_path, url)


def test_a_dry_run_says_what_it_costs_and_changes_nothing(world):
    simulator, collector = world
    collector.configure(profile(days=None))
    cost = collector.json(*_ORDER, "--dry-run")
    assert cost == {"windows": 2, "requests": 1, "points": _HOURS, "minutes": 5 / 600}
    assert simulator.requests == []
    assert not (collector.folder / "collector.db").exists()
    collector.run(*_ORDER)
    assert collector.json(*_ORDER, "--dry-run")["requests"] == 0
    assert collector.json(*_ORDER, "--dry-run", "--force")["points"] == _HOURS


def test_interrupted_it_ends_the_request_says_where_and_the_same_command_goes_on(narrow):
    simulator, collector = narrow
    collector.configure(profile(days=None), radar=_SLOW)
    with collector.running(*_ORDER) as backfill:
        backfill.says("waiting reason=budget")
        assert backfill.ends(signal.SIGINT) == 1
        said = re.search(r"backfill stopped: ([\d,]+) of 936 buckets were asked for; the same command", backfill.log)
        assert said, backfill.log
        assert 0 < int(said[1]) == collector.count("points") < _HOURS
    assert len(simulator.requests) == len(collector.rows("SELECT 1 FROM fetches WHERE outcome IN ('ok', 'refused')"))
    collector.configure(profile(days=None))
    collector.run(*_ORDER)
    assert len(collector.points()["all"]) == _HOURS
    assert collector.json("gaps", "--end", _END) == []


def test_a_terminal_shows_a_bar_with_requests_points_rate_budget_and_time_left(world):
    _, collector = world
    collector.configure(profile(days=None))
    ours, theirs = pty.openpty()
    with closing(os.fdopen(ours, "rb", buffering=0)) as screen:
        process = subprocess.Popen(
            [sys.executable, "-m", "collector", *_ORDER],
            cwd=collector.folder,
            env={**collector.environ, "COLUMNS": "150", "TERM": "xterm"},
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
        )
        os.close(theirs)
        shown = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", b"".join(_until_hung_up(screen))).decode()
    assert process.wait(10) == 0
    assert re.search(r"100% \S+ \d requests  936 points  [\d,]+/s  budget 59\d  0:00:00", shown), shown
    assert "info fetch" not in shown


def _until_hung_up(screen):
    while True:
        try:
            part = screen.read(4096)
        except OSError:  # how Linux says that the other side is closed
            return
        if not part:
            return
        yield part


def test_a_window_that_keeps_failing_is_said_and_the_rest_goes_on(narrow):
    simulator, collector = narrow
    collector.configure(profile(days=None))
    ill = midnight(20).timestamp()
    simulator.script(
        lambda asked: (
            faults.api_error(500, 2000)
            if asked.question and any(one.start <= ill < one.end for one in asked.question.series)
            else None
        )
    )
    done = collector.run(*_ORDER, expect=1)
    assert "backfill failed: HTTP 500" in done.stderr
    (gap,) = collector.json("gaps")
    assert gap["reason"] == "missing"
    assert gap["buckets"] >= _HOURS // 2 == len(collector.points()["all"])


def test_beside_a_daemon_on_sqlite_the_daemon_does_it(world):
    _, collector = world
    collector.configure(profile(days=None))
    with collector.running("run") as daemon:
        daemon.says("pass outcome=collected", "url=http://")
        done = collector.run(*_ORDER)
        assert "handed to the daemon at http://127.0.0.1:" in done.stderr
        assert re.search(r"points inserted +9\d\d\n", done.stdout)
        assert daemon.ends() == 0
    assert collector.json("gaps") == []


def test_beside_a_daemon_on_postgres_both_write_and_share_the_budget(tmp_path, empty_postgres_url):
    with simulating() as (simulator, url):
        collector = Collector(tmp_path, url, empty_postgres_url)
        collector.configure(profile(days=None))
        with collector.running("run") as daemon:
            daemon.says("pass outcome=collected")
            done = collector.run(*_ORDER)
            assert "handed" not in done.stderr
            assert collector.json("status")["budget"]["used"] == len(simulator.requests)
            assert daemon.ends() == 0
        assert len(collector.points()["all"]) > _HOURS
