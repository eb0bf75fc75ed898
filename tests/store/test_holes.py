import random
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.model import AggInterval, Window
from collector.store import Expected, Hole
from collector.store.holes import merged, split
from tests.store.making import DAY, HOUR, NOW, batch, hours, profile, query, saved

ALL = query()
SETTLE = timedelta(hours=6)


@pytest.mark.parametrize(
    ("expected", "run", "asked"),
    [
        ([(0, 40, "missing")], (0, 40), []),
        ([(0, 40, "upstream")], (0, 40), [(0, 40)]),
        ([(0, 40, "upstream")], (0, 40), [(-90, 90)]),
        ([(0, 40, "missing")], (0, 40), [(-90, 0), (40, 90)]),
        ([(0, 10, "missing"), (10, 20, "upstream"), (20, 40, "missing")], (0, 40), [(10, 20)]),
        ([(0, 10, "upstream"), (10, 30, "missing"), (30, 40, "upstream")], (0, 40), [(-5, 10), (30, 99)]),
        ([(0, 20, "upstream"), (20, 40, "missing")], (0, 40), [(0, 11)]),
        ([(0, 10, "upstream"), (10, 20, "upstream"), (20, 40, "missing")], (0, 40), [(0, 10), (10, 20)]),
    ],
)
def test_a_run_is_split_where_its_reason_changes(expected, run, asked):
    assert split(run, asked, 10) == expected


edges = st.integers(-5, 15)


@given(st.lists(st.tuples(edges, edges), max_size=5))
def test_every_bucket_of_a_run_has_one_reason(ranges):
    asked = merged((10 * a, 10 * b - 9) for a, b in ranges)  # the last bucket is covered by its first second alone
    assert all(one[1] < other[0] for one, other in pairwise(asked))
    parts = split((0, 100), asked, 10)
    assert [start for start, *_ in parts] + [100] == [0] + [end for _, end, _ in parts]
    reasons = {bucket: reason for start, end, reason in parts for bucket in range(start, end, 10)}
    covered = {10 * bucket for a, b in ranges for bucket in range(a, b)}
    assert {bucket for bucket, reason in reasons.items() if reason == "upstream"} == covered & set(range(0, 100, 10))


async def found(store, window, asked=ALL, settle=SETTLE):
    holes = await store.holes(asked, window, settle)
    return [((h.window.start - DAY) / HOUR, (h.window.end - DAY) / HOUR, h.reason) for h in holes]


async def test_where_nothing_is_stored_all_is_missing(store):
    window = hours(0, 5)
    assert await store.holes(ALL, window, SETTLE) == [Hole(window, "missing")]
    await store.declare([profile()], NOW)
    assert await store.holes(ALL, window, SETTLE) == [Hole(window, "missing")]


async def test_where_all_is_stored_nothing_is_missing(store):
    await saved(store, batch((ALL, hours(0, 5))), [1] * 5)
    assert await found(store, hours(0, 5)) == []
    assert await found(store, hours(2, 3)) == []
    assert await found(store, hours(3, 3)) == []


async def test_runs_of_absent_buckets_are_found_wherever_they_are(store):
    present = {2: 1, 3: 1, 6: 1, 8: 1}
    await saved(store, batch((ALL, hours(0, 10))), present, updated=DAY)
    expected = [(0, 2, "missing"), (4, 6, "missing"), (7, 8, "missing"), (9, 10, "missing")]
    assert await found(store, hours(0, 10)) == expected
    assert await found(store, hours(3, 8)) == [(4, 6, "missing"), (7, 8, "missing")]
    assert await found(store, hours(5, 7)) == [(5, 6, "missing")]


async def test_they_are_the_same_however_a_long_time_is_divided(store, monkeypatch):
    chance = random.Random(7)
    present = {hour: 1 for hour in range(200) if chance.random() < 0.9 and not 40 <= hour < 90}
    await saved(store, batch((ALL, hours(0, 200))), present, updated=DAY)
    absent = [hour for hour in range(200) if hour not in present]
    for at_once in (1, 2, 7, 50, 1_000):
        monkeypatch.setattr("collector.store.holes._COUNTED_AT_ONCE", at_once)
        runs = await found(store, hours(0, 200))
        assert [hour for start, end, _ in runs for hour in range(int(start), int(end))] == absent
        assert all(one[1] < other[0] for one, other in pairwise(runs))


async def test_what_radar_was_asked_for_when_it_was_final_is_missing_upstream(store):
    asked = batch((ALL, hours(0, 10)))
    await saved(store, asked, {0: 1, 9: 1}, updated=DAY + 5 * HOUR + SETTLE)
    assert await found(store, hours(0, 10)) == [(1, 5, "upstream"), (5, 9, "missing")]
    await saved(store, asked, {0: 1, 9: 1}, updated=DAY + 5 * HOUR + SETTLE - timedelta(microseconds=1))
    assert await found(store, hours(0, 10)) == [(1, 5, "upstream"), (5, 9, "missing")]
    await saved(store, asked, {0: 1, 9: 1}, updated=DAY + 20 * HOUR)
    assert await found(store, hours(0, 10)) == [(1, 9, "upstream")]
    assert await found(store, hours(0, 12)) == [(1, 9, "upstream"), (10, 12, "missing")]


async def test_a_moment_before_it_is_final_is_not_final(store):
    early = DAY + HOUR + SETTLE - timedelta(microseconds=1)
    await saved(store, batch((ALL, hours(0, 2))), [], updated=early)
    assert await found(store, hours(0, 2)) == [(0, 2, "missing")]


async def test_only_answers_about_the_series_itself_count(store):
    other = query(tld="com")
    await saved(store, batch((other, hours(0, 4)), (ALL, hours(2, 6))), [], [1] * 4, updated=NOW)
    assert await found(store, hours(0, 6)) == [(0, 2, "missing")]
    assert await found(store, hours(0, 6), other) == [(0, 4, "upstream"), (4, 6, "missing")]


async def test_weeks_have_holes_on_mondays(store):
    weekly = query(AggInterval.ONE_WEEK)
    monday = AggInterval.ONE_WEEK.floor(DAY)
    week = AggInterval.ONE_WEEK.step
    window = Window(monday - 4 * week, monday)
    await saved(store, batch((weekly, window)), {(monday - 3 * week - DAY) / HOUR: 1}, updated=DAY)
    holes = await store.holes(weekly, window, timedelta(0))
    assert [hole.window for hole in holes] == [
        Window(monday - 4 * week, monday - 3 * week),
        Window(monday - 2 * week, monday),
    ]


async def test_of_many_series_each_has_the_holes_that_it_has_alone(store, monkeypatch):
    monkeypatch.setattr("collector.store.holes._COUNTED_AT_ONCE", 5)
    monkeypatch.setattr("collector.store.holes._TOGETHER", 3)
    chance = random.Random(11)
    asked = [query(ca=str(number)) for number in range(7)]
    for number, one in enumerate(asked[:-1]):  # of the last nothing is stored
        present = {hour: 1 for hour in range(24) if chance.random() < number / 5}
        updated = DAY + HOUR * chance.randint(0, 40)
        await saved(store, batch((one, hours(0, 24))), present, updated=updated)
    windows = [hours(0, 30), hours(3, 3), hours(-4, 9)]
    expected = [Expected(one, window, settle) for window in windows for one in asked for settle in (HOUR, SETTLE)]
    alone = [await store.holes(one.query, one.window, one.settle) for one in expected]
    assert await store.holes_of(expected) == alone
    assert {hole.reason for holes in alone for hole in holes} == {"missing", "upstream"}
    assert await store.holes_of([]) == []
