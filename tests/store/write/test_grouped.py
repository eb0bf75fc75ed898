"""Groups of a dimension in the store: one transaction for an answer, and every way in which a store is cared for."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from collector.interval import AggInterval
from collector.model import GroupedPoints
from collector.settings import RetentionSettings
from collector.store import Store
from collector.store.admin.commands import digest
from collector.store.admin.copy import copy
from collector.store.admin.verify import verify
from collector.store.write import points
from collector.windows import SeriesWindow
from tests.harness.factories import (
    DAY,
    HOUR,
    NOW,
    answer,
    batch,
    dump,
    exported,
    hours,
    profile,
    rows,
    start_fetch,
    values,
)
from tests.harness.groups import LATER, OWNERS, QUESTION, each, grouped, save


@pytest.fixture
async def store(store_url):
    async with Store.open(store_url, owner="test") as opened:
        await opened.activate_labels([OWNERS], NOW)
        yield opened


def damage(url, sql):
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text(sql))


async def test_it_works(store):
    saved = await save(store, A=each(0), B=each(1))
    assert (saved.inserted, saved.by_series[QUESTION].inserted) == (7, 7)
    assert await values(store, "owners/A") == each(0)
    assert await values(store, "owners/B") == each(1)
    assert {row.label for row in await store.list_series()} == {"owners/A", "owners/B"}
    (status,) = await store.status_rows([OWNERS])
    assert (status.series, status.points) == (2, 7)


async def test_an_absent_group_is_unknown_or_gone(store):
    await save(store, A=each(0), B=each(0))
    changed = await save(store, LATER, left={0: 5, 1: 5}, A=each(0, 2) | each(2, value=11))
    assert (changed.revised, changed.vanished, changed.unchanged) == (2, 2, 2)
    assert await values(store, "owners/B") == each(0)
    assert [row.series for row in await store.list_revisions()] == ["owners/A"] * 2
    back = await save(store, LATER + HOUR, A=each(0), B=each(0))
    assert (back.revised, back.vanished) == (2, 0)
    assert await rows(store, "SELECT count(*) FROM vanished") == [(0,)]
    assert await rows(store, "SELECT other FROM remainders ORDER BY timestamp, fetch_id") == [(5,), (0,), (5,), (0,)]


async def test_an_answer_as_of_earlier_does_not_know_a_later_group(store):
    await save(store, A=each(0))
    await save(store, LATER, A=each(0), B=each(0))
    before = [label async for _, label, *_ in store.export([], as_of=NOW)]
    assert {*before} == {"owners/A"}


async def test_an_answer_is_saved_with_its_groups_or_not_at_all(sqlite_url):
    async with Store.open(sqlite_url, owner="test") as store:
        await store.activate_labels([OWNERS], NOW)
        refuse = "CREATE TRIGGER refuse BEFORE INSERT ON remainders BEGIN SELECT RAISE(ABORT, 'no'); END"
        await store._database.write(lambda connection: connection.execute(sa.text(refuse)))
        with pytest.raises(Exception, match="no"):
            await save(store, left={0: 5}, A=each(0))
        for table in ("points", "answers", "groups", "series_sets"):
            assert await rows(store, f"SELECT count(*) FROM {table}") == [(0,)]
        await store._database.write(lambda connection: connection.execute(sa.text("DROP TRIGGER refuse")))
        await save(store, left={0: 5}, A=each(0))
        assert await values(store, "owners/A") == each(0)


async def test_a_store_with_groups_is_copied_verified_pruned_and_forgotten(store_url, tmp_path):
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([OWNERS], NOW)
        await save(store, left={0: 5, 3: 5}, A=each(0), B=each(1))
        await save(store, LATER, left={0: 6}, A=each(0, value=11))
    assert verify(store_url).findings == []
    target = f"sqlite:///{tmp_path}/copy.db"
    assert copy(store_url, target).digest == digest(store_url)
    assert verify(target).findings == []
    assert '"owners' not in dump(store_url)
    for table in ("remainders", "groups"):
        damage(target, f"UPDATE {table} SET series_id = series_id + 100")
    assert [text.partition(":")[0] for text in verify(target).findings] == [
        "remainders of buckets that are not there",
        "rows of groups of a series that does not exist",
        "rows of remainders of a series that does not exist",
    ]
    async with Store.open(store_url, owner="test") as store:
        old = RetentionSettings(points={AggInterval.ONE_HOUR: timedelta(days=1)})
        await store.prune(old, DAY + 26 * HOUR)
        assert {*await values(store, "owners/A")} == {2, 3}
        assert await rows(store, "SELECT count(*) FROM remainders") == [(2,)]
        ids = {row.label: row.id for row in await store.list_series(sums=True)}
        with pytest.raises(Exception, match="a profile still wants it"):
            await store.delete_series(ids["owners/B"], [OWNERS], dry_run=False)
        deleted = await store.delete_series(ids["owners"], [], dry_run=False)
        assert {*deleted.ids} == {*ids.values()}
        assert await exported(store) == []
    assert verify(store_url).findings == []


async def test_two_groups_with_one_label_are_kept_apart(store):
    named = profile("a", each={"ca": ("b", "b/c")}, dimension="LOG")
    first, second = (series.query for series in named.series)
    await store.activate_labels([named], NOW)
    for question, group in ((first, "c/d"), (second, "d")):
        asked = batch((question, hours(0, 4)))
        fetch_id = await start_fetch(store, asked, NOW)
        points = grouped(asked, **{group: each(0)})
        await store.save(fetch_id, asked, answer(asked, [0] * 4)._replace(series=(points,)), NOW, 100)
    one, two = sorted(row.label for row in await store.list_series())
    assert one == "a/b/c/d"
    assert two.startswith("a/b/c/d #")
    await store.activate_labels([named], LATER)
    assert sorted(row.label for row in await store.list_series()) == [one, two]
    assert await values(store, one) == await values(store, two) == each(0)


async def test_an_answer_without_a_group_is_saved(store):
    asked = batch((QUESTION, hours(0, 4)))
    empty = answer(asked, [])._replace(series=(GroupedPoints((), ()),))
    saved = await store.save(await start_fetch(store, asked), asked, empty, NOW, 100)
    assert saved.inserted == 0
    assert [row.outcome for row in await store.list_fetches()] == ["ok"]
    assert (await save(store, LATER, A=each(0))).inserted == 4


async def test_vanished_buckets_of_any_number_of_groups_and_windows_are_read(store):
    spans = [SeriesWindow(number, 0, 1) for number in range(100_000)]  # more than a statement has parameters
    assert await store._database.read_in_thread(lambda connection: points.read_vanished(connection, spans)) == {}
