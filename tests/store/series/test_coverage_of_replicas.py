"""Two replicas that change the coverage of the same answers at the same time, on Postgres."""

import asyncio
import random
from datetime import timedelta

import pytest
import sqlalchemy as sa

from collector.interval import AggInterval
from collector.store import Store
from collector.store.admin import commands
from collector.store.admin.verify import verify
from collector.store.db.schema import fetches
from collector.store.ledger.fetches import ReceivedAnswer
from collector.store.retention import points, prune
from collector.store.series import coverage
from collector.store.write.save import save
from tests.harness.factories import DAY, HOUR, NOW, answer, batch, hours, profile, rows, saved, start_fetch
from tests.store.series.test_coverage import PROFILE, QUERIES, live

REST = profile("all", caOwner=tuple("BCDE"))
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
LATER = NOW + timedelta(days=30)


async def beside(store, first, second):
    """Do *first* in a transaction that ends only when *second* waits for it, or has ended."""
    with store._database._writer.connect() as connection, connection.begin():
        first(connection)
        waiting = asyncio.create_task(asyncio.to_thread(store._database.write_now, second))
        for _ in range(100):
            if waiting.done() or (await rows(store, WAITING))[0][0]:
                break
            await asyncio.sleep(0.02)
    await waiting


def delete_old_points(connection):
    return points.delete_points(connection, AggInterval.ONE_HOUR, DAY + 7 * HOUR)


def delete_old_fetches(connection):
    ids = connection.execute(sa.select(fetches.c.id)).scalars().all()
    deletable = prune.deletable_fetches(connection, ids, {})
    assert deletable
    prune.delete_fetches(connection, deletable)


def delete_revisions_of(series_id):
    def delete(connection):
        old = points.old_revisions(connection, LATER, None)
        return points.delete_revisions(connection, [each for each in old if each.series_id == series_id], LATER)

    return delete


def delete_series_of(series_id):
    wanted = {labelled.query.digest: labelled.label for labelled in REST.series}
    return lambda connection: points.delete_series(connection, series_id, wanted, 0, dry_run=False)


REGROUP, POINTS, FETCHES = coverage.regroup, delete_old_points, delete_old_fetches
REVISIONS, OTHERS, SERIES = delete_revisions_of(2), delete_revisions_of(3), delete_series_of(1)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (REGROUP, REGROUP),
        (REGROUP, POINTS),
        (REGROUP, FETCHES),
        (REGROUP, REVISIONS),
        (REGROUP, SERIES),
        (POINTS, SERIES),
        (REVISIONS, OTHERS),
        (REVISIONS, SERIES),
        (SERIES, REVISIONS),
    ],
)
async def test_changes_of_coverage_wait_for_each_other(postgres_url, first, second):
    async with Store.open(postgres_url, owner="test") as store:
        await store.activate_labels([PROFILE], NOW)
        await live(store, random.Random(3), 20)
        for number in (40, 50, 60):
            asked, now = batch(*((each, hours(0, 3)) for each in QUERIES[1:])), NOW + number * HOUR
            await saved(store, asked, *[range(3)] * 4, now=now, updated=now)
    commands.downgrade(postgres_url, "0010")
    async with Store.open(postgres_url, owner="test") as store:
        await store.activate_labels([REST], NOW)
        while first is not REGROUP and await store.regroup_coverage():
            pass
        await beside(store, first, second)
        assert verify(postgres_url).findings == []
        assert await rows(store, "SELECT * FROM answers WHERE fetch_id NOT IN (SELECT id FROM fetches)") == []


@pytest.mark.parametrize("first", ["save", "deletion"])
async def test_a_series_that_an_answer_under_way_is_about_is_deleted_whole(postgres_url, first):
    async with Store.open(postgres_url, owner="test") as store:
        await store.activate_labels([PROFILE], NOW)
        asked = batch(*((each, hours(0, 4)) for each in QUERIES))
        await saved(store, asked, *[range(4)] * 5)
        await store.activate_labels([REST], NOW)
        later = NOW + HOUR
        fetch_id = await start_fetch(store, asked, later)
        arrival = ReceivedAnswer(fetch_id, asked, answer(asked, *[range(1, 5)] * 5, updated=later), later, 1)

        def save_answer(connection):
            save(connection, [arrival])

        works = [save_answer, delete_series_of(1)]
        await beside(store, *(works if first == "save" else works[::-1]))
        assert verify(postgres_url).findings == []
