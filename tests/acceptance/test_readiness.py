"""A week of the service, in a time that is not waited for: readiness raises no false alarm."""

from datetime import UTC, datetime, timedelta

import pytest

from collector.model import AggInterval
from tests.faults.hasty import hastily, living

START = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)  # a Sunday, so that every interval has an edge soon
CONFIG = """
[radar]
base_url = "{url}"
""" + "".join(f'[[profiles]]\nname = "p{one}"\nagg_interval = "{one}"\n' for one in AggInterval)
LOOK = timedelta(seconds=40)


@pytest.mark.parametrize(
    "lasting", [timedelta(hours=2), pytest.param(timedelta(weeks=1), marks=pytest.mark.campaign)], ids=str
)
def test_no_false_alarm(tmp_path, lasting):
    looks = []

    async def work(loop):
        async with living(loop, tmp_path, CONFIG, lag=timedelta(minutes=45)) as life:
            for look in range(1, lasting // LOOK + 1):
                moment = START + look * LOOK
                await life.until(moment)
                looks.append((moment, await life.service.unready()))

    hastily(START, work)
    assert [(moment, reasons) for moment, reasons in looks if reasons] == []
    assert len(looks) == lasting // LOOK
