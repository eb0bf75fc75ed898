"""The service over days, in seconds: nothing missing, nothing twice, never over the budget, through a pause as well."""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.interval import AggInterval
from collector.model import Question, Window
from collector.simulator import RateLimit, Simulator, SimulatorOptions
from tests.harness.fake_time import Clock, Report, library, run_fast

START = datetime(2026, 3, 1, 16, tzinfo=UTC)
SINCE = datetime(2026, 2, 1, tzinfo=UTC)
PROFILES = {
    "quarters": AggInterval.FIFTEEN_MINUTES,
    "hours": AggInterval.ONE_HOUR,
    "days": AggInterval.ONE_DAY,
}
CEILING = 4
LAG = timedelta(minutes=45)
SIMULATOR = {"rate_limit": RateLimit(CEILING), "lag": LAG, "revised_for": timedelta(0)}
CONFIG = f"""
[radar]
base_url = "{{base_url}}"
requests_per_5min = {CEILING}
timeout = "10m" # a fraction of a second of real time
[database]
url = "sqlite:///collector.db"
[collection]
publication_delay = "2m"
[server]
port = 0
""" + "".join(
    f'[[profiles]]\nname = "{name}"\nagg_interval = "{agg_interval.value}"\nsince = "{SINCE:%Y-%m-%d}"\n'
    for name, agg_interval in PROFILES.items()
)


@dataclass(frozen=True)
class Lived:
    """A finished run and the store it left behind."""

    report: Report
    folder: Path

    def rows(self, sql, *parameters):
        with closing(sqlite3.connect(f"file:{self.folder}/collector.db?mode=ro", uri=True)) as store:
            return store.execute(sql, parameters).fetchall()


def _live(folder, speed, *lasting):
    if library() is None and not os.environ.get("CI"):
        pytest.skip("needs libfaketime, from PyPI on x86_64 or from Debian")
    verbs = ("run", "stop", "run")
    report = run_fast(folder, Clock(START, speed), list(zip(verbs, lasting, strict=True)), CONFIG, SIMULATOR)
    return Lived(report, folder)


_HOUR = timedelta(hours=1)
_PAST_THE_EDGE = timedelta(minutes=16)  # the last fire has long ended and the next is not yet due


@pytest.fixture(scope="module")
def hours(tmp_path_factory):
    """Most of a day in half a minute, stopped over midnight."""
    return _live(tmp_path_factory.mktemp("hours"), 1800, 6 * _HOUR + _PAST_THE_EDGE, 6 * _HOUR, 2 * _HOUR)


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Four days in ten minutes."""
    return _live(tmp_path_factory.mktemp("days"), 600, 48 * _HOUR + _PAST_THE_EDGE, 24 * _HOUR, 24 * _HOUR)


@pytest.fixture(params=["hours", pytest.param("days", marks=pytest.mark.campaign)])
def lived(request):
    return request.getfixturevalue(request.param)


def _due(agg_interval, lived):
    """The newest due moment that the service has seen."""
    return agg_interval.floor(lived.report.phases[-1].end - timedelta(minutes=3))


def test_the_daemon_starts_and_stops_without_complaint(lived):
    assert [phase.exit_code for phase in lived.report.phases] == [0, None, 0], lived.report.log


@pytest.mark.parametrize("profile", PROFILES)
def test_every_closed_bucket_is_present_once_with_its_value(lived, profile):
    agg_interval = PROFILES[profile]
    due = _due(agg_interval, lived)
    known = AggInterval.FIFTEEN_MINUTES.floor(due - LAG)  # what the simulator has published by the last fire
    window = Window(SINCE, agg_interval.floor(known))
    truth = Simulator(SimulatorOptions(**SIMULATOR)).truth(Question(agg_interval, {}), window, due.timestamp())
    stored = lived.rows("SELECT timestamp, value FROM history WHERE profile = ? ORDER BY timestamp", profile)
    assert stored[: len(truth.timestamps)] == list(zip(truth.timestamps, truth.values, strict=True))
    assert len(stored) - len(truth.timestamps) <= 1  # a fire later than its edge may see one more


@pytest.mark.parametrize("profile", PROFILES)
def test_every_due_moment_has_exactly_one_outcome(lived, profile):
    step, newest = PROFILES[profile].step, _due(PROFILES[profile], lived)
    fires = lived.rows("SELECT due, outcome FROM fires WHERE profile = ? ORDER BY due", profile)
    due = [datetime.fromtimestamp(moment, UTC) for moment, _ in fires]
    assert due[0] <= lived.report.phases[0].begin + _HOUR  # starting takes a while of simulated time
    assert due == [due[0] + step * n for n in range((newest - due[0]) // step + 1)]
    assert {outcome for _, outcome in fires} <= {"collected", "coalesced"}, lived.report.log


def test_no_more_requests_than_allowed_reach_the_server_in_any_five_minutes(lived):
    moments = sorted(request.at for request in lived.report.requests)
    assert len(moments) > CEILING
    assert _most_in_five_minutes(moments) <= CEILING
    assert {request.status for request in lived.report.requests} <= {200, 400}  # 400: learning how long a span may be


def test_the_record_names_as_many_requests_as_the_server_has_seen(lived):
    recorded = [moment for (moment,) in lived.rows("SELECT started_at FROM fetches ORDER BY started_at")]
    assert len(recorded) == len(lived.report.requests)
    assert _most_in_five_minutes(recorded) <= CEILING


def _most_in_five_minutes(moments):
    return max(sum(moment - 300 < other <= moment for other in moments) for moment in moments)


def test_every_request_has_an_outcome_on_record(lived):
    outcomes = {outcome for (outcome,) in lived.rows("SELECT outcome FROM fetches")}
    assert outcomes <= {"ok", "refused"}, lived.report.log


def test_the_pause_was_a_pause(lived):
    _, pause, _ = lived.report.phases
    assert not [r for r in lived.report.requests if pause.begin.timestamp() < r.at < pause.end.timestamp()]
    assert ("coalesced",) in lived.rows("SELECT outcome FROM fires")
