"""status: the document that the interface promises."""

from __future__ import annotations

from dataclasses import replace

from collector import __version__
from tests.harness import faults
from tests.harness.processes import eventually, profile_toml

_PROFILE = {
    "name", "agg_interval", "series", "points", "first_point", "last_point", "last_success", "lag_seconds", "gaps",
    "failures", "next_fire", "state", "upstream_gaps", "unconfirmed", "proof", "history_begins", "waiting", "healthy",
    "clock_difference_seconds",
}  # fmt: skip


def test_its_json_has_the_promised_keys(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml(), profile_toml("days", "1d", 9))
    collector.run("collect", "all")
    document = collector.json("status")
    top = {
        "service",
        "commands",
        "warnings",
        "deviations",
        "grids",
        "waiting",
        "profiles",
        "store",
        "budget",
        "upstream",
        "replicas",
        "catalogue",
        "publication",
    }
    assert set(document) == top
    assert all(set(row) >= _PROFILE for row in document["profiles"])
    assert set(document["store"]) >= {"backend", "revision", "points", "bytes"}
    assert set(document["budget"]) >= {"limit", "used", "window_seconds", "blocked_until"}
    assert [(row["name"], row["state"]) for row in document["profiles"]] == [("all", "fresh"), ("days", "new")]
    assert document["profiles"][0]["next_fire"] is None
    assert document["service"] is None
    assert document["profiles"][1]["gaps"] == 9
    assert document["budget"]["used"] == 1


def test_a_failure_shows_with_the_number_of_failures_in_a_row(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml())
    simulator.script(faults.api_error(500, 2000).always())
    collector.run("collect", expect=1)
    (row,) = collector.json("status")["profiles"]
    assert (row["state"], row["failures"], row["last_success"], row["points"]) == ("failing", 4, None, 0)
    assert "failing" in collector.call("status").stdout


def test_its_first_line_says_whether_a_service_runs(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml())
    collector.run("collect")
    first = collector.call("status").stdout.splitlines()[0]
    assert first == "service not running"
    with collector.running("run") as daemon:
        daemon.says("outcome=collected", "url=http://")
        eventually(lambda: collector.json("status")["service"])
        document = collector.json("status")
        assert document["service"]["running"]
        assert document["service"]["name"].endswith(f":{daemon.process.pid}")
        assert document["profiles"][0]["next_fire"].endswith("02:00Z")
        first = collector.call("status").stdout.splitlines()[0]
        assert f"{document['service']['name']}, version {__version__}, running since " in first
        daemon.ends()
    document = collector.json("status")
    assert (document["service"]["running"], document["profiles"][0]["next_fire"]) == (False, None)
    first = collector.call("status").stdout.splitlines()[0]
    assert first.startswith("service not running; the last one, ")
    assert f"ended {document['service']['since'][:16]}" in first


def test_status_names_a_command_that_owns_the_store(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml())
    collector.run("collect")
    simulator.script(faults.late(30).always())
    with collector.running("backfill", "--start", "20d") as backfill:
        eventually(lambda: collector.json("status")["commands"])
        document = collector.json("status")
        assert document["service"] is None
        assert document["commands"][0].startswith(f"`collector backfill` (process {backfill.process.pid}, since ")
        assert "service not running; running commands: `collector backfill`" in collector.call("status").stdout


def test_a_wait_and_a_misspelt_filter_are_shown(simulated_collector):
    simulator, collector = simulated_collector
    simulator.options = simulator._history._options = replace(simulator.options, unknown_names="zero")
    collector.configure(profile_toml(more='[profiles.filters]\nca_owner = ["Lets Encrypt"]\n'))
    collector.run("collect")
    simulator.script(faults.too_many("3600"))
    collector.run("backfill", "--start", "20d", expect=1)
    said = collector.call("status").stdout
    assert "\nwaiting blocked, until 20" in said
    assert '\nwarning all: Radar counted nothing in 3 days for ca_owner "Lets Encrypt"' in said
