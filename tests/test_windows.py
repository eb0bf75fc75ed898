"""One algebra of half-open windows, for epoch seconds and for datetimes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.model import Window
from collector.windows import (
    absent_windows,
    hull,
    intersect,
    join_buckets,
    merge,
    split_evenly,
    split_on_grid,
    subtract,
)

DAY = datetime(2026, 3, 2, tzinfo=UTC)


def window(start, end):
    return Window(DAY + timedelta(hours=start), DAY + timedelta(hours=end))


@pytest.mark.parametrize(
    ("expected", "windows"),
    [
        ([(0, 2)], [(0, 1), (1, 2)]),
        ([(0, 1), (2, 3)], [(2, 3), (0, 1)]),
        ([(0, 5)], [(1, 2), (3, 4), (0, 5)]),
        ([(0, 1), (2, 5)], [(0, 1), (3, 4), (2, 5)]),
        ([(1, 2)], [(0, 0), (1, 2)]),
        ([], []),
    ],
)
def test_windows_that_overlap_or_touch_are_merged(expected, windows):
    assert merge(windows) == expected
    merged = merge(window(*one) for one in windows)
    assert merged == [window(*one) for one in expected]
    assert all(type(one) is Window for one in merged)


def test_results_are_of_the_type_of_the_argument():
    assert subtract((0, 9), [(2, 3)]) == [(0, 2), (3, 9)]
    parts = subtract(window(0, 9), [window(2, 3)])
    assert parts == [window(0, 2), window(3, 9)]
    common = intersect([window(0, 4)], [window(2, 9)])
    assert common == [window(2, 4)]
    whole = hull([window(3, 4), window(1, 2)])
    assert whole == window(1, 4)
    assert {type(one) for one in (*parts, *common, whole)} == {Window}
    assert {type(one) for one in (*subtract((0, 9), [(2, 3)]), *intersect([(0, 4)], [(2, 9)]), hull([(1, 2)]))} == {
        tuple
    }


def test_a_window_is_split_on_a_grid_or_evenly():
    assert split_on_grid((3, 12), 5, 0) == [(3, 5), (5, 10), (10, 12)]
    assert split_on_grid((3, 12), 5, 3) == [(3, 8), (8, 12)]
    assert split_evenly((0, 10), 3, 1) == [(0, 3), (1, 4), (4, 7), (7, 10)]
    hour = timedelta(hours=1)
    assert split_evenly(window(0, 6), 3 * hour, hour) == [window(0, 3), window(3, 6)]


def test_buckets_are_joined_and_absent_ones_found():
    assert join_buckets([0, 10, 20, 40], 10) == [(0, 30), (40, 50)]
    assert absent_windows([0, 10, 40], 0, 60, 10) == [(20, 40), (50, 60)]
    assert absent_windows([], 5, 5, 10) == []


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 12))
def test_buckets_in_a_row_lack_what_the_same_buckets_of_a_list_lack(start, first, count, end):
    row = range(first * 10, (first + count) * 10, 10)
    assert absent_windows(row, start * 10, end * 10, 10) == absent_windows([*row], start * 10, end * 10, 10)
