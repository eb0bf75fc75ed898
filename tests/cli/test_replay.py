"""fetches --body, replay and report: their output, with and without a running daemon."""

import json

import pytest

from tests.collect.test_replay import older
from tests.harness import faults
from tests.harness.processes import CANARY, Collector, profile_toml, simulating

PAUSED = "enabled = false"


def refuse(collector, *profiles):
    """Collect with a version whose reader refuses every answer."""
    collector.configure(*profiles)
    with older():
        collector.call("collect", expect=1)


def test_a_refused_body_is_listed_printed_and_replayed_once(simulated_collector):
    _, collector = simulated_collector
    refuse(collector, profile_toml())
    (row,) = collector.json("fetches", "--kept")
    assert (row["body"], row["replay_of"], row["outcome"]) == (True, None, "untrusted")
    printed = collector.call("fetches", str(row["id"]), "--body").stdout
    assert json.loads(printed)["result"]["meta"]["aggInterval"] == "ONE_HOUR"
    assert (
        f"bodies are kept of the requests {row['id']}\n" in collector.call("fetches", "99", "--body", expect=1).stderr
    )
    assert "--body needs the ID" in collector.call("fetches", "--body", expect=2).stderr
    assert "kept    1 refused answer: " in collector.call("status").stdout
    (rehearsed,) = collector.json("replay", "--dry-run")
    assert collector.points() == {}
    (done,) = collector.json("replay", str(row["id"]))
    assert done == rehearsed | {"replayed_by": 2}
    assert done["filled"] == len(collector.points()["all"]) > 48
    again = collector.call("replay")
    assert (again.stdout, again.stderr) == ("", "there is no rejected answer to replay\n")
    assert "it was already replayed, as request 2" in collector.call("replay", "1", expect=2).stderr
    assert "its body is not kept" in collector.call("replay", "7", expect=2).stderr
    assert collector.json("fetches", "--profile", "all")[0]["replay_of"] == row["id"]
    collector.call("db", "verify")


def test_a_daemon_that_owns_the_store_replays(simulated_collector):
    _, collector = simulated_collector
    refuse(collector, profile_toml())
    collector.configure(profile_toml(more=PAUSED))
    with collector.running("run") as daemon:
        daemon.says("serving")
        done = collector.call("replay", "--format", "json")
        assert f"sent to the daemon at {daemon.url}" in done.stderr
        (outcome,) = json.loads(done.stdout)
        assert outcome["filled"] == len(collector.points()["all"]) > 48
        assert collector.json("replay", "--dry-run") == []
        assert daemon.ends() == 0


@pytest.mark.parametrize("command", [("replay",), ("replay", "--dry-run"), ("fetches", "1", "--body")], ids=" ".join)
def test_without_a_store_they_make_none(simulated_collector, command):
    _, collector = simulated_collector
    collector.configure(profile_toml())
    assert "collector.db" in collector.call(*command, expect=1).stderr
    assert [path.name for path in collector.folder.iterdir()] == ["config.toml"]


SECRETS = {
    "COLLECTOR_RADAR__BASE_URL": "https://api.example.org/client/v4",
    "COLLECTOR_SERVER__TOKEN": "canary-of-the-server-0123456789abcdef",
    "COLLECTOR_RADAR__PROXY": "http://user:canary-of-the-proxy@127.0.0.1:1",
    "HOME": "/home/canary-of-the-home",
}


def test_a_report_describes_the_run_and_contains_no_secret(tmp_path):
    with simulating() as (simulator, url):
        collector = Collector(tmp_path, url)
        collector.configure(profile_toml("mine"))
        echoed = faults.rewrite("echo", lambda body: body[:-1] + f', "sent": "Bearer {CANARY}"}}}}'.encode())
        simulator.script(
            faults.api_error(400, 2001, f"you are {CANARY}"), echoed, faults.without("result", "meta", "units")
        )
        collector.call("collect", expect=None)
        collector.call("report", "-o", "report.json", environ=SECRETS)
        text = (tmp_path / "report.json").read_text()
        assert CANARY not in text
        for secret in ("canary-of-the-server", "canary-of-the-proxy", "canary-of-the-home"):
            assert secret not in text, secret
        document = json.loads(text)
        assert document["version"]
        assert {row["key"] for row in document["settings"]} >= {"radar.base_url", "profiles[0].name"}
        assert {one["outcome"] for one in document["failures"]} == {"refused", "untrusted"}
        kinds = {one["kind"].partition(":")[0]: one for one in document["bodies"]}
        assert set(kinds) == {"refused", "untrusted", "deviation"}
        assert "Bearer ***" in kinds["untrusted"]["content"]
        assert all(one["content_is_whole"] and one["question"] for one in kinds.values())
        assert document["status"]["deviations"]
        printed = collector.call("report", environ=SECRETS).stdout
        assert json.loads(printed).keys() == document.keys()


def test_a_report_without_a_store_says_why_and_has_the_rest(tmp_path):
    collector = Collector(tmp_path, "http://127.0.0.1:1/client/v4")
    collector.database = "postgresql://somebody:canary-of-the-database@127.0.0.1:1/radar"
    collector.configure(profile_toml())
    done = collector.call("report")
    document = json.loads(done.stdout)
    assert "127.0.0.1" in document["store"]["error"]
    assert document["settings"]
    assert "canary" not in done.stdout
