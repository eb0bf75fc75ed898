"""The beginning of Radar's history, as real services meet it: found for few requests, no gap, and no cost later."""

import asyncio
import signal
from collections import Counter
from datetime import timedelta

import pytest

from collector.interval import AggInterval
from collector.model import Question, Window
from collector.report.gaps import find_gaps
from collector.report.status import status_document
from collector.settings import load
from collector.simulator import ErrorCode
from collector.store import Store
from collector.store.admin.verify import verify
from tests.harness.fast_daemon import CLOCK_START
from tests.harness.processes import eventually
from tests.harness.replicas import replicas

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
REFUSED = ErrorCode(400, 2001)
EDGE = CLOCK_START.replace(hour=5, minute=0) - 77 * DAY
UNTIL = AggInterval.ONE_HOUR.floor(CLOCK_START) + 4 * HOUR
PROFILE = """
[[profiles]]
name = "owners"
agg_interval = "1h"
since = {since:%Y-%m-%d}
each = {{ ca_owner = ["A", "B", "C", "D"] }}
"""
_TO_FIND_IT = 30
"""So many requests are enough to find the edge between 200 days, beside those for the data."""


def expected(simulator, now):
    """{label: {timestamp: value}} of all that Radar has up to UNTIL."""
    window = Window(EDGE, UNTIL)
    found = {}
    for owner in "ABCD":
        points = simulator.truth(Question(AggInterval.ONE_HOUR, {"caOwner": (owner,)}), window, now.timestamp())
        found[f"owners/{owner}"] = dict(zip(points.timestamps, points.values, strict=True))
    return found


async def stored(store):
    found = {}
    async for _, label, timestamp, value in store.export():
        found.setdefault(label, {})[timestamp] = value
    return found


@pytest.mark.parametrize(
    ("count", "way"),
    [
        pytest.param(1, REFUSED, id="one-400"),
        pytest.param(2, None, id="two-empty", marks=pytest.mark.campaign),
        pytest.param(1, None, id="one-empty", marks=pytest.mark.campaign),
        pytest.param(2, REFUSED, id="two-400", marks=pytest.mark.campaign),
    ],
)
def test_daemons_find_it_in_their_first_hours(postgres_url, tmp_path, way, count):
    """All are at work at once under a clock 600 times as fast; neither gap nor storm is left behind."""
    profile = PROFILE.format(since=CLOCK_START - 200 * DAY)
    with replicas(tmp_path, postgres_url, [profile], count, rate=600, data_since=EDGE, before_data=way) as started:
        settings = load(str(started.shared.config), environ=started.shared.environ, now=started.clock)

        def is_complete():
            return started.shared.all_fired(["owners"], UNTIL) and asyncio.run(finds_no_gap(settings, postgres_url))

        eventually(is_complete, 240)
        codes = [started.pool.end(pid, signal.SIGTERM) for pid in started.pool.alive]
        assert codes == [0] * count
        fires = Counter(due for _, due, _ in started.shared.fires())
        assert {*fires.values()} == {1}
        assert len(started.simulator.requests) <= _TO_FIND_IT + 3 * len(fires)
        asyncio.run(check(settings, postgres_url, started))
    assert verify(postgres_url).findings == []


async def finds_no_gap(settings, url):
    async with Store.open(url, owner="test") as store:
        return await find_gaps(store, settings.profiles, UNTIL + HOUR / 2) == []


async def check(settings, url, started):
    async with Store.open(url, owner="test") as store:
        document = await status_document(store, settings.profiles, 600, started.clock)
        assert document["profiles"][0]["history_begins"] == EDGE
        found = await stored(store)
    for label, points in expected(started.simulator, started.clock).items():
        assert {at: value for at, value in found[label].items() if at < UNTIL.timestamp()} == points
