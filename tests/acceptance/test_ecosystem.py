"""The preset of the whole ecosystem on one Postgres, with two replicas, and on both databases, with a backfill.

The processes are killed at random moments. The store must be that of a collector that nobody has disturbed.
"""

import asyncio
import random
import signal
import time
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from collector.collect.catalogue import refresh_due
from collector.collect.proof import prove
from collector.interval import AggInterval
from collector.model import Window
from collector.store.admin import commands
from tests.harness import ecosystem
from tests.harness.collect_core import open_core, run_pass
from tests.harness.fast_daemon import CLOCK_START
from tests.harness.processes import Collector, eventually, midnight, simulating
from tests.harness.replicas import replicas

RATE = 900
"""An hour of the replicas is four seconds."""
HOUR = AggInterval.ONE_HOUR
SINCE = CLOCK_START.replace(hour=0, minute=0) - timedelta(days=2)
TABLES = ecosystem.preset(SINCE, "1d")
WORLD = {"lag": timedelta(minutes=45), "more_values": {"caOwner": 5}, "series_per_request": 20, "rate_limit": None}
SHORT_OF_GROUPS = {"most_groups": 10, "too_many_groups": "fewer"}
REPLICAS = 2
LOOK = 0.2
DAY = timedelta(days=1)
EXCLUSIVE = ("by-owner", "by-log", "by-operator")


@dataclass(frozen=True)
class Troubles:
    """How many of the replicas are killed within so many of their hours, and what the simulator does otherwise."""

    kills: int
    hours: int
    more: dict = field(default_factory=dict)

    def befall(self, pool, dice):
        """Kill one replica after the other at random moments, and start another each time."""
        pause = self.hours * HOUR.seconds / RATE / self.kills
        for _ in range(self.kills):
            time.sleep(dice.uniform(0, 2 * pause))  # the fault itself: a moment that nobody chose
            pool.end(dice.choice(pool.alive), signal.SIGKILL)
            pool.start()


SHORT = Troubles(kills=2, hours=1)
FULL = Troubles(kills=60, hours=36)
FEW_GROUPS = Troubles(kills=60, hours=36, more={"most_groups": 10, "too_many_groups": "fewer"})


@pytest.mark.parametrize(
    "troubles",
    [SHORT, *(pytest.param(each, marks=pytest.mark.campaign) for each in (FULL, FEW_GROUPS))],
    ids=["short", "all", "ten groups"],
)
def test_two_replicas_that_are_killed_collect_everything_once(postgres_url, tmp_path, troubles, seed):
    world = WORLD | troubles.more
    with replicas(tmp_path, postgres_url, [TABLES], REPLICAS, RATE, catalogue=True, **world) as started:
        shared, pool, profiles = started.shared, started.pool, ecosystem.profiles_of(tmp_path, TABLES)
        end = HOUR.floor(started.clock) + troubles.hours * HOUR.step
        troubles.befall(pool, random.Random(seed))
        eventually(lambda: _has_fired(started, profiles, end))
        eventually(lambda: shared.count("replicas") == REPLICAS)  # the leases of the killed have expired
        assert [pool.end(pid, signal.SIGTERM) for pid in pool.alive] == [0] * REPLICAS
        pool.start()  # fills gaps and compares at once, as each start does
        eventually(lambda: _is_compared(shared))
        assert [pool.end(pid, signal.SIGTERM) for pid in pool.alive] == [0]
        now, published = started.clock.timestamp(), end - HOUR.step
        truth, window = ecosystem.Truth(started.simulator, profiles), Window(SINCE, published)
        assert truth.problems(shared.points(), window, now, is_whole=not troubles.more) == []
    _one_outcome_each(shared, profiles)
    rows = shared.json("proof")
    assert not [row for row in rows if row["state"] == "differing"]
    assert all(ecosystem.proven(rows, name, SINCE) >= published - DAY - HOUR.step for name in EXCLUSIVE)
    if not troubles.more:
        kept, calm = commands.dump(postgres_url), asyncio.run(_undisturbed(tmp_path, profiles, end, world))
        assert ecosystem.known_before("".join(kept), published) == ecosystem.known_before(calm, published)
    assert "Traceback" not in shared.log.read_text()
    shared.call("db", "verify")


def _has_fired(started, profiles, end):
    time.sleep(LOOK)
    return started.clock >= end and started.shared.all_fired([profile.name for profile in profiles], end)


def _is_compared(shared):
    """Return whether each value that can be compared is, some were, and both lists are there."""
    time.sleep(LOOK)
    counts = "SELECT count(DISTINCT proofs.series_id), count(DISTINCT list) FROM proofs CROSS JOIN catalogue"
    if shared.rows(counts) != [(len(EXCLUSIVE), 2)]:
        return False
    return not any(row["reason"] == "due" for row in shared.json("proof"))


def _one_outcome_each(shared, profiles):
    """Every due moment of every profile is on record once."""
    fires = shared.fires()
    for profile in profiles:
        dues = [due for name, due, _ in fires if name == profile.name]
        step = profile.agg_interval.step
        assert dues == [dues[0] + number * step for number in range(len(dues))], profile.name


FIRST, LAST = midnight(19), midnight(17)
ORDER = ("backfill", "--start", f"{FIRST:%Y-%m-%d}", "--end", f"{LAST:%Y-%m-%d}")


@pytest.fixture(scope="module")
def backfilled(tmp_path_factory):
    """A simulator, its address, and the digest of a store on SQLite whose backfill nobody has disturbed."""
    with simulating(**WORLD) as (simulator, url):
        calm = _collector(tmp_path_factory.mktemp("calm"), url, "sqlite:///collector.db")
        calm.run(*ORDER)
        yield simulator, url, commands.digest(f"sqlite:///{calm.folder}/collector.db")


def _collector(folder, url, database):
    made = Collector(folder, url, database)
    made.configure(ecosystem.preset(), radar="requests_per_5min = 900")
    return made


@pytest.mark.parametrize(
    ("fresh_database", "kills"),
    [
        ("sqlite", 1),
        pytest.param("sqlite", 60, marks=pytest.mark.campaign),
        pytest.param("postgresql", 60, marks=pytest.mark.campaign),
    ],
    indirect=["fresh_database"],
)
def test_a_backfill_of_everything_that_is_killed_and_continued_gives_the_same(
    fresh_database, backfilled, tmp_path, kills, seed
):
    """Each time it is done another store begins; each must end as the one that was left alone."""
    moments, died, stores = random.Random(seed), 0, 0
    simulator, url, calm = backfilled
    truth = ecosystem.Truth(simulator, ecosystem.profiles_of(tmp_path))
    while died < kills:
        (folder := tmp_path / f"{stores}").mkdir()
        killed, stores = _collector(folder, url, fresh_database()), stores + 1
        ended = False
        while died < kills and not ended:
            with killed.running(*ORDER) as running:
                time.sleep(moments.uniform(0.0, 1.5))  # the fault itself: a moment that nobody chose
                ended = running.ends(signal.SIGKILL) != -signal.SIGKILL
            died += not ended
        killed.run(*ORDER)
        address = killed.database.replace("///", f"///{folder}/") if "sqlite" in killed.database else killed.database
        assert commands.digest(address) == calm
        assert truth.problems(killed.points(), Window(FIRST, LAST), time.time()) == []
    killed.run("collect")
    rows = killed.json("proof", "--end", f"{LAST:%Y-%m-%d}")
    assert not [row for row in rows if row["state"] == "differing"]
    assert all(ecosystem.proven(rows, name, FIRST) == LAST for name in EXCLUSIVE)
    killed.call("db", "verify")
    print(f"{died} kills, {stores} stores")  # noqa: T201 - counts for the record


async def _undisturbed(folder, profiles, moment, world):
    """Return the dump of a store on SQLite that one pass at *moment* has filled."""
    url = f"sqlite:///{folder}/calm.db"
    async with open_core(url, *profiles, **world) as core:
        core.clock.now = moment + timedelta(minutes=2)
        assert (await run_pass(core, gaps=True)).complete
        await prove(core.profiles, core.clock(), core.store, core.batch_runner)
        assert not await refresh_due(core.fetcher)
    return "".join(commands.dump(url))
