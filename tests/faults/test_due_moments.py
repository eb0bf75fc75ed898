"""A service of hourly profiles: each bucket is requested when Radar has published it, for no more requests."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from collector.interval import AggInterval
from collector.model import Question
from tests.harness.virtual_time import run_in_virtual_time, running_daemon

START = datetime(2026, 3, 1, 20, 7, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = AggInterval.ONE_HOUR
FIXED = '[collection]\npublication_delay = "2m"\n'
FEW = """
[radar]
base_url = "{url}"
[[profiles]]
name = "all"
agg_interval = "1h"
[[profiles]]
name = "tld"
agg_interval = "1h"
dimension = "TLD"
"""
MANY = f"""{FEW}
[[profiles]]
name = "owner"
agg_interval = "1h"
dimension = "CA_OWNER"
[[profiles]]
name = "often"
agg_interval = "15m"
"""
TLDS = Question(HOUR, {}, dimension="TLD")


@dataclass(frozen=True)
class Lived:
    """What the second half of the time was like: the number of requests, and the mean age of the newest bucket."""

    requests: int
    age: timedelta


def lived(folder, config, hours, **world):
    """Let a service run for so many hours, always ready, with one fire for each edge."""
    folder.mkdir()
    found = []

    async def work(loop):
        async with running_daemon(loop, folder, config, **world) as run:
            ages, before = [], 0
            while loop.now() < START + hours * HOUR.step:
                await run.until(loop.now() + 10 * MINUTE)
                assert await run.service.unready() == [], loop.now()
                if loop.now() < START + hours * HOUR.step / 2:
                    before = len(run.simulator.requests)
                    continue
                extents = await run.store.with_read_view(lambda view: view.extents([TLDS]))
                ages.append(loop.now() - extents[TLDS].end)
            found.append(Lived(len(run.simulator.requests) - before, sum(ages, timedelta()) / len(ages)))
            for profile in run.service.profiles:
                dues = sorted(fire.due for fire in await run.store.list_fires(profile=profile.name, limit=None))
                assert dues == [dues[0] + number * profile.agg_interval.step for number in range(len(dues))]

    run_in_virtual_time(START, work)
    return found[0]


@pytest.mark.parametrize(
    ("config", "hours", "lag"),
    [(FEW, 8, 5), *(pytest.param(MANY, 24, lag, marks=pytest.mark.campaign) for lag in (5, 20, 45))],
)
def test_a_bucket_comes_no_later_for_fewer_requests_than_with_a_fixed_delay(tmp_path, config, hours, lag):
    world = {"lag": lag * MINUTE}
    learned = lived(tmp_path / "learned", config, hours, **world)
    fixed = lived(tmp_path / "fixed", FIXED + config, hours, **world)
    print(f"{lag} min: {learned}, {fixed}")  # noqa: T201 - figures for the record
    assert learned.requests < fixed.requests
    assert learned.age <= fixed.age
