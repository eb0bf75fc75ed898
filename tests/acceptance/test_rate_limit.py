"""`Retry-After` is obeyed to the second, by every process that shares the store."""

import json
import time

from tests.harness import faults
from tests.harness.processes import eventually, profile_toml

_EACH = '[profiles.each]\nca_owner = ["A", "B", "C"]'


def test_after_429_nothing_is_asked_until_retry_after_ends_then_it_goes_on(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml(), profile_toml("quarters", "15m", 1), profile_toml("days", "1d", 30))
    simulator.script(faults.too_many("2"))
    done = collector.run("collect")
    first, second, *_ = [received.at for received in simulator.requests]
    assert 2 <= second - first < 4.5
    assert len(simulator.requests) >= 4
    assert collector.rows("SELECT outcome FROM fetches ORDER BY id")[:2] == [("rate_limited",), ("ok",)]
    assert "fetch_waiting reason=blocked" in done.stderr


def test_another_process_waits_too_and_status_says_until_when(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml())
    simulator.script(faults.too_many("3"))
    with collector.running("collect") as first:
        first.says("fetch_waiting reason=blocked")
        first.ends(15)  # SIGTERM while it waits
    asked = simulator.requests[0].at
    assert collector.json("status")["budget"]["blocked_until"] > time.strftime("%Y-%m-%dT%H:%M", time.gmtime(asked))
    collector.run("collect")
    assert simulator.requests[1].at - asked >= 3


def test_the_daemon_is_not_ready_to_be_killed_by_a_429_for_an_hour(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml())
    simulator.script(faults.too_many("3600").always())
    with collector.running("run", environ={"COLLECTOR_LOG__LEVEL": "debug"}) as daemon:
        daemon.says("collect outcome=failed")
        eventually(lambda: daemon.log.count("collect outcome=failed") >= 2)
        assert len(simulator.requests) == 1
        assert daemon.ends() == 0
    reason = json.loads(collector.run("collect", "--format", "json", expect=1).stdout)[0]["reason"]
    assert reason.startswith("Radar answers again at ")
    assert len(simulator.requests) == 1


def test_the_ceiling_holds_over_restarts(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml(more=_EACH), profile_toml("quarters", "15m", 20), radar="requests_per_5min = 2")
    with collector.running("collect") as first:
        first.says("fetch_waiting reason=budget")
        assert first.ends() == 1
    with collector.running("run") as daemon:
        daemon.says("fetch_waiting reason=budget")
        assert daemon.ends() == 0
    assert len(simulator.requests) == 2
    assert collector.json("status")["budget"]["used"] == 2
