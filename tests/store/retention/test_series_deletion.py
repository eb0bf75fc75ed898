"""A series that no profile wants is deleted with all that is stored of it; any other is not."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from collector.model import Annotation
from collector.store import SeriesUnknown, SeriesWanted
from collector.store.admin.verify import verify
from collector.store.db.column_types import BigInt, Boolean, BucketTime, Double, Timestamp
from collector.store.db.schema import metadata, series
from tests.harness.factories import DAY, HOUR, NOW, batch, filtered, hours, profile, query, saved, values

OLD = query(caOwner="A")
REMARK = Annotation(DAY, DAY + 3 * HOUR, "CT", "OUTAGE", "down", "", is_instantaneous=False)
OF_SERIES = [table for table in metadata.sorted_tables if "series_id" in table.c]
_KINDS = ((sa.Text, "x"), (BucketTime, DAY), (Timestamp, NOW), (BigInt, 1), (Double, 1.0), (Boolean, False))
DUMMIES = {kind if isinstance(kind, type) else type(kind): value for kind, value in _KINDS}


async def filled(store):
    """Two profiles of which the one for OLD is dropped: revised, with a vanished bucket, and measured in two units."""
    kept, dropped = profile(), filtered("old", caOwner="A")
    await store.activate_labels([kept, dropped], NOW)
    both = batch((query(), hours(0, 6)), (OLD, hours(0, 6)))
    await saved(store, both, [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6], annotations=(REMARK,))
    again = batch((OLD, hours(0, 6)))
    await saved(store, again, {0: 7, 1: 2, 2: 3, 3: 4, 4: 5}, now=NOW + HOUR, updated=NOW + HOUR, annotations=(REMARK,))
    await saved(store, again, [1] * 6, now=NOW + 2 * HOUR, updated=NOW + 2 * HOUR, unit="certificates")
    return kept, dropped


async def ids_of(store, asked):
    with store._database.read() as connection:
        found = sa.select(series.c.id).where(series.c.digest == asked.digest).order_by(series.c.id)
        return [*connection.execute(found).scalars()]


async def findings(store):
    url = store._database.location.url.set(drivername=store.backend)
    return (verify(url.render_as_string(hide_password=False))).findings


async def rows_of(store, ids):
    found = {}
    with store._database.read() as connection:
        for table in OF_SERIES:
            counted = sa.select(sa.func.count()).select_from(table).where(table.c.series_id.in_(ids))
            found[table.name] = connection.execute(counted).scalar_one()
    return found


def _by_public_name(stored):
    return {name: number for name, number in stored.items() if name not in ("series_ranges", "series_set_members")}


async def put_a_row_where_there_is_none(store, series_id):
    """So that a table which is forgotten about is noticed."""
    lacking = [name for name, number in (await rows_of(store, [series_id])).items() if not number]

    def work(connection):
        for name in lacking:
            table = metadata.tables[name]
            row = {column.name: DUMMIES[type(column.type)] for column in table.c if not column.nullable}
            connection.execute(sa.insert(table).values(row | {"series_id": series_id}))

    await store._database.write(work)


async def test_nothing_is_left_of_it_and_the_rest_is_as_it_was(store):
    kept, _ = await filled(store)
    ids, before = await ids_of(store, OLD), await values(store)
    assert len(ids) == 2
    assert await findings(store) == []
    await put_a_row_where_there_is_none(store, ids[0])
    stored = await rows_of(store, ids)
    counted = await store.delete_series(ids[0], [kept], dry_run=True)
    assert await rows_of(store, ids) == stored
    deleted = await store.delete_series(ids[1], [kept], dry_run=False)
    assert deleted == counted
    assert counted.ids == tuple(ids)
    assert dict(counted.rows) == {**_by_public_name(stored), "date_ranges": 4, "series": 2}
    assert set((await rows_of(store, ids)).values()) == {0}
    assert await ids_of(store, OLD) == []
    assert await values(store) == before
    assert await findings(store) == []


async def test_one_that_a_profile_wants_is_not_deleted_whatever_its_label(store):
    kept, dropped = await filled(store)
    (series_id, *_) = await ids_of(store, OLD)
    for one in (dropped, replace(dropped, enabled=False), filtered("renamed", caOwner="A")):
        with pytest.raises(SeriesWanted, match=f"a profile still wants it as '{one.name}'"):
            await store.delete_series(series_id, [kept, one], dry_run=False)
    with pytest.raises(SeriesUnknown, match="there is no series 999"):
        await store.delete_series(999, [kept], dry_run=False)
    assert await findings(store) == []


async def test_asked_for_again_it_begins_anew(store):
    kept, dropped = await filled(store)
    await store.delete_series((await ids_of(store, OLD))[0], [kept], dry_run=False)
    await store.activate_labels([kept, dropped], NOW)
    await saved(store, batch((OLD, hours(0, 2))), [8, 9], now=NOW + 3 * HOUR, updated=NOW + 3 * HOUR)
    assert await values(store, "old") == {0: 8, 1: 9}
    assert await findings(store) == []
