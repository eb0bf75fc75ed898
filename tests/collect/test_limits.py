"""Finding out how large a request may be, against every limit that the simulator can hide."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from collector.collect import limits as learn
from collector.collect.plan import Shape, pack
from collector.model import AggInterval, Batch, SeriesQuery, Slice, Window
from collector.radar.query import query_string

NOW = datetime(2026, 3, 4, tzinfo=UTC)
YEAR = Window(NOW - timedelta(days=365), NOW)
QUARTER_YEAR = Window(NOW - timedelta(days=91), NOW)
QUARTER = AggInterval.FIFTEEN_MINUTES


def backfill(series, span, positions, period=QUARTER_YEAR):
    """Ask a server of these limits for a *period* of *series*; (requests, limits learned)."""
    known = learn.first_guess(QUARTER)
    todo = [Slice(SeriesQuery(QUARTER, {"ca": (f"ca {number}",)}), period) for number in range(series)]
    requests = 0
    while batches := pack(todo, known.now_shape):
        requests += sum(map(known.proves, batches))
        batches = sorted((b for b in batches if not known.proves(b)), key=lambda b: (b.buckets, len(b.slices)))
        if not batches:
            break
        batch = batches.pop()
        requests += 1
        todo = [piece for left in batches for piece in left.slices]
        if batch.duration <= span and len(batch.slices) <= positions:
            known = learn.accepted(known, batch)
            continue
        known = learn.refused(known, batch, NOW)
        assert known is not None, "a limit is never taken for a fault of the content"
        todo += batch.slices
    return requests, known


def batch_of(count, days):
    window = Window(NOW - timedelta(days=days), NOW)
    return Batch(tuple(Slice(SeriesQuery(QUARTER, {"ca": (str(number),)}), window) for number in range(count)))


def test_more_positions_are_tried_as_soon_as_those_of_the_guess_are_accepted():
    known = learn.accepted(learn.first_guess(QUARTER), batch_of(100, 31))
    assert known.shape.positions > 100


@pytest.mark.parametrize(
    ("positions", "alone"), [pytest.param(50, 31, id="of the span"), pytest.param(100, 1, id="of a shorter span")]
)
def test_a_doubt_is_settled_by_one_slice(positions, alone):
    doubting = learn.refused(learn.first_guess(QUARTER), batch_of(100, 31), NOW)
    assert doubting.now_shape.positions == 1
    settled = learn.accepted(doubting, batch_of(1, alone))
    assert settled.now_shape == settled.shape
    assert settled.shape.positions == positions


def test_a_number_of_positions_that_was_refused_is_not_tried_again_at_once():
    known = learn.accepted(learn.first_guess(QUARTER), batch_of(1, 31))
    known = learn.refused(known, batch_of(100, 31), NOW)
    assert learn.accepted(known, batch_of(50, 31)).shape.positions == 50


def test_a_url_that_was_too_long_gets_a_little_shorter_first():
    known = learn.too_long(learn.first_guess(QUARTER), batch_of(100, 31), NOW)
    assert known.shape.length < len(query_string(batch_of(100, 31)))


def test_a_refusal_inside_what_is_proven_blames_the_content():
    week = Window(NOW - timedelta(days=2), NOW)
    batch = pack([Slice(SeriesQuery(QUARTER, {}), week)], learn.first_guess(QUARTER).shape)[0]
    known = learn.accepted(learn.first_guess(QUARTER), batch)
    assert learn.refused(known, batch, NOW) is None


def test_what_was_learned_survives_a_restart():
    _, known = backfill(5, timedelta(days=7), 2)
    assert learn.load(QUARTER, learn.dump(known)) == known


def test_a_week_after_the_last_refusal_a_step_higher_is_tried():
    _, known = backfill(5, timedelta(days=7), 2)
    assert learn.raised(known, NOW + timedelta(days=6)) == known
    higher = learn.raised(known, NOW + timedelta(days=8)).shape
    assert (higher.span, higher.positions) == (timedelta(days=18), 3)


@pytest.mark.parametrize(("days", "positions"), [(14, 19), (2, 4), (30, 99), (7, 20), (1, 1), (31, 100), (8, 700)])
def test_a_limit_between_two_steps_is_found_in_the_end_and_kept(days, positions):
    span, now, refusals = timedelta(days=days), NOW, []
    known, _ = tried(learn.first_guess(QUARTER), span, positions, now)
    for _ in range(30):
        now += timedelta(days=8)
        known, refused = tried(learn.raised(known, now), span, positions, now)
        refusals.append(refused)
    assert known.shape.span == span
    assert positions in (known.shape.positions, known.proven[1])
    assert max(refusals) <= 4, "requests that a week may cost"
    known, _ = tried(known, timedelta(days=31), 1000, now)
    for _ in range(20):
        now += timedelta(days=8)
        known, _ = tried(learn.raised(known, now), timedelta(days=31), 1000, now)
    assert (known.proven_span, known.proven[1]) == (timedelta(days=31), 1000)


@pytest.mark.parametrize(
    ("days", "tries", "found"), [(7, [14], 7), (10, [14], 7), (14, [14, 28], 14), (28, [14, 28], 28), (31, [], 31)]
)
def test_a_span_that_the_way_down_has_skipped_is_tried_at_once_if_asked_for(days, tries, found):
    known, _ = tried(learn.first_guess(QUARTER), timedelta(days=days), 20, NOW)
    spans = []
    while (more := learn.longer(known)) and len(spans) <= len(tries):
        spans.append(more.shape.span.days)
        known, _ = tried(more, timedelta(days=days), 20, NOW)
    assert (spans, known.shape.span.days) == (tries, found)


@pytest.mark.parametrize("agg_interval", AggInterval)
def test_a_longer_span_is_a_whole_number_of_buckets(agg_interval):
    refused, tries = timedelta(days=91), []
    known = replace(learn.first_guess(agg_interval), shape=Shape(timedelta(days=7), 20), refused_span=refused)
    while more := learn.longer(known):
        tries.append(more.shape.span)
        known = more
    assert tries
    assert not any(span % agg_interval.step for span in tries)


def test_no_longer_span_is_tried_in_doubt():
    known, _ = tried(learn.first_guess(QUARTER), timedelta(days=7), 20, NOW)
    doubting = learn.refused(learn.longer(known), batch_of(20, 14), NOW)
    assert learn.longer(doubting) is None


def tried(known, span, positions, now):
    """Ask as large requests as may be asked until one is accepted; what is known then, and how many were refused."""
    for refused in range(20):
        batch = batch_of(known.now_shape.positions, known.shape.span.days)
        if batch.duration <= span and len(batch.slices) <= positions:
            known = learn.accepted(known, batch)
            if known.now_shape.positions <= len(batch.slices):
                return known, refused
        else:
            known = learn.refused(known, batch, now)
    raise AssertionError("nothing was accepted")


def test_a_slice_that_is_refused_alone_at_every_span_takes_nothing_down_with_it():
    known = learn.first_guess(QUARTER)
    slices = [Slice(SeriesQuery(QUARTER, {"ca": ("bad",)}), YEAR)]
    while (learned := learn.refused(known, pack(slices, known.now_shape)[0], NOW)) is not None:
        known = learned
    assert learn.exonerated(known).shape == learn.first_guess(QUARTER).shape


GUESS = learn.first_guess(QUARTER)
WEEK, DAY, NONE = timedelta(days=7), timedelta(days=1), timedelta(0)


def limits(span=31, positions=100, *, gaps=True, length=8130, **known):
    """Limits whose durations are given in days."""
    for name in ("proven", "doubted"):
        if name in known:
            known[name] = timedelta(days=known[name][0]), known[name][1]
    for name in ("proven_span", "refused_span"):
        if name in known:
            known[name] = timedelta(days=known[name])
    return replace(GUESS, shape=Shape(timedelta(days=span), positions, gaps, length), **known)


@pytest.mark.parametrize(
    ("days", "agg_interval"),
    [
        ([31, 7, 3, 1], QUARTER),
        ([31, 28, 14, 7, 3, 1], AggInterval.ONE_HOUR),
        ([364, 182, 91, 28, 7], AggInterval.ONE_DAY),
        ([364, 182, 91, 28, 7], AggInterval.ONE_WEEK),
    ],
)
def test_the_spans_that_are_tried_and_the_first_guess(days, agg_interval):
    assert [span.days for span in learn.spans_of(agg_interval)] == days
    assert learn.first_guess(agg_interval).shape == Shape(timedelta(days=days[0]), 100)


@pytest.mark.parametrize(
    ("expected", "known"),
    [
        (100, limits()),
        (1, limits(doubted=(7, 50))),
        (1, limits(doubted=(7, 50), proven_span=6)),
        (100, limits(doubted=(7, 50), proven_span=7)),
    ],
)
def test_in_doubt_slices_are_sent_alone_until_their_span_is_proven(expected, known):
    assert known.now_shape == replace(known.shape, positions=expected)


@pytest.mark.parametrize(("expected", "count", "days"), [(True, 5, 7), (True, 4, 6), (False, 6, 7), (False, 5, 8)])
def test_what_is_no_larger_than_what_was_accepted_is_proven(expected, count, days):
    assert limits(proven=(7, 5)).proves(batch_of(count, days)) is expected


@pytest.mark.parametrize(
    ("expected", "known", "batch"),
    [
        (limits(positions=1000, proven=(31, 100), proven_span=31), limits(), (100, 31)),
        (limits(positions=1000, proven=(7, 100), proven_span=7), limits(), (100, 7)),
        (limits(proven=(7, 99), proven_span=7), limits(), (99, 7)),
        (limits(positions=50, proven=(7, 20), proven_span=7), limits(positions=20), (20, 7)),
        (limits(positions=1000, proven=(1, 1000), proven_span=1), limits(positions=1000), (1000, 1)),
        (limits(capped=True, proven=(7, 100), proven_span=7), limits(capped=True), (100, 7)),
        (limits(proven=(7, 50), proven_span=31), limits(proven=(31, 10), proven_span=31), (50, 7)),
        (limits(proven=(31, 10), proven_span=31), limits(proven=(31, 10), proven_span=31), (44, 7)),
        (limits(proven=(31, 2), proven_span=31), limits(proven=(2, 20), proven_span=2), (2, 31)),
        (limits(proven=(7, 50), proven_span=7, refused_span=8), limits(refused_span=8), (50, 7)),
        (limits(proven=(7, 50), proven_span=7), limits(refused_span=7), (50, 7)),
        (limits(proven=(7, 50), proven_span=7, refused_positions=51), limits(refused_positions=51), (50, 7)),
        (limits(proven=(7, 50), proven_span=7), limits(refused_positions=50), (50, 7)),
        (
            limits(20, 10, proven=(7, 1), proven_span=7, capped=True, refused_positions=50),
            limits(20, 10, doubted=(7, 50)),
            (1, 7),
        ),
        (limits(20, 50, proven=(6, 1), proven_span=6), limits(20, 10, doubted=(7, 50)), (1, 6)),
        (limits(20, 90, proven=(6, 1), proven_span=6), limits(20, 90, doubted=(7, 50)), (1, 6)),
        (limits(20, 10, proven=(6, 2), proven_span=6, doubted=(7, 50)), limits(20, 10, doubted=(7, 50)), (2, 6)),
    ],
)
def test_what_an_accepted_request_teaches(expected, known, batch):
    assert learn.accepted(known, batch_of(*batch)) == expected


@pytest.mark.parametrize(
    ("expected", "known", "batch"),
    [
        (None, limits(proven=(7, 10)), (10, 7)),
        (limits(), limits(), (101, 7)),
        (limits(7), limits(7), (5, 8)),
        (limits(doubted=(7, 50)), limits(doubted=(7, 50)), (2, 7)),
        (limits(7, refused_at=NOW, refused_span=31), limits(), (1, 31)),
        (limits(3, refused_at=NOW, refused_span=7), limits(7), (1, 7)),
        (None, limits(1), (1, 1)),
        (limits(3, 50, refused_at=NOW, refused_span=7), limits(7, 20, doubted=(7, 50)), (1, 7)),
        (limits(3, 60, refused_at=NOW, refused_span=7), limits(7, 60, doubted=(7, 50)), (1, 7)),
        (
            limits(18, refused_at=NOW, refused_span=31, proven_span=18.5),
            limits(proven_span=18.5),
            (1, 31),
        ),
        (limits(7, refused_at=NOW, refused_span=31, proven_span=2), limits(proven_span=2), (1, 31)),
        (limits(7, refused_at=NOW, refused_span=31, proven_span=31), limits(proven_span=31), (1, 31)),
        (limits(positions=50, refused_at=NOW, doubted=(31, 100)), limits(), (100, 31)),
        (limits(positions=20, refused_at=NOW, doubted=(7, 100)), limits(), (22, 7)),
        (limits(positions=1, refused_at=NOW, doubted=(7, 100)), limits(), (2, 7)),
        (
            limits(positions=50, refused_at=NOW, proven_span=31, capped=True, refused_positions=60),
            limits(proven_span=31),
            (60, 31),
        ),
        (
            limits(positions=50, refused_at=NOW, proven_span=31, capped=True, refused_positions=60),
            limits(positions=60, proven_span=31, doubted=(31, 100)),
            (60, 31),
        ),
        (
            limits(positions=50, refused_at=NOW, proven_span=7, doubted=(8, 100)),
            limits(proven_span=7),
            (60, 8),
        ),
        (
            limits(positions=55, refused_at=NOW, proven=(7, 55), proven_span=7, capped=True, refused_positions=60),
            limits(proven=(7, 55), proven_span=7),
            (60, 7),
        ),
        (
            limits(positions=50, refused_at=NOW, proven=(6, 55), proven_span=7, capped=True, refused_positions=60),
            limits(proven=(6, 55), proven_span=7),
            (60, 7),
        ),
    ],
)
def test_what_a_refused_request_teaches(expected, known, batch):
    assert learn.refused(known, batch_of(*batch), NOW) == expected


@pytest.mark.parametrize(
    ("expected", "known", "keys"),
    [
        (limits(gaps=False, refused_at=NOW), limits(positions=2, capped=True), ("ca", "tld")),
        (limits(positions=1, refused_at=NOW, doubted=(7, 2)), limits(positions=2), ("ca", "ca")),
        (
            limits(positions=1, gaps=False, refused_at=NOW, doubted=(7, 2)),
            limits(positions=2, gaps=False),
            ("ca", "tld"),
        ),
        (limits(positions=2, refused_at=NOW, doubted=(7, 3)), limits(positions=3), ("ca", "ca", "tld")),
    ],
)
def test_empty_positions_are_blamed_for_two_slices_that_are_refused(expected, known, keys):
    series = [SeriesQuery(QUARTER, {key: (str(number),)}) for number, key in enumerate(keys)]
    batch = Batch(tuple(Slice(query, Window(NOW - WEEK, NOW)) for query in series))
    assert learn.refused(known, batch, NOW) == expected


@pytest.mark.parametrize(
    ("expected", "length", "count"), [(7900, 8130, 200), (6000, 7900, 200), (500, 500, 1), (500, 8130, 1)]
)
def test_a_url_that_was_too_long_lowers_the_limit_below_it(expected, length, count):
    assert learn.too_long(limits(length=length), batch_of(count, 7), NOW) == limits(length=expected, refused_at=NOW)


@pytest.mark.parametrize(
    ("expected", "known", "span"),
    [
        (limits(7, refused_at=NOW, refused_span=28), limits(), 7),
        (limits(3, refused_at=NOW, refused_span=28), limits(), 6.9),
        (limits(1, refused_at=NOW, refused_span=28), limits(), 0.5),
        (limits(7), limits(7), 8),
        (
            limits(3, proven=(3, 10), proven_span=3, refused_at=NOW, refused_span=28),
            limits(7, proven=(7, 10), proven_span=7),
            3,
        ),
        (
            limits(3, proven=(1, 10), proven_span=2, refused_at=NOW, refused_span=28),
            limits(7, proven=(1, 10), proven_span=2),
            3,
        ),
    ],
)
def test_an_answer_that_ends_early_lowers_the_span(expected, known, span):
    assert learn.cut_short(known, timedelta(days=28), timedelta(days=span), NOW) == expected


def test_an_exonerated_size_keeps_what_is_proven():
    known = limits(
        3, 5, gaps=False, length=500, proven=(2, 4), proven_span=3, refused_at=NOW, refused_span=7, capped=True
    )
    assert learn.exonerated(known) == limits(proven=(2, 4), proven_span=3)


@pytest.mark.parametrize(
    ("expected", "span", "refused_span", "doubted"),
    [(14, 7, 15, (0, 0)), (None, 7, 14, (0, 0)), (None, 7, 0, (0, 0)), (None, 7, 31, (7, 1)), (None, 31, 90, (0, 0))],
)
def test_a_longer_span_is_tried_short_of_what_was_refused(expected, span, refused_span, doubted):
    more = learn.longer(limits(span, refused_span=refused_span, doubted=doubted))
    assert more == (limits(expected, refused_span=refused_span) if expected else None)


@pytest.mark.parametrize(
    ("expected", "known", "days"),
    [
        (limits(7, 20), limits(7, 20), 900),
        (limits(7, 20, refused_at=NOW), limits(7, 20, refused_at=NOW), 6.9999),
        ((31, 50), limits(7, 20, refused_at=NOW), 7),
        ((31, 1000), limits(31, 1000, refused_at=NOW), 7),
        ((10, 22), limits(7, 20, refused_at=NOW, refused_span=13, refused_positions=24), 7),
        ((31, 50), limits(7, 20, refused_at=NOW, refused_span=8, refused_positions=21), 7),
        ((8, 21), limits(7, 20, refused_at=NOW, refused_span=9, refused_positions=22), 7),
    ],
)
def test_a_week_after_a_refusal_more_is_tried(expected, known, days):
    now = NOW + timedelta(days=days)
    if isinstance(expected, tuple):
        known = replace(known, shape=replace(known.shape, gaps=False))
        shape = Shape(timedelta(days=expected[0]), expected[1], gaps=True)
        expected = replace(known, shape=shape, refused_at=now)
    assert learn.raised(known, now) == expected


def test_a_record_with_everything_in_it_is_read_as_it_was_written():
    known = limits(3, 5, gaps=False, length=500, proven=(2, 4), proven_span=2.5, doubted=(7, 9), refused_at=NOW)
    known = replace(known, refused_span=WEEK, refused_positions=8, capped=True)
    assert learn.load(QUARTER, learn.dump(known)) == known


def test_a_record_of_an_earlier_version_lacks_what_is_new():
    record = json.loads(learn.dump(limits(3, 5)))
    for name in ("capped", "refused_span_seconds", "refused_positions"):
        del record[name]
    assert learn.load(QUARTER, json.dumps(record)) == limits(3, 5)


def test_the_steps_of_lengths_and_positions_on_the_way_down_and_up():
    known, lengths, positions = GUESS, [], []
    for _ in range(7):
        known = learn.too_long(known, batch_of(200, 7), NOW)
        lengths.append(known.shape.length)
    assert lengths == [7900, 6000, 4000, 2000, 1000, 500, 500]
    known = limits(positions=1000, proven_span=7)
    while known.shape.positions > 1:
        known = learn.refused(known, batch_of(known.shape.positions, 7), NOW)
        positions.append(known.shape.positions)
    assert positions == [100, 50, 20, 10, 5, 2, 1]
    known = limits(positions=1)
    for count in reversed(positions):
        known = learn.accepted(known, batch_of(count, 7))
        positions.append(known.shape.positions)
    assert positions[7:] == [2, 5, 10, 20, 50, 100, 1000]
