from __future__ import annotations

import math

import pytest

from collector.timestamps import utc
from tests.harness import faults

QUERY = "aggInterval=1h&dateStart=2026-08-13T00:00:00Z&dateEnd=2026-08-13T23:45:00Z"


async def _spoilt(serving, fault, query=QUERY):
    async with serving() as radar:
        radar.simulator.script(fault)
        spoilt = await radar.result(query)
        return spoilt, await radar.result(query)


@pytest.mark.parametrize("what", ["NaN", "1e999", "1_000", "٣", "", None, 5, 1e300, "9" * 4301, "\ud800", [], True])
async def test_a_value_can_be_anything(serving, what):
    spoilt, honest = await _spoilt(serving, faults.value(what, at=3))
    assert spoilt["serie_0"]["values"][3] == what
    spoilt["serie_0"]["values"][3] = honest["serie_0"]["values"][3]
    assert spoilt == honest


async def test_a_value_can_be_a_bare_nan(serving):
    spoilt, _ = await _spoilt(serving, faults.value(float("nan")))
    assert math.isnan(spoilt["serie_0"]["values"][0])


async def test_the_series_to_spoil_can_be_chosen(serving):
    query = f"{QUERY}&{QUERY.partition('&')[2]}&name=a&name=b"
    spoilt, honest = await _spoilt(serving, faults.value("x", position=1), query)
    assert spoilt["a"] == honest["a"]
    assert spoilt["b"]["values"][0] == "x"


@pytest.mark.parametrize("what", ["2026-08-13", "2026-08-13T00:00:00", "9999-12-31T23:45:00Z", "2026-08-13T00:00:60Z"])
async def test_a_timestamp_can_be_anything(serving, what):
    spoilt, _ = await _spoilt(serving, faults.timestamp(what, at=-1))
    assert spoilt["serie_0"]["timestamps"][-1] == what


async def test_arrays_can_be_unequal_or_empty(serving):
    spoilt, _ = await _spoilt(serving, faults.unequal())
    assert len(spoilt["serie_0"]["timestamps"]) == len(spoilt["serie_0"]["values"]) + 1
    spoilt, _ = await _spoilt(serving, faults.empty())
    assert spoilt["serie_0"] == {"timestamps": [], "values": []}


async def test_points_can_be_repeated_unsorted_missing_or_many(serving):
    spoilt, honest = await _spoilt(serving, faults.repeated(2))
    assert spoilt["serie_0"]["timestamps"][2] == spoilt["serie_0"]["timestamps"][3]
    spoilt, honest = await _spoilt(serving, faults.unsorted())
    assert spoilt["serie_0"]["values"] == honest["serie_0"]["values"][::-1]
    spoilt, honest = await _spoilt(serving, faults.holes((0, 5)))
    assert set(honest["serie_0"]["timestamps"]) - set(spoilt["serie_0"]["timestamps"]) == {
        honest["serie_0"]["timestamps"][0],
        honest["serie_0"]["timestamps"][5],
    }
    spoilt, _ = await _spoilt(serving, faults.many(10_000))
    assert len(spoilt["serie_0"]["values"]) == 10_000


async def test_points_can_lie_off_the_grid_or_outside_the_range(serving):
    spoilt, _ = await _spoilt(serving, faults.off_grid(60))
    assert spoilt["serie_0"]["timestamps"][0] == "2026-08-13T00:01:00Z"
    spoilt, _ = await _spoilt(serving, faults.outside())
    assert spoilt["serie_0"]["timestamps"][0] == "2026-08-12T23:00:00Z"
    spoilt, _ = await _spoilt(serving, faults.outside(24))
    assert spoilt["serie_0"]["timestamps"][0] == "2026-08-14T00:00:00Z"


async def test_meta_can_say_something_else(serving):
    for fault, key, expected in (
        (faults.agg_interval(), "aggInterval", "ONE_DAY"),
        (faults.normalization(), "normalization", "MIN0_MAX"),
        (faults.unit("requests"), "units", [{"name": "*", "value": "requests"}]),
        (faults.backwards(3600), "lastUpdated", "2026-08-14T08:15:00Z"),
        (faults.meta("confidenceInfo", None), "confidenceInfo", None),
    ):
        spoilt, honest = await _spoilt(serving, fault)
        assert spoilt["meta"] == honest["meta"] | {key: expected}


async def test_keys_can_be_missing(serving):
    spoilt, honest = await _spoilt(serving, faults.without("result", "meta", "lastUpdated"))
    assert honest["meta"].keys() - spoilt["meta"].keys() == {"lastUpdated"}
    spoilt, _ = await _spoilt(serving, faults.without("result", "serie_0", "values"))
    assert spoilt["serie_0"].keys() == {"timestamps"}


async def test_keys_and_words_can_be_unheard_of(serving):
    spoilt, honest = await _spoilt(serving, faults.extra())
    assert spoilt["meta"].keys() - honest["meta"].keys() == {"somethingNew"}
    assert spoilt["meta"]["confidenceInfo"]["annotations"][0]["eventType"] == "SOMETHING_NEW"
    assert spoilt["serie_0"] == honest["serie_0"]


async def test_an_annotation_can_be_added(serving):
    spoilt, _ = await _spoilt(serving, faults.annotated(linkedUrl="javascript:alert(1)"))
    added = spoilt["meta"]["confidenceInfo"]["annotations"][-1]
    assert added["linkedUrl"] == "javascript:alert(1)"
    assert utc(added["startDate"])


async def test_any_edit_can_be_made(serving):
    spoilt, honest = await _spoilt(serving, faults.edit("swap", lambda document: document["result"].pop("meta")))
    assert spoilt == {"serie_0": honest["serie_0"]}
