"""run: the service as a process."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

from tests.harness.processes import eventually, profile_toml


def _get(url, path):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body


def test_it_collects_serves_and_records_its_fires(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml(), profile_toml("days", "1d", 9), profile_toml("quarters", "15m", 1))
    with collector.running("run") as daemon:
        eventually(lambda: daemon.log.count("collect outcome=collected") == 3)
        assert _get(daemon.url, "/healthz") == (200, {"alive": True})
        assert _get(daemon.url, "/readyz") == (200, {"ready": True, "reasons": []})
        assert sorted(collector.rows("SELECT profile, outcome FROM fires")) == [
            ("all", "collected"),
            ("days", "collected"),
            ("quarters", "collected"),
        ]
        lock = json.loads((collector.folder / "collector.db.lock").read_text())
        assert lock["url"] == daemon.url
        assert (lock["pid"], lock["command"]) == (daemon.process.pid, "run")
        eventually(lambda: collector.count("points") > 4 * 24)
        assert daemon.ends() == 0
    assert (collector.folder / "collector.db").stat().st_mode & 0o077 == 0


def test_started_again_it_does_not_collect_what_is_not_due(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml())
    for _ in range(2):
        with collector.running("run") as daemon:
            eventually(lambda daemon=daemon: _get(daemon.url, "/readyz")[0] == 200 and collector.count("fires"))
            eventually(lambda: collector.count("points") >= 3 * 24)
            assert daemon.ends() == 0
    assert collector.count("fires") == 1
    assert len(simulator.requests) <= 3


def test_without_a_server_it_collects_all_the_same(simulated_collector):
    _, collector = simulated_collector
    collector.server = "enabled = false"
    collector.configure(profile_toml())
    with collector.running("run") as daemon:
        daemon.says("collect outcome=collected")
        assert "serving" not in daemon.log
        assert daemon.ends() == 0


def test_its_log_can_be_json(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml())
    with collector.running("run", environ={"COLLECTOR_LOG__FORMAT": "json"}) as daemon:
        daemon.says('"event": "collect"')
        assert daemon.ends() == 0
    for line in daemon.log.splitlines():
        assert set(json.loads(line)) >= {"time", "level", "event"}
