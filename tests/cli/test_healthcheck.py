"""healthcheck: the exit code that Docker reads."""

from __future__ import annotations

import socket

from tests.harness.processes import profile_toml


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_ready_is_0_and_a_daemon_that_is_gone_is_1(simulated_collector):
    _, collector = simulated_collector
    collector.server = f"port = {_free_port()}"
    collector.configure(profile_toml())
    with collector.running("run") as daemon:
        daemon.says("collect outcome=collected")
        assert collector.run("healthcheck").stdout == "ready\n"
        assert daemon.ends() == 0
    told = collector.call("healthcheck", expect=1).stderr
    assert told.startswith("not ready: no answer from 127.0.0.1:")
    assert told.endswith(": connection refused\n")


def test_a_disabled_server_is_a_usage_error(simulated_collector):
    _, collector = simulated_collector
    collector.server = "enabled = false"
    collector.configure(profile_toml())
    assert "server.enabled is false" in collector.call("healthcheck", expect=2).stderr


def test_another_program_on_the_port_is_not_ready(simulated_collector):
    _, collector = simulated_collector
    port = int(collector.base_url.rsplit(":", 1)[1].split("/")[0])
    collector.server = f"port = {port}"
    collector.configure(profile_toml())
    assert "is not the collector" in collector.call("healthcheck", expect=1).stderr


def test_not_ready_is_1_with_the_reasons(simulated_collector):
    _, collector = simulated_collector
    collector.server = f"port = {_free_port()}"
    collector.configure(profile_toml())
    with collector.running("run") as daemon:
        daemon.says("collect outcome=collected")
        (collector.folder / "collector.db").rename(collector.folder / "away.db")
        assert "not ready: store: " in collector.call("healthcheck", expect=1).stderr
        (collector.folder / "away.db").rename(collector.folder / "collector.db")
        assert daemon.ends() == 0
