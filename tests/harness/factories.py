"""Short ways to build the values that tests need."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from collector.interval import AggInterval
from collector.model import Answer, Batch, Meta, Points, Question, Slice, Window
from collector.profile import Profile
from collector.store import Store
from collector.store.admin import commands

NOW = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
DAY = datetime(2026, 4, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
STEP = 3600
START = int(DAY.timestamp())
LIMIT = 1000

_DEFAULTS = {
    "filters": {},
    "since": None,
    "publication_delay": timedelta(minutes=2),
    "lookback": timedelta(days=1),
    "settle": timedelta(days=14),
    "heal": True,
}


def profile(name="all", agg_interval=AggInterval.ONE_HOUR, each=None, **changes):
    """Return a profile. *changes* are fields of Profile; every other name is a filter with the values of `each`."""
    fields = {key: value for key, value in changes.items() if key in Profile.__dataclass_fields__}
    varied = {key: value for key, value in changes.items() if key not in fields}
    return Profile(name, agg_interval, each={**(each or {}), **varied}, **{**_DEFAULTS, **fields})


def many(count, name="many", **changes):
    """Return a profile with *count* series."""
    return profile(name, each={"caOwner": tuple(f"Owner {number}" for number in range(count))}, **changes)


def query(agg_interval=AggInterval.ONE_HOUR, **filters):
    """Return a query with *filters*: each value is a text or several texts."""
    values = {name: (value,) if isinstance(value, str) else tuple(value) for name, value in filters.items()}
    return Question(AggInterval(agg_interval), values)


def at(hours):
    """Epoch seconds of the bucket so many hours into the day."""
    return int(START + hours * STEP)


def filtered(name, **filters):
    return profile(name, filters={key: (value,) for key, value in filters.items()})


def hours(start, end):
    return Window(DAY + start * HOUR, DAY + end * HOUR)


def batch(*slices):
    """A batch of (query, window)."""
    return Batch(tuple(Slice(*each) for each in slices))


def answer(asked, *values, updated=NOW, normalization="RAW_VALUES", unit="*", annotations=()):
    """An answer to *asked*; of each slice the values by hours into the day: a dict, or a list from its start."""
    series = []
    for piece, found in zip(asked.slices, values, strict=True):
        first = int((piece.window.start - DAY) / HOUR)
        by_hour = found if isinstance(found, dict) else {first + n: v for n, v in enumerate(found)}
        series.append(Points([int(at(hour)) for hour in by_hour], [float(v) for v in by_hour.values()]))
    ranges = tuple((piece.window.start, piece.window.end) for piece in asked.slices)
    meta = Meta(asked.agg_interval, updated, normalization, unit, 5, ranges, tuple(annotations))
    return Answer(meta, tuple(series))


async def start_fetch(store, asked, now=NOW, profiles=("all",), limit=LIMIT):
    return (await store.start_fetch(asked, list(profiles), now, limit)).fetch_id


async def saved(store, asked, *values, now=NOW, profiles=("all",), **meta):
    """Ask and save in one go."""
    fetch_id = await start_fetch(store, asked, now, profiles)
    return await store.save(fetch_id, asked, answer(asked, *values, **meta), now, 100)


async def filled(url):
    """Write four hours of the series `all`; gives *url*."""
    async with Store.open(url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        await saved(store, batch((query(), hours(0, 4))), [1, 2, 3, 4])
    return url


async def rows(store, sql, **parameters):
    """What a person would read with SQL of their own."""

    def read(connection):
        return [tuple(row) for row in connection.execute(sa.text(sql), parameters)]

    return await store._database.read_in_thread(read)


async def exported(store, *profiles, **options):
    return [row async for row in store.export(list(profiles), **options)]


async def values(store, label="all", **options):
    """What is stored under one label: {hours into the day: value}."""
    found = await exported(store, **options)
    return {(t - START) / STEP: v for _, series, t, v in found if series == label}


def dump(url):
    """All that is known, as one text."""
    return "".join(commands.dump(url))
