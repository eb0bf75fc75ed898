"""collect: one pass, and its output."""

from __future__ import annotations

import json

from tests.harness.processes import profile_toml


def test_it_collects_the_named_profiles_and_prints_the_counts(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml(), profile_toml("days", "1d", 9))
    done = collector.run("collect", "days", "--format", "json")
    assert json.loads(done.stdout) == [{"profile": "days", "outcome": "collected", "reason": None}]
    assert "points: 9 inserted, 0 revised, 0 unchanged, 0 vanished" in done.stderr
    assert set(collector.points()) == {"days"}


def test_a_profile_named_twice_is_collected_once(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml(days=1))
    collector.run("collect", "all", "all")
    assert len(simulator.requests) == 1


def test_a_pass_without_news_sends_few_requests(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml(), profile_toml("days", "1d", 300), profile_toml("quarters", "15m", 5))
    collector.run("collect")
    before = len(simulator.requests)
    collector.run("collect")
    assert len(simulator.requests) - before <= 4


def test_collect_exits_with_0_if_every_profile_is_paused(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml(more="enabled = false"))
    done = collector.run("collect")
    assert "all profiles are paused (enabled = false); nothing was collected" in done.stderr
    assert simulator.requests == []
    assert "paused by enabled = false" in collector.run("collect", "all", expect=2).stderr
