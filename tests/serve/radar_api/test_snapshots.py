"""Questions that are answered from a snapshot, or refused because they lie outside of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from collector.contract.response import ApiError
from collector.interval import AggInterval
from collector.model import Question
from collector.serve.radar_api import query_history
from collector.timestamps import rfc3339
from tests.harness.factories import DAY, HOUR, NOW, batch, filtered, hours, query, saved
from tests.store.write.test_snapshots import PROFILE, VALID, taken

MOMENT = NOW.replace(microsecond=0)
MORNING = "dateStart=2026-04-30T00:00:00Z&dateEnd=2026-04-30T05:00:00Z&aggInterval=1h"


def _range(first, last, more=""):
    start, end = (DAY + hour * HOUR for hour in (first, last - 1))
    return f"dateStart={rfc3339(start)}&dateEnd={rfc3339(end)}&aggInterval=1h&expirationStatus=VALID{more}"


async def _refused(store, raw_query, now=NOW):
    with pytest.raises(ApiError) as refused:
        await query_history(store, raw_query, now)
    return refused.value.error_code.status, refused.value.message


@pytest.fixture
async def snapped(store):
    """A day and a half in a snapshot, up to now; one of the day before; and a history."""
    await store.activate_labels([PROFILE, filtered("all")], NOW)
    await saved(store, batch((query(), hours(0, 36))), [7] * 36)
    for days, value in ((1, 20), (0, 10)):
        asked_at = MOMENT - timedelta(days=days)
        await store.save_snapshots([taken(*[value] * (36 - 24 * days), asked_at=asked_at)], NOW)
    return store


async def test_it_works(snapped, result):
    found = await result(_range(0, 6))
    assert found["serie_0"]["values"] == ["10"] * 6
    assert found["meta"]["askedAt"] == [rfc3339(MOMENT)]
    assert found["meta"]["lastUpdated"] == rfc3339(MOMENT)


async def test_as_of_uses_the_newest_snapshot_before_it(snapped, result):
    yesterday = rfc3339(MOMENT - timedelta(days=1))
    found = await result(_range(0, 6, f"&as_of={yesterday}"))
    assert found["serie_0"]["values"] == ["20"] * 6
    assert found["meta"]["askedAt"] == [yesterday]
    before = rfc3339(MOMENT - timedelta(days=1, seconds=1))
    status, message = await _refused(snapped, _range(0, 6, f"&as_of={before}"))
    assert (status, message) == (404, "Nothing was known then for these filters")


async def test_a_history_beside_a_snapshot_has_no_asked_at(snapped, result):
    found = await result(
        f"{MORNING}&{MORNING}&expirationStatus=&expirationStatus=VALID".replace("&aggInterval=1h", "", 1)
    )
    assert [found[name]["values"][0] for name in ("serie_0", "serie_1")] == ["7", "10"]
    assert found["meta"]["askedAt"] == [None, rfc3339(MOMENT)]


async def test_an_answer_without_snapshots_has_no_asked_at(snapped, result):
    assert "askedAt" not in (await result(MORNING))["meta"]


@pytest.mark.parametrize(("first", "last"), [(-1, 6), (-30, -20), (-5, 36)])
async def test_a_range_that_begins_before_the_snapshot_is_rejected_with_what_it_covers(snapped, first, last):
    status, message = await _refused(snapped, _range(first, last))
    assert status == 400
    assert "covers 2026-04-30T00:00:00Z..2026-05-01T12:00:00Z" in message
    assert "requested at 2026-05-01T12:00:00Z" in message


async def test_a_range_that_ends_after_the_snapshot_is_rejected_except_for_its_newest_bucket(snapped, asked):
    assert '"values":["10","10"]}' in await asked(_range(34, 36))
    assert '"values":["10","10"]}' in await asked(_range(34, 37), NOW + HOUR)
    for later in (2, 5, 200):
        status, message = await _refused(snapped, _range(34, 40), NOW + (4 + later) * HOUR)
        assert status == 400
        assert "lies outside of the newest snapshot" in message
    yesterday = rfc3339(MOMENT - timedelta(days=1))
    assert '"values":["20","20"]}' in await asked(_range(10, 12, f"&as_of={yesterday}"))


async def test_a_coarser_interval_is_rejected(snapped):
    status, message = await _refused(snapped, _range(0, 24).replace("aggInterval=1h", "aggInterval=1d"))
    assert status == 400
    assert (
        "kept at 1h and cannot be summed to 1d, for expirationStatus: it is judged at the moment of the request"
        in message
    )


async def test_unique_entries_are_not_summed_to_a_day(store):
    unique = filtered("unique", uniqueEntries="true")
    await store.activate_labels([unique], NOW)
    await saved(store, batch((unique.series[0].query, hours(0, 24))), [7] * 24)
    status, message = await _refused(store, f"{MORNING.replace('1h', '1d')}&uniqueEntries=true")
    assert status == 400
    assert "kept at 1h and cannot be summed to 1d, for uniqueEntries: " in message


async def test_snapshots_of_two_values_are_not_added_up(store):
    both = filtered("both")
    await store.activate_labels([both], NOW)
    queries = [Question(AggInterval.ONE_HOUR, {"expirationStatus": ("VALID",), "ca": (ca,)}) for ca in "AB"]
    await store.save_snapshots([taken(*[1] * 6, of=one) for one in queries], NOW)
    status, _ = await _refused(store, f"{MORNING}&expirationStatus=VALID&ca=A,B")
    assert status == 404


async def test_before_the_first_snapshot_nothing_has_been_collected(store):
    await store.activate_labels([PROFILE], NOW)
    status, message = await _refused(store, _range(0, 6))
    assert status == 404
    assert "Nothing has been collected yet for 'valid'" in message
    assert VALID.filters_json in '{"expirationStatus":["VALID"]}'


async def test_a_bucket_that_a_snapshot_lacks_is_listed_as_absent(store, asked):
    await store.activate_labels([PROFILE], NOW)
    window = hours(0, 36)
    await store.save_snapshots([taken(1, 2, 3, first=2)._replace(window=window, asked_at=MOMENT)], NOW)
    text = await asked(_range(0, 6))
    assert '"values":["1","2","3"]}' in text
    first, last = "2026-04-30T00:00:00Z..2026-04-30T01:00:00Z (2)", "2026-04-30T05:00:00Z..2026-04-30T05:00:00Z (1)"
    assert f"serie_0: 1h buckets absent: {first}, {last}" in text
    assert "absent" not in await asked(_range(2, 5))


async def test_the_newest_bucket_before_the_next_pass_is_listed_as_absent(snapped, asked):
    assert "absent" not in await asked(_range(34, 36))
    text = await asked(_range(34, 37), NOW + HOUR)
    assert "serie_0: 1h buckets absent: 2026-05-01T12:00:00Z..2026-05-01T12:00:00Z (1)" in text


async def test_a_snapshot_in_another_unit_answers_alone(snapped, result):
    for days in (1, 2):
        moment = MOMENT + timedelta(days=days)
        await snapped.save_snapshots([taken(*[5] * 36, asked_at=moment, unit="names")], moment)
    found = await result(_range(0, 2), MOMENT + timedelta(days=2))
    assert (found["serie_0"]["values"], found["meta"]["units"][0]["value"]) == (["5", "5"], "names")
    found = await result(_range(0, 2, f"&as_of={rfc3339(MOMENT)}"), MOMENT + timedelta(days=2))
    assert (found["serie_0"]["values"], found["meta"]["units"][0]["value"]) == (["10", "10"], "*")
