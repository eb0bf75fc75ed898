import asyncio
import math
import random
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy.dialects import sqlite

from collector.model import Points
from collector.store import SaveResult, Store, ValueRejected
from collector.store.admin.verify import verify
from collector.store.db import sql
from collector.store.ledger.fetches import ReceivedAnswer
from collector.store.retention import prune
from collector.store.write import comparison, points, save
from tests.harness.factories import (
    DAY,
    HOUR,
    NOW,
    answer,
    at,
    batch,
    dump,
    exported,
    hours,
    profile,
    query,
    rows,
    saved,
    start_fetch,
    values,
)

LATER = NOW + timedelta(minutes=15)
ALL = query()
OTHER = query(tld="com")
ASKED = batch((ALL, hours(0, 4)))


@pytest.fixture
async def store(store):
    await store.activate_labels([profile()], NOW)
    return store


async def test_it_works(store):
    assert await saved(store, ASKED, [1, 2, 3, 4]) == SaveResult(inserted=4)
    assert await exported(store) == [("all", "all", at(hour), hour + 1.0) for hour in range(4)]


async def test_repeating_an_answer_changes_no_point(store):
    await saved(store, ASKED, [1, 2, 3, 4])
    before = await rows(store, "SELECT * FROM points")
    assert await saved(store, ASKED, [1, 2, 3, 4], now=LATER) == SaveResult(unchanged=4)
    assert await rows(store, "SELECT * FROM points") == before
    assert await rows(store, "SELECT * FROM revisions") == []


async def test_saving_the_same_fetch_twice_gives_what_it_did_the_first_time(store):
    await saved(store, ASKED, [1, 2, 3, 4])
    fetch_id = await start_fetch(store, ASKED)
    other = answer(ASKED, [1, 2, 3, 5])
    assert await store.save(fetch_id, ASKED, other, NOW, 100) == SaveResult(revised=1, unchanged=3)
    assert await store.save(fetch_id, ASKED, other, LATER, 100) == SaveResult(revised=1, unchanged=3)
    assert len(await rows(store, "SELECT * FROM revisions")) == 1


async def test_an_answer_to_a_fetch_that_has_ended_otherwise_is_refused(store):
    fetch_id = await start_fetch(store, ASKED, NOW - timedelta(hours=1))
    assert await store.interrupt(NOW) == 1
    with pytest.raises(ValueRejected, match="interrupted"):
        await store.save(fetch_id, ASKED, answer(ASKED, [1, 2, 3, 4]), NOW, 100)
    assert await exported(store) == []


async def test_an_answer_to_an_unknown_fetch_is_refused(store):
    with pytest.raises(ValueRejected, match="unknown"):
        await store.save(999, ASKED, answer(ASKED, [1, 2, 3, 4]), NOW, 100)


async def test_a_changed_value_keeps_its_predecessor_and_when_each_was_seen(store):
    await saved(store, ASKED, [1, 2, 3, 4])
    assert await saved(store, ASKED, [1, 2, 7, 4], now=LATER, updated=LATER) == SaveResult(revised=1, unchanged=3)
    (revision,) = await store.list_revisions()
    assert (revision.profile, revision.series, revision.timestamp) == ("all", "all", DAY + 2 * HOUR)
    assert (revision.value, revision.new_value) == (3.0, 7.0)
    assert (revision.seen_at, revision.replaced_at) == (NOW, LATER)
    assert (revision.fetch_id, revision.replaced_by) == (1, 2)


async def test_a_replaced_value_was_seen_when_its_answer_came_not_when_it_was_requested(store):
    fetch_id = await start_fetch(store, ASKED, NOW - HOUR)
    await store.save(fetch_id, ASKED, answer(ASKED, [1, 2, 3, 4]), NOW, 100)
    await saved(store, ASKED, [1, 2, 7, 4], now=LATER, updated=LATER)
    assert [(one.seen_at, one.replaced_at) for one in await store.list_revisions()] == [(NOW, LATER)]


@pytest.mark.parametrize(
    ("normalization", "window"), [("RAW_VALUES", hours(0, 4)), ("MIN_MAX", hours(0, 4)), ("MIN_MAX", hours(4, 8))]
)
async def test_a_replaced_value_without_a_fetch_counts_as_seen_since_its_bucket_began(store, normalization, window):
    await saved(store, batch((ALL, hours(2, 3))), [3], normalization=normalization)
    await saved(store, batch((query(tld="com"), hours(0, 1))), [1])
    assert await store._database.write(lambda connection: prune.delete_fetches(connection, [1])) == 1
    await saved(store, batch((ALL, window)), [7] * 4, now=LATER, updated=LATER, normalization=normalization)
    began = DAY + 2 * HOUR
    assert await values(store, as_of=began) == await values(store, as_of=NOW) == {2: 3.0}
    assert await values(store, as_of=began - timedelta(seconds=1)) == {}


async def test_of_relative_answers_that_are_saved_at_once_the_last_one_stands(store):
    asked = [batch((ALL, hours(0, 2))), batch((ALL, hours(2, 4)))]
    arrivals = [
        ReceivedAnswer(await start_fetch(store, each), each, answer(each, [1, 2], normalization="MIN_MAX"), NOW, 100)
        for each in asked
    ]
    done = await store._database.write(lambda connection: save.save(connection, arrivals))
    assert done == [SaveResult(inserted=2), SaveResult(inserted=2)]
    assert await values(store) == {2: 1.0, 3: 2.0}


async def test_what_a_large_answer_changes_is_read_and_written_in_parts(store, monkeypatch):
    monkeypatch.setattr(points, "_SPANS_AT_ONCE", 1)
    monkeypatch.setattr(sql, "_ROWS_AT_ONCE", 3)
    apart = batch((ALL, hours(0, 10)), (ALL, hours(12, 20)))
    await saved(store, apart, [1] * 10, [1] * 8)
    assert await saved(store, apart, [2] * 10, {}, now=LATER) == SaveResult(revised=10, vanished=8)
    assert await saved(store, apart, [2] * 10, [3] * 8, now=LATER) == SaveResult(revised=8, unchanged=10)
    assert await values(store) == {**dict.fromkeys(range(10), 2.0), **dict.fromkeys(range(12, 20), 3.0)}
    assert len(await store.list_revisions()) == 18
    assert await rows(store, "SELECT * FROM vanished") == []


async def test_a_value_that_goes_back_is_a_revision_too(store):
    for minutes, value in enumerate([1, 2, 1]):
        await saved(store, ASKED, [value] * 4, now=NOW + timedelta(minutes=minutes))
    assert [(r.value, r.new_value) for r in await store.list_revisions(end=DAY + HOUR)] == [(1.0, 2.0), (2.0, 1.0)]
    assert await values(store) == dict.fromkeys(range(4), 1.0)


async def test_an_older_answer_overwrites_nothing_but_adds_what_is_missing(store):
    await saved(store, ASKED, {0: 1, 1: 2})
    older = await saved(store, ASKED, {0: 8, 3: 9}, now=LATER, updated=NOW - HOUR)
    assert older == SaveResult(inserted=1, ignored=2)
    assert await values(store) == {0: 1.0, 1: 2.0, 3: 9.0}
    assert await rows(store, "SELECT * FROM vanished") == []


async def test_what_a_newer_answer_confirmed_an_older_one_does_not_overwrite(store):
    await saved(store, ASKED, [1, 1, 1, 1], updated=NOW - 2 * HOUR)
    await saved(store, ASKED, [1, 1, 1, 1], updated=NOW)
    assert await saved(store, ASKED, [2, 2, 2, 2], updated=NOW - HOUR) == SaveResult(ignored=4)


LATER_AND_ALIKE = ("last_updated>?", "last_updated=? AND rowid>?")


def test_whether_a_newer_answer_has_spoken_is_not_looked_up_in_all_ranges_there_are(sqlite_template):
    dialect = sqlite.dialect(paramstyle="named")
    arguments = {"last_updated": NOW, "since": DAY, "fetch_id": 7, "ids": [1, 2]}
    asked = comparison._NEWER.select.params(arguments).compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    with closing(sqlite3.connect(sqlite_template)) as connection:
        plan = [step for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {asked}")]
    later, alike = (f"SEARCH r USING INDEX ix_fetches_last_updated ({which})" for which in LATER_AND_ALIKE)
    grouped = [
        "SEARCH answers USING INDEX ix_answers_fetch_id (fetch_id=?)",
        "SEARCH series_set_members USING PRIMARY KEY (set_id=?)",
    ]
    single = ["SEARCH series_ranges USING INDEX ix_series_ranges_fetch_id (fetch_id=?)"]
    assert [step for step in plan if "USING" in step] == [
        *(later, *grouped),
        *(later, *single),
        *(alike, *grouped),
        *(alike, *single),
    ]


async def test_an_older_answer_does_overwrite_where_no_newer_one_has_spoken(store):
    await saved(store, ASKED, [1, 1, 1, 1], updated=NOW - 2 * HOUR)
    await saved(store, batch((ALL, hours(2, 4))), [1, 1], updated=NOW)
    assert await saved(store, ASKED, [2, 2, 2, 2], updated=NOW - HOUR) == SaveResult(revised=2, ignored=2)
    assert await values(store) == {0: 2.0, 1: 2.0, 2: 1.0, 3: 1.0}


async def test_a_bucket_that_vanished_is_kept_and_marked_until_it_returns(store):
    await saved(store, ASKED, [1, 2, 3, 4])
    assert await saved(store, ASKED, {0: 1, 3: 4}, now=LATER) == SaveResult(unchanged=2, vanished=2)
    assert await saved(store, ASKED, {0: 1, 3: 4}, now=LATER) == SaveResult(unchanged=2)
    assert await values(store) == {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}
    assert await rows(store, "SELECT fetch_id FROM vanished") == [(2,), (2,)]
    assert await saved(store, ASKED, {0: 1, 2: 3, 3: 4}, now=LATER) == SaveResult(unchanged=3)
    assert len(await rows(store, "SELECT * FROM vanished")) == 1


async def test_what_an_answer_did_not_cover_has_not_vanished(store):
    await saved(store, ASKED, [1, 2, 3, 4])
    assert await saved(store, batch((ALL, hours(2, 6))), [3, 4, 5, 6]) == SaveResult(inserted=2, unchanged=2)
    assert await rows(store, "SELECT * FROM vanished") == []


async def test_several_series_and_several_windows_of_one_go_in_together(store):
    other = query(tld="com")
    asked = batch((ALL, hours(0, 2)), (other, hours(0, 2)), (ALL, hours(2, 4)), (ALL, hours(8, 10)))
    assert await saved(store, asked, [1, 2], [5, 6], [3, 4], [8, 9]) == SaveResult(inserted=8)
    assert await values(store) == {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0, 8: 8.0, 9: 9.0}
    assert await saved(store, asked, [1, 2], [5, 6], [3, 4], [8, 7]) == SaveResult(revised=1, unchanged=7)


async def test_windows_of_one_series_may_overlap(store):
    asked = batch((ALL, hours(0, 3)), (ALL, hours(1, 4)), (ALL, hours(1, 4)))
    assert await saved(store, asked, [1, 2, 3], [2, 3, 4], [2, 3, 4]) == SaveResult(inserted=4)
    assert await saved(store, asked, [1, 2, 3], [2, 3, 4], [2, 3, 4]) == SaveResult(unchanged=4)


async def test_an_answer_without_points_is_an_answer(store):
    assert await saved(store, ASKED, []) == SaveResult()
    assert [fetch.outcome for fetch in await store.list_fetches()] == ["ok"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
async def test_what_is_not_a_number_is_refused_with_all_that_came_with_it(store, value):
    fetch_id = await start_fetch(store, ASKED)
    with pytest.raises(ValueRejected):
        await store.save(fetch_id, ASKED, answer(ASKED, [1, 2, value, 4]), NOW, 100)
    for table in ("points", "date_ranges", "annotations"):
        assert await rows(store, f"SELECT * FROM {table}") == []
    assert [fetch.outcome for fetch in await store.list_fetches()] == ["started"]


@pytest.mark.parametrize("value", [5e-324, 1.7976931348623157e308, -1.7976931348623157e308, 0.1, 2.0**53, 1 / 3])
async def test_every_finite_number_comes_back_exactly(store, value):
    await saved(store, ASKED, [value])
    assert await values(store) == {0: value}


async def test_there_is_one_zero(store):
    await saved(store, ASKED, [-0.0])
    assert [math.copysign(1, value) for value in (await values(store)).values()] == [1.0]
    assert await saved(store, ASKED, [0.0]) == SaveResult(unchanged=1)


async def test_a_point_outside_of_its_window_is_a_bug_of_the_caller(store):
    fetch_id = await start_fetch(store, ASKED)
    stray = answer(ASKED, {0: 1, 4: 1})
    with pytest.raises(ValueError, match="outside"):
        await store.save(fetch_id, ASKED, stray, NOW, 100)
    assert await exported(store) == []


async def test_the_fetch_says_what_came(store):
    await saved(store, ASKED, [1, 2, 3, 4], updated=NOW - HOUR)
    (fetch,) = await store.list_fetches()
    assert (fetch.outcome, fetch.status, fetch.bytes, fetch.confidence_level) == ("ok", 200, 100, 5)
    assert (fetch.normalization, fetch.unit, fetch.last_updated) == ("RAW_VALUES", "*", NOW - HOUR)
    assert (fetch.inserted, fetch.revised, fetch.unchanged, fetch.vanished) == (4, 0, 0, 0)
    assert (fetch.request, fetch.profiles, fetch.positions) == (str(ASKED), ("all",), 1)


async def test_the_ranges_asked_and_given_are_on_record(store):
    await saved(store, ASKED, [1, 2, 3, 4])
    counted = await rows(store, "SELECT series_id, fetch_id FROM date_ranges")
    assert counted == [(1, 1)]


async def test_a_series_knows_how_many_points_it_has(store):
    await saved(store, ASKED, [1, 2, 3, 4])
    await saved(store, batch((ALL, hours(2, 6))), [3, 5, 5, 6])
    assert await rows(store, "SELECT points FROM series") == await rows(store, "SELECT COUNT(*) FROM points") == [(6,)]


async def test_thousands_of_points_go_in_and_come_back(store):
    asked = batch(*((query(tld=f"t{n}"), hours(0, 672)) for n in range(3)))
    found = [[float(n * hour) for hour in range(672)] for n in range(3)]
    await store.activate_labels([profile("some", tld=("t0", "t1", "t2"))], NOW)
    assert await saved(store, asked, *found) == SaveResult(inserted=3 * 672)
    assert await saved(store, asked, *found) == SaveResult(unchanged=3 * 672)
    assert [value for *_, value in await exported(store)] == [value for each in found for value in each]


def test_points_are_counted_side_by_side():
    assert Points([1], [2.0]) == Points([1], [2.0])
    assert SaveResult(1, 2, 3, 4, 5) + SaveResult(10, 20, 30, 40, 50) == SaveResult(11, 22, 33, 44, 55)
    assert SaveResult(1, 2, 3, 4, 5).counts == {
        "inserted": 1,
        "revised": 2,
        "unchanged": 3,
        "vanished": 4,
        "ignored": 5,
    }


async def test_a_new_bucket_before_an_unchanged_day_is_the_only_one_that_is_added(store):
    asked = batch((ALL, hours(-26, 24)))
    values_ = {hour: float(hour) for hour in range(-26, 24)}
    await saved(store, asked, {hour: value for hour, value in values_.items() if hour != -25})
    while (await store.build_days(NOW)).more:
        pass
    assert await saved(store, asked, values_) == SaveResult(inserted=1, unchanged=49)
    assert await saved(store, asked, values_) == SaveResult(unchanged=50)


async def test_windows_of_an_answer_may_overlap_where_it_continues_what_is_stored(store):
    await saved(store, batch((ALL, hours(0, 2))), [1, 2])
    asked = batch((ALL, hours(0, 3)), (ALL, hours(1, 2)))
    assert await saved(store, asked, [1, 2, 3], [2]) == SaveResult(inserted=1, unchanged=2)


async def test_windows_of_an_answer_may_overlap_in_a_day_that_gets_its_row(store):
    asked = batch((ALL, hours(-48, 0)), (ALL, hours(-24, 0)))
    assert await saved(store, asked, [1] * 48, [1] * 24) == SaveResult(inserted=48)
    assert await saved(store, asked, [1] * 48, [1] * 24) == SaveResult(unchanged=48)


async def life(store, chance):
    """Save answers that are mostly equal to what is stored; some differ, lack a bucket, or cover several windows.

    Up to three are saved at once.
    """
    asked = [
        batch((ALL, hours(0, 8)), (OTHER, hours(0, 8))),
        batch((ALL, hours(2, 5)), (ALL, hours(6, 9))),
        batch((ALL, hours(-24, 24)), (OTHER, hours(-26, 30))),
        batch((ALL, hours(-30, 0)), (ALL, hours(0, 30))),
    ]
    values_ = {(number, hour): float(chance.randrange(9)) for number in range(2) for hour in range(-30, 30)}
    results = []
    for number in range(25):
        if chance.random() < 0.3:
            values_[chance.randrange(2), chance.randrange(-30, 30)] = chance.choice((0.0, -0.0, 1.5, 7.0))
        updated = NOW + (number - chance.choice((0, 0, 0, 2))) * HOUR
        saving = []
        for _ in range(chance.choice((1, 1, 2, 3))):
            start = chance.randrange(-30, 20)
            growing = batch((ALL, hours(start, chance.randrange(start + 1, 31))), (OTHER, hours(-30, number + 5)))
            which = chance.choice([*asked, growing] if number % 2 else [growing])
            columns = []
            for slice_ in which.slices:
                first, last = (int((edge - DAY) / HOUR) for edge in slice_.window)
                series = 0 if slice_.series == ALL else 1
                gone = chance.randrange(first, last) if chance.random() < 0.1 else None
                columns.append({hour: values_[series, hour] for hour in range(first, last) if hour != gone})
            saving.append(saved(store, which, *columns, now=NOW + number * HOUR, updated=updated))
        results += await asyncio.gather(*saving)
        if chance.random() < 0.2:
            while (await store.build_days(NOW + number * HOUR)).more:
                pass
    return results


@pytest.mark.parametrize("attempt", range(5))
async def test_an_equal_answer_changes_the_same_as_one_that_is_compared_bucket_by_bucket(
    tmp_path, monkeypatch, attempt, seed
):
    results, dumps = [], []
    for name in ("equal", "compared"):
        if name == "compared":
            monkeypatch.setattr(comparison, "_rows_of", lambda *_: [None])
            monkeypatch.setattr(comparison, "unchanged_days", lambda *_: set())
        url = f"sqlite:///{tmp_path}/{name}.db"
        async with Store.open(url, owner="test") as store:
            results.append(await life(store, random.Random(seed + attempt)))
            tables = ("points", "revisions", "vanished", "finality", "absences", "answers", "fetches", "series_days")
            results[-1] += [await rows(store, f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables]
        dumps.append(dump(url))
        assert verify(url).findings == []
    assert results[0] == results[1]
    assert dumps[0] == dumps[1]
