from __future__ import annotations

import pytest

from collector.contract.request_parser import auto_interval, parse_date_range
from collector.contract.response import ApiError
from collector.interval import AggInterval
from collector.timestamps import from_epoch, rfc3339, utc

NOW = utc("2026-08-14T10:07:00Z").timestamp()
DAY = 86_400


def _read(relative="", start="", end="", default_range="7d"):
    dates = parse_date_range((relative, start, end), default_range, NOW)
    return rfc3339(from_epoch(dates.start))[:16], rfc3339(from_epoch(dates.end))[:16]


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (("2026-08-13T10:00", "2026-08-14T10:00"), "1d"),
        (("2026-07-31T10:00", "2026-08-07T10:00"), "7dcontrol"),
        (("2026-07-31T10:00", "2026-08-07T10:00"), "7dControl"),
        (("2026-07-21T10:00", "2026-07-31T10:00"), "10dCONTROL"),
        (("2026-07-31T10:00", "2026-08-14T10:00"), "2w"),
        (("2026-07-17T10:00", "2026-07-31T10:00"), "2wcontrol"),
        (("2025-08-15T10:00", "2026-08-14T10:00"), "364d"),
        (("2025-08-15T10:00", "2026-08-14T10:00"), "52w"),
        (("2026-08-06T10:00", "2026-08-07T10:00"), "1dcontrol"),
    ],
)
def test_a_relative_range_ends_now_and_a_control_lies_whole_weeks_before(expected, text):
    assert _read(text) == expected


@pytest.mark.parametrize(
    "text", ["0d", "365d", "53w", "07d", "7", "d", "7D", "7d control", "7d ", "-7d", "\u0667d", "1h"]
)
def test_a_relative_range_of_another_form_is_rejected(text):
    with pytest.raises(ApiError, match="dateRange"):
        _read(text)


def test_dates_are_floored_to_fifteen_minutes():
    expected = ("2026-08-01T00:00", "2026-08-01T04:45")
    assert _read("", "2026-08-01T00:14:59.999Z", "2026-08-01T07:00:00+02:15") == expected


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-08-01T00:00:00Z", ""),
        ("", "2026-08-01T00:00:00Z"),
        ("2026-08-01", "2026-08-02"),
        ("2026-08-01T00:00:00", "2026-08-02T00:00:00"),
        ("2026-08-01T00:00Z", "2026-08-02T00:00Z"),
        ("2026-08-01T00:00:60Z", "2026-08-02T00:00:00Z"),
        ("2026-08-02T00:00:00Z", "2026-08-01T00:00:00Z"),
        ("2026-08-14T00:00:00Z", "2026-08-14T10:07:01Z"),
        ("0001-01-01T00:00:00+14:00", "2026-08-01T00:00:00Z"),
        ("1969-12-31T23:59:59Z", "2026-08-01T00:00:00Z"),
        ("2026-08-01T00:00:00Z", "9999-12-31T23:59:59-14:00"),
    ],
)
def test_dates_that_are_no_range_are_rejected(start, end):
    with pytest.raises(ApiError) as refused:
        _read("", start, end)
    assert refused.value.reply().status == 400


def test_a_range_and_dates_exclude_each_other():
    with pytest.raises(ApiError, match="cannot be combined"):
        _read("1d", "2026-08-01T00:00:00Z", "2026-08-02T00:00:00Z")


def test_without_a_date_the_default_is_used_or_the_request_is_rejected():
    assert _read() == ("2026-08-07T10:00", "2026-08-14T10:00")
    assert _read(default_range="1d") == ("2026-08-13T10:00", "2026-08-14T10:00")
    with pytest.raises(ApiError, match="must be given"):
        _read(default_range=None)


def test_the_bucket_that_contains_the_end_is_part_of_the_range():
    dates = parse_date_range(("", "2026-08-12T02:00:00Z", "2026-08-12T05:00:00Z"), None, NOW)
    assert dates.buckets(AggInterval.ONE_HOUR) == (dates.start, dates.start + 4 * 3600)
    monday = utc("2026-08-10T00:00:00Z").timestamp()
    assert dates.buckets(AggInterval.ONE_WEEK) == (monday, monday + 7 * DAY)


@pytest.mark.parametrize(
    ("expected", "days"), [("15m", 0), ("15m", 1), ("1h", 1.01), ("1h", 7), ("1h", 31), ("1d", 31.01), ("1d", 364)]
)
def test_the_interval_follows_the_duration(expected, days):
    assert auto_interval(int(days * DAY)) == expected


def test_dates_may_be_one_moment_up_to_the_present_and_from_1970_on():
    assert _read("", "1970-01-01T00:00:00Z", "2026-08-14T10:07:00Z") == ("1970-01-01T00:00", "2026-08-14T10:00")
    assert _read("", "2026-08-14 10:07:00Z", "2026-08-14T10:07:00Z") == ("2026-08-14T10:00", "2026-08-14T10:00")


@pytest.mark.parametrize(
    ("words", "start", "end"),
    [
        ("must be given together", "2026-08-01T00:00:00Z", ""),
        ("must be given together", "", "2026-08-01T00:00:00Z"),
        ("dateStart: expected an RFC 3339 date-time, received 'x'", "x", "2026-08-01T00:00:00Z"),
        ("dateEnd: expected an RFC 3339 date-time, received 'x'", "2026-08-01T00:00:00Z", "x"),
        ("dateEnd: must not lie in the future", "2026-08-01T00:00:00Z", "2026-08-14T10:07:01Z"),
        ("dateStart: must not lie behind dateEnd", "2026-08-01T00:00:01Z", "2026-08-01T00:00:00Z"),
    ],
)
def test_an_error_of_dates_names_the_parameter_and_the_reason(words, start, end):
    with pytest.raises(ApiError, match=f"^(dateStart and dateEnd )?{words}"):
        _read("", start, end)


@pytest.mark.parametrize(("start", "end"), [("2026-08-01T00:00:00Z", ""), ("", "2026-08-01T00:00:00Z")])
def test_a_range_and_one_date_exclude_each_other(start, end):
    with pytest.raises(ApiError, match="cannot be combined"):
        _read("1d", start, end)


def test_a_relative_range_ends_with_the_day_that_is_given_and_lasts_its_duration():
    dates = parse_date_range(("2d", "", ""), None, NOW, NOW - 5 * DAY)
    assert (rfc3339(from_epoch(dates.end)), dates.duration) == ("2026-08-09T10:00:00Z", 2 * DAY)
