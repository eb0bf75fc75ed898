"""What is believed of an answer, and what is refused whole."""

import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.model import AggInterval, Batch, SeriesQuery, Slice, Window
from collector.radar.answer import Unsuccessful, read_answer, read_values
from collector.radar.errors import Untrusted
from collector.radar.meta import read_meta

START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = START + timedelta(days=2)
WINDOW = Window(START, START + timedelta(hours=4))
BATCH = Batch((Slice(SeriesQuery(AggInterval.ONE_HOUR, {}), WINDOW),))
TIMESTAMPS = ["2026-03-01T00:00:00Z", "2026-03-01T01:00:00Z", "2026-03-01T02:00:00Z", "2026-03-01T03:00:00Z"]
ANNOTATION = {
    "dataSource": "CT",
    "description": "A log went away",
    "startDate": "2026-03-01T00:00:00Z",
    "endDate": None,
    "eventType": "OUTAGE",
    "isInstantaneous": False,
    "linkedUrl": "https://example.com/",
}


def document(**changes):
    """An answer to BATCH; *changes* replace parts of meta, or of the series under `timestamps` and `values`."""
    series = {key: changes.pop(key) for key in ("timestamps", "values") if key in changes}
    meta = {
        "aggInterval": "ONE_HOUR",
        "lastUpdated": "2026-03-01T23:15:00Z",
        "normalization": "RAW_VALUES",
        "units": [{"name": "*", "value": "certificates"}],
        "confidenceInfo": {"level": 5, "annotations": [dict(ANNOTATION)]},
        "dateRange": [{"startTime": "2026-03-01T00:00:00Z", "endTime": "2026-03-01T03:45:00Z"}],
        **changes,
    }
    serie = {"timestamps": TIMESTAMPS, "values": ["1", "2.5", "3", "4"]} | series
    return {"success": True, "errors": [], "result": {"meta": meta, "serie_0": serie}}


def read(content):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return read_answer(body, BATCH)


def test_it_works():
    answer = read(document())
    assert list(answer.series[0].timestamps) == [int(START.timestamp()) + 3600 * hour for hour in range(4)]
    assert answer.series[0].values == [1.0, 2.5, 3.0, 4.0]
    assert answer.meta.unit == "certificates"
    assert answer.meta.confidence_level == 5
    assert answer.meta.annotations[0].end_date is None


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "1_000",
        " 1",
        "1\n",
        "1\n2",
        "٣",
        "",
        "0x10",
        "1.",
        ".5",
        "+1",
        None,
        1,
        1.5,
        True,
    ],
)
def test_a_value_that_is_no_plain_decimal_as_text_is_refused(value):
    with pytest.raises(Untrusted, match=r"not a number as text|does not fit"):
        read(document(values=["1", value, "3", "4"]))


@pytest.mark.parametrize("value", [str(2**53 + 1), "9" * 4301, "0." + "1" * 30, "1e-400", "4.9e-324000"])
def test_a_number_that_a_double_cannot_hold_exactly_is_refused(value):
    with pytest.raises(Untrusted, match="does not fit"):
        read(document(values=["1", value, "3", "4"]))


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.4e-05, "1.4e-05"), (2.0**53, "9007199254740992"), (0.871752, "0.871752"), (0.0, "-0"), (1200.0, "1.2E3")],
)
def test_a_number_that_fits_is_kept_exactly(value, text):
    (read_value,) = read_values([text])
    assert repr(read_value) == repr(value)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_every_double_written_by_its_shortest_form_is_read_back(values):
    texts = [repr(value) for value in values]
    assert [Decimal(repr(value)) for value in read_values(texts)] == [Decimal(text) for text in texts]


@pytest.mark.parametrize(
    ("reason", "timestamps"),
    [
        ("4 values", TIMESTAMPS[:3]),
        ("ascending", [TIMESTAMPS[1], TIMESTAMPS[0], *TIMESTAMPS[2:]]),
        ("ascending", [TIMESTAMPS[0], TIMESTAMPS[0], *TIMESTAMPS[2:]]),
        ("off the grid", ["2026-03-01T00:15:00Z", *TIMESTAMPS[1:]]),
        ("outside", [*TIMESTAMPS[:3], "2026-03-01T04:00:00Z"]),
        ("outside", [*TIMESTAMPS[:3], "9999-12-31T23:00:00Z"]),
        ("not a timestamp", ["2026-03-01T00:00:00", *TIMESTAMPS[1:]]),
        ("not a timestamp", ["2026-03-01T00:00:00.001Z", *TIMESTAMPS[1:]]),
        ("not a timestamp", ["2026-03-01", *TIMESTAMPS[1:]]),
        ("not a timestamp", ["2026-03-01T00:00:00+01:00", *TIMESTAMPS[1:]]),
        ("not a timestamp", ["2026-03-01T00:00:60Z", *TIMESTAMPS[1:]]),
        ("not a timestamp", ["2026-02-30T00:00:00Z", *TIMESTAMPS[1:]]),
        ("not a timestamp", [1772323200, *TIMESTAMPS[1:]]),
    ],
)
def test_timestamps_that_are_not_what_was_asked_are_refused(reason, timestamps):
    with pytest.raises(Untrusted, match=reason):
        read(document(timestamps=timestamps))


def test_milliseconds_of_zero_are_another_spelling_of_the_same_moment():
    answer = read(document(timestamps=[text.replace("Z", ".000Z") for text in TIMESTAMPS]))
    assert len(answer.series[0].timestamps) == 4


def test_timestamps_are_read_as_utc_wherever_the_computer_is(monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Kathmandu")
        time.tzset()
        answer = read(document(timestamps=TIMESTAMPS[1:], values=["1", "2", "3"]))
    time.tzset()
    assert answer.series[0].timestamps[0] == int(START.timestamp()) + 3600


def test_a_hole_is_no_error():
    answer = read(document(timestamps=TIMESTAMPS[::2], values=["1", "2"]))
    assert [timestamp % 7200 for timestamp in answer.series[0].timestamps] == [0, 0]


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("aggInterval", {"aggInterval": "ONE_DAY"}),
        ("dateRange", {"dateRange": [{"startTime": "2026-02-01T00:00:00Z", "endTime": "2026-02-01T03:45:00Z"}]}),
        ("dateRange", {"dateRange": []}),
        ("lastUpdated", {"lastUpdated": "2026-03-01"}),
        ("lastUpdated", {"lastUpdated": "0001-01-01T00:00:00+23:59"}),
        ("lastUpdated", {"lastUpdated": "20260301T000000Z"}),
        ("level", {"confidenceInfo": {"level": 2**31, "annotations": []}}),
        ("normalization", {"normalization": None}),
        ("units", {"units": None}),
        ("level", {"confidenceInfo": {"level": "5", "annotations": []}}),
        ("startDate", {"confidenceInfo": {"level": 5, "annotations": [ANNOTATION | {"startDate": None}]}}),
    ],
)
def test_meta_that_speaks_of_something_else_is_refused(reason, changes):
    with pytest.raises(Untrusted, match=reason):
        read(document(**changes))


@pytest.mark.parametrize("key", ["aggInterval", "lastUpdated", "normalization", "units", "confidenceInfo", "dateRange"])
def test_a_missing_key_of_meta_is_refused(key):
    content = document()
    del content["result"]["meta"][key]
    with pytest.raises(Untrusted, match=key):
        read(content)


def test_unknown_keys_and_words_are_kept_and_never_fail():
    content = document(normalization="NEW_WAY", aNewKey=1)
    content["result"]["meta"]["confidenceInfo"]["annotations"][0] |= {"eventType": "ECLIPSE", "mood": "calm"}
    answer = read(content)
    assert (answer.meta.normalization, answer.meta.annotations[0].event_type) == ("NEW_WAY", "ECLIPSE")


def test_text_that_no_database_keeps_is_replaced_in_annotations():
    body = json.dumps(document()).replace("A log went away", "a\\u0000b\\ud800c").encode()
    assert read(body).meta.annotations[0].description == "a\ufffdb?c"


def test_an_object_for_date_range_is_taken_as_in_older_documents():
    content = document(dateRange={"startTime": "2026-03-01T00:00:00Z", "endTime": "2026-03-01T04:00:00Z"})
    assert read(content).meta.date_ranges[0][1].hour == 4


@pytest.mark.parametrize(
    ("reason", "body"),
    [
        ("UTF-8", b'{"success": true, "\xff": 1}'),
        ("not JSON", b"\xef\xbb\xbf{}"),
        ("not JSON", b"{} trailing"),
        ("two equal keys", b'{"success": true, "result": {"meta": 1, "meta": 2}}'),
        ("NaN", b'{"success": NaN}'),
        ("deeply", b"[" * 100_000),
        ("not JSON", b'{"success": ' + b"9" * 5000 + b"}"),
        ("not an object", b"[]"),
        ("result", b'{"success": true, "result": null}'),
        ("serie_0", json.dumps(document()).replace("serie_0", "other").replace('"values"', '"vals"').encode()),
        ("not asked for", json.dumps(document()).replace("serie_0", "main").encode()),
        ("not both arrays", json.dumps(document(values="1234")).encode()),
        ("not both arrays", json.dumps(document(timestamps="1234")).encode()),
    ],
)
def test_a_body_that_is_not_the_document_is_refused(reason, body):
    with pytest.raises(Untrusted, match=reason):
        read(body)


def test_success_false_is_told_apart():
    with pytest.raises(Unsuccessful):
        read({"success": False, "errors": [{"message": "no"}], "result": None})
    with pytest.raises(Unsuccessful):
        read(document() | {"success": 1})


@pytest.mark.parametrize(("expected", "length"), [(1.0, 400), (None, 401)])
def test_a_number_has_at_most_400_characters(expected, length):
    text = "1".zfill(length)
    if expected:
        assert read_values([text]) == [expected]
        return
    with pytest.raises(Untrusted, match="does not fit"):
        read_values([text])


@pytest.mark.parametrize(("shown", "length"), [("'" + "x" * 38 + "'", 38), ("'" + "x" * 39 + "…", 39)])
def test_what_is_no_number_is_shown_up_to_40_characters(shown, length):
    with pytest.raises(Untrusted) as refused:
        read_values(["1", "x" * length])
    assert str(refused.value) == f"{shown} is not a number as text"


@pytest.mark.parametrize("content", ["no values", ["values"], 7, None, {"meta": "of another kind"}])
def test_what_stands_beside_the_series_and_has_no_values_is_ignored(content):
    body = document()
    body["result"]["note"] = content
    assert read(body).series == read(document()).series


TWO = Batch(
    (*BATCH.slices, Slice(SeriesQuery(AggInterval.ONE_HOUR, {"tld": ("com",)}), Window(NOW, NOW + timedelta(hours=4))))
)
RANGES = [{"startTime": f"2026-03-0{day}T00:00:00Z", "endTime": f"2026-03-0{day}T03:45:00Z"} for day in (1, 3)]


def test_each_position_has_its_own_window_and_range():
    body = document(dateRange=RANGES)
    later = [text.replace("03-01", "03-03") for text in TIMESTAMPS]
    body["result"]["serie_1"] = {"timestamps": later, "values": ["5", "6", "7", "8"]}
    answer = read_answer(json.dumps(body).encode(), TWO)
    assert [points.values for points in answer.series] == [[1.0, 2.5, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]
    assert answer.series[1].timestamps[0] == int(NOW.timestamp())
    assert [start.day for start, _ in answer.meta.date_ranges] == [1, 3]
    body["result"]["serie_1"]["timestamps"] = TIMESTAMPS
    with pytest.raises(Untrusted, match=f"outside {TWO.slices[1].window}"):
        read_answer(json.dumps(body).encode(), TWO)


@pytest.mark.parametrize("ranges", [[], RANGES[::-1], [*RANGES, RANGES[1]], RANGES[:1]])
def test_ranges_that_are_not_those_of_the_positions_are_refused(ranges):
    meta = document(dateRange=ranges)["result"]["meta"]
    with pytest.raises(Untrusted, match="dateRange"):
        read_meta(meta, TWO)


def test_one_range_holds_for_all_positions():
    same = Batch((BATCH.slices[0],) * 2)
    assert len(read_meta(document()["result"]["meta"], same).date_ranges) == 2


@pytest.mark.parametrize(
    ("taken", "start", "end"),
    [
        (True, "2026-03-01T00:00:00Z", "2026-03-01T04:00:00Z"),
        (True, "2026-02-28T23:00:01Z", "2026-03-01T03:00:00Z"),
        (True, "2026-03-01T01:00:00+01:00", "2026-03-01T04:00:00.000Z"),
        (False, "2026-02-28T23:00:00Z", "2026-03-01T04:00:00Z"),
        (False, "2026-03-01T00:00:01Z", "2026-03-01T04:00:00Z"),
        (False, "2026-03-01T00:00:00Z", "2026-03-01T02:59:59Z"),
        (False, "2026-03-01T00:00:00Z", "2026-03-01T04:00:01Z"),
    ],
)
def test_a_range_may_be_widened_to_bucket_edges_and_end_with_its_last_bucket(taken, start, end):
    meta = document(dateRange=[{"startTime": start, "endTime": end}])["result"]["meta"]
    if taken:
        assert len(read_meta(meta, BATCH).date_ranges) == 1
    else:
        with pytest.raises(Untrusted, match=r"dateRange is .*, asked was 2026"):
            read_meta(meta, BATCH)


def meta_with(level=5, annotations=(), **changes):
    info = {"level": level, "annotations": list(annotations)}
    return read_meta(document(**{"confidenceInfo": info, **changes})["result"]["meta"], BATCH)


@pytest.mark.parametrize(
    ("taken", "level"), [(True, 2**31 - 1), (True, -(2**31)), (True, None), (False, 2**31), (False, -(2**31) - 1)]
)
def test_a_level_is_what_a_column_holds(taken, level):
    if taken:
        assert meta_with(level).confidence_level == level
    else:
        with pytest.raises(Untrusted, match=r"meta\.confidenceInfo\.level: "):
            meta_with(level)


def numbered(count):
    return [ANNOTATION | {"description": str(number)} for number in range(count)]


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("confidenceInfo.annotations: ", {"annotations": numbered(1001)}),
        ("confidenceInfo.annotations.0.description: ", {"annotations": [ANNOTATION | {"description": "x" * 20_001}]}),
        ("confidenceInfo.annotations.0.linkedUrl: ", {"annotations": [ANNOTATION | {"linkedUrl": "x" * 20_001}]}),
        ("confidenceInfo.annotations.0.eventType: ", {"annotations": [ANNOTATION | {"eventType": "x" * 20_001}]}),
        ("confidenceInfo.annotations.0.dataSource: ", {"annotations": [ANNOTATION | {"dataSource": None}]}),
        ("confidenceInfo.annotations.0.isInstantaneous: ", {"annotations": [ANNOTATION | {"isInstantaneous": "no"}]}),
        ("normalization: ", {"normalization": ""}),
        ("lastUpdated: .*not a date-time with a zone", {"lastUpdated": "2026-03-01T24:00:00Z"}),
        ("lastUpdated: .*not a date-time as text", {"lastUpdated": 1}),
        ("lastUpdated: .*outside the years", {"lastUpdated": "0001-01-01T00:00:00+23:59"}),
        ("aggInterval is 'x{40}', asked was ONE_HOUR", {"aggInterval": "x" * 41}),
    ],
)
def test_a_part_of_meta_that_is_too_large_or_of_another_type_is_named(reason, changes):
    with pytest.raises(Untrusted, match=f"meta.{reason}"):
        meta_with(**changes)


def test_a_thousand_annotations_and_long_texts_are_kept():
    long = ANNOTATION | {
        "description": "x" * 20_000,
        "linkedUrl": None,
        "tags": ["b", "a"],
        "endDate": "2026-03-02T00:00:00Z",
    }
    found = meta_with(annotations=[*numbered(999), long]).annotations
    assert len(found) == 1000
    [kept] = [annotation for annotation in found if annotation.tags]
    assert (kept.tags, kept.linked_url, len(kept.description)) == (("a", "b"), "", 20_000)
    assert (kept.start_date, kept.end_date) == (START, START + timedelta(days=1))
    assert (kept.data_source, kept.event_type, kept.is_instantaneous) == ("CT", "OUTAGE", False)
    assert meta_with(annotations=[ANNOTATION]).annotations[0].linked_url == "https://example.com/"
    assert meta_with(annotations=[ANNOTATION | {"description": None}]).annotations[0].description == ""
    assert (
        meta_with(annotations=[ANNOTATION, ANNOTATION]).annotations == meta_with(annotations=[ANNOTATION]).annotations
    )


def test_an_answer_without_confidence_has_no_level_and_no_annotations():
    meta = meta_with(confidenceInfo=None)
    assert (meta.confidence_level, meta.annotations, meta.agg_interval) == (None, (), AggInterval.ONE_HOUR)
    assert meta.last_updated == datetime(2026, 3, 1, 23, 15, tzinfo=UTC)


def test_several_units_are_one_text_in_one_order():
    units = [{"name": "b", "value": "y"}, {"name": "a", "value": "x"}]
    assert meta_with(units=units).unit == "a=x, b=y"
