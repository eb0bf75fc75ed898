"""probe: the first command a user runs, as a person and a program see it."""

import json
import re
import stat

from tests.harness import faults
from tests.harness.processes import CANARY, profile_toml


def odd(document):
    """Answer in milliseconds, without confidenceInfo, with hostile text and the token in it."""
    result = document["result"]
    del result["meta"]["confidenceInfo"]
    result["meta"]["units"] = [{"name": "*", "value": "\x1b[31mcertificates\x07"}]
    result["meta"]["echo"] = CANARY
    result["serie_0"]["timestamps"] = [f"{text[:-1]}.000Z" for text in result["serie_0"]["timestamps"]]


def _is_points(asked):
    """Whether the request asks for points of series: not for groups, sums or a list."""
    return asked.series > 0


def test_a_person_reads_every_deviation_and_a_verdict(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml())
    simulator.script(
        faults.html(504).only(lambda asked: asked.series > 3).always(),
        faults.edit("odd", odd).only(_is_points).always(),
    )
    done = collector.run("probe", "--save", "saved")
    for words in (
        "GET /radar/ct/timeseries?aggInterval=15m&format=JSON&dateStart=",
        "meta.confidenceInfo is absent",
        "unknown keys in meta",
        "timestamps are RFC 3339 texts with a fraction",
        "3 series; 4 are refused: HTTP 504 with text/html instead of an answer",
        "compares across requests: history can be joined",
        '"echo": "***"',
        "/radar/ct/summary/CA_OWNER",
    ):
        assert words in done.stdout
    assert re.match(
        r"verdict: all that the collector needs is settled \(\d+ of 30 requests\)", done.stdout.split("\n")[-2]
    )
    assert "1/30 first answer at 15m: ok (HTTP 200, " in done.stderr
    assert not re.search("[\x00-\x09\x0b-\x1f]", done.stdout + done.stderr)
    assert CANARY not in done.stdout + done.stderr


def test_the_bodies_are_kept_private_and_without_secrets(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml())
    simulator.script(faults.edit("odd", odd).only(_is_points).always())
    collector.call("probe", "--save", "saved/new")
    files = {file.name: file for file in (collector.folder / "saved/new").iterdir()}
    report = json.loads(files["probe.json"].read_text())
    assert {request["file"] for request in report["requests"]} | {"probe.json"} == files.keys()
    assert json.loads(files["01-first-answer-at-15m.json"].read_bytes())["result"]["meta"]["echo"] == "***"
    assert {stat.S_IMODE(file.stat().st_mode) for file in files.values()} == {0o600}
    assert CANARY.encode() not in b"".join(file.read_bytes() for file in files.values())
    again = collector.call("probe", "--save", "saved/new", expect=2)
    assert "--save saved/new: the directory is not empty; use a new one" in again.stderr
    assert len(simulator.requests) == report["requests_used"]


def test_a_program_reads_fields_and_the_exit_code(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml())
    simulator.script(faults.reply(200, b"[]", content_type="application/json").always())
    done = collector.call("probe", "--format", "json", expect=1)
    report = json.loads(done.stdout)
    assert report["settled"] is False
    assert report["unsettled"][0] == (
        "answers at 15m: refused: the document is not an object; nothing can be collected at it"
    )
    assert report["deviations"][0] == {
        "text": "the document is not an object",
        "verdict": "refused",
        "answers": 10,
        "first_request": 1,
    }
    assert report["requests"][0]["query"].startswith("aggInterval=15m&format=JSON&dateStart=")


def test_open_questions_are_listed_before_the_verdict(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml())
    simulator.script(faults.api_error(403, 10000, "Authentication error").always())
    said = collector.call("probe", expect=1).stdout.split("\n\n")
    assert said[-2].split("\n") == [
        "Not settled",
        "- the probe ended early: the credentials are refused: HTTP 403: Authentication error",
        "- answers at 15m: refused: HTTP 403: Authentication error; nothing can be collected at it",
    ]
    assert said[-1].startswith("verdict: 2 things are not settled (1 of 30 requests); next: correct the cause")


def test_a_probe_stores_no_points(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml())
    collector.call("probe")
    assert "0 checksums match" in collector.call("db", "verify").stdout
    assert {row["outcome"] for row in json.loads(collector.call("fetches", "--format", "json").stdout)} >= {"probed"}
    assert collector.points() == {}


def test_it_needs_neither_a_configuration_nor_a_profile(simulated_collector):
    _, collector = simulated_collector
    environ = {"COLLECTOR_RADAR__BASE_URL": collector.base_url}
    assert "verdict: all that the collector needs is settled" in collector.run("probe", environ=environ).stdout
