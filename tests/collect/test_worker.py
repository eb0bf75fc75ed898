"""Every due moment ends as exactly one fire, whatever happens between."""

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import count
from types import SimpleNamespace

import pytest

from collector.collect.maintenance import keep_history
from collector.collect.one_pass import PassResult
from collector.collect.planning.request_limits import measured
from collector.collect.refetch import gap_slices
from collector.collect.worker import Health, ProfileWorker, fires_of, first_of
from collector.interval import AggInterval
from collector.model import Window
from collector.profile import with_delays
from collector.settings import RetentionSettings
from collector.store import ExpectedWindow, SaveResult, StoreUnavailable
from collector.store.db.database import Database
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, open_core, until
from tests.harness.factories import profile, query

DUE = HOUR.floor(NOW)


def _worker(core):
    return ProfileWorker(core.profiles, core.store, core.batch_runner)


async def _fires(core):
    rows = await core.store.list_fires()
    assert len({(row.profile, row.due) for row in rows}) == len(rows)
    return [(row.due, row.outcome) for row in reversed(rows)]


def test_the_newest_due_moment_has_the_outcome_and_the_older_ones_are_coalesced():
    collected = PassResult(SaveResult(), {"well": None, "ill": "no answer"}, stopped=False)
    hours = [DUE - timedelta(hours=back) for back in (2, 1, 0)]
    fires = fires_of({"well": hours, "ill": hours[2:]}, collected, NOW)
    assert [(fire.profile, fire.due, fire.outcome, fire.message) for fire in fires] == [
        ("well", hours[0], "coalesced", None),
        ("well", hours[1], "coalesced", None),
        ("well", hours[2], "collected", None),
        ("ill", hours[2], "failed", "no answer"),
    ]


async def test_it_works(store_url):
    async with open_core(store_url, profile()) as core:
        worker = _worker(core)
        assert worker.health["all"] == Health()
        assert await worker.run_due()
        assert await _fires(core) == [(DUE, "collected")]
        assert worker.health["all"].success == core.clock()
        sent = len(core.requests)
        assert await worker.run_due()  # nothing is due
        assert len(core.requests) == sent


@pytest.mark.parametrize(("many", "given_back"), [(1, 1), (10_000, 0)])
async def test_memory_is_given_back_after_a_pass_that_saved_much(sqlite_url, monkeypatch, many, given_back):
    calls = []
    monkeypatch.setattr("collector.collect.one_pass._MANY_VALUES", many)
    monkeypatch.setattr("collector.memory.give_back", lambda: calls.append(1))
    async with open_core(sqlite_url, profile()) as core:
        assert await _worker(core).run_due()
    assert len(calls) == given_back


async def test_a_pass_that_fails_again_without_a_request_is_not_logged(sqlite_url, caplog):
    caplog.set_level("DEBUG", "collector.collect.worker")
    async with open_core(sqlite_url, profile()) as core:
        core.script(faults.api_error(403, 10000).always())
        worker = _worker(core)
        for _ in range(3):
            assert not await worker.run_due()
        assert len(core.requests) == 1
        core.clock.advance(minutes=5)
        assert not await worker.run_due()
        assert len(core.requests) == 2
        core.clock.advance(minutes=56)
        assert not await worker.run_due()
    levels = ["WARNING", "DEBUG", "DEBUG", "WARNING", "WARNING"]
    assert [record.levelname for record in caplog.records if record.message == "collect"] == levels


async def test_one_fire_per_due_edge_over_two_days(sqlite_url):
    profiles = profile(), profile("also", filters={"tld": ("com",)})
    async with open_core(sqlite_url, *profiles) as core:
        worker = _worker(core)
        for _ in range(48 * 4):
            await worker.run_due()
            core.clock.advance(minutes=15)
        fires = await core.store.list_fires()
        assert Counter(fire.outcome for fire in fires) == {"collected": 2 * 48}
        assert {fire.due for fire in fires} == {DUE + timedelta(hours=hour) for hour in range(48)}


async def test_after_a_day_of_downtime_one_pass_gives_every_due_moment_an_outcome(store_url):
    async with open_core(store_url, profile()) as core:
        await _worker(core).run_due()
        core.restart()
        core.clock.advance(days=1)
        seen = len(core.requests)
        await _worker(core).run_due()
        assert [outcome for _, outcome in await _fires(core)] == ["collected"] + ["coalesced"] * 23 + ["collected"]
        assert len(core.requests) - seen == 1
        stored = (await core.stored())["all"]
        assert stored == core.truth(query(), Window(DUE.replace(hour=0) - DAY, DUE + DAY))


@pytest.mark.parametrize(("lag", "asked_again"), [(timedelta(0), 0), (timedelta(minutes=15), 1)])
async def test_after_its_due_moment_has_moved_only_a_lacking_bucket_is_asked_for_again(sqlite_url, lag, asked_again):
    async with open_core(sqlite_url, profile(waits=True), lag=lag) as core:
        await _worker(core).run_due()
        (later,) = with_delays(core.profiles, {HOUR: timedelta(minutes=16)})
        moved = ProfileWorker([later], core.store, core.batch_runner)
        sent = len(core.requests)
        for _ in range(20):
            core.clock.advance(minutes=1)
            assert await moved.run_due()
        assert len(core.requests) == sent + asked_again
        assert await _fires(core) == [(DUE, "collected")]
        assert max((await core.stored())["all"]) == (DUE - HOUR.step).timestamp()


async def test_a_failed_pass_is_retried_and_its_fire_is_unchanged(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        worker = _worker(core)
        core.script(faults.unequal().always())
        assert not await worker.run_due()
        core.clock.advance(minutes=1)
        assert not await worker.run_due()
        assert worker.health["all"].failures == 2
        assert "values" in worker.health["all"].reason
        core.simulator.clear_script()
        core.clock.advance(minutes=2)
        assert await worker.run_due()
        assert worker.health["all"] == Health(DUE, core.clock(), 0, None)
        assert await _fires(core) == [(DUE, "failed")]
        assert len((await core.stored())["all"]) > 24


async def test_after_a_restart_a_fire_that_failed_is_tried_again_at_once(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        core.script(faults.html(502).always())
        await _worker(core).run_due()
        core.simulator.clear_script()
        core.restart()
        worker = _worker(core)
        assert await worker.run_due()
        assert worker.health["all"].failures == 0
        assert await _fires(core) == [(DUE, "failed")]
        assert await core.stored()


async def test_due_fires_stay_due_while_the_store_is_unavailable(store_url, monkeypatch):
    async with open_core(store_url, profile("first"), profile("other", filters={"tld": ("com",)})) as core:
        worker, save = _worker(core), core.store.save
        await core.batch_runner.learn(measured(AggInterval.ONE_HOUR, 31 * DAY, 1, now=core.clock()))
        saves = count()

        async def full_once(*arguments, **how):
            if next(saves) == 1:
                raise StoreUnavailable("the disk is full")
            return await save(*arguments, **how)

        monkeypatch.setattr(core.store, "save", full_once)
        with pytest.raises(StoreUnavailable):
            await worker.run_due()
        ((name, fire),) = [(row.profile, row.outcome) for row in await core.store.list_fires()]
        assert fire == "collected"
        assert {name for name, health in worker.health.items() if health.success} == {name}
        assert await worker.run_due()
        assert await _fires(core) == [(DUE, "collected")] * 2
        assert len(core.requests) == 3


async def test_a_stopped_pass_leaves_its_fire_to_the_next_start(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        core.fetcher.stop.set()
        await _worker(core).run_due()
        assert await _fires(core) == []
        core.restart()
        await _worker(core).run_due()
        assert await _fires(core) == [(DUE, "collected")]


async def test_a_failing_profile_does_not_stop_the_others_of_its_group(sqlite_url):
    async with open_core(sqlite_url, profile("ill", filters={"ca": ("Nobody",)}), profile("well")) as core:
        ill = lambda got: any(series.query.filters for series in got.request.series)  # noqa: E731 - a predicate
        core.script(faults.api_error(400, 2001).always().only(ill))
        worker = _worker(core)
        assert not await worker.run_due()
        assert {fire.profile: fire.outcome for fire in await core.store.list_fires()} == {
            "ill": "failed",
            "well": "collected",
        }
        assert worker.health["well"].success
        assert not worker.health["ill"].success
        seen = len(core.requests)
        core.clock.advance(minutes=1)
        await worker.run_due()
        assert len(core.requests) - seen == 1  # only what failed is tried again


async def test_a_profile_that_radar_refuses_costs_a_request_an_hour_despite_restarts(store_url):
    async with open_core(store_url, profile("ill", AggInterval.ONE_DAY, filters={"ca": ("Nobody",)})) as core:
        core.script(faults.api_error(400, 2001).always())
        worker = _worker(core)
        for _ in range(6 * 60):
            await worker.run_due()
            core.clock.advance(minutes=1)
        assert len(core.requests) == 1 + 6 + 4  # at once, after 1, 2, 4, 8, 16 and 32 minutes, then hourly
        assert worker.health["ill"].failures == len(core.requests)
        core.restart()
        await _worker(core).run_due()
        assert len(core.requests) == 11
        core.simulator.clear_script()
        core.clock.advance(hours=1)
        await worker.run_due()
        assert await core.stored()


async def test_a_day_that_is_published_late_is_requested_before_the_next_midnight(sqlite_url):
    lag = timedelta(minutes=45)
    async with open_core(sqlite_url, profile("days", AggInterval.ONE_DAY), lag=lag) as core:
        midnight = NOW.replace(hour=0, minute=3) + DAY
        core.clock.now = midnight
        worker = _worker(core)
        await worker.run_due()
        assert await core.stored() == {}
        for _ in range(24 * 4):
            core.clock.advance(minutes=15)
            await worker.run_due()
            if await core.stored():
                break
        assert core.clock() - midnight <= timedelta(hours=2)
        assert len(await _fires(core)) == 1


async def test_the_loop_runs_when_woken_and_ends_at_a_stop(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        worker = _worker(core)
        running = asyncio.create_task(worker.run())
        await until(lambda: worker.health["all"].success)
        core.clock.advance(hours=1)
        await worker.notice()
        await until(lambda: worker.health["all"].due == DUE + timedelta(hours=1))
        core.fetcher.stop.set()
        await asyncio.wait_for(running, 5)


async def test_the_worker_continues_after_the_store_was_unavailable(sqlite_url, tmp_path):
    async with open_core(sqlite_url, profile()) as core:
        worker = _worker(core)
        path = tmp_path / "collector.db"
        path.rename(tmp_path / "away")
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(0.2)
        assert not running.done()
        (tmp_path / "away").rename(path)
        await until(lambda: worker.health["all"].success)
        core.fetcher.stop.set()
        await asyncio.wait_for(running, 5)


async def test_a_wait_ends_with_the_first_of_several_events_or_after_its_time():
    set_, never = asyncio.Event(), asyncio.Event()
    set_.set()
    await asyncio.wait_for(first_of(never, set_), 5)
    await asyncio.wait_for(first_of(never, seconds=0.01), 5)


async def _transactions(url, count, monkeypatch):
    """Count the transactions of one pass of so many profiles, the second one, by kind."""
    asked = Counter()
    for name in ("read_in_thread", "write"):
        original = getattr(Database, name)

        async def counted(self, *arguments, original=original, name=name, **options):
            asked[name] += 1
            return await original(self, *arguments, **options)

        monkeypatch.setattr(Database, name, counted)
    profiles = [profile(f"p{number}", filters={"tld": (f"tld{number}",)}) for number in range(count)]
    async with open_core(url, *profiles) as core:
        worker = _worker(core)
        assert await worker.run_due()
        core.clock.advance(hours=1)
        asked.clear()
        assert await worker.run_due()
        assert len(await core.store.list_fires()) == 2 * count
    monkeypatch.undo()
    return asked


async def test_the_store_is_asked_as_often_for_a_dozen_profiles_as_for_two(tmp_path, monkeypatch):
    few = await _transactions(f"sqlite:///{tmp_path}/few.db", 2, monkeypatch)
    many = await _transactions(f"sqlite:///{tmp_path}/many.db", 12, monkeypatch)
    assert few == many


async def test_healing_asks_as_often_for_many_series_with_gaps_as_for_few(tmp_path, monkeypatch):
    numbers = []
    for count_ in (2, 12):
        asked = Counter()
        original = Database.read_in_thread

        async def counted(self, *arguments, original=original, asked=asked):
            asked["read"] += 1
            return await original(self, *arguments)

        monkeypatch.setattr(Database, "read_in_thread", counted)
        names = tuple(f"tld{number}" for number in range(count_))
        wanted = profile(each={"tld": names}, since=NOW - 5 * DAY)
        async with open_core(f"sqlite:///{tmp_path}/{count_}.db", wanted) as core:
            expected = [ExpectedWindow(one.query, Window(DUE - 4 * DAY, DUE), DAY) for one in wanted.series]
            slices = await gap_slices(expected, NOW, core.store, core.batch_runner)
            assert {piece.series for piece in slices} == {one.query for one in wanted.series}
        numbers.append(asked["read"])
        monkeypatch.undo()
    assert numbers[0] == numbers[1]


async def test_memory_is_given_back_after_gaps_were_filled(sqlite_url, monkeypatch):
    calls = []
    monkeypatch.setattr("collector.collect.one_pass._MANY_VALUES", 1)
    monkeypatch.setattr("collector.memory.give_back", lambda: calls.append(1))
    async with open_core(sqlite_url, profile(since=NOW - 3 * DAY)) as core:
        settings = SimpleNamespace(active=core.profiles, retention=RetentionSettings())
        healing = asyncio.create_task(keep_history(settings, core.batch_runner))
        await until(lambda: calls)
        core.fetcher.stop.set()
        await healing
