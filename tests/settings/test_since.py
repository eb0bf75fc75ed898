from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.settings.since import read_since


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
    assert read_since(value) == expected
    assert read_since(value).tzinfo is UTC


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
        ("no such day", "2026-02-30"),
        ("no such day", "2026-01-31T25:00:00Z"),
        ("no such moment", "0001-01-01T00:00:00+14:00"),
        ("not a date", 2026),
        ("not a date", True),
        ("not a date", ["2026-01-31"]),
    ],
)
def test_anything_else_is_refused_without_quoting_it(reason, value):
    with pytest.raises(ValueError, match=f"^{reason}") as refused:
        read_since(value)
    assert not str(value) or str(value) not in str(refused.value)


@given(st.text() | st.dates() | st.datetimes() | st.datetimes(timezones=st.timezones()))
def test_nothing_but_value_error_comes_out(value):
    with suppress(ValueError):
        assert read_since(value).tzinfo is UTC
