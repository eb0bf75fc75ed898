"""What two answers prove that Radar does not have."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from collector.store.proven import Absence, proven
from collector.store.schema import absences
from tests.store.making import DAY, HOUR, NOW, batch, hours, profile, query, rows, saved

ABSENCES = st.builds(
    lambda start, length, day: Absence(start, start + length, NOW + day * timedelta(days=1)),
    st.integers(0, 12),
    st.integers(1, 8),
    st.integers(0, 4),
)


@given(st.lists(ABSENCES, max_size=8))
def test_a_bucket_is_proven_by_two_answers_two_days_apart(lacked):
    found = {bucket for start, end in proven(lacked) for bucket in range(start, end)}
    for bucket in range(24):
        asked = [one.asked_at for one in lacked if one.start <= bucket < one.end]
        assert (bucket in found) == (len(asked) > 1 and max(asked) - min(asked) >= timedelta(days=2))


async def lacked(store, start, end, asked_at):
    """Put on record that an answer lacked the buckets between two hours of the day."""
    (series_id,) = (await rows(store, "SELECT id FROM series"))[0]
    row = {"start": hours(start, end).start, "end": hours(start, end).end}
    row |= {"window_start": row["start"], "window_end": row["end"], "asked_at": asked_at, "told_at": asked_at}
    number = (await rows(store, "SELECT count(*) FROM absences"))[0][0]
    insert = sa.insert(absences).values(series_id=series_id, fetch_id=1000 + number, **row)
    await store._database.write(lambda connection: connection.execute(insert))
    return series_id


async def test_radars_history_begins_where_nothing_before_is_proven_to_be(store):
    await store.declare([profile()], NOW)
    await saved(store, batch((query(), hours(6, 9))), [1, 2, 3])
    series_id = await lacked(store, 0, 6, NOW)
    assert await store.history_begins(series_id) is None
    await lacked(store, 2, 6, NOW + timedelta(days=1))
    assert await store.history_begins(series_id) is None
    await lacked(store, 2, 6, NOW + timedelta(days=2))
    assert await store.history_begins(series_id) == DAY + 6 * HOUR
    assert await store.history_begins(series_id + 1) is None
