"""The service as a whole, in this process, under a clock that is moved by hand."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.collect.one_pass import collect
from collector.daemon import Daemon, groups, host_jitter
from collector.interval import AggInterval, Grid
from collector.profile import with_history
from collector.report.status import status_document
from collector.settings import load
from collector.simulator import Simulator, SimulatorOptions, serve
from collector.store import BackfillRequest, Store, StoreDenied
from collector.timestamps import rfc3339
from tests.harness import faults
from tests.harness.collect_core import CALM, HOUR, NOW, TOKEN, Clock, until
from tests.harness.factories import profile
from tests.harness.processes import WITHOUT_CATALOGUE

_CONFIG = '[radar]\nbase_url = "{url}"\n[[profiles]]\nname = "all"\nagg_interval = "1h"\n'


@dataclass
class Living:
    service: Daemon
    simulator: Simulator
    store: Store
    clock: Clock
    config: Path
    task: asyncio.Task

    def health(self, name="all"):
        return next(one.health[name] for one in self.service._workers if name in one.health)

    async def fresh(self, name="all"):
        def is_fresh():
            assert not self.task.done(), self.task
            return any(name in one.health and one.health[name].success for one in self.service._workers)

        await until(is_fresh)

    async def unready(self):
        return await self.service.unready()


@asynccontextmanager
async def living(folder, url, *steps, config=_CONFIG, **options):
    clock, path = Clock(), folder / "config.toml"
    simulator = Simulator(SimulatorOptions(**{**CALM, **options}), clock.timestamp)
    simulator.script(*steps)
    async with serve(simulator) as base_url, Store.open(url, owner="run") as store:
        path.write_text(config.format(url=base_url))

        def settings():
            return load(str(path), environ={"CLOUDFLARE_API_TOKEN": TOKEN, **WITHOUT_CATALOGUE}, now=NOW)

        service = Daemon(settings(), store, settings, clock)
        task = asyncio.create_task(service.run())
        try:
            yield Living(service, simulator, store, clock, path, task)
        finally:
            service.stop()
            await asyncio.wait_for(task, 10)


async def test_it_works(tmp_path, store_url):
    async with living(tmp_path, store_url) as world:
        await world.fresh()
        assert await world.unready() == []
        assert [fire.outcome for fire in await world.store.list_fires()] == ["collected"]


async def test_ready_until_two_minutes_after_the_due_moment_and_not_later(tmp_path, sqlite_url):
    async with living(tmp_path, sqlite_url) as world:
        await world.fresh()
        due = HOUR.floor(NOW) + timedelta(hours=1, minutes=2) + host_jitter()
        world.clock.now = due + timedelta(minutes=2, seconds=-1)
        assert await world.unready() == []
        world.clock.now = due + timedelta(minutes=2)
        (reason,) = await world.unready()
        assert reason.startswith("all: due since ")


async def test_a_failure_is_ready_for_two_minutes_and_then_not_with_the_reason(tmp_path, sqlite_url):
    async with living(tmp_path, sqlite_url, faults.unequal().always()) as world:
        await until(lambda: world.service._workers and world.health().failures)
        assert await world.unready() == []
        world.clock.advance(minutes=2)
        (reason,) = await world.unready()
        assert "last success never" in reason
        assert "values" in reason
        world.simulator.clear_script()
        await world.fresh()
        assert await world.unready() == []


async def test_wrong_credentials_make_it_not_ready(tmp_path, sqlite_url):
    async with living(tmp_path, sqlite_url, token="another") as world:
        await until(lambda: world.service._workers and world.health().failures)
        assert [reason.partition(":")[0] for reason in await world.unready()] == ["credentials"]
        world.clock.advance(minutes=3)
        late, refused = await world.unready()
        assert late.startswith("all: due since ")
        for reason in (late, refused):
            assert "403" in reason
            assert TOKEN not in reason
        assert len(world.simulator.requests) == 1


async def test_a_token_that_was_revoked_is_told_long_before_anything_is_due(tmp_path, sqlite_url):
    async with living(tmp_path, sqlite_url) as world:
        await world.fresh()
        world.simulator.script(faults.api_error(403, 10000, "Authentication error").always())
        await _backfilled(world)
        (reason,) = await world.unready()
        assert reason.startswith("credentials: ")
        world.simulator.clear_script()
        world.clock.advance(minutes=6)
        await _backfilled(world)
        assert await world.unready() == []


async def _backfilled(world):
    job = await world.service.submit(BackfillRequest(("all",), NOW - timedelta(days=9), NOW - timedelta(days=8)))
    async with asyncio.timeout(10):
        while (await world.store.backfill(job.id)).finished_at is None:  # noqa: ASYNC110 - as in until
            await asyncio.sleep(0.01)


async def _ended(world, job_id):
    async with asyncio.timeout(10):
        while not (job := await world.store.backfill(job_id)).status.ended:  # noqa: ASYNC110 - as in until
            await asyncio.sleep(0.01)
    return job.status


async def test_a_job_that_cannot_be_done_fails_and_the_service_goes_on(tmp_path, store_url, monkeypatch):
    """One is on record since before dates were checked, the other meets a mistake of ours."""
    async with living(tmp_path, store_url) as world:
        await world.fresh()
        old = await world.service.submit(BackfillRequest(("all",), datetime(1, 1, 1, tzinfo=UTC), NOW))
        failed = await _ended(world, old.id)
        assert (failed.state, "0001-01-01T00:00:00Z is out of range" in failed.message) == ("failed", True)

        async def broken(*_):
            raise OverflowError("date value out of range")

        with monkeypatch.context() as patch:
            patch.setattr("collector.collect.backfill.unanswered", broken)
            job = await world.service.submit(BackfillRequest(("all",), NOW - timedelta(days=9), NOW))
            failed = await _ended(world, job.id)
        assert (failed.state, failed.message) == ("failed", "OverflowError: date value out of range")
        await _backfilled(world)
        assert not world.task.done()


async def test_a_job_that_waits_for_radar_is_cancelled_within_seconds_and_keeps_what_it_has(tmp_path, store_url):
    slow = _CONFIG.replace("[radar]", "[radar]\nrequests_per_5min = 1")
    async with living(tmp_path, store_url, config=slow) as world:
        await until(lambda: world.simulator.requests)  # the budget is spent
        job = await world.service.submit(BackfillRequest(("all",), NOW - timedelta(days=90), NOW))
        other = await world.service.submit(BackfillRequest(("all",), NOW - timedelta(days=9), NOW))
        async with asyncio.timeout(10):
            while (await world.store.backfill(job.id)).status.state == "queued":  # noqa: ASYNC110 - as in until
                await asyncio.sleep(0.01)
        for one in (job, other):
            assert (await world.service.cancel(one.id)).status.state == "cancelled"
        known = len(world.simulator.requests)
        world.clock.advance(minutes=6)
        await _backfilled(world)
        assert len(world.simulator.requests) - known <= 3
        assert (await world.store.backfill(job.id)).status.state == "cancelled"
        assert (await world.service.cancel(job.id)).status.message == "cancelled before all of it was asked for"


async def test_when_every_profile_fails_each_is_told_two_minutes_later(tmp_path, sqlite_url):
    config = _CONFIG + '[[profiles]]\nname = "other"\nagg_interval = "1d"\n'
    async with living(tmp_path, sqlite_url, faults.html(200).always(), config=config) as world:
        await until(lambda: world.service._workers and world.health().failures and world.health("other").failures)
        world.clock.advance(minutes=2)
        assert [reason.partition(":")[0] for reason in await world.unready()] == ["all", "other"]


async def test_an_attendant_that_hangs_is_told_two_minutes_after_the_due_moment(tmp_path, sqlite_url, monkeypatch):
    async with living(tmp_path, sqlite_url) as world:
        await world.fresh()
        hanging, released = asyncio.Event(), asyncio.Event()
        claim = world.store.claim

        async def hang(*arguments):
            hanging.set()
            await released.wait()
            return await claim(*arguments)

        monkeypatch.setattr(world.store, "claim", hang)
        due = HOUR.floor(NOW) + timedelta(hours=1, minutes=2) + host_jitter()
        world.clock.now = due
        for worker in world.service._workers:
            await worker.notice()
        await asyncio.wait_for(hanging.wait(), 10)
        assert await world.unready() == []
        world.clock.now = due + timedelta(minutes=2)
        (reason,) = await world.unready()
        assert reason.startswith("all: due since ")
        released.set()


async def test_a_store_that_cannot_be_written_is_not_ready(tmp_path, sqlite_url):
    async with living(tmp_path, sqlite_url) as world:
        await world.fresh()
        (tmp_path / "collector.db").rename(tmp_path / "away.db")
        (reason,) = await world.unready()
        assert reason.startswith("store: ")
        (tmp_path / "away.db").rename(tmp_path / "collector.db")
        assert await world.unready() == []


async def test_a_radar_that_does_not_move_on_is_told_within_two_minutes_of_the_answer(tmp_path, store_url):
    async with living(tmp_path, store_url) as world:
        await world.fresh()
        expected = "all: stale: Radar has no data after 2026-03-08T13:00:00Z: 48 h 7 min behind"
        world.simulator._history._options = replace(world.simulator.options, lag=timedelta(days=2))
        world.clock.advance(hours=1)
        for worker in world.service._workers:
            await worker.notice()
        async with asyncio.timeout(10):
            while await world.unready() != [expected]:  # noqa: ASYNC110 - as in until
                await asyncio.sleep(0.01)


async def test_a_service_is_seen_to_run_and_to_make_progress(tmp_path, store_url):
    async with living(tmp_path, store_url) as world:
        await world.fresh()
        found = await world.store.service()
        assert found.running
        if world.store.backend == "postgresql":
            assert found.profiles == {"all"}
        world.service.stop()
        await asyncio.wait_for(asyncio.shield(world.task), 10)
        found = await world.store.service()
        assert found.last_progress == NOW
        assert (found.running, found.since) in ((True, found.since), (False, NOW))  # on SQLite the lock is held on


async def test_a_wait_for_radar_is_ready_for_a_quarter_of_an_hour(tmp_path, sqlite_url):
    async with living(tmp_path, sqlite_url) as world:
        await world.fresh()
        due = HOUR.floor(NOW) + timedelta(hours=1, minutes=2)
        world.clock.now = due + timedelta(minutes=5)
        assert [reason.partition(":")[0] for reason in await world.unready()] == ["all"]
        await world.store.set_state("blocked_until", rfc3339(due + timedelta(hours=3)))
        for minutes, ready in ((5, True), (14, True), (15, False), (63, False), (90, False)):
            world.clock.now = due + timedelta(minutes=minutes)
            assert (await world.unready() == []) is ready, minutes


async def test_a_new_profile_is_ready_during_its_first_interval(tmp_path, sqlite_url, monkeypatch):
    released = asyncio.Event()

    async def hang(*arguments):
        await released.wait()
        return await collect(*arguments)

    monkeypatch.setattr("collector.collect.worker.collect", hang)
    async with living(tmp_path, sqlite_url) as world:
        await until(lambda: world.service._workers)
        for minutes, ready in ((0, True), (59, True), (61, False)):
            world.clock.now = NOW + timedelta(minutes=minutes)
            assert (await world.unready() == []) is ready, minutes
        released.set()


async def test_a_misspelt_filter_is_logged_once_a_day(tmp_path, sqlite_url, monkeypatch, caplog):
    monkeypatch.setattr("collector.daemon._LOOK_FOR_WARNINGS", 0.01)
    config = _CONFIG + 'lookback = "3d"\n[profiles.filters]\nca_owner = ["Lets Encrypt"]\n'
    async with living(tmp_path, sqlite_url, config=config, unknown_names="zero") as world:

        def told():
            return [one for one in caplog.records if one.message == "spelling"]

        await until(told)
        assert told()[0].series == "all"
        await until(lambda: world.health().success)
        await asyncio.sleep(0.1)
        assert len(told()) == 1
        world.clock.advance(days=1)
        await until(lambda: len(told()) == 2)


async def test_a_reload_takes_up_new_profiles_and_forgets_old_ones(tmp_path, sqlite_url):
    async with living(tmp_path, sqlite_url) as world:
        await world.fresh()
        world.config.write_text(world.config.read_text().replace('"all"', '"renamed"'))
        world.service.reload()
        await world.fresh("renamed")
        assert await world.unready() == []
        (series,) = [row for row in await world.store.list_series() if row.active]
        assert series.label == "renamed"
        assert series.points > 24
        assert len(world.simulator.requests) <= 3


async def test_a_paused_profile_is_asked_for_nothing_and_catches_up_when_it_is_resumed(tmp_path, store_url):
    async with living(tmp_path, store_url) as world:
        await world.fresh()
        running = world.config.read_text()
        world.config.write_text(running + "enabled = false\n")
        world.service.reload()
        await until(lambda: world.service._workers == [] and not world.service._stop.is_set())
        asked, fired = len(world.simulator.requests), len(await world.store.list_fires())
        world.clock.advance(hours=30)
        refused = world.service.profiles[0]
        with pytest.raises(ValueError, match="paused by enabled = false"):
            with_history([refused])
        job = await world.service.submit(BackfillRequest(("all",), NOW - timedelta(days=9), NOW))
        assert (await _ended(world, job.id)).message == "paused by enabled = false: all"
        assert await world.unready() == []
        document = await status_document(world.store, world.service.profiles, 600, world.clock())
        (shown,) = document["profiles"]
        assert [shown[key] for key in ("state", "healthy", "gaps", "lag_seconds", "next_fire", "waiting")] == [
            "paused", True, 0, None, None, None,
        ]  # fmt: skip
        assert shown["points"] > 20
        assert len([row async for row in world.store.export()]) == shown["points"]
        assert (len(world.simulator.requests), len(await world.store.list_fires())) == (asked, fired)
        world.config.write_text(running)
        world.service.reload()
        await world.fresh()
        async with asyncio.timeout(10):
            while len(await world.store.list_fires()) < fired + 30:  # noqa: ASYNC110 - as in until
                await asyncio.sleep(0.01)
        stored = {timestamp for _, _, timestamp, _ in [row async for row in world.store.export()]}
        assert len(stored) == shown["points"] + 30


async def test_the_service_goes_by_where_buckets_start(tmp_path, store_url):
    """The first pass finds it out, and the profile is due at those moments from then on."""
    eight = Grid(AggInterval.ONE_DAY, timedelta(hours=8))
    config = _CONFIG.replace('"1h"', '"1d"')
    async with living(tmp_path, store_url, config=config, grids={eight.interval: eight}) as world:
        await world.fresh()
        await until(lambda: world.service.profiles[0].grid == eight)
        await world.fresh()
        document = await status_document(world.service.store, world.service.profiles, 600, world.clock())
        assert [row["state"] for row in document["profiles"]] == ["fresh"]
        assert [grid["buckets_start"] for grid in document["grids"]] == ["08:00"]
        assert document["profiles"][0]["next_fire"].hour == 8
        assert world.service.profiles[0].next_due(world.clock()) == document["profiles"][0]["next_fire"]


async def test_a_bad_reload_keeps_the_old_configuration_and_says_so(tmp_path, sqlite_url, caplog):
    async with living(tmp_path, sqlite_url) as world:
        await world.fresh()
        for bad in ("", "[radar", '[[profiles]]\nname = "x"\nagg_interval = "7m"\n', "\x00", None):
            world.config.unlink() if bad is None else world.config.write_text(bad)
            with caplog.at_level("INFO"):
                world.service.reload()
        refused = [record for record in caplog.records if getattr(record, "outcome", "") == "refused"]
        assert len(refused) >= 4
        assert not world.task.done()


async def test_a_task_that_dies_takes_the_service_down(tmp_path, sqlite_url, monkeypatch):
    async def broken(*_, **_options):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr("collector.collect.maintenance.collect", broken)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        async with living(tmp_path, sqlite_url) as world:
            await asyncio.wait([world.task], timeout=10)


async def test_a_store_that_refuses_this_user_ends_the_service(tmp_path, postgres_url, monkeypatch):
    async def refuse(*_):
        raise StoreDenied("the store does not accept the password")

    monkeypatch.setattr("collector.collect.lease._RENEWALS", 100)
    monkeypatch.setattr(Store, "renew_lease", refuse)
    with pytest.raises(StoreDenied, match="the password"):
        async with living(tmp_path, postgres_url) as world:
            await asyncio.wait([world.task], timeout=10)


def test_profiles_that_are_due_together_are_one_group():
    late = profile("late", publication_delay=timedelta(hours=1))
    found = groups((profile("a"), late, profile("b")))
    assert [[one.name for one in group] for group in found.values()] == [["a", "b"], ["late"]]


def test_the_spread_is_small_and_always_the_same():
    assert timedelta(0) <= host_jitter() == host_jitter() < timedelta(seconds=20)
