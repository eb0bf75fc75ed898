"""status: the document that interface promises."""

from __future__ import annotations

from collector.radar.simulator import faults
from tests.acceptance.world import profile

_PROFILE = {
    "name", "agg_interval", "series", "points", "first_point", "last_point", "last_success", "lag_seconds", "gaps",
    "failures", "next_fire", "state",
}  # fmt: skip


def test_its_json_has_the_promised_keys(world):
    _, collector = world
    collector.configure(profile(), profile("days", "1d", 9))
    collector.run("collect", "all")
    document = collector.json("status")
    assert set(document) == {"profiles", "store", "budget", "upstream", "replicas"}
    assert all(set(row) >= _PROFILE for row in document["profiles"])
    assert set(document["store"]) >= {"backend", "revision", "points", "bytes"}
    assert set(document["budget"]) >= {"limit", "used", "window_seconds", "blocked_until"}
    assert [(row["name"], row["state"]) for row in document["profiles"]] == [("all", "fresh"), ("days", "new")]
    assert document["profiles"][0]["next_fire"].endswith("02:00Z")
    assert document["profiles"][1]["gaps"] == 9
    assert document["budget"]["used"] == 1


def test_a_failure_shows_with_the_number_of_failures_in_a_row(world):
    simulator, collector = world
    collector.configure(profile())
    simulator.script(faults.unequal().always())
    for _ in range(2):
        collector.run("collect", expect=1)
    (row,) = collector.json("status")["profiles"]
    assert (row["state"], row["failures"], row["last_success"], row["points"]) == ("failing", 2, None, 0)
    assert "failing" in collector.call("status").stdout
