"""A week of the service: readiness raises no false alarm.

Once in a time that is not waited for, looked at every 40 seconds of it, and once as a process under a fast clock, where
`/readyz` is asked.
"""

import os
from datetime import UTC, datetime, timedelta

import pytest

from collector.interval import AggInterval
from tests.harness.fake_time import Clock, library, run_fast
from tests.harness.virtual_time import run_in_virtual_time, running_daemon

START = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)  # a Sunday, so that every interval has an edge soon
PROFILES = "".join(f'[[profiles]]\nname = "p{one}"\nagg_interval = "{one}"\n' for one in AggInterval)
LAG = timedelta(minutes=45)
LOOK = timedelta(seconds=40)
WEEK = timedelta(weeks=1)
SPEED = 600
"""At this speed the two minutes' grace of a fire are a fifth of a second."""
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
        async with running_daemon(loop, tmp_path, f'[radar]\nbase_url = "{{url}}"\n{PROFILES}', lag=LAG) as run:
            for look in range(1, lasting // LOOK + 1):
                moment = START + look * LOOK
                await run.until(moment)
                looks.append((moment, await run.service.unready()))

    run_in_virtual_time(START, work)
    assert [(moment, reasons) for moment, reasons in looks if reasons] == []
    assert len(looks) == lasting // LOOK


@pytest.mark.campaign
def test_readyz_of_a_process_raises_none_either(tmp_path):
    if library() is None and not os.environ.get("CI"):
        pytest.skip("needs libfaketime, from PyPI on x86_64 or from Debian")
    report = run_fast(tmp_path, Clock(START, SPEED), [("run", WEEK)], FAST + PROFILES, {"lag": LAG})
    first = next(place for place, (_, status, _) in enumerate(report.readiness) if status == 200)
    since_ready = report.readiness[first:]
    assert [look for look in since_ready if look[1] != 200] == []
    assert since_ready[-1][0] - since_ready[0][0] > (WEEK - timedelta(hours=1)).total_seconds()
    assert len(since_ready) > WEEK / timedelta(minutes=5)
