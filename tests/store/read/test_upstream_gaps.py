"""What two answers prove that Radar does not have."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from collector.store.db.schema import absences
from tests.harness.factories import DAY, HOUR, NOW, batch, hours, profile, query, rows, saved


async def lacked(store, start, end, asked_at, width=None):
    """Put on record that an answer lacked the buckets between two hours of the day; it was about *width* hours."""
    (series_id,) = (await rows(store, "SELECT id FROM series"))[0]
    row = {"start": hours(start, end).start, "end": hours(start, end).end}
    window = hours(start, start + (width or end - start))
    row |= {"window_start": window.start, "window_end": window.end, "asked_at": asked_at, "told_at": asked_at}
    number = (await rows(store, "SELECT count(*) FROM absences"))[0][0]
    insert = sa.insert(absences).values(series_id=series_id, fetch_id=1000 + number, **row)
    await store._database.write(lambda connection: connection.execute(insert))
    return series_id


async def test_radars_history_begins_where_nothing_before_is_proven_to_be(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((query(), hours(6, 9))), [1, 2, 3])
    late = NOW + timedelta(days=20)
    series_id = await lacked(store, 0, 6, late, width=24)
    assert await store.history_begins(series_id) is None
    await lacked(store, 2, 6, late + timedelta(days=1))
    assert await store.history_begins(series_id) is None
    await lacked(store, 2, 6, late + timedelta(days=2))
    assert await store.history_begins(series_id) == DAY + 6 * HOUR
    assert await store.history_begins(series_id + 1) is None
