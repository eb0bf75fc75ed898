from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.interval import AggInterval
from collector.serve.radar_api.resolver import Incomplete, Rollup, RollupSpec
from collector.timestamps import utc

MONDAY = int(utc("2026-04-27T00:00:00Z").timestamp())
HOUR, DAY = 3600, 86_400
NEVER = 1 << 40


def _points(start=0, end=48, missing=()):
    return {MONDAY + hour * HOUR: float(hour) for hour in range(start, end) if hour not in missing}


def _sum(*parts, coarse="1d", days=2, closed=NEVER, spans=None):
    frame = RollupSpec(MONDAY, MONDAY + days * DAY, AggInterval.ONE_HOUR, AggInterval(coarse), len(parts))
    total = Rollup(frame)
    for part in parts:
        total.add((t, value) for t, value in part.items() if frame.start <= t < frame.end)
    line = total.result(spans or [(min(part), max(part)) for part in parts if part], closed)
    return [((t - MONDAY) // HOUR, value) for t, value in zip(line.timestamps, line.values, strict=True)]


@pytest.mark.parametrize(
    ("expected", "points"),
    [
        ([(0, 276.0), (24, 852.0)], _points()),
        ([(24, 852.0)], _points(1)),
        ([(0, 276.0)], _points(0, 47)),
        ([], _points(1, 47)),
        ([(0, 276.0), (24, 852.0)], _points(-30, 90)),
        ([], {}),
    ],
)
def test_buckets_at_the_ends_of_history_that_are_not_whole_are_left_out(expected, points):
    assert _sum(points) == expected


@pytest.mark.parametrize("missing", [[5], [30], range(24, 48), [0], [47]])
def test_a_bucket_inside_the_history_without_a_part_is_rejected(missing):
    with pytest.raises(Incomplete, match=r"The 1d bucket 2026-04-2[78]T00:00:00Z cannot be summed: \d+ of its 24 1h"):
        _sum(_points(-24, 72, missing))


def test_a_bucket_is_left_out_until_it_has_closed():
    assert _sum(_points(), closed=MONDAY + 2 * DAY) == [(0, 276.0), (24, 852.0)]
    assert _sum(_points(), closed=MONDAY + 2 * DAY - 1) == [(0, 276.0)]


def test_several_series_are_added_where_each_is_there():
    assert _sum(_points(0, 30), _points(2, 28), coarse="1h")[0] == (2, 4.0)
    assert _sum(_points(0, 30), _points(2, 28), coarse="1h")[-1] == (27, 54.0)
    assert _sum(_points(), {}) == []
    with pytest.raises(Incomplete, match="2026-04-27T07:00:00Z cannot be summed: 1 of its 2 1h values are missing"):
        _sum(_points(), _points(missing=[7]), coarse="1h")
    with pytest.raises(Incomplete, match="The 1d bucket 2026-04-28T00:00:00Z cannot be summed: 3 of its 48 1h values"):
        _sum(_points(-24, 72), _points(-24, 72, missing=[24, 25, 47]))


def test_weeks_begin_on_monday():
    assert _sum(_points(-24, 8 * 24), coarse="1w", days=7) == [(0, float(sum(range(7 * 24))))]


COUNTS = st.lists(st.integers(0, 1 << 40), min_size=8 * 24, max_size=8 * 24)


@given(COUNTS, st.integers(0, 60), st.integers(0, 60), st.sampled_from(["1d", "1h"]))
def test_sums_are_exact_and_are_those_of_whole_buckets(counts, cut, tail, coarse):
    points = {MONDAY + n * HOUR: float(count) for n, count in enumerate(counts)}
    kept = {t: v for n, (t, v) in enumerate(points.items()) if cut <= n < len(counts) - tail}
    width = AggInterval(coarse).seconds // HOUR
    expected = [
        (first, float(sum(counts[first : first + width])))
        for first in range(0, len(counts), width)
        if first >= cut and first + width <= len(counts) - tail
    ]
    assert _sum(kept, coarse=coarse, days=8) == expected


def test_the_window_of_a_rollup_lies_within_the_stored_span():
    frame = RollupSpec(MONDAY, MONDAY + 2 * DAY, AggInterval.ONE_HOUR, AggInterval.ONE_DAY, 1)
    assert frame.within([(MONDAY - DAY, MONDAY + 10 * DAY)], NEVER) == (MONDAY, MONDAY + 2 * DAY)
    assert frame.within([(MONDAY + HOUR, MONDAY + 10 * DAY)], NEVER) == (MONDAY + DAY, MONDAY + 2 * DAY)
    later = MONDAY + int(timedelta(days=9).total_seconds())
    assert frame.within([(later, later)], NEVER)[0] == frame.within([(later, later)], NEVER)[1]
    assert frame.within([], NEVER) == (MONDAY, MONDAY)


@pytest.mark.parametrize(
    ("expected", "spans", "closed"),
    [
        ((0, 48), [(0, 47), (-5, 90)], 48),
        ((0, 48), [(-24, 47), (0, 47)], NEVER),
        ((24, 48), [(1, 47), (0, 90)], NEVER),
        ((0, 24), [(0, 46), (0, 47)], NEVER),
        ((0, 24), [(0, 47), (0, 47)], 47),
        ((0, 0), [(0, 47)], NEVER),
        ((0, 0), [(0, 22), (0, 90)], NEVER),
        ((48, 48), [(25, 90), (0, 90)], NEVER),
    ],
)
def test_sums_are_whole_buckets_that_every_series_reaches(expected, spans, closed):
    frame = RollupSpec(MONDAY, MONDAY + 2 * DAY, AggInterval.ONE_HOUR, AggInterval.ONE_DAY, 2)
    found = frame.within([(MONDAY + a * HOUR, MONDAY + b * HOUR) for a, b in spans], MONDAY + closed * HOUR)
    assert found == tuple(MONDAY + hour * HOUR for hour in expected)


def test_buckets_as_fine_as_the_history_may_be_open():
    frame = RollupSpec(MONDAY, MONDAY + 4 * HOUR, AggInterval.ONE_HOUR, AggInterval.ONE_HOUR, 1)
    assert frame.within([(MONDAY, MONDAY + 2 * HOUR)], MONDAY) == (MONDAY, MONDAY + 3 * HOUR)
