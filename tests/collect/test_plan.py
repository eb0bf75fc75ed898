"""What to ask: closed buckets, windows, batches."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.collect import plan
from collector.collect.plan import Shape
from collector.model import AggInterval, Batch, SeriesQuery, Slice, Window
from collector.profile import Profile
from collector.radar.query import query_string

QUARTER, HOUR, DAY, WEEK = AggInterval
NOW = datetime(2026, 3, 4, 10, 20, tzinfo=UTC)  # a Wednesday


def at(*parts):
    return datetime(*parts, tzinfo=UTC)


def profile(agg_interval=QUARTER, **changes):
    settings = {
        "filters": {},
        "each": {},
        "since": None,
        "publication_delay": timedelta(minutes=2),
        "lookback": timedelta(days=1),
        "settle": timedelta(days=14),
        "heal": True,
    }
    return Profile("p", agg_interval, **settings | changes)


def query(name="a", agg_interval=QUARTER, key="ca"):
    return SeriesQuery(agg_interval, {key: (name,)})


moments = st.integers(1_600_000_000, 1_900_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
windows = st.builds(
    lambda start, buckets: Window(QUARTER.floor(start), QUARTER.floor(start) + buckets * QUARTER.step),
    moments,
    st.integers(1, 20_000),
)
spans = st.sampled_from([timedelta(days=days) for days in (1, 3, 7, 31)])


@pytest.mark.parametrize(
    ("expected", "agg_interval"),
    [(at(2026, 3, 4, 10, 15), QUARTER), (at(2026, 3, 4, 10), HOUR), (at(2026, 3, 4), DAY), (at(2026, 3, 2), WEEK)],
)
def test_the_newest_closed_bucket_ends_at_the_last_edge_and_weeks_start_on_monday(expected, agg_interval):
    assert plan.closed_until(agg_interval, NOW) == expected


@pytest.mark.parametrize(
    ("expected", "agg_interval", "stored", "since"),
    [
        (Window(at(2026, 3, 3), at(2026, 3, 4, 10, 15)), QUARTER, None, None),
        (Window(at(2026, 3, 3), at(2026, 3, 4)), DAY, None, None),
        (Window(at(2026, 2, 23), at(2026, 3, 2)), WEEK, None, None),
        (Window(at(2026, 2, 26), at(2026, 3, 4, 10, 15)), QUARTER, (at(2026, 2, 1), at(2026, 2, 27, 5)), None),
        (Window(at(2026, 2, 26), at(2026, 3, 4, 10, 15)), QUARTER, (at(2026, 2, 1), at(2026, 2, 28)), None),
        (Window(at(2026, 2, 26), at(2026, 3, 4, 10, 15)), QUARTER, (at(2026, 2, 1), at(2026, 2, 27, 0, 15)), None),
        (Window(at(2026, 3, 4), at(2026, 3, 4, 10, 15)), QUARTER, None, at(2026, 3, 4)),
        (None, QUARTER, None, at(2026, 3, 5)),
        (Window(at(2026, 3, 3), at(2026, 3, 4, 10, 15)), QUARTER, (at(2026, 3, 1), at(2027, 1, 1)), None),
    ],
)
def test_a_fire_reads_from_the_newest_point_less_lookback_to_the_newest_closed_bucket(
    expected, agg_interval, stored, since
):
    stored = Window(*stored) if stored else None
    assert plan.live_window(profile(agg_interval, since=since), stored, NOW) == expected


@given(windows, spans)
def test_a_cut_covers_the_window_in_as_few_pieces_of_one_duration_as_can_be(window, span):
    pieces = plan.cut(window, span, QUARTER.step)
    assert len(pieces) == -(-window.duration // span)
    assert len({piece.duration for piece in pieces}) == 1
    assert pieces[0].duration <= span
    assert plan.merged(pieces) == [window]
    assert all((piece.start - window.start) % QUARTER.step == timedelta(0) for piece in pieces)


@given(windows, spans)
def test_the_grid_covers_the_window_exactly_once(window, span):
    pieces = plan.grid(window, span)
    assert [pieces[0].start, *(piece.end for piece in pieces)] == [*(piece.start for piece in pieces), window.end]
    assert all(piece.duration == span for piece in pieces[1:-1])
    assert all(piece.duration <= span for piece in pieces)


@given(windows, windows, spans)
def test_two_grids_share_their_inner_borders(one, other, span):
    common = Window(max(one.start, other.start), min(one.end, other.end))
    inside = [
        {piece.start for piece in plan.grid(window, span) if common.start < piece.start < common.end}
        for window in (one, other)
    ]
    assert inside[0] == inside[1]


@given(st.lists(windows, max_size=6))
def test_merged_windows_hold_the_same_buckets_and_stand_apart(found):
    merged = plan.merged(found)
    assert all(one.end < other.start for one, other in pairwise(merged))
    for window in found:
        assert any(run.start <= window.start and window.end <= run.end for run in merged)


@given(st.integers(1, 90), st.integers(1, 40), st.integers(1, 64), spans)
def test_every_slice_is_packed_exactly_once_and_a_batch_has_one_duration(days, series, positions, span):
    start = at(2026, 1, 1)
    slices = [Slice(query(f"ca {number}"), Window(start, start + timedelta(days=days))) for number in range(series)]
    batches = plan.pack(slices, Shape(span, positions))
    packed = [piece for batch in batches for piece in batch.slices]
    assert len(packed) == len(set(packed)) == series * len(plan.cut(slices[0].window, span, QUARTER.step))
    for batch in batches:
        assert len({piece.window.duration for piece in batch.slices}) == 1
        assert len(batch.slices) <= positions
        assert len(query_string(batch)) <= plan.LONGEST_QUERY


def test_a_query_is_exactly_as_long_as_allowed_or_shorter():
    window = Window(at(2026, 3, 2), at(2026, 3, 3))
    slices = [Slice(query(f"ca {number:02}"), window) for number in range(40)]
    for count in range(1, 40):
        most = len(query_string(Batch(tuple(slices[:count]))))
        whole, short = (plan.pack(slices, Shape(timedelta(days=7), 100, length=length)) for length in (most, most - 1))
        assert len(whole[0].slices) == count
        assert len(short[0].slices) == max(count - 1, 1)


def test_a_request_line_with_the_longest_query_passes_a_server_that_takes_8190_bytes():
    assert len("GET /client/v4/radar/ct/timeseries? HTTP/1.1\r\n") + plan.LONGEST_QUERY <= 8_190


def test_a_year_of_50_series_in_weeks_of_20_series_costs_what_it_must():
    year = Window(at(2025, 1, 1), at(2026, 1, 1))
    slices = [Slice(query(f"ca {number}"), year) for number in range(50)]
    assert len(plan.pack(slices, Shape(timedelta(days=7), 20))) == 133


def test_fifty_series_that_are_due_together_are_three_requests_of_twenty():
    window = Window(at(2026, 3, 3), at(2026, 3, 4, 10, 15))
    slices = [Slice(query(f"ca {number}"), window) for number in range(50)]
    assert [len(batch.slices) for batch in plan.pack(slices, Shape(timedelta(days=7), 20))] == [20, 20, 10]


def test_the_newest_windows_are_asked_first():
    slices = [Slice(query(), Window(at(2026, 1, 5), at(2026, 3, 2)))]
    ends = [batch.slices[0].window.end for batch in plan.pack(slices, Shape(timedelta(days=7), 1))]
    assert ends == sorted(ends, reverse=True)


def test_series_of_other_filter_keys_share_a_request_only_where_empty_positions_pass():
    window = Window(at(2026, 3, 2), at(2026, 3, 3))
    slices = [Slice(query(key="ca"), window), Slice(query(key="tld"), window), Slice(SeriesQuery(QUARTER, {}), window)]
    assert len(plan.pack(slices, Shape(timedelta(days=7), 20, gaps=True))) == 1
    assert len(plan.pack(slices, Shape(timedelta(days=7), 20, gaps=False))) == 3


def test_cells_are_the_grid_windows_that_hold_a_part_of_a_hole():
    within = Window(at(2026, 3, 2), at(2026, 3, 30))
    hole = Window(at(2026, 3, 8, 23, 45), at(2026, 3, 9, 0, 15))
    assert plan.cells([hole], within, timedelta(days=7)) == plan.grid(within, timedelta(days=7))[:2]
