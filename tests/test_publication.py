"""When a bucket is due: learned from `lastUpdated`, and moved only if answers contradict it."""

from datetime import UTC, datetime, timedelta

import pytest

from collector.rules.publication import Publication

MIDNIGHT = datetime(2026, 3, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
STEP = 15 * MINUTE
USUAL = 2 * MINUTE
HOUR = 60 * MINUTE


def after(*minutes, known=None):
    """What is learned from answers so many minutes after their lastUpdated."""
    learned = Publication(due_after=known)
    for sample in minutes:
        learned = learned.add(MIDNIGHT + sample * MINUTE, MIDNIGHT)
    return learned


@pytest.mark.parametrize(
    ("due", "samples", "known"),
    [
        (None, [47] * 5, None),
        (47, [47] * 6, None),
        (45, [58, 45, 52, 52, 52, 52], None),
        (0, [4] * 6, None),  # it is hardly worth the wait
        (60, [90] * 6, None),  # never later than an hour
        (47, [47] * 24, 47),
        (47, [47] * 22 + [62] * 2, 47),  # twice the bucket was late
        (53, [47] * 21 + [62.1] * 3, 47),
        (30, [30] * 6, 47),  # an answer shows it earlier
        (47, [43] * 6, 47),  # not for some minutes
    ],
)
def test_a_bucket_is_due_when_it_is_usually_published(due, samples, known):
    learned = after(*samples, known=None if known is None else known * 60)
    assert learned.due_after == (None if due is None else due * 60)
    assert Publication.load(learned.dump()) == learned


def test_what_an_earlier_version_has_written_is_read():
    assert Publication.load("[2700, 2820]") == Publication((2700, 2820))
    assert Publication.load('{"samples": 7, "due_after": "soon"}') == Publication()


def life(published_after, learned, hours):
    """Let a service request a bucket an hour: when it is due, and each step later until it is there."""
    edge, delays = MIDNIGHT, []
    for _ in range(hours):
        edge += HOUR
        delay = max(timedelta(seconds=learned.due_after or 0), USUAL)
        while True:
            now = edge + delay + timedelta(seconds=5)
            passed = now - published_after - MIDNIGHT
            last_updated = MIDNIGHT + passed // STEP * STEP
            learned = learned.add(now, last_updated)
            if last_updated >= edge or delay > HOUR:
                break
            delay += STEP
        delays.append(delay)
    return learned, delays


@pytest.mark.parametrize("minutes", [0, 1, 3, 5, 14, 20, 33, 44, 45, 46, 59])
def test_the_due_moment_is_neither_before_the_publication_nor_much_later(minutes):
    late = minutes * MINUTE
    learned, _ = life(late, Publication(), 48)
    _, delays = life(late, learned, 48)
    due = max(timedelta(seconds=learned.due_after), USUAL)
    assert late <= due <= max(late + STEP + 6 * MINUTE, USUAL)
    assert {*delays} == {due}  # no request comes in vain, and the moment stays


@pytest.mark.parametrize(("before", "then"), [(5, 25), (45, 10), (20, 58)])
def test_it_follows_a_change(before, then):
    learned, _ = life(before * MINUTE, Publication(), 48)
    learned, _ = life(then * MINUTE, learned, 72)
    _, delays = life(then * MINUTE, learned, 24)
    assert {*delays} == {timedelta(seconds=learned.due_after)}
    assert then * MINUTE <= delays[0] <= (then + 21) * MINUTE
