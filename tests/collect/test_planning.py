"""The planning of requests: closed buckets, windows, batches."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.collect.planning import packing
from collector.collect.planning.packing import Shape
from collector.interval import AggInterval
from collector.model import Batch, Question, Slice, Window
from collector.radar.request import query_string
from collector.windows import hull, merge, split_evenly, subtract
from tests.harness import factories

QUARTER, HOUR, DAY, WEEK = AggInterval
NOW = datetime(2026, 3, 4, 10, 20, tzinfo=UTC)  # a Wednesday


def at(*parts):
    return datetime(*parts, tzinfo=UTC)


def profile(agg_interval=QUARTER, **changes):
    return factories.profile("p", agg_interval, **changes)


def query(name="a", agg_interval=QUARTER, key="ca"):
    return factories.query(agg_interval, **{key: name})


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
    assert agg_interval.floor(NOW) == expected


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
        (None, DAY, None, at(2026, 3, 4)),
        (Window(at(2026, 3, 3), at(2026, 3, 4, 10, 15)), QUARTER, (at(2026, 3, 1), at(2027, 1, 1)), None),
    ],
)
def test_a_fire_reads_from_the_newest_point_less_lookback_to_the_newest_closed_bucket(
    expected, agg_interval, stored, since
):
    stored = Window(*stored) if stored else None
    assert packing.live_window(profile(agg_interval, since=since), stored, NOW) == expected


@given(windows, spans)
def test_an_even_split_covers_the_window_in_the_fewest_pieces_of_equal_duration(window, span):
    pieces = split_evenly(window, span, QUARTER.step)
    assert len(pieces) == -(-window.duration // span)
    assert len({piece.duration for piece in pieces}) == 1
    assert pieces[0].duration <= span
    assert merge(pieces) == [window]
    assert all((piece.start - window.start) % QUARTER.step == timedelta(0) for piece in pieces)


@given(windows, spans)
def test_the_grid_covers_the_window_exactly_once(window, span):
    pieces = packing.grid_windows(window, span, QUARTER.step)
    assert [pieces[0].start, *(piece.end for piece in pieces)] == [*(piece.start for piece in pieces), window.end]
    assert all(piece.duration == span for piece in pieces[1:-1])
    assert all(piece.duration <= span for piece in pieces)


@given(windows, windows, spans)
def test_two_grids_share_their_inner_borders(first, other, span):
    common = Window(max(first.start, other.start), min(first.end, other.end))
    inside = [
        {
            piece.start
            for piece in packing.grid_windows(window, span, QUARTER.step)
            if common.start < piece.start < common.end
        }
        for window in (first, other)
    ]
    assert inside[0] == inside[1]


@given(st.lists(windows, max_size=6))
def test_merged_windows_contain_the_same_buckets_and_do_not_touch(windows):
    merged = merge(windows)
    assert all(earlier.end < later.start for earlier, later in pairwise(merged))
    for window in windows:
        assert any(run.start <= window.start and window.end <= run.end for run in merged)


@given(st.integers(1, 90), st.integers(1, 40), st.integers(1, 64), spans)
def test_every_slice_is_packed_exactly_once_and_a_batch_has_one_duration(days, series, positions, span):
    start = at(2026, 1, 1)
    slices = [Slice(query(f"ca {number}"), Window(start, start + timedelta(days=days))) for number in range(series)]
    batches = packing.pack(slices, Shape(span, positions))
    packed = [piece for batch in batches for piece in batch.slices]
    assert len(packed) == len(set(packed)) == series * len(split_evenly(slices[0].window, span, QUARTER.step))
    for batch in batches:
        assert len({piece.window.duration for piece in batch.slices}) == 1
        assert len(batch.slices) <= positions
        assert len(query_string(batch)) <= packing.LONGEST_QUERY


def test_a_query_string_is_no_longer_than_allowed():
    window = Window(at(2026, 3, 2), at(2026, 3, 3))
    slices = [Slice(query(f"ca {number:02}"), window) for number in range(40)]
    for count in range(1, 40):
        most = len(query_string(Batch(tuple(slices[:count]))))
        whole, short = (
            packing.pack(slices, Shape(timedelta(days=7), 100, length=length)) for length in (most, most - 1)
        )
        assert len(whole[0].slices) == count
        assert len(short[0].slices) == max(count - 1, 1)
    assert len(packing.pack(slices, Shape(timedelta(days=7), 100, length=1))) == 40, (
        "one slice is asked for in any case"
    )


def test_a_request_line_with_the_longest_query_passes_a_server_that_takes_8190_bytes():
    assert len("GET /client/v4/radar/ct/timeseries? HTTP/1.1\r\n") + packing.LONGEST_QUERY <= 8_190


def test_a_year_of_50_series_is_packed_into_the_fewest_requests_of_a_week_and_20_series():
    year = Window(at(2025, 1, 1), at(2026, 1, 1))
    slices = [Slice(query(f"ca {number}"), year) for number in range(50)]
    assert len(packing.pack(slices, Shape(timedelta(days=7), 20))) == 133


def test_fifty_series_that_are_due_together_take_three_requests_of_up_to_twenty():
    window = Window(at(2026, 3, 3), at(2026, 3, 4, 10, 15))
    slices = [Slice(query(f"ca {number}"), window) for number in range(50)]
    assert [len(batch.slices) for batch in packing.pack(slices, Shape(timedelta(days=7), 20))] == [20, 20, 10]


def test_the_newest_windows_are_requested_first():
    slices = [Slice(query(), Window(at(2026, 1, 5), at(2026, 3, 2)))]
    ends = [batch.slices[0].window.end for batch in packing.pack(slices, Shape(timedelta(days=7), 1))]
    assert ends == sorted(ends, reverse=True)


def test_series_with_different_filter_keys_share_a_request_only_if_empty_positions_are_accepted():
    window = Window(at(2026, 3, 2), at(2026, 3, 3))
    slices = [Slice(query(key="ca"), window), Slice(query(key="tld"), window), Slice(Question(QUARTER, {}), window)]
    assert len(packing.pack(slices, Shape(timedelta(days=7), 20, gaps=True))) == 1
    assert len(packing.pack(slices, Shape(timedelta(days=7), 20, gaps=False))) == 3


def test_gaps_are_widened_to_the_grid_windows_that_overlap_them():
    within = Window(at(2026, 3, 2), at(2026, 3, 30))
    hole = Window(at(2026, 3, 8, 23, 45), at(2026, 3, 9, 0, 15))
    assert (
        packing.widen_to_grid([hole], within, timedelta(days=7), QUARTER.step)
        == packing.grid_windows(within, timedelta(days=7), QUARTER.step)[:2]
    )


def hours(start, end):
    return Window(at(2026, 3, 2) + timedelta(hours=start), at(2026, 3, 2) + timedelta(hours=end))


@pytest.mark.parametrize(
    ("expected", "windows"),
    [
        ([(0, 3)], [(0, 1), (1, 3)]),
        ([(0, 9)], [(2, 3), (0, 9), (4, 5)]),
        ([(0, 1), (2, 3)], [(2, 3), (0, 1)]),
        ([(0, 4)], [(0, 3), (2, 4)]),
    ],
)
def test_windows_that_overlap_or_touch_are_one(expected, windows):
    assert merge(hours(*bounds) for bounds in windows) == [hours(*bounds) for bounds in expected]
    slices = [Slice(query(), hours(*bounds)) for bounds in windows]
    other = Slice(query("b"), hours(0, 9))
    assert packing.joined([*slices, other]) == [*(Slice(query(), hours(*bounds)) for bounds in expected), other]


def test_the_hull_contains_all_windows():
    assert hull([hours(3, 4), hours(1, 2), hours(2, 3)]) == hours(1, 4)
    assert hull([hours(1, 4), hours(2, 3)]) == hours(1, 4)


@pytest.mark.parametrize(
    ("expected", "covered"),
    [
        ([(2, 8)], []),
        ([(2, 8)], [(0, 2), (8, 9)]),
        ([], [(2, 8)]),
        ([], [(0, 5), (5, 9)]),
        ([(3, 8)], [(0, 3)]),
        ([(2, 7)], [(7, 8)]),
        ([(2, 3), (4, 5), (6, 8)], [(5, 6), (3, 4)]),
        ([(2, 3)], [(3, 7), (4, 9)]),
        ([(2, 8)], [(0, 1)]),
        ([(2, 3), (6, 8)], [(3, 6), (4, 5)]),
    ],
)
def test_subtracting_windows_leaves_the_uncovered_parts(expected, covered):
    assert subtract(hours(2, 8), [hours(*bounds) for bounds in covered]) == [hours(*bounds) for bounds in expected]


def test_the_grid_begins_on_a_monday():
    week = timedelta(days=7)
    assert packing.grid_windows(hours(24, 24 * 7), week, HOUR.step) == [hours(24, 24 * 7)]
    assert packing.grid_windows(hours(24, 24 * 8), week, HOUR.step) == [hours(24, 24 * 7), hours(24 * 7, 24 * 8)]


def test_grid_windows_start_where_buckets_start():
    eight, day, week = timedelta(hours=8), timedelta(days=1), timedelta(days=7)
    shifted = [
        Window(piece.start + eight, piece.end + eight) for piece in packing.grid_windows(hours(0, 24 * 20), week, day)
    ]
    whole = hours(0, 24 * 20)
    assert packing.grid_windows(Window(whole.start + eight, whole.end + eight), week, day) == shifted


def packed(slices, days=7, positions=20, *, gaps=True):
    return [list(batch.slices) for batch in packing.pack(slices, Shape(timedelta(days=days), positions, gaps))]


def test_only_slices_of_one_interval_and_one_duration_share_a_request():
    slices = [
        Slice(query(), hours(24, 48)),
        Slice(query("b"), hours(0, 24)),
        Slice(query(), hours(0, 25)),
        Slice(query(agg_interval=HOUR), hours(0, 24)),
    ]
    assert packed(slices) == [[slices[0], slices[1]], [slices[2]], [slices[3]]]


def test_slices_are_sorted_by_window_newest_first_and_then_by_filters():
    slices = [
        Slice(query(name, key=key), hours(*when)) for when in ((0, 1), (1, 2)) for key in ("tld", "ca") for name in "ab"
    ]
    expected = [
        Slice(query(name, key=key), hours(*when)) for when in ((1, 2), (0, 1)) for key in ("ca", "tld") for name in "ab"
    ]
    assert packed(slices) == [expected]


def test_batches_are_sorted_by_the_end_of_their_newest_window():
    slices = [Slice(query(), hours(0, 9)), Slice(query(), hours(5, 7)), Slice(query(), hours(1, 9.5))]
    assert packed(slices) == [[slices[2]], [slices[0]], [slices[1]]]


@pytest.mark.parametrize(
    ("expected", "windows"),
    [
        ([(24, 48), (0, 24)], [(0, 24), (24, 48)]),
        ([(0, 24)], [(0, 24), (0, 24)]),
        ([(18, 36), (0, 18)], [(0, 10), (10, 36)] * 2),
        ([(24, 48), (0, 24)], [(0, 24), (0, 48)]),
    ],
)
def test_windows_longer_than_allowed_are_joined_and_split_evenly(expected, windows):
    slices = [Slice(query(), hours(*bounds)) for bounds in windows]
    assert [batch[0].window for batch in packed(slices, days=1, positions=1)] == [hours(*bounds) for bounds in expected]


def test_some_series_are_requested_alone_and_relative_series_for_their_newest_window():
    names = {name: [Slice(query(name), hours(n, n + 1)) for n in range(3)] for name in ("a", "b", "alone", "relative")}
    slices = [piece for slices_of_name in names.values() for piece in slices_of_name]
    alone = {query("alone"), query("relative")}
    batches = packing.pack_separately(slices, Shape(timedelta(days=7), 20), alone, {query("relative")})
    newest_first = [[piece] for piece in reversed(names["alone"])]
    assert [list(batch.slices) for batch in batches[1:]] == [*newest_first, [names["relative"][2]]]
    assert {*batches[0].slices} == {*names["a"], *names["b"]}


def test_an_uneven_split_overlaps_at_its_old_end():
    assert split_evenly(hours(0, 10), timedelta(hours=3), timedelta(hours=1)) == [
        hours(*bounds) for bounds in ((0, 3), (1, 4), (4, 7), (7, 10))
    ]
    assert split_evenly(hours(0, 2), timedelta(hours=3), timedelta(hours=1)) == [hours(0, 2)]
    assert split_evenly(hours(0, 6), timedelta(hours=3), timedelta(hours=1)) == [hours(0, 3), hours(3, 6)]


@pytest.mark.parametrize(
    ("expected", "sizes", "replicas", "positions"),
    [
        (2, [1] * 4, 2, 1),
        (3, [1] * 4, 2, 3),
        (2, [1] * 4, 3, 1),
        (4, [1] * 4, 1, 1),
        (2, [2, 2, 1], 2, 4),
        (3, [2, 2, 1], 2, 5),
        (1, [5, 2, 1], 3, 5),
        (1, [5, 2, 1], 3, 6),
        (2, [5, 2, 1], 3, 7),
        (3, [5, 2, 1], 3, 8),
    ],
)
def test_a_replica_takes_its_share_of_profiles_and_fills_its_last_request(expected, sizes, replicas, positions):
    profiles = [profile(each={"ca": tuple(map(str, range(size)))}) for size in sizes]
    assert packing.fair_share(profiles, replicas, positions) == profiles[:expected]


def test_a_batch_is_halved():
    slices = tuple(Slice(query(name), hours(0, 1)) for name in "abc")
    assert packing.bisect(Batch(slices)) == [Batch(slices[:1]), Batch(slices[1:])]
