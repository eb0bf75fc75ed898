import random
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from collector.interval import AggInterval
from collector.model import Window
from collector.store import ExpectedWindow, GapWindow
from tests.harness.factories import DAY, HOUR, NOW, batch, filtered, hours, profile, query, saved

ALL = query()
SETTLE = timedelta(hours=6)


async def found(store, window, asked=ALL, settle=SETTLE):
    holes = await store.gaps(asked, window, settle)
    return [((h.window.start - DAY) / HOUR, (h.window.end - DAY) / HOUR, h.reason) for h in holes]


async def test_where_nothing_is_stored_all_is_missing(store):
    window = hours(0, 5)
    assert await store.gaps(ALL, window, SETTLE) == [GapWindow(window, "missing")]
    await store.activate_labels([profile()], NOW)
    assert await store.gaps(ALL, window, SETTLE) == [GapWindow(window, "missing")]


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
        monkeypatch.setattr("collector.store.read.absent_buckets._COUNTED_AT_ONCE", at_once)
        runs = await found(store, hours(0, 200))
        assert [hour for start, end, _ in runs for hour in range(int(start), int(end))] == absent
        assert all(one[1] < other[0] for one, other in pairwise(runs))


QUICK = replace(profile(), settle=SETTLE)
DAYS = timedelta(days=1)


async def asked_at(store, now, window, *values, updated=None):
    return await saved(store, batch((ALL, window)), *values, now=now, updated=updated or now)


async def test_a_gap_is_upstream_by_two_answers_two_days_apart_the_second_for_a_quarter_of_the_window(store):
    await store.activate_labels([QUICK], NOW)
    present = {0: 1, **dict.fromkeys(range(5, 20), 1)}
    await asked_at(store, NOW, hours(0, 20), present)
    assert await found(store, hours(0, 20)) == [(1, 5, "missing")]
    await asked_at(store, NOW + 2 * DAYS, hours(0, 20), present)
    await asked_at(store, NOW + 2 * DAYS - HOUR, hours(1, 5), {})
    await asked_at(store, NOW + 2 * DAYS, hours(1, 6), {5: 1})
    assert await found(store, hours(0, 20)) == [(1, 5, "missing")]
    await asked_at(store, NOW + 2 * DAYS, hours(2, 5), {})
    assert await found(store, hours(0, 20)) == [(1, 2, "missing"), (2, 5, "upstream")]
    await asked_at(store, NOW + 3 * DAYS, hours(1, 2), {})
    assert await found(store, hours(0, 20)) == [(1, 5, "upstream")]
    assert await found(store, hours(0, 20), settle=20 * DAYS) == [(1, 5, "missing")]


async def test_an_answer_says_nothing_of_what_is_not_past_settle_at_its_last_updated(store):
    await store.activate_labels([QUICK], NOW)
    for days, window in ((0, hours(0, 20)), (3, hours(0, 4))):
        updated = DAY + 2 * HOUR + SETTLE
        await asked_at(store, NOW + days * DAYS, window, {}, updated=updated)
    assert await found(store, hours(0, 20)) == [(0, 2, "upstream"), (2, 20, "missing")]


async def test_an_answer_proves_nothing_beyond_its_first_and_last_value(store):
    await store.activate_labels([QUICK], NOW)
    await asked_at(store, NOW, hours(0, 40), {8: 1, 10: 1})
    await asked_at(store, NOW + 3 * DAYS, hours(4, 12), {8: 1, 10: 1})
    assert await found(store, hours(0, 12)) == [(0, 8, "missing"), (9, 10, "upstream"), (11, 12, "missing")]


async def test_only_answers_about_the_series_itself_count(store):
    other = query(tld="com")
    await store.activate_labels([QUICK, replace(filtered("com", tld="com"), settle=SETTLE)], NOW)
    for days, window in ((0, hours(0, 16)), (3, hours(0, 4))):
        asked = batch((other, window))
        await saved(store, asked, [], now=NOW + days * DAYS, updated=NOW + days * DAYS)
    assert await found(store, hours(0, 6)) == [(0, 6, "missing")]
    assert await found(store, hours(0, 6), other) == [(0, 4, "upstream"), (4, 6, "missing")]


async def test_weeks_have_holes_on_mondays(store):
    weekly = query(AggInterval.ONE_WEEK)
    monday = AggInterval.ONE_WEEK.floor(DAY)
    week = AggInterval.ONE_WEEK.step
    window = Window(monday - 4 * week, monday)
    await saved(store, batch((weekly, window)), {(monday - 3 * week - DAY) / HOUR: 1}, updated=DAY)
    holes = await store.gaps(weekly, window, timedelta(0))
    assert [hole.window for hole in holes] == [
        Window(monday - 4 * week, monday - 3 * week),
        Window(monday - 2 * week, monday),
    ]


async def test_of_many_series_each_has_the_holes_that_it_has_alone(store, monkeypatch):
    monkeypatch.setattr("collector.store.read.absent_buckets._COUNTED_AT_ONCE", 5)
    monkeypatch.setattr("collector.store.read.absent_buckets._TOGETHER", 3)
    chance = random.Random(11)
    asked = [query(ca=str(number)) for number in range(7)]
    quick = [replace(filtered(f"p{number}", ca=str(number)), settle=HOUR) for number in range(6)]
    await store.activate_labels(quick, NOW)
    for number, one in enumerate(asked[:-1]):  # of the last nothing is stored
        present = {hour: 1 for hour in range(24) if chance.random() < number / 5}
        updated = DAY + HOUR * chance.randint(0, 40)
        await saved(store, batch((one, hours(0, 24))), present, updated=updated)
        later = NOW + 3 * DAYS
        await saved(store, batch((one, hours(3, 9))), {h: 1 for h in present if 3 <= h < 9}, now=later, updated=later)
    windows = [hours(0, 30), hours(3, 3), hours(-4, 9)]
    expected = [ExpectedWindow(one, window, settle) for window in windows for one in asked for settle in (HOUR, SETTLE)]
    alone = [await store.gaps(one.query, one.window, one.settle) for one in expected]
    assert await store.find_gaps(expected) == alone
    assert {hole.reason for holes in alone for hole in holes} == {"missing", "upstream"}
    assert await store.find_gaps([]) == []
