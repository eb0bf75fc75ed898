"""Every due moment ends as exactly one fire, whatever happens between."""

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import count

import pytest

from collector.collect.limits import measured
from collector.collect.one_pass import PassResult
from collector.collect.worker import Health, ProfileWorker, fires_of, first_of
from collector.model import AggInterval, Window
from collector.store import Saved, StoreUnavailable, pause
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, core, until
from tests.harness.factories import profile, query

DUE = HOUR.floor(NOW)


def _worker(world):
    return ProfileWorker(world.profiles, world.store, world.batch_runner)


async def _fires(world):
    rows = await world.store.list_fires()
    assert len({(row.profile, row.due) for row in rows}) == len(rows)
    return [(row.due, row.outcome) for row in reversed(rows)]


def test_the_newest_due_moment_has_the_outcome_and_the_older_ones_are_coalesced():
    collected = PassResult(Saved(), {"well": None, "ill": "no answer"}, stopped=False)
    hours = [DUE - timedelta(hours=back) for back in (2, 1, 0)]
    fires = fires_of({"well": hours, "ill": hours[2:]}, collected, NOW)
    assert [(fire.profile, fire.due, fire.outcome, fire.message) for fire in fires] == [
        ("well", hours[0], "coalesced", None),
        ("well", hours[1], "coalesced", None),
        ("well", hours[2], "collected", None),
        ("ill", hours[2], "failed", "no answer"),
    ]


async def test_it_works(store_url):
    async with core(store_url, profile()) as world:
        worker = _worker(world)
        assert worker.health["all"] == Health()
        assert await worker.run_due()
        assert await _fires(world) == [(DUE, "collected")]
        assert worker.health["all"].success == world.clock()
        asked = len(world.requests)
        assert await worker.run_due()  # nothing is due
        assert len(world.requests) == asked


async def test_a_pass_that_fails_again_without_asking_is_not_told_again(sqlite_url, caplog):
    caplog.set_level("DEBUG", "collector.collect.worker")
    async with core(sqlite_url, profile()) as world:
        world.script(faults.api_error(403, 10000).always())
        worker = _worker(world)
        for _ in range(3):
            assert not await worker.run_due()
        assert len(world.requests) == 1
        world.clock.advance(minutes=5)
        assert not await worker.run_due()
        assert len(world.requests) == 2
        world.clock.advance(minutes=56)
        assert not await worker.run_due()
    told = ["WARNING", "DEBUG", "DEBUG", "WARNING", "WARNING"]
    assert [record.levelname for record in caplog.records if record.message == "collect"] == told


async def test_one_fire_per_due_edge_over_two_days(sqlite_url):
    profiles = profile(), profile("also", filters={"tld": ("com",)})
    async with core(sqlite_url, *profiles) as world:
        worker = _worker(world)
        for _ in range(48 * 4):
            await worker.run_due()
            world.clock.advance(minutes=15)
        fires = await world.store.list_fires()
        assert Counter(fire.outcome for fire in fires) == {"collected": 2 * 48}
        assert {fire.due for fire in fires} == {DUE + timedelta(hours=hour) for hour in range(48)}


async def test_a_day_of_downtime_is_one_pass_and_every_due_moment_is_accounted_for(store_url):
    async with core(store_url, profile()) as world:
        await _worker(world).run_due()
        world.restart()
        world.clock.advance(days=1)
        seen = len(world.requests)
        await _worker(world).run_due()
        assert [outcome for _, outcome in await _fires(world)] == ["collected"] + ["coalesced"] * 23 + ["collected"]
        assert len(world.requests) - seen == 1
        stored = (await world.stored())["all"]
        assert stored == world.truth(query(), Window(DUE.replace(hour=0) - DAY, DUE + DAY))


async def test_what_failed_is_tried_again_and_its_fire_stays_as_it_was(sqlite_url):
    async with core(sqlite_url, profile()) as world:
        worker = _worker(world)
        world.script(faults.unequal().always())
        assert not await worker.run_due()
        world.clock.advance(minutes=1)
        assert not await worker.run_due()
        assert worker.health["all"].failures == 2
        assert "values" in worker.health["all"].reason
        world.simulator.clear_script()
        world.clock.advance(minutes=2)
        assert await worker.run_due()
        assert worker.health["all"] == Health(DUE, world.clock(), 0, None)
        assert await _fires(world) == [(DUE, "failed")]
        assert len((await world.stored())["all"]) > 24


async def test_after_a_restart_a_fire_that_failed_is_tried_again_at_once(sqlite_url):
    async with core(sqlite_url, profile()) as world:
        world.script(faults.html(502).always())
        await _worker(world).run_due()
        world.simulator.clear_script()
        world.restart()
        worker = _worker(world)
        assert await worker.run_due()
        assert worker.health["all"].failures == 0
        assert await _fires(world) == [(DUE, "failed")]
        assert await world.stored()


async def test_while_the_store_takes_no_answer_what_is_due_stays_due(store_url, monkeypatch):
    async with core(store_url, profile("first"), profile("other", filters={"tld": ("com",)})) as world:
        worker, save = _worker(world), world.store.save
        await world.batch_runner.learn(measured(AggInterval.ONE_HOUR, 31 * DAY, 1, now=world.clock()))
        saves = count()

        async def full_once(*asked, **how):
            if next(saves) == 1:
                raise StoreUnavailable("the disk is full")
            return await save(*asked, **how)

        monkeypatch.setattr(world.store, "save", full_once)
        with pytest.raises(StoreUnavailable):
            await worker.run_due()
        ((name, fire),) = [(row.profile, row.outcome) for row in await world.store.list_fires()]
        assert fire == "collected"
        assert {name for name, health in worker.health.items() if health.success} == {name}
        assert await worker.run_due()
        assert await _fires(world) == [(DUE, "collected")] * 2
        assert len(world.requests) == 3


async def test_told_to_stop_it_leaves_the_fire_to_the_next_start(sqlite_url):
    async with core(sqlite_url, profile()) as world:
        world.fetcher.stop.set()
        await _worker(world).run_due()
        assert await _fires(world) == []
        world.restart()
        await _worker(world).run_due()
        assert await _fires(world) == [(DUE, "collected")]


async def test_an_ill_profile_does_not_stop_the_others_of_its_group(sqlite_url):
    async with core(sqlite_url, profile("ill", filters={"ca": ("NullObserver",)}), profile("well")) as world:
        ill = lambda got: any(asked.query.filters for asked in got.question.series)  # noqa: E731 - a predicate
        world.script(faults.api_error(400, 2001).always().only(ill))
        worker = _worker(world)
        assert not await worker.run_due()
        assert {fire.profile: fire.outcome for fire in await world.store.list_fires()} == {
            "ill": "failed",
            "well": "collected",
        }
        assert worker.health["well"].success
        assert not worker.health["ill"].success
        seen = len(world.requests)
        world.clock.advance(minutes=1)
        await worker.run_due()
        assert len(world.requests) - seen == 1  # only what failed is tried again


@pytest.mark.parametrize(
    ("expected", "failures", "step"),
    [(1, 1, HOUR.step), (2, 2, HOUR.step), (32, 6, HOUR.step), (60, 7, 24 * HOUR.step), (15, 500, HOUR.step / 4)],
)
def test_what_is_refused_is_asked_less_and_less_often(expected, failures, step):
    assert pause(failures, step) == timedelta(minutes=expected)


async def test_a_profile_that_radar_refuses_costs_a_request_an_hour_whatever_is_restarted(store_url):
    async with core(store_url, profile("ill", AggInterval.ONE_DAY, filters={"ca": ("NullObserver",)})) as world:
        world.script(faults.api_error(400, 2001).always())
        worker = _worker(world)
        for _ in range(6 * 60):
            await worker.run_due()
            world.clock.advance(minutes=1)
        assert len(world.requests) == 1 + 6 + 4  # at once, after 1, 2, 4, 8, 16 and 32 minutes, then hourly
        assert worker.health["ill"].failures == len(world.requests)
        world.restart()
        await _worker(world).run_due()
        assert len(world.requests) == 11
        world.simulator.clear_script()
        world.clock.advance(hours=1)
        await worker.run_due()
        assert await world.stored()


async def test_a_day_that_is_published_late_is_looked_for_before_the_next_midnight(sqlite_url):
    lag = timedelta(minutes=45)
    async with core(sqlite_url, profile("days", AggInterval.ONE_DAY), lag=lag) as world:
        midnight = NOW.replace(hour=0, minute=3) + DAY
        world.clock.now = midnight
        worker = _worker(world)
        await worker.run_due()
        assert await world.stored() == {}
        for _ in range(24 * 4):
            world.clock.advance(minutes=15)
            await worker.run_due()
            if await world.stored():
                break
        assert world.clock() - midnight <= timedelta(hours=2)
        assert len(await _fires(world)) == 1


async def test_the_loop_runs_when_noticed_and_ends_when_told(sqlite_url):
    async with core(sqlite_url, profile()) as world:
        worker = _worker(world)
        running = asyncio.create_task(worker.run())
        await until(lambda: worker.health["all"].success)
        world.clock.advance(hours=1)
        await worker.notice()
        await until(lambda: worker.health["all"].due == DUE + timedelta(hours=1))
        world.fetcher.stop.set()
        await asyncio.wait_for(running, 5)


async def test_a_store_that_goes_away_is_survived(sqlite_url, tmp_path):
    async with core(sqlite_url, profile()) as world:
        worker = _worker(world)
        path = tmp_path / "collector.db"
        path.rename(tmp_path / "away")
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(0.2)
        assert not running.done()
        (tmp_path / "away").rename(path)
        await until(lambda: worker.health["all"].success)
        world.fetcher.stop.set()
        await asyncio.wait_for(running, 5)


async def test_first_of_several_events_or_the_time():
    set_, never = asyncio.Event(), asyncio.Event()
    set_.set()
    await asyncio.wait_for(first_of(never, set_), 5)
    await asyncio.wait_for(first_of(never, seconds=0.01), 5)
