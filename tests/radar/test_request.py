"""The query string of a batch."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.interval import AggInterval
from collector.model import Batch, Question, Slice, Window
from collector.radar.request import query_string

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)


def slice_of(filters, *, agg_interval=AggInterval.ONE_HOUR, start=JANUARY, buckets=4):
    return Slice(Question(agg_interval, filters), Window(start, start + buckets * agg_interval.step))


def parameters(*filters):
    return parse_qsl(query_string(Batch(tuple(map(slice_of, filters)))), keep_blank_values=True)


def test_it_works():
    assert query_string(Batch((slice_of({}),))) == (
        "aggInterval=1h&format=JSON&dateStart=2026-01-01T00:00:00Z&dateEnd=2026-01-01T03:45:00Z"
    )


def test_the_end_is_the_last_quarter_of_the_last_bucket_because_date_end_is_inclusive():
    batch = Batch((slice_of({}, agg_interval=AggInterval.FIFTEEN_MINUTES, buckets=96),))
    assert "dateEnd=2026-01-01T23:45:00Z" in query_string(batch)


def test_a_comma_inside_a_value_travels_encoded_twice():
    assert "caOwner=DigiCert%252C%20Inc." in query_string(Batch((slice_of({"caOwner": ("DigiCert, Inc.",)}),)))


def test_a_percent_sign_inside_a_value_travels_encoded_twice():
    assert "ca=100%2525" in query_string(Batch((slice_of({"ca": ("100%",)}),)))


def test_several_values_of_one_series_are_joined_by_a_comma_in_one_order():
    assert ("tld", "com,org") in parameters({"tld": ("org", "com", "org")})


@pytest.mark.parametrize(
    ("expected", "filters"),
    [
        ([("tld", "com"), ("tld", "org")], [{"tld": ("com",)}, {"tld": ("org",)}]),
        ([("tld", "com")], [{"tld": ("com",)}, {}]),
        ([("tld", ""), ("tld", "com")], [{}, {"tld": ("com",)}]),
        ([("ca", ""), ("ca", "R3"), ("tld", "com")], [{"tld": ("com",)}, {"ca": ("R3",)}]),
    ],
)
def test_the_ith_value_belongs_to_the_ith_slice(expected, filters):
    assert [pair for pair in parameters(*filters) if pair[0] in {"ca", "tld"}] == expected


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), min_size=1, max_size=4, unique=True))
def test_every_value_comes_back_from_the_wire(values):
    (wire,) = [value for name, value in parameters({"ca": tuple(values)}) if name == "ca"]
    read = [part.replace("%2C", ",").replace("%25", "%") for part in wire.split(",")]
    assert read == sorted(values)


def test_each_window_of_a_series_is_a_position():
    batch = Batch((slice_of({}), slice_of({}, start=JANUARY + timedelta(days=1))))
    starts = [value for name, value in parse_qsl(query_string(batch)) if name == "dateStart"]
    assert starts == ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]
