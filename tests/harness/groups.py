"""Answers about a question with a dimension, and a store that has saved them."""

from collector.model import GroupedPoints, Points, Remainder
from tests.harness.factories import HOUR, NOW, answer, at, batch, hours, profile, start_fetch

OWNERS = profile("owners", dimension="CA_OWNER")
QUESTION = OWNERS.series[0].query
LATER = NOW + HOUR


def grouped(asked, left=None, **groups):
    """An answer with the values of *groups* by the hours of the first slice; what is *left* by hour, each with 1."""
    left = left or {}
    (plain,) = answer(asked, {hour: sum(each.get(hour, 0) for each in groups.values()) for hour in range(4)}).series
    points = {
        name: Points([at(hour) for hour in by_hour], [float(value) for value in by_hour.values()])
        for name, by_hour in groups.items()
    }
    total = [value + left.get(hour, 0) for hour, value in enumerate(plain.values)]
    remainders = {at(hour): Remainder(other, 1) for hour, other in left.items()}
    return GroupedPoints(plain.timestamps, total, points, remainders)


async def save(store, now=NOW, left=None, **groups):
    asked = batch((QUESTION, hours(0, 4)))
    fetch_id = await start_fetch(store, asked, now)
    came = answer(asked, [0, 0, 0, 0], updated=now)._replace(series=(grouped(asked, left, **groups),))
    return await store.save(fetch_id, asked, came, now, 100)


def each(first, last=4, value=10):
    return dict.fromkeys(range(first, last), value)
