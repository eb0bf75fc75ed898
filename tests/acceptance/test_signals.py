"""Signals at any moment, and sudden death."""

import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.store.db.migrate import HEAD
from collector.timestamps import rfc3339
from tests.harness import faults
from tests.harness.processes import Collector, eventually, profile_toml, simulating

PREVIOUS = f"{int(HEAD) - 1:04}"
_MOMENTS = {
    "idle": (None, "collect outcome=collected"),
    "in a request that never ends": (faults.black_hole(), None),
    "in a back-off": (faults.html(503), "fetch=4"),
    "in a 429 wait": (faults.too_many("600"), "fetch_waiting reason=blocked"),
}


@pytest.mark.parametrize("moment", _MOMENTS)
def test_sigterm_ends_the_daemon_with_0_in_ten_seconds(simulated_collector, moment):
    simulator, collector = simulated_collector
    fault, said = _MOMENTS[moment]
    collector.configure(profile_toml())
    if fault:
        simulator.script(fault.always())
    with collector.running("run") as daemon:
        if said:
            daemon.says(said)
        eventually(lambda: simulator.requests)
        began = time.monotonic()
        assert daemon.ends(seconds=10) == 0
        assert time.monotonic() - began < (9.5 if moment.startswith("in a request") else 3)
        assert "stopped" in daemon.log


def test_sigterm_while_starting_ends_with_0(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml())
    for delay in (0, 0.15, 0.3):
        with collector.running("run", anew=True) as daemon:
            eventually(lambda daemon=daemon: _catches_sigterm(daemon.process.pid))
            time.sleep(delay)  # any moment will do
            assert daemon.ends() == 0, (delay, daemon.log)


@contextmanager
def _waiting_to_migrate(collector, *command):
    """A process that is about to migrate the store from the previous schema, and waits until this context ends."""
    collector.configure(profile_toml())
    collector.call("db", "upgrade")
    collector.call("db", "downgrade", PREVIOUS)
    with closing(sqlite3.connect(collector.folder / "collector.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with collector.running(*command) as process:
            opened = Path(f"/proc/{process.process.pid}/fd")
            eventually(lambda: any(_target(file).endswith("collector.db") for file in opened.iterdir()))
            yield process, other
            process.process.kill()


def _target(link):
    """Where a link of `/proc` leads; empty if the process has just closed it."""
    with suppress(FileNotFoundError):
        return str(link.readlink())
    return ""


def test_a_sighup_while_the_daemon_starts_is_obeyed_once_it_can_be(simulated_collector):
    with _waiting_to_migrate(simulated_collector[1], "run") as (daemon, other):
        daemon.process.send_signal(signal.SIGHUP)
        other.rollback()
        daemon.says("serving", "reload outcome=ok", "collect outcome=collected")
        assert daemon.ends() == 0


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [
        (("run",), signal.SIGTERM, 0),
        (("collect",), signal.SIGHUP, 1),
        (("db", "upgrade"), signal.SIGTERM, 128 + signal.SIGTERM),
    ],
)
def test_a_signal_during_a_migration_leaves_it_done_or_undone(simulated_collector, command, number, code):
    _, collector = simulated_collector
    with _waiting_to_migrate(collector, *command) as (process, other):
        process.process.send_signal(number)
        other.rollback()
        assert process.ends(None) == code
    revision = collector.call("db", "current").stdout.split()[0]
    assert revision in (PREVIOUS, HEAD)
    collector.call("db", "upgrade")
    assert collector.call("db", "check").stdout == "the schema is correct\n"
    collector.call("db", "verify")


def test_signals_are_held_before_anything_that_takes_time_is_imported():
    """Each command starts in `collector.__main__`, however it was installed."""
    script = "import sys, collector.__main__; print(*{'click', 'asyncio', 'collector.cli.main'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b"\n"
    entry = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["scripts"]
    assert entry == {"collector": "collector.__main__:main"}


def _catches_sigterm(pid):
    """Tell whether the process does anything else at SIGTERM than to die."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["SigCgt"], 16) >> (signal.SIGTERM - 1) & 1


def test_a_half_asked_request_is_on_record_as_interrupted_after_the_next_start(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml())
    simulator.script(faults.black_hole())
    with collector.running("run") as daemon:
        eventually(lambda: simulator.requests)
        daemon.ends(signal.SIGKILL)
    assert ("started",) in collector.rows("SELECT outcome FROM fetches")
    collector.run("collect")
    outcomes = [outcome for (outcome,) in collector.rows("SELECT outcome FROM fetches ORDER BY id")]
    assert outcomes[0] == "interrupted"
    assert set(outcomes[1:]) == {"ok", "interrupted"} or set(outcomes[1:]) == {"ok"}
    assert len(outcomes) == len(simulator.requests)


def test_sighup_takes_up_a_good_configuration_and_refuses_a_bad_one(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml())
    with collector.running("run") as daemon:
        daemon.says("collect outcome=collected")
        collector.config.write_text("this is no TOML = = =")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.says("reload outcome=refused")
        assert "config.toml" in daemon.log
        collector.configure(profile_toml(), profile_toml("new", "1d", 30))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.says("reload outcome=ok", "profiles=new")
        eventually(
            lambda: {"new"} <= {label for (label,) in collector.rows("SELECT label FROM series WHERE points > 0")}
        )
        assert daemon.ends() == 0


def test_sighup_during_a_429_wait_does_not_ask_any_earlier(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml())
    simulator.script(faults.too_many("3"))
    with collector.running("run") as daemon:
        daemon.says("fetch_waiting reason=blocked")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.says("reload outcome=ok", "collect outcome=collected")
        assert daemon.ends() == 0
    first, second, *_ = [received.at for received in simulator.requests]
    assert second - first >= 3


def test_ctrl_c_ends_a_pass_between_two_requests_and_keeps_what_it_has(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml(), profile_toml("days", "1d", 30))
    simulator.script(faults.html(503).after(1).always())
    with collector.running("collect") as collecting:
        collecting.says("outcome=ok", "outcome=unavailable")
        assert collecting.ends(signal.SIGINT, 5) == 1
        assert "stopped early" in collecting.log
    assert collector.count("points") > 0


def test_ctrl_c_does_not_wait_for_a_server_that_never_answers(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml())
    simulator.script(faults.black_hole().always())
    with collector.running("collect") as collecting:
        eventually(lambda: simulator.requests)
        assert collecting.ends(signal.SIGINT, 10) == 1


@pytest.mark.parametrize("after", [2, pytest.param(0, marks=pytest.mark.campaign)])
def test_killed_while_collecting_then_again_is_as_if_nothing_had_happened(tmp_path, database, after):
    """Killed with a request under way, after so many were saved; what was saved is not asked for again."""
    end = rfc3339(datetime.now(UTC) - timedelta(hours=2))
    with simulating() as (simulator, url):
        exports = []
        for name in ("killed", "whole"):
            store = database if name == "killed" or database.startswith("sqlite") else "sqlite:///collector.db"
            (tmp_path / name).mkdir()
            collector = Collector(tmp_path / name, url, store)
            collector.configure(profile_toml("quarters", "15m", 20), profile_toml(), radar="concurrency = 1")
            if name == "killed":
                simulator.script(faults.black_hole().after(after))
                with collector.running("collect") as collecting:
                    eventually(lambda: len(simulator.requests) == after + 1)
                    assert collecting.ends(signal.SIGKILL) == -signal.SIGKILL
            collector.run("collect")
            exports.append(collector.export("--end", end))
    assert exports[0] == exports[1]
    assert exports[0].count("\n") > 24


def test_a_second_daemon_on_one_sqlite_store_is_told_who_owns_it(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml())
    with collector.running("run") as daemon:
        daemon.says("collect outcome=collected")
        for command in ("run", "collect"):
            refused = collector.run(command, expect=1).stderr
            assert f"`collector run` (process {daemon.process.pid}, since " in refused
        collector.export()
        assert collector.json("status")["profiles"][0]["state"] == "fresh"
        assert daemon.ends() == 0
    collector.run("collect")


def test_several_daemons_share_a_postgres_store(tmp_path, empty_postgres_url):
    with simulating() as (simulator, url):
        collector = Collector(tmp_path, url, empty_postgres_url)
        collector.configure(profile_toml())
        with collector.running("run") as one, collector.running("run") as other:
            for daemon in (one, other):
                daemon.says("collect outcome=collected")
            assert one.ends() == other.ends() == 0
        assert collector.count("fires") == 1
        assert collector.count("fetches") == len(simulator.requests)
