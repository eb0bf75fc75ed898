"""Coverage: one row for all series that an answer was about; the rows of a version before become such rows."""

import json
import random
from datetime import timedelta

import pytest
import sqlalchemy as sa

from collector.store import Store
from collector.store.admin import commands
from collector.store.admin.verify import verify
from collector.store.series import coverage
from collector.timestamps import rfc3339
from collector.windows import SeriesWindow
from tests.harness.factories import (
    DAY,
    HOUR,
    NOW,
    at,
    batch,
    dump,
    hours,
    profile,
    query,
    rows,
    saved,
    values,
)

QUERIES = [query(caOwner=name) for name in "ABCDE"]
PROFILE = profile("all", caOwner=tuple("ABCDE"))
BY_SERIES = (
    'SELECT series_id, "end", fetch_id, start, start_time, end_time, overruled FROM date_ranges ORDER BY 1, 2, 3'
)
GROUPED = 'SELECT set_id, "end", fetch_id, start, start_time, end_time, overruled FROM answers ORDER BY 1, 2, 3'
SUMS = "SELECT fetch_id, sum(checksum) FROM {} GROUP BY fetch_id ORDER BY 1"


async def test_all_series_of_an_answer_share_a_row(store):
    await store.activate_labels([PROFILE], NOW)
    await saved(store, batch(*((each, hours(0, 4)) for each in QUERIES)), *[range(4)] * 5)
    await saved(store, batch(*((each, hours(4, 5)) for each in QUERIES)), *[range(1)] * 5)
    await saved(store, batch((QUERIES[0], hours(4, 6)), (QUERIES[1], hours(3, 5))), range(2), range(2))
    assert await rows(store, "SELECT count(*) FROM date_ranges") == [(12,)]
    assert await rows(store, "SELECT set_id, fetch_id FROM answers ORDER BY 2, 1") == [(1, 1), (1, 2), (2, 3), (3, 3)]
    assert await rows(store, "SELECT count(*) FROM series_ranges") == [(0,)]


async def live(store, chance, answers):
    """Save answers about some series over some windows, also late ones, with values that change and vanish."""
    await store.activate_labels([PROFILE], NOW)
    for number in range(answers):
        asked = chance.sample(QUERIES, chance.randint(1, 5))
        window = hours(start := chance.randrange(0, 40), start + chance.randint(1, 12))
        windows = [window if chance.random() < 0.8 else hours(start, start + 13) for _ in asked]
        by_hour = [
            {
                start + hour: chance.randrange(3)
                for hour in range((each.end - each.start) // HOUR)
                if hour in (0, 5) or chance.random() < 0.9
            }
            for each in windows
        ]
        now = NOW + number * HOUR
        updated = now - chance.choice((0, 0, 0, 30)) * HOUR
        await saved(store, batch(*zip(asked, windows, strict=True)), *by_hour, now=now, updated=updated)


async def known(store):
    """What the store says: now, and as it was at some moments before."""
    moments = [NOW + timedelta(hours=number, minutes=30) for number in range(0, 30, 5)]
    series = [row[0] for row in await rows(store, "SELECT id FROM series ORDER BY 1")]
    told = []
    for moment in (None, *moments):

        def read(reader):
            levels = [reader.confidence_level([SeriesWindow(each, at(0), at(20))]) for each in series]
            return levels, reader.last_updated(series), reader.published(series, NOW.timestamp() + 10**6)

        told.append(await store.read_as_of(read, moment))
        told.append([await values(store, f"all/{name}", as_of=moment) for name in "ABCDE"])
    return told, await rows(store, BY_SERIES)


@pytest.mark.parametrize("attempt", range(2))
async def test_a_store_of_before_says_the_same_before_while_and_after_it_is_regrouped(store_url, attempt, seed):
    chance = random.Random(seed + attempt)
    async with Store.open(store_url, owner="test") as store:
        await live(store, chance, 30)
        expected, grouped = await known(store), await rows(store, GROUPED)
        sums = await rows(store, SUMS.format("answers"))
    written = dump(store_url)
    commands.downgrade(store_url, "0010")
    commands.upgrade(store_url)
    assert verify(store_url).findings == []
    async with Store.open(store_url, owner="test") as store:
        assert await rows(store, "SELECT count(*) FROM answers") == [(0,)]
        assert await known(store) == expected
        while await store.regroup_coverage():
            assert verify(store_url).findings == []
            assert await known(store) == expected
        assert await rows(store, "SELECT count(*) FROM series_ranges") == [(0,)]
        assert sorted(repr(row[1:]) for row in await rows(store, GROUPED)) == sorted(repr(row[1:]) for row in grouped)
        assert await rows(store, SUMS.format("answers")) == sums
    assert dump(store_url) == written
    assert verify(store_url).findings == []


async def test_some_rows_are_moved_at_a_time_and_those_of_a_fetch_together(store_url, monkeypatch):
    async with Store.open(store_url, owner="test") as store:
        await live(store, random.Random(0), 20)
    commands.downgrade(store_url, "0010")
    monkeypatch.setattr(coverage, "_MOVED_AT_ONCE", 7)
    async with Store.open(store_url, owner="test") as store:
        (number,) = (await rows(store, "SELECT count(*) FROM series_ranges"))[0]
        moved = []
        while step := await store.regroup_coverage():
            moved.append(step)
            split = "SELECT count(*) FROM answers WHERE fetch_id IN (SELECT fetch_id FROM series_ranges)"
            assert await rows(store, split) == [(0,)]
        assert sum(moved) == number
        assert max(moved) < 7 + 5


async def test_the_windows_of_old_requests_are_shortened_where_their_text_tells_them(store_url):
    async with Store.open(store_url, owner="test") as store:
        await live(store, random.Random(2), 20)
        fetches = await store.list_fetches()
        written = [
            {"i": fetch.id, "w": json.dumps([list(map(rfc3339, one)) for one in fetch.windows])} for fetch in fetches
        ]
        update = sa.text("UPDATE fetches SET windows = :w WHERE id = :i")
        await store._database.write(lambda connection: connection.execute(update, written))
    commands.downgrade(store_url, "0010")
    async with Store.open(store_url, owner="test") as store:
        while await store.regroup_coverage():
            pass
        assert await store.list_fetches() == fetches
        (told,) = (await rows(store, "SELECT count(*) FROM fetches WHERE windows IS NULL"))[0]
        assert told == sum(len({*fetch.windows}) == 1 for fetch in fetches)
        assert 0 < told < len(fetches)


async def test_a_damaged_answer_is_not_hidden_by_the_way_back(store_url):
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([PROFILE], NOW)
        await saved(store, batch(*((each, hours(0, 4)) for each in QUERIES)), *[range(4)] * 5)
        await store._database.write(lambda connection: connection.exec_driver_sql("UPDATE points SET value = 7"))
    with pytest.raises(ValueError, match="what fetch 1 brought is not what it was"):
        commands.downgrade(store_url, "0010")
    (finding,) = verify(store_url).findings
    assert finding.startswith("what fetch 1 brought for 2026-04-30T00:00:00Z..2026-04-30T04:00:00Z, of series")


async def test_the_rest_of_a_set_stays_when_a_series_is_deleted(store):
    others = profile("all", caOwner=tuple("BCDE"))
    await store.activate_labels([PROFILE], NOW)
    await live(store, random.Random(1), 20)
    before = [await values(store, f"all/{name}") for name in "BCDE"]
    await store.activate_labels([others], NOW)
    (gone,) = (await rows(store, "SELECT id FROM series WHERE label = 'all/A'"))[0]
    await store.delete_series(gone, [others], dry_run=False)
    url = store._database.location.url.set(drivername=store.backend).render_as_string(hide_password=False)
    assert verify(url).findings == []
    assert [await values(store, f"all/{name}") for name in "BCDE"] == before
    await saved(store, batch(*((each, hours(0, 50)) for each in QUERIES[1:])), *[range(50)] * 4, now=NOW + 90 * HOUR)
    assert verify(url).findings == []


async def test_a_replica_of_before_can_still_write_date_ranges(store_url):
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([PROFILE], NOW)
        await saved(store, batch((QUERIES[0], hours(0, 4))), range(4))
        names = '(series_id, "end", fetch_id, start, start_time, end_time, checksum, overruled)'
        written = f"""INSERT INTO date_ranges {names}
        SELECT 1, "end", 2, start, start_time, end_time, 7, NULL FROM date_ranges"""
        await store._database.write(lambda connection: connection.exec_driver_sql(written))
        assert await rows(store, "SELECT fetch_id, checksum FROM series_ranges") == [(2, 7)]
        await store._database.write(lambda c: c.exec_driver_sql("DELETE FROM date_ranges WHERE fetch_id = 2"))
        assert await rows(store, "SELECT fetch_id FROM date_ranges") == [(1,)]


def test_a_set_knows_its_members(sqlite_url):
    engine = sa.create_engine(sqlite_url)
    with engine.begin() as connection:
        windows = [coverage.AnsweredWindow(series_id, 1, 0, 3600, (DAY, DAY), 5) for series_id in (3, 1)]
        coverage.insert(connection, windows)
        assert coverage.sets_of(connection, [1]) == {1: (1, 3)}
        assert coverage.damaged_sets(connection) == []
    engine.dispose()
