import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from collector.model import Window
from collector.store import SaveResult
from tests.harness.factories import (
    DAY,
    HOUR,
    NOW,
    START,
    STEP,
    answer,
    batch,
    exported,
    filtered,
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
ASKED = batch((ALL, hours(0, 2)))


async def history(store):
    return await rows(store, "SELECT profile, series, value, unit, normalization FROM history ORDER BY 1, 2, timestamp")


async def test_a_series_is_known_from_the_moment_a_profile_declares_it(store):
    await store.activate_labels([profile()], NOW)
    (series,) = await store.list_series()
    assert (series.profile, series.label, series.active) == ("all", "all", True)
    assert (series.normalization, series.unit, series.points, series.created_at) == ("", "", 0, NOW)


async def test_declaring_again_changes_nothing(store):
    await store.activate_labels([profile(), profile("some", tld=("com", "net"))], NOW)
    before = await rows(store, "SELECT * FROM series"), await rows(store, "SELECT * FROM profile_series")
    await store.activate_labels([profile(), profile("some", tld=("com", "net"))], LATER)
    assert (await rows(store, "SELECT * FROM series"), await rows(store, "SELECT * FROM profile_series")) == before


async def test_each_value_is_a_series_with_its_place(store):
    await store.activate_labels([profile("some", tld=("net", "com"))], NOW)
    asked = batch((query(tld="com"), hours(0, 1)), (query(tld="net"), hours(0, 1)))
    await saved(store, asked, [1], [2])
    assert [(label, value) for _, label, _, value in await exported(store)] == [("some/net", 2.0), ("some/com", 1.0)]
    await store.activate_labels([profile("some", tld=("com", "net"))], NOW)
    assert [label for _, label, _, _ in await exported(store)] == ["some/com", "some/net"]


async def test_two_profiles_that_ask_for_the_same_share_one_series(store):
    await store.activate_labels([profile("one"), profile("two")], NOW)
    await saved(store, ASKED, [1, 2])
    assert [(series.id, series.profile) for series in await store.list_series()] == [(1, "one"), (1, "two")]
    assert await values(store, "one") == await values(store, "two") == {0: 1.0, 1: 2.0}


async def test_the_order_of_filters_and_values_makes_no_other_series(store):
    one = profile("one", tld=("com",), ca=("x",))
    two = profile("two", ca=("x",), tld=("com",))
    await store.activate_labels([one, two], NOW)
    assert len(await rows(store, "SELECT * FROM series")) == 1


async def test_a_renamed_profile_keeps_its_history_under_the_new_name_alone(store):
    await store.activate_labels([profile("old")], NOW)
    await saved(store, ASKED, [1, 2])
    await store.activate_labels([profile("new")], LATER)
    assert {(name, label) for name, label, *_ in await history(store)} == {("new", "new")}
    assert len(await exported(store)) == 2
    assert await store.extents([ALL]) == {ALL: hours(0, 2)}


async def test_the_history_of_a_removed_profile_stays_visible(store):
    await store.activate_labels([profile("gone"), filtered("kept", tld="com")], NOW)
    await saved(store, ASKED, [1, 2])
    await store.activate_labels([filtered("kept", tld="com")], LATER)
    assert [row[:3] for row in await history(store)] == [("gone", "gone", 1.0), ("gone", "gone", 2.0)]
    assert [(s.label, s.active) for s in await store.list_series()] == [("gone", False), ("kept", True)]


async def test_changed_filters_start_a_new_series_and_nothing_is_mixed(store):
    await store.activate_labels([filtered("p", tld="com")], NOW)
    await saved(store, batch((query(tld="com"), hours(0, 2))), [1, 2])
    await store.activate_labels([filtered("p", tld="net")], LATER)
    assert await values(store, "p") == {}
    await saved(store, batch((query(tld="net"), hours(0, 2))), [8, 9])
    assert await values(store, "p") == {0: 8.0, 1: 9.0}
    assert len(await rows(store, "SELECT * FROM points")) == 4


async def test_filters_that_change_back_find_their_history_again(store):
    for name in ("com", "net", "com"):
        await store.activate_labels([filtered("p", tld=name)], NOW)
        await saved(store, batch((query(tld=name), hours(0, 1))), [{"com": 1, "net": 2}[name]])
    assert await values(store, "p") == {0: 1.0}
    assert len(await rows(store, "SELECT * FROM series")) == 2


async def test_a_label_in_use_elsewhere_does_not_show_the_history_of_a_removed_profile(store):
    await store.activate_labels([filtered("a/b", tld="com")], NOW)
    await saved(store, batch((query(tld="com"), hours(0, 1))), [1])
    await store.activate_labels([profile("a", tld=("b",))], LATER)
    await saved(store, batch((query(tld="b"), hours(0, 1))), [2])
    assert [row[:3] for row in await history(store)] == [("a", "a/b", 2.0)]


@pytest.mark.parametrize("change", [{"unit": "percent"}, {"normalization": "PERCENTAGE"}])
async def test_another_unit_or_normalization_is_another_series_to_which_the_label_moves(store, change):
    await store.activate_labels([profile()], NOW)
    await saved(store, ASKED, [1, 2])
    assert await saved(store, ASKED, [9, 20], now=LATER, updated=LATER, **change) == SaveResult(inserted=2)
    assert await values(store) == {0: 1.0, 1: 2.0}
    second = LATER + HOUR
    assert (await saved(store, ASKED, [10, 20], now=second, updated=second, **change)).revised == 1
    assert await values(store) == {0: 10.0, 1: 20.0}
    assert len({(unit, normalization) for *_, unit, normalization in await history(store)}) == 1
    assert [(s.id, s.profile, s.points) for s in await store.list_series()] == [(1, None, 2), (2, "all", 2)]


async def test_the_first_answer_says_unit_and_normalization(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, ASKED, [1, 2], unit="requests")
    assert [(s.id, s.unit, s.normalization) for s in await store.list_series()] == [(1, "requests", "RAW_VALUES")]


async def test_a_unit_that_changes_back_finds_its_series_again(store):
    await store.activate_labels([profile()], NOW)
    for minutes, unit in enumerate(["a", "b", "a"]):
        moment = NOW + timedelta(minutes=minutes)
        await saved(store, ASKED, [minutes, 5], now=moment, updated=moment, unit=unit)
    assert await values(store) == {0: 2.0, 1: 5.0}
    assert len(await rows(store, "SELECT * FROM series")) == 2


async def test_an_older_answer_in_another_unit_moves_no_label(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, ASKED, [1, 2], unit="new", updated=NOW)
    await saved(store, ASKED, [10, 20], unit="old", updated=NOW - HOUR)
    assert await values(store) == {0: 1.0, 1: 2.0}


async def test_a_new_declaration_stays_with_the_current_series(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, ASKED, [1, 2], unit="a", updated=NOW)
    for moment in (LATER, LATER + HOUR):
        await saved(store, ASKED, [3, 4], unit="b", now=moment, updated=moment)
    await store.activate_labels([profile("renamed")], LATER + HOUR)
    assert await values(store, "renamed") == {0: 3.0, 1: 4.0}


async def test_an_answer_for_a_series_that_no_profile_declares_is_kept(store):
    assert await saved(store, ASKED, [1, 2]) == SaveResult(inserted=2)
    assert await store.newest_buckets([ALL]) == {ALL: DAY + HOUR}
    assert await exported(store) == []


async def test_no_profiles_at_all_can_be_declared(store):
    await store.activate_labels([profile()], NOW)
    await store.activate_labels([], LATER)
    assert [series.active for series in await store.list_series()] == [False]


async def test_very_many_filter_values_are_one_series(store):
    names = tuple(f"Authority number {n}, a long name" for n in range(1000))
    await store.activate_labels([profile("many", ca=names)], NOW)
    assert len(await store.list_series()) == 1000
    wide = filtered("wide")
    wide = replace(wide, filters={"ca": names})
    await store.activate_labels([wide], NOW)
    assert len(await store.list_series(profile="wide")) == 1


async def test_the_span_of_what_is_stored(store):
    other = query(tld="com")
    await store.activate_labels([profile(), profile("some", tld=("com",))], NOW)
    assert await store.extents([ALL, other]) == {}
    await saved(store, batch((ALL, hours(3, 7))), {3: 1, 6: 2})
    assert await store.extents([ALL, other]) == {ALL: Window(DAY + 3 * HOUR, DAY + 7 * HOUR)}
    assert await store.newest_buckets([ALL, other]) == {ALL: DAY + 6 * HOUR}
    assert await store.extents([]) == {}


async def test_the_view_reads_the_same_timestamps_on_both_databases(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, ASKED, [1, 2])
    seconds = "timestamp" if store.backend == "sqlite" else "CAST(EXTRACT(epoch FROM timestamp) AS BIGINT)"
    assert await rows(store, f"SELECT {seconds} FROM history ORDER BY 1") == [(START,), (START + STEP,)]


async def test_answers_to_one_new_query_that_come_together_make_one_series(store):
    asked = [batch((query(tld="com"), hours(n, n + 1))) for n in range(6)]
    ids = [await start_fetch(store, each) for each in asked]

    await asyncio.gather(*(store.save(i, each, answer(each, [1]), NOW, 10) for i, each in zip(ids, asked, strict=True)))
    assert await rows(store, "SELECT points FROM series") == [(6,)]
