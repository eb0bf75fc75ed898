"""Finding out how large a request may be, against every limit that the simulator can hide."""

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
