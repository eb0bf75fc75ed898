from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.analysis.periods import Per, buckets_between, expected_buckets, fits, periods_of, year_before
from collector.interval import AggInterval, Grid

HOURS = Grid(AggInterval.ONE_HOUR)


def _epoch(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def _edges(per, start, end):
    periods = periods_of(per, HOURS)
    found = periods.edges(*periods.covering(_epoch(start), _epoch(end)))
    return [datetime.fromtimestamp(edge, UTC).strftime("%Y-%m-%d %H") for edge in found]


@pytest.mark.parametrize(
    ("edges", "per", "start", "end"),
    [
        (["2024-02-29 00", "2024-03-01 00"], Per.DAY, "2024-02-29T05:00", "2024-02-29T06:00"),
        (["2024-02-01 00", "2024-03-01 00", "2024-04-01 00"], Per.MONTH, "2024-02-29", "2024-03-01T01:00"),
        (["2024-12-30 00", "2025-01-06 00"], Per.WEEK, "2025-01-01", "2025-01-06"),  # ISO week 1 of 2025
        (["2023-10-01 00", "2024-01-01 00", "2024-04-01 00"], Per.QUARTER, "2023-12-31", "2024-01-02"),
        (["2023-01-01 00", "2024-01-01 00"], Per.YEAR, "2023-06-01", "2024-01-01"),
        (["2024-01-01 05", "2024-01-01 06"], None, "2024-01-01T05:00", "2024-01-01T06:00"),
        ([], Per.YEAR, "2024-01-01", "2024-01-01"),
    ],
)
def test_a_range_is_covered_by_whole_periods(edges, per, start, end):
    assert _edges(per, start, end) == edges


_KEYS = {
    Per.HOUR: lambda t: t.strftime("%Y%m%d%H"),
    Per.DAY: lambda t: t.date(),
    Per.WEEK: lambda t: t.isocalendar()[:2],
    Per.MONTH: lambda t: (t.year, t.month),
    Per.QUARTER: lambda t: (t.year, (t.month - 1) // 3),
    Per.YEAR: lambda t: t.year,
}


@given(st.sampled_from(list(Per)), st.integers(_epoch("2000-01-01"), _epoch("2099-12-31")))
def test_a_period_begins_where_its_calendar_key_changes(per, moment):
    periods, key = periods_of(per, HOURS), _KEYS[per]
    start, end = (periods.start(periods.number(moment) + n) for n in (0, 1))
    first, last = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end - 1, UTC)
    assert start <= moment < end
    assert key(first) == key(last) == key(datetime.fromtimestamp(moment, UTC))
    assert key(first - timedelta(seconds=1)) != key(first)


def test_leap_years_have_more_buckets():
    periods = periods_of(Per.YEAR, HOURS)
    edges = periods.edges(*periods.covering(_epoch("2023-01-01"), _epoch("2026-01-01")))
    assert expected_buckets(edges, 3600) == [8760, 8784, 8760]


@pytest.mark.parametrize(
    ("count", "start", "end", "edge"),
    [(3, 0, 10_800, 0), (2, 1, 10_800, 0), (2, 1, 7_200, 1_800), (0, 5, 5, 0), (0, 9, 3, 0)],
)
def test_buckets_that_start_in_a_range_are_counted(count, start, end, edge):
    assert buckets_between(start, end, 3600, edge) == count


@pytest.mark.parametrize(
    ("answer", "per", "interval", "offset"),
    [
        (True, Per.DAY, "1h", 0),
        (True, Per.MONTH, "1d", 0),
        (True, Per.WEEK, "1w", 0),
        (False, Per.MONTH, "1w", 0),
        (False, Per.HOUR, "1d", 0),
        (False, Per.DAY, "1d", 8),
        (False, Per.WEEK, "1w", 72),
    ],
)
def test_a_period_must_consist_of_whole_buckets(answer, per, interval, offset):
    assert fits(per, Grid(AggInterval(interval), timedelta(hours=offset))) is answer


def test_a_year_before_a_leap_day_is_28_february():
    assert year_before(datetime(2024, 2, 29, 5, tzinfo=UTC)) == datetime(2023, 2, 28, 5, tzinfo=UTC)
