"""The gaps that the kept counts lead to are those that reading every point finds."""

import itertools
import random
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.sql.compiler import SQLCompiler

from collector.interval import AggInterval
from collector.rules.finality import judge_gap
from collector.settings import RetentionSettings
from collector.store import ExpectedWindow
from collector.store.db.schema import absences, finality, points, series
from collector.store.read import absent_buckets
from collector.store.series import evidence, generations
from collector.timestamps import from_epoch
from collector.windows import absent_windows
from tests.harness.factories import HOUR, NOW, batch, filtered, hours, query, saved

SETTLE = timedelta(hours=6)
EVER = from_epoch(0)
QUERIES = [query(ca=str(number)) for number in range(4)]
PROFILES = [replace(filtered(f"p{number}", ca=str(number)), settle=SETTLE) for number in range(4)]


async def fill(store, chance):
    """Save answers about random windows, some of them in another unit; the last series stays empty."""
    await store.activate_labels(PROFILES, NOW)
    changed = {one: chance.random() < 0.5 for one in QUERIES}
    has = {one: [chance.random() < chance.choice((0.1, 0.98)) for _ in range(500)] for one in QUERIES}
    for days, longest in ((0, 300), (0, 40), (3, 40), (3, 8), (4, 8)):
        now = NOW + days * timedelta(days=1)
        for one in QUERIES[:-1]:
            start = chance.randrange(-200, 20)
            end = start + chance.randrange(1, longest)
            present = {hour: 1 for hour in range(start, end) if has[one][hour + 200]}
            asked, unit = batch((one, hours(start, end))), "b" if days == 3 and changed[one] else "a"
            await saved(store, asked, present, now=now, updated=now, unit=unit)
            if unit == "b":  # a second answer an hour later brings the unit into force
                later = now + 2 * HOUR
                await saved(store, asked, present, now=later, updated=later, unit=unit)


def expected_windows(chance):
    windows = []
    for one in QUERIES:
        for _ in range(3):
            start = chance.randrange(-260, 200)
            window = hours(start, start + chance.choice((1, 5, 48, 300)))
            windows.append(ExpectedWindow(one, window, chance.choice((HOUR, SETTLE, timedelta(days=3)))))
    return windows


def walked(connection, expected, cutoff):
    """Find the gaps of one window by reading the time of every point of its question."""
    ids = generations.ids_of(connection, [expected.query]).get(expected.query, [])
    step = expected.query.agg_interval.seconds
    start, end = (int(moment.timestamp()) for moment in (max(expected.window.start, cutoff), expected.window.end))
    stored = sa.select(points.c.timestamp).where(points.c.series_id.in_(ids)).distinct()
    seconds = sorted(int(moment.timestamp()) for moment in connection.execute(stored).scalars())
    runs = absent_windows([second for second in seconds if start <= second < end], start, end, step)
    lacked = evidence.read_absences(connection, dict.fromkeys(ids, (0, 2**40)))
    settle = max([int(expected.settle.total_seconds()), *evidence.settles(connection, ids).values()])
    known = [absence for rows in lacked.values() for absence in rows]
    return [(from_epoch(a), from_epoch(b), reason) for run in runs for a, b, reason in judge_gap(run, known, settle)]


async def equal(store, chance, cutoff=EVER):
    expected = expected_windows(chance)
    found = [[(*gap.window, gap.reason) for gap in gaps] for gaps in await store.find_gaps(expected)]
    reference = await store._database.read_in_thread(
        lambda connection: [walked(connection, window, cutoff) for window in expected]
    )
    assert found == reference


@pytest.mark.parametrize("sizes", [*itertools.product((3, 500), (1, 20), (2, 1_000))], ids=str)
async def test_the_gaps_are_those_between_all_points(store, sizes, monkeypatch):
    chance = random.Random(str(sizes))
    for name, size in zip(("_COUNTED_AT_ONCE", "_NEWEST_BUCKETS", "_TOGETHER"), sizes, strict=True):
        monkeypatch.setattr(absent_buckets, name, size)
    await fill(store, chance)
    await equal(store, chance)


async def test_the_search_is_compiled_once_whatever_is_searched(store, monkeypatch):
    chance, compiled, compile_statement = random.Random(3), [], SQLCompiler.__init__

    def counted_compile(self, dialect, statement, **options):
        compiled.append(statement)
        compile_statement(self, dialect, statement, **options)

    await fill(store, chance)
    assert await store.find_gaps(expected_windows(chance)) != []
    monkeypatch.setattr(SQLCompiler, "__init__", counted_compile)
    for _ in range(3):
        await store.find_gaps(expected_windows(chance))
    assert compiled == []


async def write(store, statement):
    await store._database.write(lambda connection: connection.execute(statement))


@pytest.mark.parametrize("number", range(4))
async def test_evidence_and_absences_are_only_hints(store, number):
    """Without them, or with wrong ones, the same gaps are found."""
    chance = random.Random(100 + number)
    await fill(store, chance)
    await write(store, sa.delete(finality))
    await equal(store, chance)
    await write(store, sa.delete(absences))
    await equal(store, chance)


@pytest.mark.parametrize("added", [-3, 1_000])
async def test_a_wrong_count_that_shows_finds_all_the_same(store, added):
    chance = random.Random(added)
    await fill(store, chance)
    await write(store, sa.update(series).where(series.c.points > 0).values(points=series.c.points + added))
    await equal(store, chance)


async def test_what_retention_deletes_is_no_gap(store):
    chance = random.Random(5)
    await fill(store, chance)
    await store.prune(RetentionSettings(points={AggInterval.ONE_HOUR: timedelta(days=2)}), NOW)
    cutoff = AggInterval.ONE_HOUR.floor(NOW - timedelta(days=2))
    await equal(store, chance, cutoff)


async def counted(store, profile):
    """Count the unconfirmed points by reading every point inside of the unconfirmed windows."""
    from collector.rules.finality import final_windows

    number = 0
    states = await store.series_states([one.query for one in profile.series])
    for one, state in states.items():
        settle = max(state.settle or 0, int(profile.settle.total_seconds()))
        windows = final_windows(state.evidence, settle, one.agg_interval.seconds, confirmed=False)
        select = sa.select(points.c.timestamp).where(points.c.series_id == state.series_id)
        times = await store._database.read_in_thread(
            lambda connection, select=select: [*connection.execute(select).scalars()]
        )
        buckets = [int(time.timestamp()) for time in times]
        number += sum(any(start <= t < end for start, end in state.still_there(windows)) for t in buckets)
    return number


@pytest.mark.parametrize("number", range(6))
async def test_unconfirmed_points_are_as_many_as_reading_them_counts(store, number):
    await fill(store, random.Random(200 + number))
    numbers = await store.unconfirmed(PROFILES)
    assert numbers == {profile.name: await counted(store, profile) for profile in PROFILES}
