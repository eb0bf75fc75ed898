"""What is taken of an answer, what is left out, and what refuses the whole.

Tests named take, leave out and refuse are the rows of one table: each part of an answer and its variations.
"""

import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.model import UNKNOWN_LAST_UPDATED, AggInterval, Batch, Question, Slice, Window, rfc3339
from collector.radar.errors import Coarsened, OffGrid, Untrusted
from collector.radar.response import Deviations, UnsuccessfulEnvelope, parse_answer
from collector.radar.response_points import parse_values

START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = START + timedelta(days=2)
WINDOW = Window(START, START + timedelta(hours=4))
BATCH = Batch((Slice(Question(AggInterval.ONE_HOUR, {}), WINDOW),))
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


def read(content, batch=BATCH):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return parse_answer(body, batch)


def hours(answer, position=0):
    """The values of a series by hour."""
    points = answer.series[position]
    begin = int(START.timestamp())
    return {(t - begin) // 3600: value for t, value in zip(points.timestamps, points.values, strict=True)}


def series(*names, **changes):
    """A batch of as many series as *names*, and an answer in which they have these names."""
    batch = Batch(tuple(Slice(Question(AggInterval.ONE_HOUR, {"ca": (str(n),)}), WINDOW) for n in range(len(names))))
    content = document(**changes)
    result = content["result"]
    first = result.pop("serie_0")
    for number, name in enumerate(names):
        result[name] = first | {"values": [str(10 * number + n) for n in range(4)]}
    return batch, content


def without(*path):
    """The document without one of its parts."""
    content = inner = document()
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return content


WHOLE = {0: 1.0, 1: 2.5, 2: 3.0, 3: 4.0}


def test_it_works():
    answer = read(document())
    assert list(answer.series[0].timestamps) == [int(START.timestamp()) + 3600 * hour for hour in range(4)]
    assert answer.series[0].values == [1.0, 2.5, 3.0, 4.0]
    assert answer.meta.unit == "certificates"
    assert answer.meta.confidence_level == 5
    assert answer.meta.annotations[0].end_date is None
    assert (answer.missing, answer.deviations) == (frozenset(), ())


# Envelope and JSON

ENVELOPES = {
    "without errors": without("errors"),
    "errors null": document() | {"errors": None},
    "errors filled": document() | {"errors": [{"code": 1, "message": "beside it"}], "messages": ["x"]},
    "unknown keys": document() | {"result_info": {"page": 1}},
    "without success": without("success"),
    "a byte-order mark": b"\xef\xbb\xbf" + json.dumps(document()).encode(),
}


@pytest.mark.parametrize("content", ENVELOPES.values(), ids=ENVELOPES)
def test_take_envelope(content):
    assert hours(read(content)) == WHOLE


@pytest.mark.parametrize(
    ("reason", "body"),
    [
        ("UTF-8", b'{"success": true, "\xff": 1}'),
        ("UTF-8", json.dumps(document()).encode("utf-16")),
        ("not JSON", b"{} trailing"),
        ("two equal keys", b'{"success": true, "result": {"meta": 1, "meta": 2}}'),
        ("two equal keys", json.dumps(document()).replace('"errors"', '"success": true, "errors"').encode()),
        ("NaN", b'{"success": NaN}'),
        ("Infinity", json.dumps(document(values=[1, 2, 3, float("inf")])).encode()),
        ("deeply", b"[" * 100_000),
        ("not JSON", b'{"success": ' + b"9" * 5000 + b"}"),
        ("not an object", b"[]"),
        ("result", b'{"success": true, "result": null}'),
        ("success", b'{"result": null}'),
        ("not both arrays", json.dumps(document(values="1234")).encode()),
        ("3 timestamps but 4 values", json.dumps(document(timestamps=TIMESTAMPS[:3])).encode()),
    ],
)
def test_refuse_a_body_that_is_not_the_document(reason, body):
    with pytest.raises(Untrusted, match=reason):
        read(body)


@pytest.mark.parametrize("success", [False, "false", 0])
def test_success_false_is_told_apart(success):
    with pytest.raises(UnsuccessfulEnvelope):
        read(document() | {"success": success})


# Which object is which series


@pytest.mark.parametrize(
    "name", ["serie_0", "Serie_0", "SERIE 0", "serie-0", "serie0", "series_0", "main", "RSA", "timeseries"]
)
def test_take_the_one_series_whatever_its_name(name):
    batch, content = series(name)
    assert hours(read(content, batch)) == {0: 0, 1: 1, 2: 2, 3: 3}


@pytest.mark.parametrize(
    ("names", "order"),
    [
        *(((*names,), order) for names in (("serie_0", "serie_1"), ("Serie_0", "Serie 1")) for order in (1, -1)),
        (("serie-0", "SERIE1"), -1),
        (("series_0", "series_1"), 1),
    ],
)
def test_take_series_by_the_number_in_their_names(names, order):
    batch, content = series(*names)
    result = content["result"]
    content["result"] = {name: result[name] for name in [*result][::order]}
    answer = read(content, batch)
    assert [hours(answer, position)[0] for position in (0, 1)] == [0, 10]


def test_take_unknown_objects_beside_series():
    content = document()
    content["result"] |= {"info": {"a": 1}, "notes": ["x"], "serie_1": None}
    assert hours(read(content)) == WHOLE


@pytest.mark.parametrize(
    "names",
    [
        ("serie_1",),
        ("serie_7",),
        ("Serie_1 ",),
        ("serie_\u0661",),
        ("serie_1", "serie_2"),
        ("a", "b"),
        ("serie_0", "other"),
        ("serie_0", "Serie_0"),
        ("RSA", "ECDSA"),
    ],
)
def test_refuse_names_that_may_mean_another_order(names):
    batch, content = series(*names)
    with pytest.raises(Untrusted, match=r"not requested|no series"):
        read(content, batch)


def test_refuse_other_names_in_another_order_than_was_asked_for():
    batch, content = series("series_1", "series_0")
    with pytest.raises(Untrusted, match="another order"):
        read(content, batch)


@pytest.mark.parametrize("more", ["serie_1", "other"])
def test_refuse_more_series_than_were_asked_for(more):
    content = document()
    content["result"][more] = content["result"]["serie_0"]
    with pytest.raises(Untrusted, match="not requested"):
        read(content)


@pytest.mark.parametrize("instead", ["absent", None, {}, []])
def test_leave_out_a_series_that_is_missing_while_others_came(instead):
    batch, content = series("serie_0", "serie_1", "serie_2")
    content["result"]["serie_1"] = instead
    if instead == "absent":
        del content["result"]["serie_1"]
    answer = read(content, batch)
    assert answer.missing == {1}
    assert [hours(answer, position)[0] for position in (0, 1)] == [0, 20]
    assert len(answer.meta.date_ranges) == 2


def test_refuse_an_answer_without_any_series():
    with pytest.raises(Untrusted, match="no series serie_0"):
        read(without("result", "serie_0"))


# Timestamps

SPELLINGS = {
    "milliseconds": [text.replace("Z", ".000Z") for text in TIMESTAMPS],
    "nanoseconds": [text.replace("Z", ".000000000Z") for text in TIMESTAMPS],
    "small z": [text.replace("Z", "z") for text in TIMESTAMPS],
    "offset zero": [text.replace("Z", "+00:00") for text in TIMESTAMPS],
    "another offset": ["2026-03-01T01:00:00+01:00", "2026-03-01T02:00+01:00", *TIMESTAMPS[2:]],
    "minus": ["2026-02-28T19:30:00-04:30", *TIMESTAMPS[1:]],
    "no seconds": [text.replace(":00Z", "Z") for text in TIMESTAMPS],
    "a blank": [text.replace("T", " ") for text in TIMESTAMPS],
    "naive": [text.removesuffix("Z") for text in TIMESTAMPS],
    "one naive": ["2026-03-01T00:00:00", *TIMESTAMPS[1:]],
    "date only": ["2026-03-01", *TIMESTAMPS[1:]],
    "seconds": [int(START.timestamp()) + 3600 * hour for hour in range(4)],
    "milliseconds as numbers": [1000 * (int(START.timestamp()) + 3600 * hour) for hour in range(4)],
    "seconds as text": [str(int(START.timestamp()) + 3600 * hour) for hour in range(4)],
}


@pytest.mark.parametrize("timestamps", SPELLINGS.values(), ids=SPELLINGS)
def test_take_timestamps(timestamps):
    assert hours(read(document(timestamps=timestamps))) == WHOLE


def test_take_timestamps_in_any_order_and_equal_neighbours():
    answer = read(document(timestamps=[*TIMESTAMPS[::-1], TIMESTAMPS[1]], values=["4", "3", "2.5", "1", "2.50"]))
    assert hours(answer) == WHOLE
    assert "timestamps are not ascending" in answer.deviations


@pytest.mark.parametrize("other", [None, "2026-03-01T04:00:00Z", "2026-02-28T23:00:00Z", "9999-12-31T23:00:00Z"])
def test_leave_out_timestamps(other):
    answer = read(document(timestamps=[TIMESTAMPS[0], other, *TIMESTAMPS[2:]]))
    assert hours(answer) == {0: 1.0, 2: 3.0, 3: 4.0}
    assert len(answer.deviations) == 1


@pytest.mark.parametrize(
    ("reason", "timestamps"),
    [
        ("two values", [TIMESTAMPS[0], TIMESTAMPS[0], *TIMESTAMPS[2:]]),
        ("several grids", ["2026-03-01T00:15:00Z", *TIMESTAMPS[1:]]),
        ("several grids", ["2026-03-01T00:00:00.000000001Z", *TIMESTAMPS[1:]]),
        ("not a timestamp", ["2026-03-01T00:00:60Z", *TIMESTAMPS[1:]]),
        ("not a timestamp", ["2026-02-30T00:00:00Z", *TIMESTAMPS[1:]]),
        ("not a timestamp", ["2026-03-01T00:00:00 CET", *TIMESTAMPS[1:]]),
        ("not a timestamp", ["٢٠٢٦-03-01T00:00:00Z", *TIMESTAMPS[1:]]),
        ("not a timestamp", [True, *TIMESTAMPS[1:]]),
        ("not a timestamp", ["2026-03-05T03:00:00+99:00", *TIMESTAMPS[1:]]),
        ("not a timestamp", [10**4000, *TIMESTAMPS[1:]]),
        ("do not fit", [text.removesuffix("Z").replace("03-01", "02-28") for text in TIMESTAMPS]),
        ("do not fit", ["2026-03-01T04:00:00", *TIMESTAMPS[1:]]),
        ("all timestamps are outside", [text.replace("03-01", "02-28") for text in TIMESTAMPS]),
    ],
)
def test_refuse_timestamps(reason, timestamps):
    with pytest.raises(Untrusted, match=reason):
        read(document(timestamps=timestamps))


def test_refuse_a_grid_that_lies_elsewhere_and_say_where():
    with pytest.raises(OffGrid) as refused:
        read(document(timestamps=[text.replace(":00:00Z", ":30:00Z") for text in TIMESTAMPS]))
    assert refused.value.offset == timedelta(minutes=30)


HALF_PAST = [text.replace(":00:00Z", ":30:00Z") for text in TIMESTAMPS]


@pytest.mark.parametrize(
    "timestamps",
    [
        [TIMESTAMPS[0], *HALF_PAST],
        ["2026-02-28T23:30:00Z", *HALF_PAST],
        ["2026-02-28T23:30:00Z"],
        [None, *HALF_PAST],
    ],
    ids=["the first one cut off", "one before the window", "only the one it begins in", "beside null"],
)
def test_buckets_at_the_begin_of_a_window_do_not_hide_the_grid(timestamps):
    with pytest.raises(OffGrid) as refused:
        read(document(timestamps=timestamps, values=["1"] * len(timestamps)))
    assert refused.value.offset == timedelta(minutes=30)


def test_refuse_series_that_lie_on_several_grids():
    batch, content = series("serie_0", "serie_1")
    content["result"]["serie_1"]["timestamps"] = HALF_PAST
    with pytest.raises(Untrusted, match="the series are on several grids") as refused:
        read(content, batch)
    assert not isinstance(refused.value, OffGrid)
    content["result"]["serie_0"] |= {"timestamps": [], "values": []}
    with pytest.raises(OffGrid):
        read(content, batch)


def test_a_hole_is_no_error():
    answer = read(document(timestamps=TIMESTAMPS[::2], values=["1", "2"]))
    assert hours(answer) == {0: 1, 2: 2}
    assert read(document(timestamps=[], values=[])).series[0].values == []


# Values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.4e-05, "1.4e-05"),
        (2.0**53, "9007199254740992"),
        (0.871752, "0.871752"),
        (0.0, "-0"),
        (7.0, "007"),
        (1.0, "+1"),
        (1.0, "1."),
        (0.5, ".5"),
        (1.0, " 1"),
        (1.0, "1\n"),
        (-3.5, "-3.5"),
        (100.0, "1E2"),
        (1.0, 1),
        (1.5, 1.5),
        (0.1, 0.1),
        (0.1111111111111111, "0." + "1" * 30),
        (0.0, "1e-400"),
        (0.0, "4.9e-324000"),
    ],
)
def test_take_a_value(value, text):
    (found,) = read(document(timestamps=TIMESTAMPS[:1], values=[text])).series[0].values
    assert repr(found) == repr(value)


def test_a_value_that_had_to_be_rounded_is_noted():
    assert read(document(values=["1", "2", "3", "0." + "1" * 30])).deviations
    assert not read(document(values=["1", "2", "3", "0.1"])).deviations


@given(st.lists(st.floats(min_value=-(2**53), max_value=2**53)))
def test_every_double_written_by_its_shortest_form_is_read_back(values):
    deviations = Deviations()
    texts = [repr(value) for value in values]
    found, unreadable = parse_values(texts, deviations)
    assert [Decimal(repr(value)) for value in found] == [Decimal(text) for text in texts]
    assert (unreadable, deviations.kinds) == (0, ())


WORDS = [
    None,
    "",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "1_000",
    "1\n2",
    "٣",
    "0x10",
    "1,000",
    "1.5\n2",
    "n/a",
    True,
    [],
    {},
    ["2"],
    {"value": "2"},
]


@pytest.mark.parametrize("value", WORDS)
def test_leave_out_a_value(value):
    answer = read(document(values=["1", value, "3", "4"]))
    assert hours(answer) == {0: 1.0, 2: 3.0, 3: 4.0}
    assert len(answer.deviations) == 1


FRACTIONS = ["9007199254740992.1", "-9007199254740992.5", "9.007199254740993e15"]  # as doubles these are 2^53


@pytest.mark.parametrize(
    "value",
    [
        str(2**53 + 1),
        2**53 + 1,
        "9" * 4301,
        "9" * 400 + ".5",
        pytest.param("9" * 10**6 + ".", id="a million digits"),
        "-9007199254740993",
        "1e300",
        "1e17",
        *FRACTIONS,
    ],
)
def test_refuse_a_number_that_a_double_may_not_hold_exactly(value):
    with pytest.raises(Untrusted, match="larger than 2"):
        read(document(values=["1", value, "3", "4"]))


def test_refuse_an_answer_of_which_more_than_half_is_unreadable():
    assert hours(read(document(values=["1", "2", "x", "y"]))) == {0: 1, 1: 2}
    with pytest.raises(Untrusted, match="3 of 4 values"):
        read(document(values=["1", "NaN", "x", "y"]))
    assert hours(read(document(values=["1", None, None, None]))) == {0: 1}


# Interval


@pytest.mark.parametrize("word", ["ONE_HOUR", "one_hour", "1h", "1H", "One Hour", None, "", "HOURLY"])
def test_take_the_interval(word):
    assert hours(read(document(aggInterval=word))) == WHOLE


@pytest.mark.parametrize("word", ["ONE_DAY", "1d", "FIFTEEN_MINUTES", "ONE_MONTH"])
def test_refuse_another_interval(word):
    with pytest.raises(Coarsened, match="but ONE_HOUR was requested"):
        read(document(aggInterval=word))


def test_refuse_buckets_that_lie_too_far_apart_if_no_word_says_the_interval():
    with pytest.raises(Coarsened, match="7200 s apart"):
        read(document(aggInterval=None, timestamps=TIMESTAMPS[::2], values=["1", "2"]))
    with pytest.raises(Untrusted, match="nothing names the width"):
        read(document(aggInterval=None, timestamps=TIMESTAMPS[:1], values=["1"]))
    assert hours(read(document(aggInterval=None, timestamps=[], values=[]))) == {}


def test_refuse_an_answer_without_the_first_series():
    batch, content = series("serie_0", "serie_1", "serie_2")
    del content["result"]["serie_0"]
    with pytest.raises(Untrusted, match="numbered from one"):
        read(content, batch)
    assert hours(read(document(aggInterval=None, values=["1", None, "3", None]))) == {0: 1, 2: 3}
    with pytest.raises(Coarsened, match="7200 s apart"):
        read(document(aggInterval=None, timestamps=TIMESTAMPS[::2], values=["1", None]))


# What the answer says of itself

RANGE = {"startTime": "2026-03-01T00:00:00Z", "endTime": "2026-03-01T03:45:00Z"}


@pytest.mark.parametrize(
    ("start", "end", "content"),
    [
        ("00:00", "03:45", [RANGE]),
        ("00:00", "03:45", RANGE),
        ("00:00", "04:00", RANGE | {"endTime": "2026-03-01T04:00:00Z"}),
        ("00:00", "02:00", RANGE | {"endTime": "2026-03-01T02:00:00.123456Z"}),
        ("00:00", "00:00", RANGE | {"startTime": "2026-03-01", "endTime": "2026-03-02"}),
    ],
)
def test_take_a_date_range(start, end, content):
    ((first, last),) = read(document(dateRange=content)).meta.date_ranges
    assert (f"{first:%H:%M}", f"{last:%H:%M}") == (start, end)


@pytest.mark.parametrize("content", [None, [], {}, "7d", [{"startTime": "x"}], [None], RANGE | {"endTime": None}])
def test_leave_out_a_date_range(content):
    answer = read(document(dateRange=content))
    assert answer.meta.date_ranges == (None,)
    assert hours(answer) == WHOLE


@pytest.mark.parametrize("unreadable", [None, {}, "today", {"startTime": "2026-03-01T00:00:00Z"}])
def test_leave_out_one_date_range_beside_another(unreadable):
    batch, content = series("serie_0", "serie_1", dateRange=[unreadable, RANGE])
    first, second = read(content, batch).meta.date_ranges
    assert first is None
    assert rfc3339(second[1]) == RANGE["endTime"]


def test_take_one_date_range_for_all():
    batch, content = series("serie_0", "serie_1", dateRange=[RANGE])
    first, second = read(content, batch).meta.date_ranges
    assert first == second
    later = Slice(batch.slices[1].series, Window(WINDOW.start + timedelta(days=1), WINDOW.end + timedelta(days=1)))
    days = Batch((batch.slices[0], later))
    content["result"]["serie_1"] = {"timestamps": [], "values": []}
    assert read(content, days).meta.date_ranges == (first, None)


def test_refuse_a_date_range_that_has_nothing_to_do_with_what_was_asked():
    other = {"startTime": "2026-02-01T00:00:00Z", "endTime": "2026-02-01T03:45:00Z"}
    with pytest.raises(Untrusted, match="dateRange"):
        read(document(dateRange=[other]))
    batch, content = series("serie_0", "serie_1", dateRange=[RANGE, other])
    with pytest.raises(Untrusted, match="dateRange"):
        read(content, batch)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("2026-03-01T23:15:00Z", "2026-03-01T23:15:00Z"),
        ("2026-03-01T23:15:00Z", "2026-03-02T00:15:00+01:00"),
        ("2026-03-01T23:15:00Z", "2026-03-01 23:15:00"),
        ("2026-03-01T23:15:00Z", "2026-03-01T23:15"),
        ("2026-03-01T23:15:00.123456Z", "2026-03-01T23:15:00.123456Z"),
        ("2026-03-01T00:00:00Z", "2026-03-01"),
        ("2026-03-01T00:00:00Z", int(START.timestamp())),
    ],
)
def test_take_last_updated(moment, text):
    assert rfc3339(read(document(lastUpdated=text)).meta.last_updated) == moment


@pytest.mark.parametrize("text", [None, "", "soon", "20260301T000000Z", "0001-01-01T00:00:00+23:59", {}, 10**400])
def test_leave_out_last_updated(text):
    assert read(document(lastUpdated=text)).meta.last_updated == UNKNOWN_LAST_UPDATED


@pytest.mark.parametrize(
    ("normalization", "word"),
    [
        ("RAW_VALUES", "RAW_VALUES"),
        ("RAW_VALUES", "raw_values"),
        ("RAW_VALUES", "Raw Values"),
        ("MIN0_MAX", "min0_max"),
        ("NEW_WAY", "NEW_WAY"),
        ("", None),
        ("", ""),
        ("", []),
        ("", 5),
    ],
)
def test_take_normalization(normalization, word):
    assert read(document(normalization=word)).meta.normalization == normalization


@pytest.mark.parametrize(
    ("unit", "units"),
    [
        ("certificates", [{"name": "*", "value": "certificates"}]),
        ("certificates", {"name": "*", "value": "certificates"}),
        ("certificates", {"*": "certificates"}),
        ("certificates", [{"name": "serie_0", "value": "certificates"}, {"name": "serie_1", "value": "certificates"}]),
        ("certificates", "certificates"),
        ("a=x, b=y", [{"name": "b", "value": "y"}, {"name": "a", "value": "x"}]),
        ("a=%, b=#", [{"name": "b", "value": "#"}, {"name": "a", "value": "%"}]),
        ("B its", [{"name": "b", "value": "B its"}, {"name": "a", "value": "bits"}]),
        ("", None),
        ("", []),
        ("", [{"name": "*", "value": None}]),
        ("", [{"name": "*"}]),
        ("", 3),
    ],
)
def test_take_units(unit, units):
    assert read(document(units=units)).meta.unit == unit


@pytest.mark.parametrize(
    ("level", "info"),
    [
        (None, None),
        (None, {}),
        (5, {"level": 5}),
        (5, {"level": 5.0, "annotations": []}),
        (5, {"level": "5", "annotations": None}),
        (0, {"level": 0, "annotations": []}),
        (None, {"annotations": []}),
        (None, {"level": None, "annotations": []}),
        (None, {"level": 6, "annotations": []}),
        (None, {"level": 2**31, "annotations": []}),
        (None, {"level": -1, "annotations": []}),
        (None, {"level": "high", "annotations": "none"}),
        (None, {"level": True}),
        (None, []),
    ],
)
def test_take_confidence(level, info):
    answer = read(document(confidenceInfo=info))
    assert answer.meta.confidence_level == level
    assert hours(answer) == WHOLE


@pytest.mark.parametrize("key", ["aggInterval", "lastUpdated", "normalization", "units", "confidenceInfo", "dateRange"])
def test_take_an_answer_without_a_key_of_meta(key):
    answer = read(without("result", "meta", key))
    assert hours(answer) == WHOLE
    assert answer.deviations == (f"meta.{key} is absent",)


@pytest.mark.parametrize("meta", [None, [], "none"])
def test_take_an_answer_without_meta(meta):
    content = document()
    content["result"]["meta"] = meta
    assert hours(read(content)) == WHOLE


def remark(**changes):
    answer = read(document(confidenceInfo={"level": 5, "annotations": [ANNOTATION | changes]}))
    assert hours(answer) == WHOLE
    return answer.meta.annotations[0]


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        ({"event_type": "ECLIPSE"}, {"eventType": "ECLIPSE", "mood": "calm"}),
        ({"event_type": None}, {"eventType": None}),
        ({"end_date": None}, {"endDate": None}),
        ({"end_date": None}, {"endDate": "never"}),
        ({"end_date": datetime(2026, 2, 1, tzinfo=UTC)}, {"endDate": "2026-02-01"}),
        ({"start_date": START}, {"startDate": "2026-03-01T00:00:00"}),
        ({"description": None, "linked_url": None}, {"description": None, "linkedUrl": None}),
        ({"description": "", "linked_url": ""}, {"description": "", "linkedUrl": ""}),
        ({"is_instantaneous": True}, {"isInstantaneous": 1}),
        ({"is_instantaneous": True}, {"isInstantaneous": "true"}),
        ({"is_instantaneous": False}, {"isInstantaneous": "false"}),
        ({"tags": ("a", "b")}, {"tags": ["b", "a"]}),
        ({"tags": ('{"k": 1}',)}, {"tags": [{"k": 1}]}),
        ({"tags": ('{"k": [1.5]}',)}, {"tags": [{"k": [1.5]}]}),
        ({"tags": ("a",)}, {"tags": "a"}),
        ({"description": "x" * 65_536}, {"description": "x" * 70_000}),
        ({"description": "a\ufffdb?c"}, {"description": "a\0b\ud800c"}),
    ],
)
def test_take_an_annotation(expected, changes):
    found = remark(**changes)
    assert {name: getattr(found, name) for name in expected} == expected


def test_leave_out_annotations_without_a_readable_start():
    remarks = [ANNOTATION, ANNOTATION, ANNOTATION | {"startDate": None}, "text", None, {}]
    answer = read(document(confidenceInfo={"level": 5, "annotations": remarks}))
    assert len(answer.meta.annotations) == 1
    assert answer.deviations == ("annotations without a readable start are left out",)


def test_timestamps_are_read_as_utc_wherever_the_computer_is(monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Kathmandu")
        time.tzset()
        answer = read(document(timestamps=[text.removesuffix("Z") for text in TIMESTAMPS]))
    time.tzset()
    assert hours(answer) == WHOLE


def test_each_position_has_its_own_window_and_range():
    ranges = [{name: text.replace("03-01", f"03-0{day}") for name, text in RANGE.items()} for day in (1, 3)]
    batch, content = series("serie_0", "serie_1", dateRange=ranges)
    later = Slice(batch.slices[1].series, Window(NOW, NOW + timedelta(hours=4)))
    batch = Batch((batch.slices[0], later))
    content["result"]["serie_1"]["timestamps"] = [text.replace("03-01", "03-03") for text in TIMESTAMPS]
    answer = read(content, batch)
    assert answer.series[1].timestamps[0] == int(NOW.timestamp())
    assert [start.day for start, _ in answer.meta.date_ranges] == [1, 3]
    content["result"]["serie_1"]["timestamps"] = TIMESTAMPS
    with pytest.raises(Untrusted, match=f"outside {later.window}"):
        read(content, batch)
