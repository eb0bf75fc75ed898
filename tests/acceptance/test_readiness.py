"""A week of the service, in a quarter of an hour: readiness raises no false alarm."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from collector.model import AggInterval
from tests.acceptance.fast_clock import Clock, library, run_fast

START = datetime(2026, 3, 4, 16, tzinfo=UTC)  # so that midnights and a Monday lie in the week
WEEK = timedelta(weeks=1)
CONFIG = """
[radar]
base_url = "{base_url}"
timeout = "10m" # a second of real time
[database]
url = "sqlite:///collector.db"
[server]
port = 0
""" + "".join(f'[[profiles]]\nname = "p{interval}"\nagg_interval = "{interval}"\n' for interval in AggInterval)
SPEED = 600
"""At this speed the two minutes' grace of a fire are a fifth of a second."""


@pytest.mark.campaign
def test_a_week_without_a_false_alarm(tmp_path):
    if library() is None and not os.environ.get("CI"):
        pytest.skip("needs libfaketime, from PyPI on x86_64 or from Debian")
    report = run_fast(tmp_path, Clock(START, SPEED), [("run", WEEK)], CONFIG, {"lag": timedelta(minutes=45)})
    first = next(place for place, (_, status, _) in enumerate(report.readiness) if status == 200)
    since_ready = report.readiness[first:]
    assert [look for look in since_ready if look[1] != 200] == []
    assert since_ready[-1][0] - since_ready[0][0] > (WEEK - timedelta(hours=1)).total_seconds()
    assert len(since_ready) > WEEK / timedelta(minutes=5)
