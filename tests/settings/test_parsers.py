from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.settings.values import format_duration, parse_bounded_duration, parse_duration, parse_since


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (timedelta(seconds=30), "30s"),
        (timedelta(minutes=15), "15m"),
        (timedelta(hours=1), "1h"),
        (timedelta(days=2), "2d"),
        (timedelta(weeks=1), "1w"),
        (timedelta(0), "0s"),
        (timedelta(minutes=15), "015m"),
    ],
)
def test_a_number_and_a_unit_are_a_duration(expected, text):
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "s", "30", "30 s", " 30s", "30s\n", "-1s", "1.5h", "1h30m", "30S", "٣s", "1_0s", "1y"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("expected", "text"), [("14d", "2w"), ("90s", "90s"), ("2m", "120s"), ("36h", "36h"), ("0s", "0d"), ("1d", "24h")]
)
def test_a_duration_is_written_in_its_largest_unit(expected, text):
    assert format_duration(parse_duration(text)) == expected


@given(st.integers(0, 10**9 - 1))
def test_what_is_written_is_read_back(seconds):
    assert parse_duration(format_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("reason", "value"),
    [("too short", "0s"), ("too long", "11m"), ("not a duration", "soon"), ("not a duration in quotes", 30)],
)
def test_a_duration_out_of_bounds_is_refused(reason, value):
    with pytest.raises(ValueError, match=f"^{reason}$"):
        parse_bounded_duration(value, timedelta(seconds=1), timedelta(minutes=10))


@pytest.mark.parametrize("value", ["1s", "10m", timedelta(seconds=5)])
def test_the_bounds_are_allowed(value):
    assert parse_bounded_duration(value, timedelta(seconds=1), timedelta(minutes=10))


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        (datetime(2026, 1, 31, tzinfo=UTC), "2026-01-31"),
        (datetime(2026, 1, 31, tzinfo=UTC), date(2026, 1, 31)),
        (datetime(2026, 1, 31, 12, 5, tzinfo=UTC), "2026-01-31T12:05:00Z"),
        (datetime(2026, 1, 31, 12, 5, tzinfo=UTC), "2026-01-31t12:05:00z"),
        (datetime(2026, 1, 31, 10, 5, tzinfo=UTC), "2026-01-31 12:05:00+02:00"),
        (datetime(2026, 1, 31, 10, 5, tzinfo=UTC), datetime(2026, 1, 31, 12, 5, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_dates_and_moments_with_an_offset_are_read_as_utc(expected, value):
    assert parse_since(value) == expected
    assert parse_since(value).tzinfo is UTC


@pytest.mark.parametrize(
    ("reason", "value"),
    [
        ("a time without an offset", "2026-01-31T12:05:00"),
        ("a time without an offset", datetime(2026, 1, 31, 12, 5)),  # noqa: DTZ001 - TOML's local time
        ("neither a date", "yesterday"),
        ("neither a date", "20260131"),
        ("neither a date", "2026-W05-6"),
        ("neither a date", "2026-01-31T12"),
        ("neither a date", "٢٠٢٦-01-31"),
        ("neither a date", ""),
        ("this day or time does not exist", "2026-02-30"),
        ("this day or time does not exist", "2026-01-31T25:00:00Z"),
        ("outside the range", "0001-01-01T00:00:00+14:00"),
        ("not a date", 2026),
        ("not a date", True),
        ("not a date", ["2026-01-31"]),
    ],
)
def test_anything_else_is_refused_without_quoting_it(reason, value):
    with pytest.raises(ValueError, match=f"^{reason}") as refused:
        parse_since(value)
    assert not str(value) or str(value) not in str(refused.value)


@given(st.text() | st.dates() | st.datetimes() | st.datetimes(timezones=st.timezones()))
def test_only_value_error_is_raised(value):
    with suppress(ValueError):
        assert parse_since(value).tzinfo is UTC
