"""Commands that write while another process owns the SQLite store: sent to the daemon, or refused with what to do."""

from __future__ import annotations

import json
import re

import pytest

from tests.harness.processes import profile_toml

FORGET = ("series", "forget", "old")


def test_commands_that_write_are_sent_to_the_daemon_or_rejected_in_one_way(simulated_collector):
    _, collector = simulated_collector
    retention = '[retention]\npoints_1h = "1d"\n'
    collector.configure(profile_toml("old", "1d", 9), profile_toml(days=3, more='lookback = "0s"\nsettle = "0s"'))
    collector.run("collect")
    old, kept = collector.points()["old"], collector.points()["all"]
    refused = collector.call(*FORGET, expect=1).stderr
    assert "is not deleted, because a profile still wants it as 'old'" in refused
    collector.configure(retention, profile_toml(days=3, more='lookback = "0s"\nsettle = "0s"\nenabled = false'))
    dry = json.loads(collector.call(*FORGET, "--dry-run", "--format", "json").stdout)
    assert (dry["label"], dry["rows"]["points"], dry["rows"]["series"]) == ("old", len(old), 1)
    assert set(collector.points()) == {"old", "all"}
    with collector.running("run") as daemon:
        daemon.says("serving")
        prune = collector.call("db", "prune")
        assert f"sent to the daemon at {daemon.url}" in prune.stderr
        assert prune.stdout.startswith("deleted: ")
        compact = collector.call("db", "compact")
        assert f"sent to the daemon at {daemon.url}" in compact.stderr
        assert re.fullmatch(r"compacted: \d+ bytes before, \d+ bytes after\n", compact.stdout)
        daemon.says("compact outcome=ok")
        (mark,) = json.loads(collector.call("marks", "add", "2027-03-15", "x", "--format", "json").stdout)
        assert json.loads(collector.call("marks", "list", "--format", "json").stdout) == [mark]
        assert collector.call("marks", "remove", str(mark["id"])).stdout == f"mark {mark['id']} removed\n"
        assert "there is no mark 7" in collector.call("marks", "remove", "7", expect=1).stderr
        done = json.loads(collector.call(*FORGET, "--format", "json").stdout)
        assert done == dry | {"dry_run": False}
        assert 20 < len(collector.points()["all"]) < len(kept)
        assert set(collector.points()) == {"all"}
        assert "did you mean" in collector.call("series", "forget", "al", expect=2).stderr
        assert "because a profile still wants it as 'all'" in collector.call("series", "forget", "all", expect=1).stderr
        collector.configure(profile_toml())
        owner = f"is in use by `collector run` (process {daemon.process.pid}, since "
        for command, advice in (
            (("collect",), "; the daemon collects automatically; to collect by hand, stop it first\n"),
            (("db", "upgrade"), "; end that process first\n"),
            (("run",), "; end that process first\n"),
        ):
            refused = collector.run(*command, expect=1).stderr
            assert owner in refused
            assert refused.endswith(advice)
        assert daemon.ends() == 0
    collector.call("db", "verify")


@pytest.mark.parametrize(
    "command", [("db", "prune"), ("db", "prune", "--dry-run"), ("db", "compact"), FORGET, ("backfill", "--list")]
)
def test_commands_that_need_a_store_create_none(simulated_collector, command):
    _, collector = simulated_collector
    collector.configure(profile_toml())
    assert "collector.db" in collector.call(*command, expect=1).stderr
    assert [path.name for path in collector.folder.iterdir()] == ["config.toml"]
