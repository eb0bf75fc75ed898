"""What the answers so far show about an interval: how soon its buckets are published, and how late they are revised."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.interval import AggInterval
from collector.rules.publication import Publication
from collector.store.db import sql
from collector.store.db.column_types import epoch
from collector.store.db.schema import revisions, series, state

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_PUBLISHED_KEY = "publication:{}"
_REVISED_KEY = "revised_until:{}"
_CONSIDERED = timedelta(days=60)


class PublicationTimes(NamedTuple):
    """Seconds from the end of a bucket to its publication, and to the latest revision of a value; None if unknown.

    *due_after*: the seconds from the end of a bucket to its due moment, None until enough answers have shown it.
    """

    published_after: int | None
    revised_until: int | None
    due_after: int | None = None


def learn(connection: sa.Connection, samples: Mapping[AggInterval, tuple[datetime, datetime]]) -> None:
    """Add an answer for each interval: (time of the answer by Radar's clock, lastUpdated)."""
    for interval, (received_at, last_updated) in samples.items():
        key = _PUBLISHED_KEY.format(interval.value)
        known = Publication.load(sql.get_state(connection, key))
        if (changed := known.add(received_at, last_updated)) != known:
            sql.put_state(connection, key, changed.dump())


def learn_revisions(connection: sa.Connection, now: datetime) -> None:
    """Record for each interval how long after its end a bucket of the last 60 days was revised last."""
    since = now - _CONSIDERED
    age = epoch(revisions.c.replaced_at) - epoch(revisions.c.timestamp)
    newest = sa.select(sa.func.max(age)).where(revisions.c.series_id == series.c.id, revisions.c.timestamp >= since)
    oldest = sa.select(series.c.agg_interval, newest.scalar_subquery())
    ages: dict[str, int] = {}
    for interval, seconds in connection.execute(oldest):
        if seconds is not None:
            ages[interval] = max(ages.get(interval, 0), int(seconds))
    for interval, seconds in ages.items():
        until = max(seconds - AggInterval(interval).seconds, 0)
        sql.put_state(connection, _REVISED_KEY.format(interval), str(until))


def times(connection: sa.Connection) -> dict[AggInterval, PublicationTimes]:
    """Return what is known of each interval."""
    keys = [key.format(interval.value) for key in (_PUBLISHED_KEY, _REVISED_KEY) for interval in AggInterval]
    select = sa.select(state.c.key, state.c.value).where(state.c.key.in_(keys))
    facts = {row.key: row.value for row in connection.execute(select)}
    known = {}
    for interval in AggInterval:
        published = Publication.load(facts.get(_PUBLISHED_KEY.format(interval.value)))
        revised = facts.get(_REVISED_KEY.format(interval.value))
        if published.delay is not None or revised is not None:
            until = int(revised) if revised else None
            known[interval] = PublicationTimes(published.delay, until, published.due_after)
    return known


def due_delays(connection: sa.Connection) -> dict[AggInterval, timedelta]:
    """Return how long after its end a bucket is due, for each interval of which that is known."""
    known = times(connection)
    return {interval: timedelta(seconds=each.due_after) for interval, each in known.items() if each.due_after}
