"""The demo: everything, with no account."""

from __future__ import annotations

import signal
import socket

from tests.harness.processes import Collector


def test_once_it_collects_shows_the_status_and_ends(tmp_path):
    done = Collector(tmp_path, "").run("demo", "--once", environ={"CLOUDFLARE_API_TOKEN": ""})
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.endswith("fresh")}
    assert set(rows) == {"all", "by-owner", "short-lived"}
    assert "store   sqlite" in done.stdout
    assert "demo: simulated data from the simulator at http://127.0.0.1:" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_it_keeps_its_data_in_the_named_folder_until_ctrl_c(tmp_path):
    collector = Collector(tmp_path, "")
    with collector.running("demo", "--port", "0", "--data", "kept%41") as demo:
        demo.says("serving url=http://127.0.0.1:", "collect outcome=collected", "heal outcome=ok")
        assert f"demo: the dashboard is at {demo.url}/\n" in demo.log
        assert demo.ends(signal.SIGINT) == 0
    folder = tmp_path / "kept%41"
    assert folder.stat().st_mode & 0o077 == 0
    status = collector.json("status", "--config", str(folder / "config.toml"))
    assert {row["name"] for row in status["profiles"]} == {"all", "by-owner", "short-lived"}
    assert status["store"]["points"] > 1000


def test_it_ends_when_its_terminal_is_closed(tmp_path):
    with Collector(tmp_path, "").running("demo", "--port", "0") as demo:
        demo.says("serving url=")
        assert demo.ends(signal.SIGHUP) == 0


def test_a_port_in_use_is_reported(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = Collector(tmp_path, "").run("demo", "--port", port, expect=1)
    assert f"cannot serve on 127.0.0.1:{port}: address already in use; another port: " in done.stderr
    assert "demo:" not in done.stderr


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    collector = Collector(tmp_path, "")
    assert "/proc/demo" in collector.run("demo", "--once", "--data", "/proc/demo", expect=1).stderr
    (tmp_path / "file").touch()
    collector.run("demo", "--once", "--data", "file", expect=2)


def test_its_configuration_is_not_mistaken_for_one_of_the_environment(tmp_path):
    environ = {"COLLECTOR_RADAR__BASE_URL": "https://example.com", "COLLECTOR_DATABASE__URL": "sqlite:///other.db"}
    Collector(tmp_path, "").run("demo", "--once", environ=environ)
    assert not (tmp_path / "other.db").exists()
