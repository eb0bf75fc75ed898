"""What is believed of an answer, and what is refused whole."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.model import AggInterval, Batch, SeriesQuery, Slice, Window
from collector.radar.answer import Unsuccessful, read_answer, read_values
from collector.radar.errors import Untrusted

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
        "confidenceInfo": {"level": 5, "annotations": [ANNOTATION]},
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
    ("value", "text"), [(1.4e-05, "1.4e-05"), (2.0**53, "9007199254740992"), (0.871752, "0.871752"), (0.0, "-0")]
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
    ],
)
def test_a_body_that_is_not_the_document_is_refused(reason, body):
    with pytest.raises(Untrusted, match=reason):
        read(body)


def test_success_false_is_told_apart():
    with pytest.raises(Unsuccessful):
        read({"success": False, "errors": [{"message": "no"}], "result": None})
