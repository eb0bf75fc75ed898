from __future__ import annotations

import csv
import io
import json
import re
import time
from datetime import timedelta

import pytest

from collector.contract.request_parser import decode_query, parse_request
from collector.datasets import DEFAULT
from collector.interval import AggInterval
from collector.model import Question, Window
from collector.simulator import RevisionChange, Simulator, SimulatorOptions
from collector.simulator.history import SimulatedHistory
from collector.simulator.response import answer
from collector.timestamps import utc

NOW = utc("2026-08-14T10:07:00Z").timestamp()
DATES = "dateStart=2026-08-13T02:00:00Z&dateEnd=2026-08-13T05:00:00Z"


def _reply(query, changes=(), **options):
    options = SimulatorOptions(**options)
    return answer(
        parse_request(DEFAULT, decode_query(query), options, NOW), SimulatedHistory(options, changes), options, NOW
    )


def _result(query, changes=(), **options):
    document = json.loads(_reply(query, changes, **options).body)
    assert document["success"] is True
    assert document["errors"] == []
    return document["result"]


def test_it_works():
    result = _result(f"{DATES}&aggInterval=1h&name=all")
    assert result["all"]["timestamps"] == [f"2026-08-13T0{hour}:00:00Z" for hour in (2, 3, 4, 5)]
    assert all(re.fullmatch(r"\d{5,6}", value) for value in result["all"]["values"])
    assert result["meta"] == {
        "aggInterval": "ONE_HOUR",
        "confidenceInfo": {"level": 5, "annotations": [result["meta"]["confidenceInfo"]["annotations"][0]]},
        "dateRange": [{"startTime": "2026-08-13T02:00:00Z", "endTime": "2026-08-13T05:00:00Z"}],
        "lastUpdated": "2026-08-14T09:15:00Z",
        "normalization": "RAW_VALUES",
        "units": [{"name": "*", "value": "certificates"}],
    }


def test_an_answer_holds_the_truth_of_every_series():
    result = _result("dateRange=1d&dateRange=1dcontrol&tld=com&tld=org")
    simulator = Simulator()
    for name, tld, day in (("serie_0", "com", 14), ("serie_1", "org", 7)):
        window = Window(utc(f"2026-08-{day - 1:02}T10:00:00Z"), utc(f"2026-08-{day:02}T10:15:00Z"))
        truth = simulator.truth(Question(AggInterval.FIFTEEN_MINUTES, {"tld": (tld,)}), window, NOW)
        stamps = [int(utc(text).timestamp()) for text in result[name]["timestamps"]]
        assert stamps == list(truth.timestamps)
        assert [float(text) for text in result[name]["values"]] == list(truth.values)
    assert len(result["serie_0"]["values"]) == 93
    assert len(result["serie_1"]["values"]) == 97


def test_there_is_one_date_range_for_every_series_or_an_object():
    ranges = _result("dateRange=1d&dateRange=1dcontrol&aggInterval=1d")["meta"]["dateRange"]
    assert [found["startTime"][:10] for found in ranges] == ["2026-08-13", "2026-08-06"]
    assert _result("dateRange=1d", date_range_style="object")["meta"]["dateRange"] == {
        "startTime": "2026-08-13T10:00:00Z",
        "endTime": "2026-08-14T10:00:00Z",
    }


@pytest.mark.parametrize(("expected", "style"), [("04:00", "last"), ("05:00", "next"), ("04:45", "asked")])
def test_the_adjusted_end_is_a_switch(expected, style):
    query = "aggInterval=1h&dateStart=2026-08-13T02:00:00Z&dateEnd=2026-08-13T04:59:00Z"
    assert _result(query, adjusted_end=style)["meta"]["dateRange"][0]["endTime"][11:16] == expected


def test_values_can_have_a_decimal_point():
    assert all(value.endswith(".0") for value in _result(DATES, value_style="decimal")["serie_0"]["values"])


def test_timestamps_can_have_milliseconds():
    result = _result(DATES, timestamp_style="milliseconds")
    assert result["serie_0"]["timestamps"][0] == "2026-08-13T02:00:00.000Z"
    assert result["meta"]["lastUpdated"] == "2026-08-14T09:15:00.000Z"


def test_a_small_share_is_written_with_an_exponent():
    window = Window(utc("2026-08-13T02:00:00Z"), utc("2026-08-13T02:15:00Z"))
    result = _result(DATES, (RevisionChange(window, 10**10),), normalization="MIN0_MAX")
    assert result["serie_0"]["values"][0] == "1"
    assert re.fullmatch(r"\d(\.\d+)?e-0\d", result["serie_0"]["values"][1])


def test_messages_can_be_part_of_the_envelope():
    assert "messages" not in json.loads(_reply(DATES).body)
    assert json.loads(_reply(DATES, messages=True).body)["messages"] == []


def test_a_hostile_name_is_quoted():
    name = '"},"meta":{'
    assert name in _result(f"{DATES}&name=%22%7D,%22meta%22:%7B")


def test_equal_names_overwrite_where_that_is_the_switch():
    result = _result(f"{DATES}&{DATES}&name=a&name=a&tld=com&tld=org", equal_names="overwrite")
    assert list(result) == ["meta", "a"]
    assert result["a"] == _result(f"{DATES}&tld=org")["serie_0"]


def test_an_ongoing_annotation_has_null_as_its_end():
    (annotation,) = _result(DATES)["meta"]["confidenceInfo"]["annotations"]
    assert annotation["endDate"] is None
    assert annotation["isInstantaneous"] is False
    assert annotation["tags"] == ["LOG_API"]


def test_an_annotation_on_two_series_is_given_once():
    assert len(_result(f"{DATES}&{DATES}&name=a&name=b")["meta"]["confidenceInfo"]["annotations"]) == 1


def test_csv_stands_side_by_side_and_has_no_meta():
    reply = _reply(f"{DATES}&{DATES}&aggInterval=1h&format=csv&name=ios,%22x%22&tld=com&tld=org")
    assert reply.content_type == "text/csv"
    rows = list(csv.reader(io.StringIO(reply.body.decode())))
    titles = ['Ios,"x" timestamps', 'Ios,"x" values', "Serie_1 timestamps", "Serie_1 values"]
    assert rows[0] == titles
    assert [row[0] for row in rows[1:]] == [row[2] for row in rows[1:]]
    assert [row[3] for row in rows[1:]] == _result(f"{DATES}&aggInterval=1h&tld=org")["serie_0"]["values"]


def test_the_plain_csv_header_is_the_documented_one():
    assert _reply(f"{DATES}&format=CSV").body.startswith(b"Serie_0 timestamps,Serie_0 values\n2026-08-13T02:00:00Z,")


def test_a_shorter_series_ends_in_empty_cells():
    rows = _reply("dateRange=1d&dateRange=1dcontrol&format=CSV").body.decode().splitlines()
    assert len(rows) == 98
    assert rows[-1].startswith(",,2026-08-07T10:00:00Z,")


def test_a_year_of_fifteen_minutes_is_answered_fast():
    series = "&".join(
        f"caOwner=Owner%20{n}&dateStart=2025-08-13T00:00:00Z&dateEnd=2026-08-12T23:45:00Z" for n in range(5)
    )
    began = time.perf_counter()
    reply = _reply(f"aggInterval=15m&{series}", max_span={AggInterval.FIFTEEN_MINUTES: timedelta(days=366)})
    seconds = time.perf_counter() - began
    assert reply.body.count(b"Z") > 5 * 35_000
    assert seconds < 3, "a quarter of a second where nothing else runs"
