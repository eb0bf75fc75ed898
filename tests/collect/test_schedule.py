"""When fires are due."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from collector.collect.schedule import BucketEdges, Schedule
from collector.interval import AggInterval

QUARTER, HOUR, *_ = AggInterval
DELAY = timedelta(minutes=2)


def at(*time):
    return datetime(2026, 3, 4, *time, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expected", "previous", "now"),
    [
        (at(10, 17), None, at(10, 2)),
        (at(10, 17), None, at(10, 16, 59)),
        (at(10, 32), None, at(10, 17)),
        (at(10, 32), at(10, 17), at(10, 3)),
        (at(11, 2), at(10, 17), at(10, 50)),
        (at(10, 17), None, at(10, 2).astimezone(timezone(timedelta(hours=5, minutes=45)))),
    ],
)
def test_a_fire_is_due_after_each_bucket_edge_and_the_delay(expected, previous, now):
    fire_time = BucketEdges(QUARTER, DELAY).get_next_fire_time(previous, now)
    assert (fire_time, fire_time.tzinfo) == (expected, UTC)


async def test_a_late_wake_up_causes_exactly_one_call():
    async def due():
        pass

    schedule = Schedule()
    schedule.add(HOUR, DELAY, due)
    assert schedule._scheduler.timezone is UTC
    with schedule:
        (job,) = schedule._scheduler.get_jobs()
        assert (job.func, job.misfire_grace_time, job.coalesce) == (due, None, True)
        assert (job.trigger.grid, job.trigger.delay) == (HOUR, DELAY)
        assert schedule._scheduler.running
    await asyncio.sleep(0)
    assert not schedule._scheduler.running
