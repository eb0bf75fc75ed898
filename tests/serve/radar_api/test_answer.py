from __future__ import annotations

import json
from datetime import timedelta

import pytest

from collector.contract.response import ApiError
from collector.interval import AggInterval
from collector.model import Annotation
from collector.serve.radar_api import query_history
from collector.store import StoreUnavailable
from collector.timestamps import rfc3339
from tests.harness.factories import DAY, HOUR, NOW, batch, filtered, hours, profile, query, saved

LATER = NOW + HOUR
OWNERS = ("Google Trust Services LLC", "DigiCert, Inc.")
EVENING = "dateStart=2026-04-30T21:00:00Z&dateEnd=2026-04-30T23:00:00Z&aggInterval=1h"
THURSDAY = "dateStart=2026-04-30T00:00:00Z&dateEnd=2026-04-30T23:45:00Z&aggInterval=1d"


def _values(series):
    return {timestamp[8:13]: value for timestamp, value in zip(series["timestamps"], series["values"], strict=True)}


async def _refused(store, raw_query, now=NOW):
    with pytest.raises(ApiError) as refused:
        await query_history(store, raw_query, now)
    return refused.value.error_code.status, refused.value.error_code.code, refused.value.message


@pytest.fixture
async def owners(store):
    """Two owners' hours of a day, and all of them together."""
    await store.activate_labels([profile("by-owner", caOwner=OWNERS), profile("all")], NOW)
    asked = batch(*((query(caOwner=owner), hours(0, 24)) for owner in OWNERS), (query(), hours(0, 24)))
    await saved(store, asked, range(24), range(100, 124), [1000] * 24)
    return store


async def test_it_works(owners, result):
    found = await result(f"{EVENING}&caOwner=DigiCert%252C%20Inc.")
    assert _values(found["serie_0"]) == {"30T21": "121", "30T22": "122", "30T23": "123"}
    assert found["meta"] == {
        "aggInterval": "ONE_HOUR",
        "confidenceInfo": {"level": 5, "annotations": []},
        "dateRange": [{"startTime": "2026-04-30T21:00:00Z", "endTime": "2026-04-30T23:00:00Z"}],
        "lastUpdated": rfc3339(NOW),
        "normalization": "RAW_VALUES",
        "units": [{"name": "*", "value": "*"}],
    }


async def test_the_position_in_every_array_makes_the_series(owners, result):
    dates = "&".join([EVENING.replace("&aggInterval=1h", "")] * 2)
    found = await result(
        f"{dates}&aggInterval=1h&name=all&name=google&caOwner=&caOwner=Google%20Trust%20Services%20LLC"
    )
    assert list(found) == ["meta", "all", "google"]
    assert _values(found["all"])["30T22"] == "1000"
    assert _values(found["google"])["30T22"] == "22"
    assert len(found["meta"]["dateRange"]) == 2


async def test_an_or_is_the_sum_of_its_values(owners, result):
    found = await result(f"{EVENING}&caOwner=Google Trust Services LLC,DigiCert%252C%20Inc.".replace(" ", "%20"))
    assert _values(found["serie_0"]) == {"30T21": "142", "30T22": "144", "30T23": "146"}


async def test_a_coarser_interval_is_the_sum_of_finer_buckets(owners, result):
    found = await result(f"{THURSDAY}&caOwner=DigiCert%252C%20Inc.")
    assert _values(found["serie_0"]) == {"30T00": str(sum(range(100, 124)))}
    assert found["meta"]["aggInterval"] == "ONE_DAY"


async def test_a_series_of_the_requested_interval_is_preferred_to_a_sum(owners, result):
    day = query(AggInterval.ONE_DAY, caOwner=OWNERS[0])
    await saved(owners, batch((day, hours(0, 24))), [7])
    assert _values((await result(f"{THURSDAY}&caOwner=Google+Trust+Services+LLC"))["serie_0"]) == {"30T00": "7"}


async def test_a_series_that_covers_more_is_preferred_to_a_more_direct_one(owners, result):
    day = query(AggInterval.ONE_DAY, caOwner=OWNERS[0])
    await saved(owners, batch((day, hours(-48, -24))), [7])
    assert _values((await result(f"{THURSDAY}&caOwner=Google+Trust+Services+LLC"))["serie_0"]) == {"30T00": "276"}


async def test_a_sum_without_a_part_is_rejected_with_the_reason(store):
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((query(), hours(0, 48))), {hour: 1 for hour in range(36) if hour != 5})
    refused = await _refused(store, THURSDAY)
    assert refused[:2] == (400, 2001)
    assert "1d bucket 2026-04-30T00:00:00Z cannot be summed: 1 of its 24 1h values are missing" in refused[2]


async def test_another_match_is_used_if_a_sum_lacks_a_part(store, result):
    await saved(store, batch((query(), hours(0, 36))), {hour: 1 for hour in range(36) if hour != 5})
    quarters = query(AggInterval.FIFTEEN_MINUTES)
    await saved(store, batch((quarters, hours(0, 24))), {hour / 4: 1 for hour in range(96)})
    assert _values((await result(THURSDAY))["serie_0"]) == {"30T00": "96"}


async def test_an_answer_with_a_gap_lists_the_gap(store, asked):
    await saved(store, batch((query(), hours(0, 24))), {21: 1, 23: 3})
    found = json.loads(await asked(EVENING))
    assert _values(found["result"]["serie_0"]) == {"30T21": "1", "30T23": "3"}
    [message] = found["messages"]
    said = "serie_0: 1h buckets absent: 2026-04-30T22:00:00Z..2026-04-30T22:00:00Z (1)"
    assert message == {"code": 2100, "message": said}


async def test_without_an_interval_the_next_coarser_stored_one_answers(store, result):
    await saved(store, batch((query(AggInterval.ONE_DAY), hours(0, 24))), [9])
    found = await result("dateStart=2026-04-30T00:00:00Z&dateEnd=2026-04-30T12:00:00Z")
    assert found["meta"]["aggInterval"] == "ONE_DAY"
    assert _values(found["serie_0"]) == {"30T00": "9"}
    status, _, message = await _refused(store, "dateRange=1d&aggInterval=15m")
    assert (status, "is kept at 1d" in message) == (400, True)


async def test_a_range_without_stored_points_is_rejected_with_what_is_stored(owners):
    january = "dateStart=2026-01-01T00:00:00Z&dateEnd=2026-01-02T00:00:00Z"
    status, code, message = await _refused(owners, f"{january}&aggInterval=1h")
    assert (status, code) == (404, 7003)
    assert message == (
        "Nothing is stored from 2026-01-01T00:00:00Z to 2026-01-02T01:00:00Z: "
        "the first stored 1h bucket is 2026-04-30T00:00:00Z, the last one is 2026-04-30T23:00:00Z"
    )
    both = f"{EVENING}&{january.replace('01-02T00', '01-01T02')}&name=a&name=b"
    assert (await _refused(owners, both))[2].startswith("b: Nothing is stored from 2026-01-01T00:00:00Z")


async def test_without_history_for_the_filters_the_error_names_the_nearest_profiles(owners):
    status, code, message = await _refused(owners, f"{EVENING}&caOwner=Digicert")
    assert (status, code) == (404, 7003)
    assert "the nearest profiles are 'by-owner/DigiCert, Inc.'" in message
    status, _, message = await _refused(owners, "dateRange=1d&dateRange=1d&aggInterval=1h&name=a&name=b&tld=&tld=com")
    assert status == 404
    assert message.startswith("b: There is no history for tld = com")


async def test_a_renamed_profile_and_its_old_name_have_one_history(owners, result):
    await owners.activate_labels([filtered("digicert", caOwner="DigiCert, Inc.")], NOW)
    assert _values((await result(f"{EVENING}&caOwner=DigiCert%252C+Inc."))["serie_0"])["30T22"] == "122"


async def test_series_of_different_measures_are_rejected_in_one_answer(owners):
    week = batch((query(tld="com"), hours(0, 24)))
    await saved(owners, week, [1.5] * 24, normalization="PERCENTAGE", unit="%")
    dates = "dateStart=2026-04-30T21:00:00Z&dateEnd=2026-04-30T23:00:00Z&" * 2
    status, code, message = await _refused(owners, f"{dates}aggInterval=1h&tld=com")
    assert (status, code) == (400, 2001)
    assert "PERCENTAGE in % and RAW_VALUES in *" in message


@pytest.fixture
async def measured(store):
    """Certificates up to 22:00, from then on requests, in force since two hours after NOW."""
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((query(), hours(0, 24))), range(24), unit="certificates")
    for moment in (NOW + HOUR, NOW + 2 * HOUR):
        asked = batch((query(), hours(22, 30)))
        await saved(store, asked, range(220, 228), now=moment, updated=moment, unit="requests")
    return store


def _between(first, last):
    return f"dateStart=2026-04-30T{first}:00:00Z&dateEnd=2026-04-30T{last}:00:00Z&aggInterval=1h"


async def test_a_range_on_one_side_of_a_change_has_the_unit_of_that_side(measured, result):
    old, new = await result(_between(20, 21)), await result(_between(22, 23))
    assert _values(old["serie_0"]) == {"30T20": "20", "30T21": "21"}
    assert _values(new["serie_0"]) == {"30T22": "220", "30T23": "221"}
    assert [found["meta"]["units"][0]["value"] for found in (old, new)] == ["certificates", "requests"]
    assert [found["meta"]["lastUpdated"] for found in (old, new)] == [rfc3339(NOW), rfc3339(NOW + 2 * HOUR)]


async def test_a_range_across_a_change_of_the_unit_is_rejected_with_the_time_and_both_units(measured):
    status, code, message = await _refused(measured, EVENING, NOW + 3 * HOUR)
    assert (status, code) == (400, 2001)
    assert "'all'" in message
    assert "changes from 'certificates' to 'requests' at 2026-04-30T22:00:00Z" in message
    assert (await _refused(measured, THURSDAY, NOW + 3 * HOUR))[2] == message


async def test_another_interval_that_has_one_unit_answers_across_a_change(measured, result):
    day = batch((query(AggInterval.ONE_DAY), hours(0, 24)))
    await saved(measured, day, [7], unit="certificates")
    assert _values((await result(THURSDAY))["serie_0"]) == {"30T00": "7"}


async def test_before_a_change_was_known_the_range_has_the_old_unit(measured, result):
    found = await result(f"{EVENING}&as_of=2026-05-01T13:30:00Z", NOW + 3 * HOUR)
    assert _values(found["serie_0"]) == {"30T21": "21", "30T22": "22", "30T23": "23"}
    assert found["meta"]["units"][0]["value"] == "certificates"
    message = (await _refused(measured, f"{EVENING}&as_of=2026-05-01T14:30:00Z", NOW + 3 * HOUR))[2]
    assert "at 2026-04-30T22:00:00Z" in message


async def test_old_counts_are_summed_although_the_new_values_are_shares(store, result):
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((query(), hours(0, 24))), [1] * 24)
    for moment in (LATER, LATER + HOUR):
        asked = batch((query(), hours(24, 36)))
        await saved(store, asked, [0.5] * 12, now=moment, updated=moment, normalization="PERCENTAGE", unit="%")
    found = await result(THURSDAY)
    assert _values(found["serie_0"]) == {"30T00": "24"}
    assert found["meta"]["normalization"] == "RAW_VALUES"


async def test_series_whose_units_differ_in_spelling_fit_in_one_answer(store, result):
    await saved(store, batch((query(), hours(0, 24))), [1] * 24, unit="certificates")
    await saved(store, batch((query(tld="com"), hours(0, 24))), [2] * 24, unit="Certificates")
    dates = EVENING.replace("&aggInterval=1h", "")
    found = await result(f"{dates}&{dates}&aggInterval=1h&name=a&name=b&tld=&tld=com")
    assert _values(found["b"]) == {"30T21": "2", "30T22": "2", "30T23": "2"}


async def test_as_of_returns_what_was_known_then(store, result):
    asked = batch((query(), hours(20, 24)))
    remark = Annotation(DAY + 21 * HOUR, None, "CT", "OUTAGE", "late", "", is_instantaneous=False)
    await saved(store, asked, [1, 2, 3, 4], annotations=[remark], updated=NOW - HOUR)
    await saved(store, asked, [1, 2, 30, 4], now=LATER, updated=NOW)
    now, then = await result(EVENING, LATER), await result(f"{EVENING}&as_of=2026-05-01T12:30:00Z", LATER)
    assert _values(now["serie_0"])["30T22"] == "30"
    assert _values(then["serie_0"])["30T22"] == "3"
    assert now["meta"]["confidenceInfo"]["annotations"] == []
    assert [remark["description"] for remark in then["meta"]["confidenceInfo"]["annotations"]] == ["late"]
    assert (then["meta"]["lastUpdated"], now["meta"]["lastUpdated"]) == (rfc3339(NOW - HOUR), rfc3339(NOW))
    assert (await _refused(store, f"{EVENING}&as_of=2026-05-01T00:00:00Z"))[0] == 404


async def test_a_relative_range_lies_before_as_of(owners, asked):
    dates = "dateStart=2026-04-30T12:00:00Z&dateEnd=2026-05-01T12:00:00Z"
    later, as_of = NOW + timedelta(days=30), "as_of=2026-05-01T12:00:30Z"
    found = await asked(f"dateRange=1d&aggInterval=1h&{as_of}", later)
    assert found == await asked(f"{dates}&aggInterval=1h&{as_of}", later)
    assert "1h buckets absent: 2026-05-01T00:00:00Z..2026-05-01T11:00:00Z (12)" in found


async def test_csv_has_two_columns_for_each_series(owners, asked):
    assert await asked(f"{EVENING}&format=csv") == (
        "Serie_0 timestamps,Serie_0 values\n"
        "2026-04-30T21:00:00Z,1000\n2026-04-30T22:00:00Z,1000\n2026-04-30T23:00:00Z,1000\n"
    )


async def test_a_query_that_is_too_large_is_rejected_before_points_are_read(owners, monkeypatch):
    monkeypatch.setattr("collector.serve.radar_api.answer.MAX_POINTS", 10)
    status, code, message = await _refused(owners, THURSDAY)
    assert (status, code) == (400, 2001)
    assert "aggInterval 1d is too granular for the date range: the answer would take 24 stored points" in message


async def test_a_missing_store_is_an_error_and_no_empty_answer(owners, lose_the_store):
    lose_the_store()
    with pytest.raises(StoreUnavailable):
        await query_history(owners, EVENING, NOW)
