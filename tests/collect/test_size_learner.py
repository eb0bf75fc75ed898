"""When a rejection goes on record, and when it is forgotten."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from collector.collect.batches.size_learner import SizeLearner
from collector.collect.planning.request_limits import Rejection, accepted, initial_limits, rejected, size_of
from collector.interval import AggInterval
from collector.model import Batch, Question, Slice, Window

NOW = datetime(2026, 3, 4, tzinfo=UTC)
DAY = timedelta(days=1)
QUARTER = AggInterval.FIFTEEN_MINUTES


class Memory:
    """The limits in memory, in place of a store."""

    def __init__(self, known=None):
        self.known = known or initial_limits(QUARTER)
        self.fetcher = SimpleNamespace(clock=lambda: NOW)

    async def limits(self, _agg_interval):
        return self.known

    known_limits = limits

    async def learn(self, limits):
        self.known = limits

    @property
    def rejected(self):
        return [
            (rejection.size.span / DAY, rejection.size.positions, rejection.cause) for rejection in self.known.rejected
        ]


def batch(days, positions, end=NOW):
    window = Window(end - days * DAY, end)
    return Batch(tuple(Slice(Question(QUARTER, {"ca": (f"{number:04}",)}), window) for number in range(positions)))


def learner(known=None):
    memory = Memory(known)
    return SizeLearner(memory, QUARTER), memory


def answered(*batches, known=None):
    limits = known or initial_limits(QUARTER)
    for accepted_batch in batches:
        limits = accepted(limits, size_of(accepted_batch))
    return limits


async def test_a_rejection_is_on_record_once_a_smaller_request_was_answered():
    learns, memory = learner()
    await learns.rejected(batch(14, 5), "refused")
    assert memory.rejected == []
    assert [rejection.size for rejection in (await learns.limits()).rejected] == [size_of(batch(14, 5))]
    await learns.accepted(batch(7, 5))
    assert memory.rejected == [(14, 5, "refused")]
    await learns.accepted(batch(7, 4))
    assert memory.rejected == [(14, 5, "refused")]


async def test_a_rejection_of_no_larger_a_request_than_the_answered_one_was_transient():
    learns, memory = learner()
    await learns.rejected(batch(7, 5), "refused")
    await learns.accepted(batch(7, 5))
    assert memory.known == answered(batch(7, 5))


async def test_a_rejection_of_what_was_accepted_meanwhile_is_stale():
    learns, memory = learner()
    await learns.rejected(batch(7, 5), "refused")
    memory.known = answered(batch(7, 5), batch(14, 5))  # another replica learned it
    before = memory.known
    await learns.accepted(batch(1, 1))
    assert memory.known == before


async def test_a_size_that_is_no_longer_accepted_is_on_record_at_once():
    learns, memory = learner(answered(batch(7, 5)))
    await learns.no_longer_accepted(batch(7, 5), "too_costly")
    assert memory.rejected == [(7, 5, "too_costly")]
    assert memory.known.accepted == ()


async def test_a_rejected_climb_makes_the_next_pause_longer_at_once():
    limited = rejected(answered(batch(7, 5)), Rejection(size_of(batch(14, 5)), "refused"), NOW - 2 * DAY)
    learns, memory = learner(limited)
    await learns.rejected(batch(31, 5), "refused")
    assert memory.known == replace(limited, climbs=1, again_at=NOW + 2 * DAY)


async def test_only_rejections_for_the_same_cause_that_overlap_the_window_are_dropped():
    learns, memory = learner()
    earlier = batch(14, 1, NOW - 30 * DAY)
    await learns.rejected(batch(14, 5), "refused")
    await learns.rejected(batch(31, 2), "too_costly")
    await learns.rejected(batch(20, 3, NOW - 30 * DAY), "refused")
    await learns.accepted(batch(7, 1))
    series = earlier.slices[0].series
    await learns.reset_after_content_error(series, "refused", earlier.slices[0].window)
    assert sorted(memory.rejected) == [(14, 5, "refused"), (31, 2, "too_costly")]
    await learns.reset_after_content_error(series, "refused")
    assert memory.rejected == [(31, 2, "too_costly")]
    assert memory.known.accepted == (size_of(batch(7, 1)),)


async def test_a_pending_rejection_is_dropped_after_a_content_error():
    learns, memory = learner()
    await learns.rejected(batch(14, 5), "refused")
    await learns.reset_after_content_error(batch(14, 1).slices[0].series, "refused")
    assert (await learns.limits()).rejected == ()
    await learns.accepted(batch(7, 5))
    assert memory.rejected == []
