"""A pass of several requests asks once whether Radar has published a bucket, and sends the rest only if it has."""

from datetime import UTC, datetime, timedelta

import pytest

from collector.collect.one_pass import collect
from collector.collect.worker import ProfileWorker
from collector.interval import AggInterval
from collector.model import Window
from collector.report.status import status_document
from collector.rules.publication import Publication
from tests.harness.collect_core import DAY, HOUR, open_core
from tests.harness.factories import many, profile

MIDNIGHT = datetime(2026, 3, 10, tzinfo=UTC)
LAG = timedelta(minutes=45)
OWNERS = many(45, publication_delay=timedelta(minutes=2))


async def _pass_at(core, hour, minute):
    core.clock.now, core.batch_runner.waits = MIDNIGHT.replace(hour=hour, minute=minute), True
    sent = len(core.requests)
    result = await collect(core.profiles, core.clock(), core.store, core.batch_runner)
    assert result.complete
    return len(core.requests) - sent


async def test_the_rest_of_a_pass_waits_until_radar_has_published_a_bucket(store_url):
    async with open_core(store_url, OWNERS, lag=LAG, series_per_request=20) as core:
        assert await _pass_at(core, 12, 7) > 3  # limits are learned, and nobody waits who has never been answered
        assert await _pass_at(core, 12, 50) == 3
        assert await _pass_at(core, 13, 3) == 1  # lastUpdated is 12:15, so the bucket from 12:00 is not published
        assert await _pass_at(core, 13, 50) == 3
        stored, window = await core.stored(), Window(HOUR.floor(MIDNIGHT), MIDNIGHT.replace(hour=13))
        for series in OWNERS.series:
            truth = core.truth(series.query, window)
            assert truth
            assert truth.items() <= stored[series.label].items()


async def test_an_hour_after_the_bucket_should_be_there_the_rest_is_requested_anyway(sqlite_url):
    async with open_core(sqlite_url, OWNERS, lag=LAG, series_per_request=20) as core:
        await _pass_at(core, 12, 7)
        assert await _pass_at(core, 13, 50) == 3
        core.simulator.switch(lag=timedelta(hours=5))
        assert [await _pass_at(core, *time) for time in ((14, 3), (14, 50), (15, 3), (15, 51))] == [1, 1, 1, 3]


async def test_a_series_without_an_answer_never_waits(sqlite_url):
    async with open_core(sqlite_url, OWNERS, lag=LAG, series_per_request=20) as core:
        await _pass_at(core, 12, 7)
        await _pass_at(core, 12, 50)
        await core.activate_labels(OWNERS, profile("new", hasIps=("true", "false")))
        await _pass_at(core, 13, 3)
        assert {"new/true", "new/false"} <= (await core.stored()).keys()


@pytest.mark.parametrize(
    ("delay", "samples"),
    [
        (None, []),
        (47, [47]),
        (45, [58, 45, 52]),  # the buckets came 45 minutes after their end, and answers at any time show it
        (50, [46, 65, 47]),  # once, 50 minutes after its end, a bucket was not there
    ],
)
def test_the_delay_is_the_shortest_that_all_answers_agree_with(delay, samples):
    learned = Publication()
    for minutes in samples:
        learned = learned.add(MIDNIGHT + timedelta(minutes=minutes), MIDNIGHT)
    assert learned.delay == (delay * 60 if delay else None)
    assert Publication.load(learned.dump()) == learned
    assert learned.add(MIDNIGHT + DAY, MIDNIGHT) == learned  # a stall
    assert learned.add(MIDNIGHT - DAY, MIDNIGHT) == learned


async def test_publication_and_revisions_are_shown_for_each_interval(store_url):
    async with open_core(store_url, profile(), lag=LAG, revised_for=timedelta(hours=6)) as core:
        for hour in (12, 13, 14, 15):
            core.clock.now = MIDNIGHT.replace(hour=hour, minute=7)
            await collect(core.profiles, core.clock(), core.store, core.batch_runner)
        await core.store.learn_revisions(core.clock())
        after, until, due = (await core.store.with_read_view(lambda view: view.publication_times()))[
            AggInterval.ONE_HOUR
        ]
        assert (after, due) == (52 * 60, None)
        ages = [row.replaced_at - row.timestamp - HOUR.step for row in await core.store.list_revisions()]
        assert until == int(max(ages).total_seconds())


async def test_a_profile_whose_pass_waited_is_not_late(sqlite_url):
    delay = {"publication_delay": timedelta(minutes=2)}
    both = profile("first", **delay), profile("second", dimension="CA_OWNER", **delay)
    async with open_core(sqlite_url, *both, lag=LAG) as core:
        core.batch_runner.waits = True
        worker = ProfileWorker(core.profiles, core.store, core.batch_runner)
        for hour, minute in ((11, 7), (12, 50), (13, 3)):
            core.clock.now = MIDNIGHT.replace(hour=hour, minute=minute)
            sent = len(core.requests)
            assert await worker.run_due()
        assert len(core.requests) - sent == 1
        core.clock.now += timedelta(minutes=20)
        document = await status_document(core.store, core.profiles, 600, core.clock())
        assert {row["name"]: (row["state"], row["healthy"]) for row in document["profiles"]} == {
            "first": ("fresh", True),
            "second": ("fresh", True),
        }
