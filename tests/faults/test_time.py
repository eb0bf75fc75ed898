"""Clock: steps of seconds to years both ways, suspend, other zones, days that have 23 or 25 hours."""

import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from collector.collect.one_pass import collect
from collector.collect.worker import ProfileWorker
from collector.model import Window
from collector.report.readiness import late_reason
from tests.harness import faults
from tests.harness.collect_core import CALM, DAY, HOUR, NOW, batch, open_core
from tests.harness.factories import profile, query

YEAR = timedelta(days=365)
PAST = datetime(2025, 10, 20, 12, 7, tzinfo=UTC)


def _worker(core):
    return ProfileWorker(core.profiles, core.store, core.batch_runner)


async def _pass(core):
    core.restart()
    return await _worker(core).run_due()


async def test_after_a_year_ahead_and_back_the_next_bucket_is_collected_when_it_is_due(store_url):
    async with open_core(store_url, profile()) as core:
        await _pass(core)
        core.clock.advance(days=365)
        core.script(faults.api_error(400, 2001, "dateEnd: must not lie in the future").always())
        await _pass(core)
        assert (await core.store.last_fire("all")).due > NOW + 364 * DAY
        core.simulator.clear_script()
        for hours in range(1, 4):
            core.clock.now = NOW + timedelta(hours=hours)
            assert await _pass(core)
            assert (await core.store.last_fire("all", core.clock())).due == HOUR.floor(core.clock())
            assert (await core.store.extents([query()]))[query()].end == HOUR.floor(core.clock())
        outcomes = {fire.due: fire.outcome for fire in await core.store.list_fires()}
        assert {outcomes[HOUR.floor(NOW) + timedelta(hours=hours)] for hours in range(4)} == {"collected"}


async def test_requests_stamped_ahead_count_from_the_moment_the_clock_is_right_again(store_url):
    async with open_core(store_url, profile(), limit=3) as core:
        real = NOW
        core.clock.advance(days=400)
        for _ in range(3):
            await core.fetcher.fetch(batch(end=NOW), ["all"])
        core.clock.now = real
        begun = await core.store.start_fetch(batch(), ["all"], core.clock(), 3)
        assert (begun.reason, begun.until) == ("budget", real + timedelta(seconds=300))
        core.clock.now = begun.until - timedelta(microseconds=1)
        assert hasattr(await core.store.start_fetch(batch(), ["all"], core.clock(), 3), "until")
        core.clock.now = begun.until
        assert hasattr(await core.store.start_fetch(batch(), ["all"], core.clock(), 3), "fetch_id")


async def test_a_block_set_by_a_clock_that_ran_ahead_lasts_as_long_as_radar_said(store_url):
    async with open_core(store_url, profile()) as core:
        core.clock.advance(days=400)
        fetch_id = await core.fetcher.reserve(batch(end=NOW), ["all"])
        error = faults_error(core.clock() + timedelta(seconds=90))
        await core.store.fail(fetch_id, error, core.clock())
        core.clock.now = NOW
        assert (await core.store.budget(core.clock(), 600)).blocked_until <= NOW + DAY
        begun = await core.store.start_fetch(batch(), ["all"], core.clock(), 600)
        assert (begun.reason, begun.until) == ("blocked", NOW + timedelta(seconds=90))
        assert hasattr(await core.store.start_fetch(batch(), ["all"], begun.until, 600), "fetch_id")


async def test_a_block_without_its_beginning_on_record_lasts_a_day_at_most(store_url):
    async with open_core(store_url, profile()) as core:
        await core.store.set_state("blocked_until", "2031-01-01T00:00:00Z")
        begun = await core.store.start_fetch(batch(), ["all"], NOW, 600)
        assert begun.until == NOW + DAY
        assert hasattr(await core.store.start_fetch(batch(), ["all"], NOW + DAY, 600), "fetch_id")


def faults_error(not_before):
    from collector.radar.errors import RateLimited

    return RateLimited("wait", status=429, code=1015, not_before=not_before)


@pytest.mark.parametrize(
    ("told", "success", "started"),
    [
        ("due since", NOW + YEAR, NOW - DAY),
        ("due since", None, NOW + YEAR),
        ("due since", NOW - DAY, NOW - YEAR),
        (None, NOW - timedelta(minutes=1), NOW - DAY),
    ],
)
def test_a_success_or_a_start_in_the_future_makes_nothing_ready(told, success, started):
    class Fares:
        reason = None

    Fares.success = success
    reason = late_reason(Fares(), NOW - timedelta(minutes=5), started, NOW)
    assert reason is None if told is None else reason.startswith(told)


async def test_a_start_in_1970_loses_nothing(store_url):
    """A machine whose clock has not been set yet; once it is, nothing of what lies between was ever due."""
    async with open_core(store_url, profile(), data_since=NOW - 300 * DAY) as core:
        core.simulator._clock = NOW.timestamp
        core.clock.now = datetime(1970, 1, 1, 0, 7, tzinfo=UTC)
        await _pass(core)
        core.clock.now = NOW
        began = time.thread_time()
        assert await _pass(core)
        assert time.thread_time() - began < 5
        assert (await core.stored())["all"] == core.truth(
            query(), Window(NOW.replace(hour=0, minute=0) - DAY, HOUR.floor(NOW))
        )


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe"])
async def test_the_hosts_zone_changes_nothing(sqlite_url, monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        found = await _lived(sqlite_url, seed=4, days=1, start=datetime(2025, 11, 1, 12, tzinfo=UTC), steps=False)
        assert found["missing"] == 0
    finally:
        monkeypatch.undo()
        time.tzset()


async def _lived(url, seed, days, start=PAST, *, steps=True):
    """Live for *days* in quarters of an hour, with steps of the clock and pauses; count what is to be seen."""
    dice, found = random.Random(seed), Counter()
    profiles = profile(), profile("also", filters={"tld": ("com",)})
    async with open_core(url, *profiles, **CALM, limit=60) as core:
        core.clock.now = real = start
        worker = _worker(core)
        ends = start + timedelta(days=days)
        while real < ends:
            if steps and dice.random() < 0.04:
                found["steps"] += 1
                await _stepped(dice, core, real)
                worker = _worker(core)
            pause = timedelta(hours=dice.uniform(2, 60)) if steps and dice.random() < 0.004 else timedelta(minutes=15)
            found["suspended"] += pause > timedelta(hours=1)
            real += pause
            core.clock.now = max(real, core.clock.now) if core.clock.now - real < timedelta(minutes=30) else real
            await worker.run_due()
            if dice.random() < 0.02:
                await collect(profiles, core.clock(), core.store, core.batch_runner, fires=False, gaps=True)
        core.clock.now = ends + timedelta(hours=1)
        for _ in range(2):
            await _pass(core)
            await collect(profiles, core.clock(), core.store, core.batch_runner, fires=False, gaps=True)
        await _compare(core, start, found)
    return found


async def _stepped(dice, core, real):
    """Set the clock wrong, do what is due then, and set it right again; the server knows the real time."""
    away = dice.choice((timedelta(seconds=1), timedelta(minutes=7), timedelta(hours=5), 3 * DAY, YEAR))
    core.clock.now = real + away * dice.choice((1, -1))
    core.simulator._clock, kept = real.timestamp, core.simulator._clock
    core.restart()
    await _worker(core).run_due()
    core.simulator._clock = kept
    core.clock.now = real
    core.restart()


async def _compare(core, start, found):
    first = HOUR.floor(start) + timedelta(hours=1)
    last = HOUR.floor(core.clock())
    stored = await core.stored()
    for one in core.profiles:
        truth = core.truth(one.series[0].query, Window(first, last))
        mine = {at: value for at, value in stored[one.name].items() if first.timestamp() <= at < last.timestamp()}
        found["missing"] += len(truth) - len(mine)
        found["wrong"] += sum(truth[at] != value for at, value in mine.items())
        fires = Counter(fire.due for fire in await core.store.list_fires(profile=one.name, limit=None))
        found["twice"] += sum(count > 1 for count in fires.values())
        edges = int((last - first) / timedelta(hours=1))
        found["no outcome"] += sum(first + timedelta(hours=n) not in fires for n in range(edges))
    found["requests"] = len(core.requests)
    found["fetches"] = len(await core.store.list_fetches(limit=None))


def _is_well(found):
    assert found["steps"]
    assert {found[name] for name in ("missing", "wrong", "twice", "no outcome")} == {0}, found
    assert found["requests"] == found["fetches"]


async def test_a_day_of_steps_both_ways_and_pauses_leaves_nothing_out(sqlite_url):
    _is_well(await _lived(sqlite_url, seed=1, days=1))


@pytest.mark.campaign
@pytest.mark.parametrize("seed", [11, 12])
async def test_a_year_of_steps_both_ways_and_pauses_leaves_nothing_out(sqlite_url, seed):
    found = await _lived(sqlite_url, seed, days=365)
    print(f"seed {seed}: {dict(found)}")  # noqa: T201 - counts for the record
    _is_well(found)
