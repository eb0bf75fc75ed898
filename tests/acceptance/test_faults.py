"""What cannot be trusted is not stored: the command says so, the record says why, the daemon goes on by itself."""

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.harness import faults
from tests.harness.processes import Collector, eventually, profile_toml, simulating

_UNTRUSTED = {
    "NaN": (faults.value(float("nan")), "NaN"),
    "a number beyond 2^53": (faults.value(str(2**53 + 1)), "larger than 2^53"),
    "unequal arrays": (faults.unequal(), "values"),
    "no series": (faults.without("result", "serie_0"), "no series serie_0"),
    "another range than asked": (faults.outside(10_000), "outside"),
}
_COARSENED = {"another interval than asked": (faults.agg_interval("ONE_DAY"), "but ONE_HOUR was requested")}
"""The question is made smaller until it is the smallest one."""
_UNAVAILABLE = {
    "503 as HTML": (faults.html(503), "HTTP 503 with text/html"),
    "HTML with 200": (faults.html(200), "HTTP 200 with text/html"),
    "a truncated body": (faults.truncated(), "ended early"),
    "a truncated gzip": (faults.truncated_gzip(), "compressed stream ends too early"),
    "a reset": (faults.reset_in_body(), "ended early"),
}
_REFUSED = {"a wrong token": (None, "HTTP 403")}
_CASES = {
    **{name: ("untrusted", 1, *case) for name, case in _UNTRUSTED.items()},
    **{name: ("untrusted", 5, *case) for name, case in _COARSENED.items()},
    **{name: ("unavailable", 4, *case) for name, case in _UNAVAILABLE.items()},
    **{name: ("unauthorized", 1, *case) for name, case in _REFUSED.items()},
}


def _try(folder, outcome, requests, fault, reason):
    """Collect once under a fault and look at what is left."""
    folder.mkdir()
    with simulating(**({} if fault else {"token": "another"})) as (simulator, url):
        collector = Collector(folder, url)
        collector.configure(profile_toml())
        if fault:
            simulator.script(fault.always())
        done = collector.run("collect", expect=1)
        stored = {table: collector.count(table) for table in ("points", "date_ranges", "annotations", "revisions")}
        record = collector.rows("SELECT outcome, message FROM fetches WHERE finished_at IS NOT NULL")
        collector.assert_no_canary()
        return collector, done, stored, record, len(simulator.requests)


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    with ThreadPoolExecutor(6) as pool:
        return {name: pool.submit(_try, folder / name.replace(" ", "-"), *case) for name, case in _CASES.items()}


@pytest.mark.parametrize("name", _CASES)
def test_nothing_is_stored_the_exit_code_is_1_and_the_reason_is_on_record(tried, name):
    outcome, requests, _, reason = _CASES[name]
    _, done, stored, record, asked = tried[name].result()
    assert set(stored.values()) == {0}
    assert asked == len(record) == requests
    assert {kind for kind, _ in record} == {outcome}
    assert all(reason in message for _, message in record), record[0]
    assert reason in done.stdout
    assert "failed" in done.stdout


@pytest.mark.parametrize("name", ["NaN", "503 as HTML", "a wrong token"])
def test_fetches_lists_the_reason(tried, name):
    outcome, requests, _, reason = _CASES[name]
    collector = tried[name].result()[0]
    record = collector.json("fetches")
    assert [row["outcome"] for row in record] == [outcome] * requests
    assert reason in record[0]["message"]


def _once_it_failed_let_it_recover(simulator, collector, fault):
    collector.configure(profile_toml(more='lookback = "2d"'))  # one pass has more than a day, at any hour
    simulator.script(fault.always())
    with collector.running("run") as daemon:
        daemon.says("collect outcome=failed")
        assert collector.count("points") == 0
        simulator.clear_script()
        daemon.says(
            "collect outcome=collected", seconds=150
        )  # what was refused for its content pauses for a minute or two
        eventually(lambda: collector.count("points") > 24)
        assert daemon.ends() == 0


def test_the_daemon_carries_on_and_recovers_by_itself(simulated_collector):
    _once_it_failed_let_it_recover(*simulated_collector, faults.value(float("nan")))


def test_the_daemon_recovers_on_postgres_too(tmp_path, empty_postgres_url):
    with simulating() as (simulator, url), ExitStack() as stack:
        collector = Collector(tmp_path, url, empty_postgres_url)
        stack.callback(collector.assert_no_canary)
        _once_it_failed_let_it_recover(simulator, collector, faults.html(200))


def test_a_token_put_right_is_taken_up_at_sighup_and_a_wrong_one_is_asked_with_once(simulated_collector):
    simulator, collector = simulated_collector
    right, token_file = collector.token, collector.folder / "token"
    collector.configure(profile_toml(), profile_toml("quarters", "15m", 1), radar='api_token_file = "token"')
    token_file.write_text("not-the-token-0123456789")
    token_file.chmod(0o600)
    with collector.running("run", environ={"CLOUDFLARE_API_TOKEN": "", "COLLECTOR_LOG__LEVEL": "debug"}) as daemon:
        daemon.says("outcome=unauthorized", "collect outcome=failed")
        eventually(lambda: daemon.log.count("collect outcome=failed") >= 4)
        assert len(simulator.requests) == 1
        token_file.write_text(right)
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: daemon.log.count("collect outcome=collected") == 2)
        assert daemon.ends() == 0
    assert "not-the-token" not in daemon.log
    token_file.unlink()
