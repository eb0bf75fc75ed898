"""Snapshots in the store: saved whole, one a day, read at a moment, verified, copied, pruned; no part of a digest."""

from array import array
from contextlib import aclosing
from datetime import timedelta

import pytest
import sqlalchemy as sa

from collector.interval import AggInterval
from collector.model import Meta, Points
from collector.settings import RetentionSettings
from collector.store import PointQuery, Snapshot, Store, StoreCorrupt, Taken
from collector.store.admin.commands import check, digest
from collector.store.admin.copy import copy
from collector.store.admin.verify import verify
from collector.store.retention.prune import prunable
from collector.store.series.snapshots import checksum, is_part
from collector.timestamps import from_epoch
from tests.harness.factories import (
    DAY,
    HOUR,
    NOW,
    answer,
    at,
    batch,
    dump,
    exported,
    filtered,
    hours,
    query,
    rows,
    saved,
    start_fetch,
    values,
)

VALID = query(expirationStatus="VALID")
PROFILE = filtered("valid", expirationStatus="VALID")
DAYS = timedelta(days=1)


def taken(*found, asked_at=NOW, first=0, unit="*", fetches=None, of=VALID):
    """A snapshot of hours of the day from *first* on."""
    window = hours(first, first + len(found))
    points = Points(array("q", [int(at(first + n)) for n in range(len(found))]), array("d", map(float, found)))
    meta = Meta(of.agg_interval, asked_at, "RAW_VALUES", unit, 5, (), ())
    return Taken(of, asked_at, window, meta, asked_at, points, fetches or {})


async def moments(store):
    found = await rows(store, "SELECT asked_at FROM snapshots ORDER BY asked_at")
    return [from_epoch(moment) if isinstance(moment, float) else moment for (moment,) in found]


def url_of(store):
    url = store._database.location.url.set(drivername=store.backend)
    return url.render_as_string(hide_password=False)


@pytest.fixture
async def store(store):
    await store.activate_labels([PROFILE], NOW)
    return store


async def test_it_works(store):
    kept = await store.save_snapshots([taken(3, 2, 1)], NOW)
    assert (kept.inserted, kept.by_series[VALID].inserted) == (3, 3)
    assert await values(store, "valid") == {0: 3, 1: 2, 2: 1}
    assert await store.snapshots([VALID, query()]) == {VALID: Snapshot(1, NOW, DAY, DAY + 3 * HOUR, NOW, 3)}
    window = (await store.extents([VALID]))[VALID]
    assert (window.start, window.end) == (DAY, DAY + 3 * HOUR)
    (row,) = await store.list_series()
    assert (row.points, row.first_point, row.last_point) == (3, DAY, DAY + 2 * HOUR)
    (status,) = await store.status_rows([PROFILE])
    assert (status.points, status.first_point, status.last_point) == (3, DAY, DAY + 2 * HOUR)
    assert await rows(store, "SELECT series, value FROM history ORDER BY timestamp") == [
        ("valid", 3),
        ("valid", 2),
        ("valid", 1),
    ]
    verified = verify(url_of(store))
    assert (verified.points, verified.series, verified.checksums, verified.findings) == (3, 1, 1, [])
    assert check(url_of(store)) == []


async def test_saving_it_again_changes_nothing(store):
    for _ in range(2):
        await store.save_snapshots([taken(3, 2, 1)], NOW)
        assert await moments(store) == [NOW]
        assert await values(store, "valid") == {0: 3, 1: 2, 2: 1}


async def test_of_each_day_the_newest_is_kept_in_whatever_order_they_are_saved(store):
    morning, evening, tomorrow = NOW - 6 * HOUR, NOW + 6 * HOUR, NOW + DAYS
    for number, moment in enumerate((NOW, evening, morning, tomorrow)):
        await store.save_snapshots([taken(number, number, asked_at=moment)], moment)
    assert await moments(store) == [evening, tomorrow]
    assert await values(store, "valid") == {0: 3, 1: 3}
    assert await values(store, "valid", as_of=tomorrow - HOUR) == {0: 1, 1: 1}
    assert await values(store, "valid", as_of=evening - HOUR) == {}
    ((points,),) = await rows(store, "SELECT points FROM series")
    assert points == 2
    assert (verify(url_of(store))).findings == []


async def test_reads_at_a_moment_take_the_newest_snapshot_before_it_everywhere(store):
    for day in range(3):
        await store.save_snapshots([taken(*[10 - day] * 4, asked_at=NOW + day * DAYS)], NOW)
    for as_of, expected in ((None, 8), (NOW + DAYS, 9), (NOW + DAYS - HOUR, 10)):
        chosen = PointQuery(profiles=("valid",), as_of=as_of)
        async with aclosing(store.select_blocks(chosen)) as found:
            assert {v for one, block in [part async for part in found] for _, v in block} == {float(expected)}
        (thin,) = await store.downsample(chosen, 100)
        assert [column.mean for column in thin.columns] == [expected] * 4
        assert thin.series.asked_at == NOW + (10 - expected) * DAYS
        asked = {}
        blocks = [block async for block in store.export_blocks(["valid"], as_of=as_of, asked=asked)]
        assert asked == {("valid", "valid"): thin.series.asked_at}
        assert {value for block in blocks for _, value in block.points} == {float(expected)}
    assert await exported(store, "valid", as_of=NOW - HOUR) == []
    assert await exported(store, "valid", start=DAY + HOUR, end=DAY + 2 * HOUR) == [("valid", "valid", at(1), 8.0)]


async def test_a_thin_selection_spans_histories_and_snapshots(store):
    await store.activate_labels([PROFILE, filtered("all")], NOW)
    await saved(store, batch((query(), hours(0, 4))), [1, 2, 3, 4])
    await store.save_snapshots([taken(5, 6, first=8)], NOW)
    found = {
        one.series.label: [column.start for column in one.columns] for one in await store.downsample(PointQuery(), 100)
    }
    assert found == {"all": [at(n) for n in range(4)], "valid": [at(8), at(9)]}


async def test_the_answer_to_a_part_ends_its_fetch_and_stores_no_point_until_all_parts_are_there(store):
    asked = batch((VALID, hours(0, 3)))
    fetch_id = await start_fetch(store, asked)
    for _ in range(2):
        part = await store.save(fetch_id, asked, answer(asked, [3, 2, 1]), NOW, 100)
        assert part.counts["inserted"] == 0
    (fetch,) = await store.list_fetches()
    assert (fetch.outcome, fetch.inserted, fetch.bytes) == ("ok", 0, 100)
    for table in ("points", "date_ranges", "snapshots", "snapshot_points"):
        assert await rows(store, f"SELECT count(*) FROM {table}") == [(0,)]
    await store.save_snapshots([taken(3, 2, 1, fetches={fetch_id: 3})], NOW)
    (fetch,) = await store.list_fetches()
    assert fetch.inserted == 3
    assert (verify(url_of(store))).findings == []


def test_a_batch_asks_for_snapshots_or_for_history():
    assert is_part(batch((VALID, hours(0, 3))))
    assert not is_part(batch((query(), hours(0, 3))))
    with pytest.raises(ValueError, match="at once"):
        is_part(batch((VALID, hours(0, 3)), (query(), hours(0, 3))))


async def test_a_change_of_the_unit_makes_another_series_and_mixes_nothing(store):
    await store.save_snapshots([taken(3, 2, 1)], NOW)
    units = []
    for day in (1, 2):
        moment = NOW + day * DAYS
        await store.save_snapshots([taken(30, 20, unit="names", asked_at=moment)], moment)
        units.append([(block.unit, len(block.points)) async for block in store.export_blocks()])
    assert units == [[("*", 3)], [("names", 2)]], "the second answer moves the label"
    assert sorted((row.unit, row.points) for row in await store.list_series()) == [("*", 3), ("names", 2)]
    assert await values(store, "valid", as_of=NOW) == {0: 3, 1: 2, 2: 1}
    for as_of, unit in ((NOW, "*"), (None, "names")):
        (thin,) = await store.downsample(PointQuery(as_of=as_of), 100)
        assert thin.series.unit == unit
        async with aclosing(store.select_blocks(PointQuery(as_of=as_of))) as found:
            assert [one.unit async for one, _ in found] == [unit]
    assert (verify(url_of(store))).findings == []


async def test_a_digest_of_the_store_does_not_depend_on_snapshots(store, sqlite_template):
    await saved(store, batch((query(), hours(0, 4))), [1, 2, 3, 4], profiles=("other",))
    before, text = digest(url_of(store)), dump(url_of(store))
    await store.save_snapshots([taken(3, 2, 1)], NOW)
    assert digest(url_of(store)) == before
    assert dump(url_of(store)) == text
    assert "expirationStatus" not in text


async def test_many_points_are_saved_as_they_are(store):
    many = [n / 7 for n in range(12_345)]
    await store.save_snapshots([taken(*many)], NOW)
    assert [value for *_, value in await exported(store)] == many
    assert (verify(url_of(store))).findings == []


@pytest.mark.parametrize(
    ("words", "damage"),
    [
        (
            "valid: the snapshot of 2026-05-01T12:00:00.123456Z is not what it was",
            "UPDATE snapshot_points SET value = 9",
        ),
        ("is not what it was", "UPDATE snapshots SET last_updated = last_updated {+1}"),
        ("had 3 points, and has 2", "DELETE FROM snapshot_points WHERE value = 2"),
        ("points of a snapshot that is not on record: 3", "DELETE FROM snapshots"),
        ("snapshots of a series that does not exist: 1", "UPDATE snapshots SET series_id = 7"),
        ("valid: points of the newest snapshot: 3; counted: 4", "UPDATE series SET points = 4"),
    ],
)
async def test_damage_to_a_snapshot_is_found(store, words, damage):
    await store.save_snapshots([taken(3, 2, 1)], NOW)
    later = "+ interval '1 second'" if store.backend == "postgresql" else "+ 1"
    await store._database.write(lambda connection: connection.execute(sa.text(damage.replace("{+1}", later))))
    findings = (verify(url_of(store))).findings
    assert any(words in finding for finding in findings), findings


@pytest.mark.parametrize("way", ["sqlite to postgresql", "postgresql to sqlite"])
async def test_a_copy_has_the_snapshots(request, way, tmp_path):
    source = request.getfixturevalue("sqlite_url" if way.startswith("sqlite") else "postgres_url")
    target = request.getfixturevalue("empty_postgres_url") if way.startswith("sqlite") else f"sqlite:///{tmp_path}/c.db"
    async with Store.open(source, owner="test") as store:
        await store.activate_labels([PROFILE], NOW)
        await store.save_snapshots([taken(3, 0.1, 1)], NOW)
        await store.save_snapshots([taken(*[2] * 6_000, asked_at=NOW + DAYS)], NOW)
        expected = [await exported(store), await exported(store, as_of=NOW)]
    copy(source, target)
    assert (verify(target)).findings == []
    async with Store.open(target, owner="test") as store:
        assert [await exported(store), await exported(store, as_of=NOW)] == expected


async def test_a_copy_that_lost_a_value_of_a_snapshot_is_refused(sqlite_url, tmp_path):
    async with Store.open(sqlite_url, owner="test") as store:
        await store.activate_labels([PROFILE], NOW)
        await store.save_snapshots([taken(3, 2, 1)], NOW)
        await store._database.write(
            lambda connection: connection.execute(sa.text("UPDATE snapshot_points SET value = 9"))
        )
    with pytest.raises(StoreCorrupt):
        copy(sqlite_url, f"sqlite:///{tmp_path}/copy.db")


async def test_retention_deletes_old_snapshots_and_never_the_newest(store):
    for day in range(13):
        await store.save_snapshots([taken(3, 2, 1, asked_at=NOW + day * DAYS)], NOW)
    later = NOW + 30 * DAYS

    async def pruned(spans):
        with store._database.read() as connection:
            expected = prunable(connection, RetentionSettings(spans), later)
        gone = await store.prune(RetentionSettings(spans), later)
        assert gone == expected
        assert (verify(url_of(store))).findings == []
        return gone.points

    assert await pruned({}) == 0
    assert await pruned({AggInterval.ONE_DAY: DAYS}) == 0
    assert await pruned({AggInterval.ONE_HOUR: 20 * DAYS}) == 3 * 10
    assert await moments(store) == [NOW + day * DAYS for day in (10, 11, 12)]
    assert await pruned({AggInterval.ONE_HOUR: DAYS}) == 3 * 2
    assert await pruned({AggInterval.ONE_HOUR: DAYS}) == 0
    assert await moments(store) == [NOW + 12 * DAYS]
    assert await values(store, "valid") == {0: 3, 1: 2, 2: 1}


def test_the_checksum_depends_on_all_that_a_snapshot_is():
    one = Snapshot(1, NOW, DAY, DAY + HOUR, NOW, 1)
    others = [
        Snapshot(2, NOW, DAY, DAY + HOUR, NOW, 1),
        Snapshot(1, NOW + HOUR, DAY, DAY + HOUR, NOW, 1),
        Snapshot(1, NOW, DAY - HOUR, DAY + HOUR, NOW, 1),
        Snapshot(1, NOW, DAY, DAY + 2 * HOUR, NOW, 1),
        Snapshot(1, NOW, DAY, DAY + HOUR, NOW + HOUR, 1),
        Snapshot(1, NOW, DAY, DAY + HOUR, NOW, 2),
    ]
    sums = {checksum(each, [at(0)], [1.0]) for each in (one, *others)}
    sums |= {checksum(one, [at(1)], [1.0]), checksum(one, [at(0)], [1.5])}
    assert len(sums) == 9
