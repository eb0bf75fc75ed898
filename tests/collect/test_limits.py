"""The limits that are learned from requests, as tables, and as a property under any hidden limits."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.collect.batches.pending_slices import PendingSlices
from collector.collect.planning import request_limits
from collector.collect.planning.packing import LONGEST_QUERY, Shape, pack
from collector.collect.planning.request_limits import (
    Kind,
    OtherIntervals,
    Rejection,
    Size,
    accepted,
    climb_pause,
    has_gaps,
    initial_limits,
    rejected,
    relaxed,
    reset_after_content_error,
    rungs,
    size_of,
    smallest,
    with_other_intervals,
    with_pending,
)
from collector.collect.planning.request_size import next_shape, round_number, round_span, work_of
from collector.interval import AggInterval
from collector.model import DATASET, Batch, Question, RequestKind, Slice, Window

NOW = datetime(2026, 3, 4, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
QUARTER = AggInterval.FIFTEEN_MINUTES
GUESS = initial_limits(QUARTER)


def size(days, positions, length=0):
    return Size(timedelta(days=days), positions, length)


def no(days, positions, *, gaps=False, length=0):
    return Rejection(size(days, positions, length), "refused", gaps)


def known(yes=(), nos=(), **more):
    """Return the limits after the sizes *yes* were accepted and *nos* rejected, both as (days, positions)."""
    sizes = tuple(size(*measures) for measures in yes)
    again_at = NOW + climb_pause(0) if nos else None
    return replace(
        GUESS, **{"accepted": sizes, "rejected": tuple(no(*measures) for measures in nos), "again_at": again_at, **more}
    )


def batch_of(count, days, end=NOW, key="ca"):
    window = Window(end - timedelta(days=days), end)
    return Batch(tuple(Slice(Question(QUARTER, {key: (f"{number:04}",)}), window) for number in range(count)))


@pytest.mark.parametrize("agg_interval", AggInterval)
def test_the_first_sizes_to_try_end_with_the_smallest(agg_interval):
    sizes = rungs(agg_interval)
    assert sizes[0] == Size(timedelta(days=agg_interval.properties.spans[0]), 100)
    assert sizes[-1] == smallest(agg_interval)
    assert not any(rung.span % agg_interval.step for rung in sizes)
    assert not any(later.covers(earlier) for n, earlier in enumerate(sizes) for later in sizes[n + 1 :])
    assert initial_limits(agg_interval).shape == Shape(sizes[0].span, 100)


@pytest.mark.parametrize(
    ("kinds", "yes", "tried"),
    [
        ([Kind.SPAN, Kind.POSITIONS, Kind.PRODUCT], [], (31, 100)),
        ([Kind.POSITIONS, Kind.PRODUCT], [(31, 1)], (31, 100)),
        ([Kind.SPAN], [(7, 100)], (31, 20)),
        ([Kind.PRODUCT], [(31, 1), (1, 100)], (31, 20)),
        ([Kind.POSITIONS], [(31, 2)], (1, 3)),
        ([], [(31, 1), (1, 100), (7, 50)], (14, 20)),
    ],
)
def test_a_rejection_is_explained_by_what_exceeds_everything_accepted(kinds, yes, tried):
    assert known(yes).explanations(size(*tried)) == kinds


@pytest.mark.parametrize(
    ("admitted", "yes", "nos", "tried"),
    [
        (True, [], [], (31, 100)),
        (False, [], [(31, 20)], (31, 20)),
        (False, [], [(31, 20)], (31, 21)),
        (True, [], [(31, 20)], (31, 19)),
        (False, [(7, 100)], [(31, 20)], (31, 1)),
        (True, [(31, 1)], [(31, 20)], (7, 20)),
        (False, [(31, 1), (1, 20)], [(31, 20)], (62, 10)),
        (False, [(31, 2)], [(1, 3)], (0.5, 3)),
    ],
)
def test_a_size_is_admitted_unless_a_rejection_or_a_certain_bound_rules_it_out(admitted, yes, nos, tried):
    assert known(yes, nos).admits(size(*tried)) is admitted


@pytest.mark.parametrize(
    ("proven", "count", "days", "longest"),
    [(True, 5, 7, 300), (True, 4, 6, 300), (False, 6, 7, 300), (False, 5, 8, 300), (False, 5, 7, 100)],
)
def test_a_request_no_larger_than_an_accepted_one_is_proven(proven, count, days, longest):
    assert known([(7, 5)], longest=longest).proves(batch_of(count, days)) is proven


@pytest.mark.parametrize(
    ("expected", "before", "tried"),
    [
        (known([(7, 5)]), known(), (7, 5)),
        (known([(7, 5)]), known([(7, 4), (6, 5)]), (7, 5)),
        (known([(31, 1), (1, 20)]), known([(31, 1)]), (1, 20)),
        (known([(7, 5)]), known([(7, 5)]), (6, 5)),
        (known([(7, 20)], [(14, 20)]), known([(7, 10)], [(14, 20)]), (7, 20)),
        (known([(14, 20)]), known([(7, 10)], [(14, 20)], climbs=3), (14, 20)),
        (known([(14, 20)], [(7, 50)]), known([(7, 10)], [(14, 20), (7, 50)]), (14, 20)),
    ],
)
def test_an_accepted_request_changes_the_limits(expected, before, tried):
    assert accepted(before, size(*tried)) == expected


@pytest.mark.parametrize(
    ("expected", "before", "tried"),
    [
        (known([(7, 5)], [(14, 20)]), known([(7, 5)]), (14, 20)),
        (known([(7, 5)], [(14, 10)]), known([(7, 5)], [(14, 20), (31, 20)]), (14, 10)),
        (known([(7, 5)], [(14, 10)]), known([(7, 5)], [(14, 10)]), (31, 20)),
        (known([(7, 5)], [(14, 10), (7, 30)]), known([(7, 5)], [(14, 10)]), (7, 30)),
        (known([(31, 1)], [(7, 5)]), known([(7, 5), (31, 1)]), (7, 5)),
    ],
)
def test_a_rejected_request_changes_the_limits(expected, before, tried):
    assert rejected(before, no(*tried), NOW) == expected


def test_a_url_longer_than_any_accepted_one_is_to_blame_for_a_size_that_is_accepted():
    before = known([(7, 50, 2000)], longest=2000)
    shorter = rejected(before, no(7, 50, length=4500), NOW)
    assert (shorter.length, shorter.accepted, shorter.rejected) == (3000, before.accepted, ())
    assert rejected(before, no(7, 50, length=2300), NOW).length == 2000
    assert shorter.shape.length == 3000
    lifted = accepted(shorter, size(7, 50, 4000))
    assert (lifted.length, lifted.again_at) == (LONGEST_QUERY, None)


def test_empty_positions_are_to_blame_if_every_request_with_them_was_rejected():
    before = with_pending(known(), [no(31, 60, gaps=True), no(31, 20, gaps=True)])
    learned = accepted(before, size(31, 20))
    assert (learned.gaps, learned.rejected) == (False, ())
    assert accepted(before, size(31, 1)).gaps
    assert accepted(replace(before, gaps_accepted=True), size(31, 20)).gaps
    assert accepted(with_pending(before, [no(31, 10)]), size(31, 20)).gaps
    assert accepted(learned, size(7, 2), gaps=True).gaps


@pytest.mark.parametrize(
    ("gaps", "keys"),
    [(False, "aa"), (True, "ab"), (True, "aba"), (False, ["ab", "a"]), (True, ["a", "ab"]), (False, ["a", ""])],
)
def test_a_position_is_empty_if_a_later_one_is_not(gaps, keys):
    window = Window(NOW - DAY, NOW)
    names = {"a": "ca", "b": "tld"}
    series = [Question(QUARTER, {names[key]: (str(n),) for key in word}) for n, word in enumerate(keys)]
    assert has_gaps(Batch(tuple(Slice(question, window) for question in series))) is gaps


def test_the_pause_before_a_larger_size_is_tried_grows_to_a_week():
    assert [climb_pause(climbs) / HOUR for climbs in range(6)] == [12, 48, 168, 168, 168, 168]
    limits, now = known([(7, 5)], [(14, 5)]), NOW
    for climbs in range(5):
        assert limits.again_at - now == climb_pause(climbs)
        assert relaxed(limits, limits.again_at - DAY / 1e6) == limits
        now = limits.again_at
        limits = rejected(limits, no(31, 5), now)
        assert (limits.climbs, limits.rejected) == (climbs + 1, (no(14, 5),))


def test_a_later_rejection_does_not_delay_the_next_try_of_a_larger_size():
    limits = rejected(known([(7, 5)]), no(14, 5), NOW)
    assert rejected(limits, no(7, 6), NOW + 6 * HOUR).again_at == limits.again_at == NOW + 12 * HOUR


def test_due_tries_drop_all_rejections_and_double_them_in_turns():
    limits = known([(7, 5)], [(14, 5)], gaps=False, length=2000, again_at=NOW)
    top = relaxed(limits, NOW)
    assert (top.rejected, top.gaps, top.length, top.accepted) == ((), True, LONGEST_QUERY, limits.accepted)
    assert relaxed(replace(limits, climbs=1), NOW).rejected == (no(28, 10),)
    assert relaxed(replace(limits, climbs=1, rejected=(no(14, 1),)), NOW).rejected == (no(28, 1),)


def test_rejections_for_the_content_are_dropped_and_accepted_sizes_stay():
    limits = known([(7, 5)], [(14, 5), (7, 10)], climbs=2)
    assert reset_after_content_error(limits, [no(14, 5)]) == replace(limits, rejected=(no(7, 10),))
    assert reset_after_content_error(limits, limits.rejected) == known([(7, 5)])


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(20, 100, 50), (20, 50, 30), (50, 100, 70), (1, 2, 1), (3, 5, 4)]
)
def test_numbers_to_try_are_round(low, high, expected):
    assert round_number(low, high) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(7, 31, 14), (7, 14, 10), (14, 31, 21), (1, 7, 3), (10, 14, 12), (0.25, 1, 0.625)]
)
def test_spans_to_try_are_likely_ones(low, high, expected):
    assert round_span(low * DAY, high * DAY, QUARTER) == expected * DAY


@pytest.mark.parametrize("agg_interval", AggInterval)
def test_a_span_to_try_is_a_whole_number_of_buckets(agg_interval):
    step = agg_interval.step
    for buckets in range(2, 60):
        span = round_span(step, step * buckets, agg_interval)
        assert not span % step
        assert (step < span < step * buckets) == (buckets > 2)


def test_two_touching_windows_that_are_wanted_separately_stay_separate():
    query = Question(QUARTER, {})
    long, short = Window(NOW - 9 * DAY, NOW - DAY), Window(NOW - DAY, NOW)
    pool = PendingSlices([Slice(query, long), Slice(query, short)])
    cut = [Slice(query, Window(NOW - n * DAY, NOW - n * DAY + DAY)) for n in range(1, 6)]
    pool.take(cut)
    pool.add(cut[1:])
    assert {slice_.window for slice_ in pool.slices()} == {Window(NOW - 9 * DAY, NOW - DAY)}
    assert pool.pop({query}) != []
    assert pool.slices() == []


def test_the_record_is_read_as_it_was_written():
    limits = known([(7, 5, 100), (31, 1, 50)], [(14, 5)], longest=100, length=900, climbs=2, gaps_accepted=True)
    for expected in (limits, GUESS, replace(limits, gaps=False, again_at=None)):
        assert (
            request_limits.load_limits(RequestKind(DATASET, QUARTER), request_limits.dump_limits(expected)) == expected
        )


_OLD = {
    "span_seconds": 604800.0,
    "positions": 20,
    "gaps": True,
    "length": 8130,
    "proven_seconds": 604800.0,
    "proven_positions": 20,
    "proven_span_seconds": 604800.0,
    "doubted_seconds": 0.0,
    "doubted_positions": 0,
    "refused_at": "2026-03-04T00:00:00Z",
}


@pytest.mark.parametrize(
    ("yes", "nos", "changed"),
    [
        ([(7, 20)], [], {"refused_at": None}),
        ([(7, 20)], [(14, 1)], {"capped": True, "refused_span_seconds": 14 * 86400.0, "refused_positions": 0}),
        ([(7, 20)], [(14, 1), (1 / 96, 50)], {"refused_span_seconds": 14 * 86400.0, "refused_positions": 50}),
        ([(7, 20), (14, 1)], [], {"proven_span_seconds": 14 * 86400.0}),
        ([], [(31, 1)], {"proven_seconds": 0, "proven_span_seconds": 0, "refused_span_seconds": 31 * 86400.0}),
    ],
)
def test_the_record_of_an_earlier_version_is_converted(yes, nos, changed):
    loaded = request_limits.load_limits(RequestKind(DATASET, QUARTER), json.dumps(_OLD | changed))
    assert {(accepted_size.span / DAY, accepted_size.positions) for accepted_size in loaded.accepted} == set(yes)
    assert {(rejection.size.span / DAY, rejection.size.positions) for rejection in loaded.rejected} == set(nos)
    assert (loaded.again_at == NOW) == bool(nos)


def test_no_fewer_positions_are_requested_than_were_accepted():
    assert known([(7, 50)], [(14, 50), (7, 60)]).shape == Shape(7 * DAY, 50)
    limits = known([(14, 30), (7, 50)], [(14, 31), (7, 60)])
    few, much = (work_of(batch_of(series, 7).slices) for series in (120, 3000))
    assert next_shape(limits, few) == Shape(7 * DAY, 50)
    assert next_shape(limits, much) == Shape(7 * DAY, 55)


def hourly(yes=(), nos=(), **more):
    """Return the limits of another interval than that of `known`."""
    return replace(known(yes, nos, **more), agg_interval=AggInterval.ONE_HOUR)


@pytest.mark.parametrize(
    ("expected", "others"),
    [
        (OtherIntervals(), []),
        (OtherIntervals(5), [hourly([(7, 3), (1, 5)])]),
        (OtherIntervals(5), [hourly([(7, 3)]), replace(hourly([(1, 5)]), agg_interval=AggInterval.ONE_DAY)]),
        (OtherIntervals(3, 4, (4,), (size(1, 4),)), [hourly([(7, 3)], [(1, 4)])]),
        (OtherIntervals(3, doubtful=(15,), too_large=(size(7, 15),)), [hourly([(7, 3)], [(7, 15)])]),
        (OtherIntervals(3, too_large=(size(14, 3),)), [hourly([(7, 3)], [(14, 3)])]),
        (OtherIntervals(9, doubtful=(4,), too_large=(size(1, 4),)), [hourly([(7, 3)], [(1, 4)]), hourly([(1, 9)])]),
    ],
)
def test_the_limits_of_other_intervals_are_summed_up(expected, others):
    assert with_other_intervals(GUESS, others).others == expected


def test_the_rejections_of_a_finer_interval_do_not_limit_a_coarser_one():
    assert with_other_intervals(hourly(), [known([(7, 3)], [(14, 3)])]).others == OtherIntervals(3)


def test_the_odds_of_a_number_of_positions_depend_on_all_intervals():
    limits = with_other_intervals(known([(3, 2)], [(3, 3)]), [hourly([(7, 3)], [(1, 4)])])
    assert limits.explanations(size(3, 3)) == [Kind.PRODUCT]
    assert limits.bound(Kind.POSITIONS) == 4
    assert not limits.admits(size(1, 4))
    assert limits.admits(size(1, 3))


@pytest.mark.parametrize(
    ("first", "others"),
    [
        ((31, 100), []),
        ((31, 100), [hourly([(7, 3)])]),
        ((31, 3), [hourly([(7, 3)], [(7, 15)])]),
        ((7, 3), [hourly([(7, 3)], [(7, 15), (14, 1)])]),
    ],
)
def test_the_first_request_of_an_interval_is_no_larger_than_others_suggest(first, others):
    shape = next_shape(with_other_intervals(GUESS, others), work_of(batch_of(150, 31).slices))
    assert (shape.span / DAY, shape.positions) == first


def test_fewer_positions_are_tried_than_were_rejected_elsewhere():
    work = work_of(batch_of(15, 3).slices)
    assert next_shape(known([(3, 3)]), work).positions == 15
    assert next_shape(with_other_intervals(known([(3, 3)]), [hourly([(7, 3)], [(7, 15)])]), work).positions == 10


def test_a_pending_rejection_of_what_is_accepted_does_not_count():
    assert with_pending(known([(7, 5)]), [no(7, 5), no(7, 6)]).rejected == (no(7, 6),)


def test_the_limits_of_other_intervals_are_ignored_when_a_larger_size_is_due():
    limits = with_other_intervals(known([(3, 3)], [(7, 3)], again_at=NOW), [hourly([(7, 3)], [(1, 4)])])
    assert relaxed(limits, NOW).others == OtherIntervals(3)
    assert relaxed(limits, NOW - DAY).others == limits.others


def test_the_limits_of_other_intervals_are_not_part_of_the_record():
    limits = with_other_intervals(known([(3, 3)]), [hourly([(7, 3)], [(1, 4)])])
    assert request_limits.load_limits(RequestKind(DATASET, QUARTER), request_limits.dump_limits(limits)) == known(
        [(3, 3)]
    )


class UpstreamHealth:
    """An upstream with limits. It counts its requests, and the rejections of each size."""

    def __init__(self, days, positions, product, bytes_):
        self.limits = days * DAY, positions, product * DAY, bytes_
        self.requests = 0
        self.rejected = []

    def answers(self, batch):
        self.requests += 1
        measured = size_of(batch)
        within = zip((measured.span, measured.positions, measured.product, measured.length), self.limits, strict=True)
        fits = all(value <= limit for value, limit in within)
        self.rejected += [] if fits else [(measured.span, measured.positions, measured.length)]
        return fits


def collect(upstream, series, days):
    """Request everything, one request after the other, as `BatchRun` does. Returns the limits that were learned."""
    window = Window(NOW - days * DAY, NOW)
    pool = PendingSlices(Slice(Question(QUARTER, {"ca": (f"ca {number}",)}), window) for number in range(series))
    limits, pending = GUESS, []
    while slices := pool.slices():
        view = with_pending(limits, pending)
        batches = pack(slices, next_shape(view, work_of(slices)))
        for batch in [unproven for unproven in batches if not view.proves(unproven)][:1] or batches:
            if upstream.answers(batch):
                pool.take(batch.slices)
                for rejection in pending:
                    limits = rejected(limits, rejection, NOW)
                pending, limits = [], accepted(limits, size_of(batch))
            else:
                pending.append(Rejection(size_of(batch), "refused"))
    return limits


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 40),
    st.sampled_from([1, 2, 3, 5, 7, 13, 20, 33, 50, 200]),
    st.sampled_from([40, 60, 100, 310, 900, 10_000]),
    st.sampled_from([700, 1500, 4000, 8192]),
    st.integers(1, 10),
)
def test_under_any_hidden_limits_few_requests_are_rejected_and_none_more_than_twice(
    days, positions, product, bytes_, series
):
    upstream = UpstreamHealth(days, positions, product, bytes_)
    limits = collect(upstream, series, 60)
    assert len(upstream.rejected) <= 24
    assert all(upstream.rejected.count(rejection) <= 2 for rejection in upstream.rejected)
    assert limits.accepted
    for accepted_size in limits.accepted:
        assert accepted_size.span <= days * DAY
        assert accepted_size.positions <= positions
        assert accepted_size.product <= product * DAY


@pytest.mark.parametrize(("days", "positions"), [(7, 20), (14, 3), (3, 100), (14, 1)])
def test_a_wrongly_rejected_size_is_tried_again_within_a_day(days, positions):
    limits = rejected(known([(days, positions, 5000)], longest=5000), no(days * 2, positions), NOW)
    work = work_of(batch_of(20, 120).slices)
    assert work.requests(next_shape(relaxed(limits, NOW + DAY), work)) < work.requests(next_shape(limits, work))
