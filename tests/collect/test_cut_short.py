"""An upstream that silently returns at most so many values of a longer window."""

import pytest

from collector.collect.one_pass import collect
from collector.collect.planning.request_limits import Kind
from collector.model import Window
from collector.report.gaps import find_gaps
from tests.collect.test_history import run_backfill
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, open_core
from tests.harness.factories import profile

MIDNIGHT = NOW.replace(hour=0, minute=0)
MOST = 168


def at_most(values, *, newest):
    def cut(document):
        for name, series in document["result"].items():
            if name != "meta":
                for key, column in series.items():
                    series[key] = column[-values:] if newest else column[:values]

    return faults.edit("at most so many values", cut)


@pytest.mark.parametrize("most", [MOST, 700])
@pytest.mark.parametrize("newest", [True, False], ids=["the newest", "the oldest"])
async def test_a_backfill_is_complete_and_learns_how_many_values_an_answer_has_at_most(store_url, newest, most):
    """Also if all but a few of the values of a window are there."""
    hourly = profile()
    async with open_core(store_url, hourly) as opened:
        opened.script(at_most(most, newest=newest).always())
        done = await run_backfill(opened, MIDNIGHT - 60 * DAY)
        assert (done.state, done.progress.gaps_remaining) == ("done", 0)
        window = Window(MIDNIGHT - 60 * DAY, MIDNIGHT)
        stored = (await opened.stored())["all"]
        truth = opened.truth(hourly.series[0].query, window)
        assert {t: v for t, v in stored.items() if t < MIDNIGHT.timestamp()} == truth
        learned = await opened.batch_runner.limits(hourly.request_kind)
        assert learned.largest(Kind.SPAN) <= most * HOUR.seconds
        assert len(opened.requests) <= 2 + 60 * 24 // most + 3


async def test_the_missing_end_of_a_truncated_answer_is_requested_at_once_and_nothing_vanishes(store_url):
    hourly = profile()
    async with open_core(store_url, hourly) as opened:
        for _ in range(15):
            await collect([hourly], opened.clock(), opened.store, opened.batch_runner, gaps=True)
            opened.clock.advance(days=1)
        opened.script(at_most(MOST, newest=True))
        before = len(opened.requests)
        collected = await collect([hourly], opened.clock(), opened.store, opened.batch_runner, gaps=True)
        assert (collected.saved.vanished, collected.saved.revised) == (0, 0)
        assert len(opened.requests) == before + 2
        assert await find_gaps(opened.store, [hourly], opened.clock()) == []
