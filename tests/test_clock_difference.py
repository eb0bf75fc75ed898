from datetime import timedelta

import pytest

from collector.rules.clock_difference import ClockDifference, ClockSample, load, radar_lag, sample, sentence
from tests.harness.collect_core import NOW

HOUR = 3600


def _seen(*samples):
    """Return the difference after *samples*, the oldest first: a number is a reply that took two seconds."""
    difference = ClockDifference()
    for one in samples:
        difference = difference.after(one if isinstance(one, ClockSample) else ClockSample(one - 3, one))
    return difference


@pytest.mark.parametrize(
    ("expected", "samples"),
    [
        (None, []),
        (None, [HOUR]),
        (HOUR, [HOUR, HOUR + 1]),
        (HOUR, [HOUR, ClockSample(HOUR - 20, HOUR + 30)]),
        (-HOUR, [-HOUR, -HOUR]),
        (HOUR, [ClockSample(HOUR - 3, HOUR).confirm()]),
        (None, [ClockSample(365 * 24 * HOUR, 365 * 24 * HOUR).confirm()]),
        (HOUR, [HOUR, HOUR, 365 * 24 * HOUR]),
        (HOUR, [HOUR, HOUR, -365 * 24 * HOUR, 5 * HOUR]),
        (5 * HOUR, [HOUR, HOUR, 5 * HOUR, 5 * HOUR]),
        (2, [HOUR, HOUR, 2]),
        (0, [0]),
    ],
)
def test_two_replies_must_agree_or_one_with_our_own_clock(expected, samples):
    found = _seen(*samples).found
    assert found == (None if expected is None else timedelta(seconds=expected))


@pytest.mark.parametrize(
    ("named", "ahead", "seconds"), [(None, 0, 59), (None, 0, -59), (61, 61, 61), (-61, 0, -61), (93600, 93600, 93600)]
)
def test_less_than_a_minute_is_no_difference_and_a_clock_behind_holds_nothing_back(named, ahead, seconds):
    difference = _seen(seconds, seconds)
    assert difference.named == (None if named is None else timedelta(seconds=named))
    assert difference.ahead == timedelta(seconds=ahead)


@pytest.mark.parametrize(
    ("expected", "date", "sent", "received"),
    [
        (ClockSample(HOUR - 3, HOUR, at=NOW.timestamp()), -HOUR, -2, 0),
        (None, None, -2, 0),
        (None, -HOUR, 1, 0),
        (None, -500 * 24 * HOUR, -2, 0),
        (None, 500 * 24 * HOUR, -2, 0),
    ],
)
def test_a_reply_bounds_the_difference_between_its_request_and_its_arrival(expected, date, sent, received):
    moments = [None if one is None else NOW + timedelta(seconds=one) for one in (date, sent, received)]
    assert sample(*moments) == expected


def test_samples_from_after_the_present_do_not_count():
    at = NOW.timestamp()
    known = _seen(*(ClockSample(HOUR - 3, HOUR, at=at + seconds) for seconds in (0, 60)))
    assert known.at(NOW) is known
    assert known.at(NOW - timedelta(minutes=59)) is known, "clocks of replicas differ"
    assert known.at(NOW - timedelta(hours=2)) == ClockDifference()
    assert _seen(HOUR, HOUR).at(NOW).found is not None, "earlier versions do not say when"
    assert load('{"seconds": 3600.0, "samples": [[3597, 3600, false], [3597, 3600, false]]}').ahead.seconds == HOUR


def test_the_record_reads_back_and_only_what_is_new_is_written():
    known = _seen(HOUR, HOUR)
    assert load(known.dump()) == known
    assert load(None) == ClockDifference()
    assert not known.after(ClockSample(HOUR - 3, HOUR)).is_news(known)
    assert known.after(ClockSample(2 * HOUR - 3, 2 * HOUR)).is_news(known)  # the next one may confirm it
    assert known.is_news(ClockDifference())


def test_a_lag_that_was_measured_before_the_clock_ran_ahead_stays():
    assert radar_lag(timedelta(hours=27), timedelta(hours=26)) == timedelta(hours=1)
    assert radar_lag(timedelta(minutes=45), timedelta(hours=26)) == timedelta(minutes=45)


def test_a_person_reads_how_much_and_what_it_means():
    assert sentence(timedelta(hours=26)).startswith("the clock is 1 d 2 h ahead of Radar's: Radar is asked up to")
    assert "5 min behind Radar's" in sentence(timedelta(minutes=-5))
