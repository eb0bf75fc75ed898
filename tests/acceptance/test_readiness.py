"""A week of the service: readiness raises no false alarm.

Once in a time that is not waited for, looked at every 40 seconds of it, and once as a process under a fast clock, where
`/readyz` is asked: there an alarm is false if it outlasts what a busy machine explains.
"""

import os
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from collector.model import AggInterval
from tests.acceptance.fast_clock import Clock, library, run_fast
from tests.faults.hasty import hastily, living

START = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)  # a Sunday, so that every interval has an edge soon
PROFILES = "".join(f'[[profiles]]\nname = "p{one}"\nagg_interval = "{one}"\n' for one in AggInterval)
LAG = timedelta(minutes=45)
LOOK = timedelta(seconds=40)
WEEK = timedelta(weeks=1)
SPEED = 600
STALL = 3 * SPEED
"""Simulated seconds that a busy machine may take from a process; the two minutes' grace of a fire are 0.2 real ones."""
FAST = """
[radar]
base_url = "{base_url}"
timeout = "10m" # a second of real time
[database]
url = "sqlite:///collector.db"
[server]
port = 0
"""


@pytest.mark.parametrize("lasting", [timedelta(hours=2), pytest.param(WEEK, marks=pytest.mark.campaign)], ids=str)
def test_no_false_alarm(tmp_path, lasting):
    looks = []

    async def work(loop):
        async with living(loop, tmp_path, f'[radar]\nbase_url = "{{url}}"\n{PROFILES}', lag=LAG) as life:
            for look in range(1, lasting // LOOK + 1):
                moment = START + look * LOOK
                await life.until(moment)
                looks.append((moment, await life.service.unready()))

    hastily(START, work)
    assert [(moment, reasons) for moment, reasons in looks if reasons] == []
    assert len(looks) == lasting // LOOK


@pytest.mark.campaign
def test_readyz_of_a_process_raises_none_either(tmp_path):
    if library() is None and not os.environ.get("CI"):
        pytest.skip("needs libfaketime, from PyPI on x86_64 or from Debian")
    report = run_fast(tmp_path, Clock(START, SPEED), [("run", WEEK)], FAST + PROFILES, {"lag": LAG})
    first = next(place for place, (_, status, _) in enumerate(report.readiness) if status == 200)
    since_ready = report.readiness[first:]
    ready = [at for at, status, _ in since_ready if status == 200]
    assert max(after - before for before, after in pairwise(ready)) < STALL, [
        look for look in since_ready if look[1] != 200
    ]
    assert len(ready) > 0.99 * len(since_ready) > 0.99 * WEEK / timedelta(minutes=5)
    assert ready[-1] - ready[0] > 0.95 * WEEK.total_seconds()
