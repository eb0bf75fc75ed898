"""The form of a document of any kind: how the probe describes it, and that no document makes it fail."""

import json
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector.collect.probe import Exchange, ProbeReport, shape
from collector.collect.probe.exchange import FILTERED, closed_batch, recent_batch, series_request
from collector.collect.probe.observations import Seen, start_of_search
from collector.interval import AggInterval, Grid
from collector.radar.client import RadarResponse
from tests.harness.collect_core import NOW

TIMES = ["2026-03-09T12:00:00Z", "2026-03-09T12:15:00Z"]


@pytest.mark.parametrize(
    ("words", "timestamps"),
    [
        ("2 RFC 3339 texts in whole seconds with Z; ascending, such as '2026-03-09T12:00:00Z'", TIMES),
        ("2 RFC 3339 texts in whole seconds with Z; not ascending, such as '2026-03-09T12:15:00Z'", TIMES[::-1]),
        ("1 RFC 3339 texts with a fraction; ascending, such as '2026-03-09T12:00:00.000Z'", [f"{TIMES[0][:-1]}.000Z"]),
        ("1 texts of another spelling; ascending, such as '2026-03-09T12:00+00:00'", ["2026-03-09T12:00+00:00"]),
        ("1 texts without a zone; ascending, such as '2026-03-09'", ["2026-03-09"]),
        ("1 texts that are no time; ascending, such as 'noon'", ["noon"]),
        ("1 numbers, seconds since 1970; ascending, such as 1773057600", [1_773_057_600]),
        ("1 numbers, milliseconds since 1970; ascending, such as 1773057600000", [1_773_057_600_000]),
        ("1 nulls; ascending, such as None", [None]),
        ("none", []),
        ("object of 0", {}),
    ],
)
def test_the_form_of_timestamps_is_described(words, timestamps):
    assert shape.describe_timestamps(timestamps) == words


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("2 whole texts, such as '1', '2'", ["1", "2"]),
        ("1 decimal texts, such as '0.5'", ["0.5"]),
        ("1 whole numbers, 1 decimal numbers, such as 1, 0.5", [1, 0.5]),
        ("1 nulls, such as None", [None]),
        ("1 texts that are no number, such as 'many'", ["many"]),
        ("1 texts that are not finite, such as '1e999'", ["1e999"]),
        ("1 booleans, such as True", [True]),
        ("none", []),
        ("null", None),
    ],
)
def test_the_form_of_values_is_described(words, values):
    assert shape.describe_values(values) == words


ENVELOPE = ["success", "errors", "result", "meta", "serie_0", "serie_1", "timestamps", "values", "\x1b[31m"]
META = ["aggInterval", "dateRange", "units", "name", "value", "normalization", "lastUpdated", "confidenceInfo", "level"]
KEYS = st.sampled_from([*ENVELOPE, *META])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([*TIMES, "5", "9999-12-31T23:59:59Z"])
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5))
SERIES = st.fixed_dictionaries({"timestamps": st.lists(SCALARS, max_size=4), "values": st.lists(SCALARS, max_size=4)})
RESULTS = st.dictionaries(KEYS, JSON | SERIES | st.dictionaries(KEYS, JSON, max_size=5), max_size=5)


@settings(max_examples=30)
@given(document=st.builds(lambda result: {"success": True, "result": result}, RESULTS) | JSON)
@example(document={"success": True, "result": {"meta": {"aggInterval": []}}})
@example(document={"success": True, "result": {"meta": {"aggInterval": {}}}})
def test_no_document_makes_the_report_fail(document):
    def exchange(number, batch):
        request = series_request("any", batch)
        response = RadarResponse(200, {"Date": "nonsense"}, json.dumps(document).encode(), NOW)
        return Exchange(number, request, number, NOW, 0.1, response)

    day, hour = timedelta(days=1), AggInterval.ONE_HOUR
    first = exchange(1, recent_batch(Grid(hour), day, NOW))
    both = exchange(2, recent_batch(Grid(hour), day, NOW, {}, FILTERED))
    longer = exchange(3, closed_batch(Grid(hour), 2 * day, NOW))
    seen = Seen(
        first=first,
        by_interval={hour: first},
        longest={hour: longer},
        empties=both,
        comma_twice=first,
        comma_once=first,
        spans={hour: start_of_search(hour, day)},
        unaligned={hour: first},
        siblings=[first],
        now=NOW,
    )
    report = ProbeReport(NOW, NOW, seen, (first, both, longer), ()).to_json("http://radar")
    json.dumps(report, default=str, allow_nan=False)


def answer(**meta):
    info = {"level": 5, "annotations": []}
    usual = {"aggInterval": "ONE_HOUR", "confidenceInfo": info, "lastUpdated": TIMES[0], "normalization": "RAW_VALUES"}
    return {
        "success": True,
        "errors": [],
        "result": {"meta": usual | meta, "serie_0": {"timestamps": [], "values": []}},
    }


def annotated(**fields):
    usual = dict.fromkeys(["dataSource", "description", "linkedUrl"], "CT") | {"isInstantaneous": False}
    usual |= {"eventType": "OUTAGE", "startDate": TIMES[0], "endDate": TIMES[1]}
    return answer(confidenceInfo={"level": 5, "annotations": [usual | fields]})


@pytest.mark.parametrize(
    ("words", "document"),
    [
        ([], answer()),
        ([], annotated(tags=["one"])),
        (["unknown keys beside result"], answer() | {"result_info": {}}),
        (["errors is not empty beside a result"], answer() | {"errors": [{"code": 1}]}),
        (["meta.lastUpdated is of the form: texts without a zone"], answer(lastUpdated="2026-03-09")),
        (["meta.aggInterval is none of the words of the contract"], answer(aggInterval="1h")),
        (["meta.normalization is spelt otherwise"], answer(normalization="raw_values")),
        (["meta.normalization is no text: array"], answer(normalization=["RAW_VALUES"])),
        (["a unit has capitals, or blanks around it"], answer(units=[{"name": "*", "value": "Certificates"}])),
        (["an entry of meta.units is no pair of name and value"], answer(units=["certificates"])),
        (["an entry of meta.dateRange is no pair of startTime and endTime"], answer(dateRange=[{"start": TIMES[0]}])),
        (["meta.confidenceInfo.level is absent"], answer(confidenceInfo={"annotations": []})),
        (
            ["meta.confidenceInfo.level is no whole number: text"],
            answer(confidenceInfo={"level": "5", "annotations": []}),
        ),
        (["endDate of an annotation is null"], annotated(endDate=None)),
        (["eventType of an annotation is an unknown word"], annotated(eventType="FLOOD")),
        (["tags of an annotation are no array of texts"], annotated(tags=[{"name": "one"}])),
    ],
)
def test_each_difference_from_the_contract_is_reported(words, document):
    assert [*shape.unusual(document, "application/json; charset=utf-8")] == words


def test_series_are_sorted_by_the_numbers_in_their_names():
    assert [key for key, _ in shape.in_order([("serie_1", {}), ("serie_0", {})])] == ["serie_0", "serie_1"]
    assert [key for key, _ in shape.in_order([("b", {}), ("a", {})])] == ["b", "a"]
