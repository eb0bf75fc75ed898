"""`collector backfill` as a user meets it: its cost, its progress, stopped, continued, handed over, failing."""

import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import closing

import pytest

from tests.harness import faults
from tests.harness.fork_server import fork_server
from tests.harness.processes import Collector, midnight, profile_toml, simulating

_START, _END = f"{midnight(40):%Y-%m-%d}", f"{midnight(1):%Y-%m-%d}"
_ORDER = ("backfill", "--start", _START, "--end", _END)
_HOURS = 39 * 24
_SLOW = "concurrency = 1\nrequests_per_5min = 3"


@pytest.fixture
def narrow(tmp_path):
    """A simulator that gives a week of one series at a time."""
    with simulating(series_per_request=1) as (simulator, url):
        yield simulator, Collector(tmp_path, url)


def test_a_dry_run_says_what_it_costs_and_changes_nothing(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml(days=None))
    cost = collector.json(*_ORDER, "--dry-run")
    assert cost == {"windows": 2, "requests": 1, "points": _HOURS, "minutes": 5 / 600}
    assert simulator.requests == []
    assert not (collector.folder / "collector.db").exists()
    assert "migrated" not in collector.run(*_ORDER, "--dry-run").stderr
    collector.run(*_ORDER)
    assert collector.json(*_ORDER, "--dry-run")["requests"] == 0
    assert collector.json(*_ORDER, "--dry-run", "--force")["points"] == _HOURS


def test_interrupted_it_ends_the_request_says_where_and_the_same_command_goes_on(narrow):
    simulator, collector = narrow
    collector.configure(profile_toml(days=None), radar=_SLOW)
    with collector.running(*_ORDER) as backfill:
        backfill.says("fetch_waiting reason=budget")
        assert backfill.ends(signal.SIGINT) == 1
        said = re.search(r"backfill stopped: ([\d,]+) of 936 buckets are done; the same command", backfill.log)
        assert said, backfill.log
        assert 0 < int(said[1]) == collector.count("points") < _HOURS
    assert len(simulator.requests) == len(collector.rows("SELECT 1 FROM fetches WHERE outcome IN ('ok', 'refused')"))
    collector.configure(profile_toml(days=None))
    collector.run(*_ORDER)
    assert len(collector.points()["all"]) == _HOURS
    assert collector.json("gaps", "--end", _END) == []


def test_a_terminal_shows_a_bar_with_requests_points_rate_budget_and_time_left(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml(days=None))
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
    collector.configure(profile_toml(days=None))
    ill = midnight(20).timestamp()
    simulator.script(
        lambda asked: (
            faults.api_error(500, 2000)
            if asked.request and any(one.start <= ill < one.end for one in asked.request.series)
            else None
        )
    )
    done = collector.run(*_ORDER, expect=1)
    assert "backfill failed: HTTP 500" in done.stderr
    gap = collector.json("gaps")[0]
    assert gap["start"] <= f"{midnight(20):%Y-%m-%dT%H:%M:%SZ}" < gap["end"]
    assert gap["reason"] == "missing"
    assert gap["buckets"] == _HOURS - len(collector.points()["all"]) < _HOURS // 2


def test_beside_a_daemon_on_sqlite_the_daemon_does_it(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml(days=None))
    with collector.running("run") as daemon:
        daemon.says("collect outcome=collected", "url=http://")
        done = collector.run(*_ORDER)
        assert "sent to the daemon at http://127.0.0.1:" in done.stderr
        assert re.search(r"points inserted +9\d\d\n", done.stdout)
        assert daemon.ends() == 0
    assert collector.json("gaps") == []


def test_a_job_of_the_daemon_is_followed_on_a_terminal_left_alone_listed_and_cancelled(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml(days=1), radar="requests_per_5min = 1")
    ours, theirs = pty.openpty()
    with collector.running("run") as daemon, closing(os.fdopen(ours, "rb", buffering=0)) as screen:
        daemon.says("collect outcome=collected", "url=http://")
        with collector.running(*_ORDER) as first:
            first.says("sent to the daemon")
            with os.fdopen(theirs, "wb") as terminal, (collector.folder / "out").open("wb") as out:
                second = fork_server().fork(
                    _ORDER, collector.folder, {**collector.environ, "COLUMNS": "150"}, (out, terminal)
                )
            shown = b""
            while b"queued behind backfill 1" not in shown:
                shown += screen.read(4096)
            second.send_signal(signal.SIGINT)
            shown += b"".join(_until_hung_up(screen))
            assert second.wait(10) == 1
            states = [(job["id"], job["state"], job["requests"]) for job in collector.json("backfill", "--list")]
            assert states == [(2, "queued", 0), (1, "running", 0)]
            for job in (2, 1):
                assert f"backfill {job} is cancelled" in collector.call("backfill", "--cancel", str(job)).stderr
            assert first.ends(None) == 1
            assert "backfill cancelled: cancelled before all of it was asked for" in first.log
        assert "backfill 2 has already ended: cancelled" in collector.call("backfill", "--cancel", "2", expect=1).stderr
        assert daemon.ends() == 0
    lines = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", shown).decode().splitlines()
    assert re.fullmatch(r"sent to the daemon at \S+ as backfill 2; Ctrl-C stops the display, not the job", lines[0])
    left = "display stopped; the daemon continues, and `collector backfill --cancel 2` cancels the job"
    assert f"collector: {left}" in lines
    assert "Aborted!" not in lines


def test_a_job_is_listed_and_cancelled_without_a_daemon_and_no_store_is_made(simulated_collector, database):
    _, collector = simulated_collector
    collector.database = database
    collector.configure(profile_toml(days=1), radar="requests_per_5min = 1")
    for command in (("--list",), ("--cancel", "1")):
        collector.call("backfill", *command, expect=1)
    assert not list(collector.folder.glob("*.db"))
    collector.run("collect")
    with collector.running(*_ORDER) as backfill:
        backfill.says("fetch_waiting reason=budget")
        if database.startswith("sqlite"):
            refused = collector.call("backfill", "--cancel", "1", expect=1).stderr
            assert (
                "and the owner has no HTTP server that could do the work; wait until that process has ended, or end it"
                in refused
            )
            assert backfill.ends(signal.SIGINT) == 1
            collector.call("backfill", "--cancel", "1")
        else:
            collector.call("backfill", "--cancel", "1")
            assert backfill.ends(None) == 1
            assert "backfill cancelled" in backfill.log
    (job,) = collector.json("backfill", "--list")
    assert (job["state"], job["end"]) == ("cancelled", f"{_END}T00:00:00Z")
    assert "there is no backfill 7" in collector.call("backfill", "--cancel", "7", expect=2).stderr
    collector.call("backfill", "--list", "--start", "1d", expect=2)
    collector.call("backfill", expect=2)


@pytest.mark.parametrize("start", ["0001-01-01", "0002-01-01", "1999-12-31", "9999-12-31"])
def test_an_impossible_date_is_refused(simulated_collector, start):
    simulated_collector[1].configure(profile_toml(days=None))
    refused = simulated_collector[1].call("backfill", "--start", start, "--dry-run", expect=2).stderr
    assert f"{start}T00:00:00Z is out of range; allowed: 2000-01-01 to tomorrow" in refused


def test_beside_a_daemon_on_postgres_both_write_and_share_the_budget(tmp_path, empty_postgres_url):
    with simulating() as (simulator, url):
        collector = Collector(tmp_path, url, empty_postgres_url)
        collector.configure(profile_toml(days=None))
        with collector.running("run") as daemon:
            daemon.says("collect outcome=collected")
            done = collector.run(*_ORDER)
            assert "handed" not in done.stderr
            assert collector.json("status")["budget"]["used"] == len(simulator.requests)
            assert daemon.ends() == 0
        assert len(collector.points()["all"]) > _HOURS
