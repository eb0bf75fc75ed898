"""The rows of days: what they say, when they are written, and who changes them."""

import random
from datetime import timedelta

import pytest
import sqlalchemy as sa

from collector.interval import AggInterval
from collector.settings import RetentionSettings
from collector.store import Store
from collector.store.admin.verify import verify
from collector.store.read import day_sums
from collector.store.series import days
from tests.harness.factories import DAY, HOUR, NOW, START, at, batch, filtered, hours, profile, query, rows, saved

ALL, OTHER = query(), query(botClass="LIKELY_AUTOMATED")
LATER = NOW + timedelta(days=2)
_BY_HAND = """
SELECT series_id, {day} AS day, count(*), sum(value) FROM points GROUP BY 1, 2 ORDER BY 1, 2"""
_MIDNIGHTS = [START + day * 86_400 for day in range(-60, 61)]


async def built(store, now=LATER):
    """Write all rows that are due; gives how many."""
    total, more = 0, True
    while more:
        number, more = await store.build_days(now)
        total += number
    return total


async def day_rows(store):
    """(series_id, hours into DAY, points) of all rows."""
    kept = await store._database.read_in_thread(lambda connection: days.read(connection, [1, 2], 0, 2**33))
    return sorted((row.series_id, (row.day - START) // 3600, row.points) for row in kept.values())


async def check(store):
    """Compare the rows, and what is read by day, with the points."""
    second = "timestamp" if store.backend == "sqlite" else "CAST(date_part('epoch', timestamp) AS BIGINT)"
    by_hand = await rows(store, _BY_HAND.format(day=f"{second} - {second} % 86400"))

    def read(connection):
        every = day_sums.period_rows(connection, [1, 2], _MIDNIGHTS, (_MIDNIGHTS[0], _MIDNIGHTS[-1]))
        return list(days.findings(connection)), sorted(map(tuple, every))

    findings, every = await store._database.read_in_thread(read)
    assert findings == []
    assert every == by_hand


async def test_a_save_writes_the_rows_of_whole_days_that_are_over(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((ALL, hours(-30, 36))), list(range(66)))
    assert await day_rows(store) == [(1, -24, 24), (1, 0, 24)]  # of -30 to -24 a part, and NOW's day goes on
    await check(store)
    assert await built(store) == 2
    assert await day_rows(store) == [(1, -48, 6), (1, -24, 24), (1, 0, 24), (1, 24, 12)]
    await check(store)
    assert await built(store) == 0


async def test_a_later_change_of_a_day_takes_its_row_away_until_it_is_built_again(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((ALL, hours(0, 24))), [1.0] * 23)
    await built(store)
    assert await day_rows(store) == [(1, 0, 23)]
    await saved(store, batch((ALL, hours(22, 24))), [3.0, 4.0], updated=NOW + HOUR, now=NOW + HOUR)
    assert await day_rows(store) == []
    await check(store)
    assert await built(store) == 1
    assert await day_rows(store) == [(1, 0, 24)]
    await saved(store, batch((ALL, hours(0, 24))), [2.0] * 24, updated=NOW + 2 * HOUR, now=NOW + 2 * HOUR)
    assert await day_rows(store) == [(1, 0, 24)]  # by an answer about the whole day it is written anew at once
    await check(store)


@pytest.mark.parametrize("attempt", range(2))
async def test_rows_equal_the_points_whatever_happens(store_url, attempt, seed):
    chance = random.Random(seed + attempt)
    profiles = [profile(), filtered("other", botClass="LIKELY_AUTOMATED")]
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels(profiles, NOW)
        for number in range(12):
            now = NOW + number * 4 * HOUR
            await chance.choice((_answer, _answer, _answer, _build, _prune))(store, chance, now)
            await check(store)
        await store.delete_series(1, profiles[1:], dry_run=False)
        await check(store)
    assert verify(store_url).findings == []


async def _answer(store, chance, now):
    window = sorted(chance.sample(range(-96, 96, chance.choice((1, 24))), 2))
    window[1] = min(window[1], int((now - DAY) / HOUR))
    if window[0] < window[1]:
        asked = batch(*((question, hours(*window)) for question in chance.choice(((ALL,), (ALL, OTHER)))))
        columns = [
            {hour: float(chance.randrange(3)) / 8 for hour in range(*window) if chance.random() < 0.97}
            for _ in asked.slices
        ]
        await saved(store, asked, *columns, now=now, updated=now - chance.choice((0, 0, 5)) * HOUR)


async def _build(store, chance, now):
    for _ in range(chance.randrange(1, 12)):
        await store.build_days(now)


async def _prune(store, chance, now):
    kept = now - DAY + timedelta(hours=chance.randrange(40, 96))
    await store.prune(RetentionSettings(points={AggInterval.ONE_HOUR: kept}), now)


async def test_an_answer_of_the_previous_version_makes_its_days_stale(postgres_url):
    """Such a replica writes points and coverage in a transaction that does not say that it keeps the rows of days."""
    async with Store.open(postgres_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        await saved(store, batch((ALL, hours(-24, 24))), list(range(48)))
        await built(store)
        assert await day_rows(store) == [(1, -24, 24), (1, 0, 24)]

        def of_before(connection):
            connection.exec_driver_sql("SET LOCAL collector.keeps_days = 'off'")
            connection.exec_driver_sql("UPDATE points SET value = 9 WHERE timestamp = '2026-04-30 05:00Z'")
            connection.exec_driver_sql(
                """INSERT INTO answers (set_id, "end", fetch_id, start, checksum)
                SELECT set_id, '2026-04-30 06:00Z', fetch_id + 1, '2026-04-30 04:00Z', 0 FROM answers"""
            )

        await store._database.write(of_before)
        assert await day_rows(store) == [(1, -24, 24)]
        await check(store)
        assert await built(store) == 1
        await check(store)


async def test_a_row_or_a_point_that_was_changed_by_hand_is_found(store_url):
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        await saved(store, batch((ALL, hours(-24, 24))), list(range(48)))
        await built(store)
    changes = ["UPDATE series_days SET minimum = minimum - 1", "DELETE FROM series_days"]
    for statement, said in zip(changes, ("does not agree with the points", "is missing"), strict=True):
        async with Store.open(store_url, owner="test") as store:
            await store._database.write(lambda connection, text=statement: connection.execute(sa.text(text)))
        assert [finding for finding in verify(store_url).findings if said in finding]


def test_the_sum_is_exact_and_does_not_depend_on_the_order():
    (row,) = days.of_points(1, [at(0), at(1), at(2), at(3)], [1e16, 1.0, -1e16, -0.0])
    assert row[:6] == (1, START, 4, 1.0, -1e16, 1e16)
    assert row == next(days.of_points(1, [at(0), at(1), at(2), at(3)], [1e16, 1.0, -1e16, 0.0]))
    assert next(days.of_points(1, [at(0), at(1)], [1.7e308, 1.7e308])).sum == float("inf")
