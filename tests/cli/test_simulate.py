from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from collector.cli.commands.simulate import simulate_command as command
from collector.simulator import odd


@contextmanager
def _simulating(*options):
    command = [sys.executable, "-m", "collector", "simulate", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def _get(url, query="dateRange=1d", token="made-up"):
    request = urllib.request.Request(f"{url}/radar/ct/timeseries?{query}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_it_works():
    with _simulating() as (process, url):
        assert url.startswith("http://127.0.0.1:")
        assert url.endswith("/client/v4")
        status, document = _get(url)
        assert status == 200
        assert len(document["result"]["serie_0"]["values"]) > 90
        assert _get(url, token="")[0] == 400
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=10)
        assert process.returncode == 0
        assert stdout == ""
        assert "Z info request status=200 series=1 seconds=0.0" in stderr
        assert "method=GET asked=/client/v4/radar/ct/timeseries?dateRange=1d\n" in stderr
        assert "made-up" not in stderr
        assert "Traceback" not in stderr


def test_ctrl_c_ends_it_cleanly():
    with _simulating() as (process, _):
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=10)
        assert process.returncode == 0
        assert "Traceback" not in stderr


def test_switches_reach_the_simulator():
    switches = ("--token", "secret", "--max-span", "15m=1d", "--too-costly", "--lag", "0s", "--rate-limit", "4")
    with _simulating(*switches, "--seed", "7", "--unit", "entries", "--series-per-request", "1") as (_, url):
        assert _get(url)[0] == 403
        status, document = _get(url, token="secret")
        assert status == 200
        assert document["result"]["meta"]["units"][0]["value"] == "entries"
        remarks = document["result"]["meta"]["confidenceInfo"]["annotations"]
        assert all(remark["endDate"] for remark in remarks)  # none is ongoing
        updated = document["result"]["meta"]["lastUpdated"]
        assert time.strftime("%Y-%m-%dT%H", time.gmtime(time.time() - 900)) <= updated
        assert "messages" not in document
        assert _get(url, "dateRange=2d&aggInterval=15m", "secret")[0] == 422
        assert _get(url, "dateRange=1d&dateRange=1d", "secret")[0] == 422
        assert _get(url, token="secret")[0] == 200
        assert _get(url, token="secret")[0] == 429


def test_the_range_of_a_request_without_dates_is_an_option():
    with _simulating("--default-range", "2d", "--messages") as (_, url):
        status, document = _get(url, "aggInterval=1h")
        assert (status, document["messages"]) == (200, [])
        assert len(document["result"]["serie_0"]["values"]) in {47, 48}
    with _simulating("--default-range", "none") as (_, url):
        assert _get(url, "aggInterval=1h")[0] == 400


def test_another_seed_is_another_history():
    query = "dateStart=2026-08-01T00:00:00Z&dateEnd=2026-08-01T23:45:00Z"
    seen = []
    for seed in ("1", "1", "2"):
        with _simulating("--seed", seed) as (_, url):
            seen.append(_get(url, query)[1]["result"]["serie_0"])
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize(
    "wrong",
    [("--lag", "soon"), ("--max-span", "3m=1d"), ("--max-span", "1h=x"), ("--port", "-1"), ("--default-range", "9y")],
)
def test_a_wrong_option_is_explained(wrong):
    command = [sys.executable, "-m", "collector", "simulate", *wrong]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2
    assert wrong[0] in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_a_sentence():
    with _simulating() as (_, url):
        port = url.split(":")[2].split("/")[0]
        command = [sys.executable, "-m", "collector", "simulate", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        assert done.returncode == 1
        assert f"cannot listen on 127.0.0.1 port {port}: address already in use" in done.stderr
        assert "Traceback" not in done.stderr


def test_variations_work_together():
    with _simulating("--odd", "values-numbers,timestamps-epoch", "--odd", "meta-absent") as (_, url):
        status, document = _get(url)
        assert status == 200
        assert [*document["result"]] == ["serie_0"]
        assert {type(value) for value in document["result"]["serie_0"]["values"]} == {int}
        assert {type(at) for at in document["result"]["serie_0"]["timestamps"]} == {int}


def test_all_variations_are_listed_with_a_line_and_a_verdict():
    listed = CliRunner().invoke(command, ["--odd", "help"])
    assert listed.exit_code == 0
    for one in odd.VARIATIONS.values():
        assert re.search(rf"^  {one.name} +{one.verdict} +{re.escape(one.line)}$", listed.output, re.MULTILINE)
    assert len(listed.output.splitlines()) == len(odd.VARIATIONS) + len({one.group for one in odd.VARIATIONS.values()})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("value-numbers", '(did you mean "values-numbers"?); `--odd help` lists them'),
        ("meta-absent,nonsense", "no variation 'nonsense'"),
        ("values-numbers,values-lists", "values-numbers and values-lists both change values; choose one of them"),
        ("meta-null,level-nine", "both change meta.confidenceInfo.level"),
    ],
)
def test_a_wrong_variation_is_explained(wrong, words):
    refused = CliRunner().invoke(command, ["--odd", wrong])
    assert refused.exit_code == 2
    assert words in " ".join(refused.output.split())
