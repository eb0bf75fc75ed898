import asyncio
from contextlib import aclosing
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.interval import AggInterval
from collector.store import Store
from tests.conftest import in_a_thread
from tests.harness.factories import (
    DAY,
    HOUR,
    NOW,
    START,
    STEP,
    at,
    batch,
    exported,
    hours,
    profile,
    query,
    saved,
    values,
)

ALL = query()
ASKED = batch((ALL, hours(0, 4)))


def minutes(number):
    return NOW + timedelta(minutes=number)


async def test_points_come_by_profile_label_and_time(store):
    profiles = [profile("z"), profile("a", tld=("net", "com")), profile("B"), profile("ä")]
    await store.activate_labels(profiles, NOW)
    asked = batch(*((series.query, hours(0, 2)) for each in profiles[:2] for series in each.series))
    await saved(store, asked, [1, 2], [3, 4], [5, 6])
    assert await exported(store) == [
        *[("B", "B", at(hour), value) for hour, value in ((0, 1.0), (1, 2.0))],
        *[("a", "a/net", at(hour), value) for hour, value in ((0, 3.0), (1, 4.0))],
        *[("a", "a/com", at(hour), value) for hour, value in ((0, 5.0), (1, 6.0))],
        *[("z", "z", at(hour), value) for hour, value in ((0, 1.0), (1, 2.0))],
        *[("ä", "ä", at(hour), value) for hour, value in ((0, 1.0), (1, 2.0))],
    ]


async def test_only_the_profiles_asked_for_are_exported(store):
    await store.activate_labels([profile("a"), profile("b"), profile("c")], NOW)
    await saved(store, ASKED, [1])
    assert [name for name, *_ in await exported(store, "c", "a")] == ["a", "c"]
    assert await exported(store, "d") == []


async def test_the_start_is_inside_and_the_end_is_not(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, ASKED, [1, 2, 3, 4])
    assert await values(store, start=DAY + HOUR, end=DAY + 3 * HOUR) == {1: 2.0, 2: 3.0}
    assert await values(store, start=DAY + HOUR * 1.5) == {2: 3.0, 3: 4.0}
    assert await values(store, end=DAY) == {}


async def test_as_of_gives_what_was_known_then(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, ASKED, {0: 1, 1: 2}, now=minutes(0))
    await saved(store, ASKED, {0: 9, 1: 2, 2: 3}, now=minutes(10))
    await saved(store, ASKED, {0: 1, 1: 5, 2: 3}, now=minutes(20))
    instant = timedelta(microseconds=1)
    assert await values(store, as_of=minutes(0) - instant) == {}
    assert await values(store, as_of=minutes(0)) == {0: 1.0, 1: 2.0}
    assert await values(store, as_of=minutes(10) - instant) == {0: 1.0, 1: 2.0}
    assert await values(store, as_of=minutes(10)) == {0: 9.0, 1: 2.0, 2: 3.0}
    assert await values(store, as_of=minutes(20) - instant) == {0: 9.0, 1: 2.0, 2: 3.0}
    assert await values(store, as_of=minutes(20)) == await values(store) == {0: 1.0, 1: 5.0, 2: 3.0}
    assert await values(store, as_of=minutes(15), start=DAY + HOUR, end=DAY + 2 * HOUR) == {1: 2.0}


async def test_a_clock_that_was_set_back_gives_no_bucket_twice(store):
    await store.activate_labels([profile()], NOW)
    for moment, value in ((100, 1), (200, 2), (150, 3)):
        await saved(store, ASKED, [value], now=minutes(moment))
    for moment in (99, 100, 149, 150, 160, 199, 200, 300):
        found = await exported(store, as_of=minutes(moment))
        assert len(found) == (0 if moment < 100 else 1)
    assert await values(store, as_of=minutes(160)) == {0: 3.0}


answers = st.lists(st.dictionaries(st.integers(0, 3), st.integers(0, 2), max_size=4), min_size=1, max_size=6)


async def _replayed(url, served):
    """What was known after each answer, as told at that time and as told at the end."""
    async with Store.open(url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        known = {}
        told = []
        for minute, answer in enumerate(served):
            await saved(store, ASKED, answer, now=minutes(minute), updated=minutes(minute))
            known |= {hour: float(value) for hour, value in answer.items()}
            told.append((minute, dict(known)))
        return [(expected, await values(store, as_of=minutes(minute))) for minute, expected in told]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers)
def test_any_history_can_be_told_as_it_was_at_any_moment(sqlite_template, tmp_path_factory, served):
    path = tmp_path_factory.mktemp("replay") / "collector.db"
    path.write_bytes(sqlite_template.read_bytes())
    for expected, told in in_a_thread(_replayed(f"sqlite:///{path}", served)):
        assert told == expected


async def test_an_export_sees_one_state_while_others_write(store):
    await store.activate_labels([profile("a"), profile("b", tld=("com",))], NOW)
    asked = batch((ALL, hours(0, 4)), (query(tld="com"), hours(0, 4)))
    await saved(store, asked, [1] * 4, [1] * 4)
    async with aclosing(store.export()) as rows:
        seen = [await anext(rows)]
        await saved(store, asked, [2] * 4, [2] * 4)
        seen += [row async for row in rows]
    assert {value for *_, value in seen} == {1.0}
    assert {value for *_, value in await exported(store)} == {2.0}


async def test_an_export_may_be_left_early(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, ASKED, [1, 2, 3, 4])
    for _ in range(20):
        async with aclosing(store.export()) as rows:
            assert await anext(rows) == ("all", "all", START, 1.0)
    assert len(await exported(store)) == 4


async def test_exports_run_side_by_side(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, ASKED, [1, 2, 3, 4])
    found = await asyncio.gather(*(exported(store) for _ in range(12)))
    assert [len(rows) for rows in found] == [4] * 12


async def test_many_points_come_in_order_across_blocks(store):
    quarter = AggInterval.FIFTEEN_MINUTES
    await store.activate_labels([profile(agg_interval=quarter)], NOW)
    asked = batch((query(quarter), hours(0, 700)))
    count = 2_800
    await saved(store, asked, {n / 4: n for n in range(count)})
    await saved(store, asked, {n / 4: n + n % 2 for n in range(count)}, now=minutes(1), updated=minutes(1))
    assert [value for *_, value in await exported(store)] == [float(n + n % 2) for n in range(count)]
    assert [value for *_, value in await exported(store, as_of=minutes(0))] == [float(n) for n in range(count)]
    assert [t for _, _, t, _ in await exported(store)] == [START + n * STEP // 4 for n in range(count)]
