"""Stores of any size for `growth`: a complete history at 15m up to one moment, as the collector's saves leave it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from collector.collect.planning import request_limits
from collector.interval import AggInterval
from collector.model import Answer, Batch, Meta, Points, Question, Slice, Window
from collector.profile import Profile
from collector.store import Store

END = datetime(2026, 6, 30, 12, tzinfo=UTC)
"""The end of every history. It is noon, so that some fires follow before the window of a fire grows by a day."""
QUARTER = AggInterval.FIFTEEN_MINUTES
LAG = timedelta(minutes=2)
"""How far lastUpdated is behind each answer."""
SETTLE = timedelta(days=14)
NO_LIMIT = 1_000_000_000
_BUCKETS_A_SAVE = 30_000
_MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """So many *series* with *points* in all."""

    series: int
    points: int

    @property
    def buckets(self) -> int:
        """The number of buckets of each series."""
        return self.points // self.series

    @property
    def window(self) -> Window:
        """What is stored of each series."""
        return Window(END - self.buckets * QUARTER.step, END)


def profiles(series: int, count: int = 1) -> list[Profile]:
    """Divide so many *series*, one for each certificate authority, evenly among *count* profiles."""
    zero, names = timedelta(0), [owner_name(number) for number in range(series)]
    return [
        Profile(
            f"bench{number}", QUARTER, {}, {"caOwner": tuple(names[number::count])}, None, zero, zero, SETTLE, heal=True
        )
        for number in range(count)
    ]


def owner_name(number: int) -> str:
    """Return the certificate authority of a series."""
    return f"Authority {number:04}"


def value(owner: str, timestamp: int) -> int:
    """Return the value of a bucket: the same whoever asks."""
    return (timestamp // QUARTER.seconds * 7_919 + int(owner.rpartition(" ")[2]) * 104_729) % _MOST + 1


async def build(address: str, size: Size) -> None:
    """Create a store, fill it, and confirm its values, as a second answer would; the shape of requests is known."""
    (profile,) = profiles(size.series)
    now = END + LAG
    async with Store.open(address, owner="bench") as store:
        await store.activate_labels([profile], now)
        known = request_limits.measured(QUARTER, timedelta(days=7), request_limits.MOST_POSITIONS, now=now)
        await store.set_state(request_limits.limits_key(known.kind), request_limits.dump_limits(known))
        for batch in _batches(profile, size):
            started = await store.start_fetch(batch, [profile.name], now, NO_LIMIT)
            await store.save(started.fetch_id, batch, answer(batch, now - LAG), now, 0)
        confirmed = int(size.window.start.timestamp()), int(END.timestamp())
        for series in profile.series:
            await store.confirm(series.query, [confirmed], int(SETTLE.total_seconds()))


def _batches(profile: Profile, size: Size) -> Iterator[Batch]:
    """Yield the whole history in batches of one window."""
    queries = [series.query for series in profile.series]
    together = max(_BUCKETS_A_SAVE // size.buckets, 1)
    for first in range(0, len(queries), together):
        yield Batch(tuple(Slice(query, size.window) for query in queries[first : first + together]))


def answer(batch: Batch, last_updated: datetime) -> Answer:
    """Return the complete answer to *batch*."""
    ranges = tuple((slice_.window.start, slice_.window.end) for slice_ in batch.slices)
    meta = Meta(batch.agg_interval, last_updated, "RAW_VALUES", "certificates", 5, ranges, ())
    return Answer(meta, tuple(points(slice_.series, slice_.window) for slice_ in batch.slices))


def points(query: Question, window: Window) -> Points:
    """Return all points of *query* in *window*."""
    (owner,) = query.filters["caOwner"]
    seconds = range(int(window.start.timestamp()), int(window.end.timestamp()), QUARTER.seconds)
    return Points(seconds, [float(value(owner, timestamp)) for timestamp in seconds])
