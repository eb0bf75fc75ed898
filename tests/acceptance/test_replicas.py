"""Real daemons on one Postgres: one is killed or frozen in the middle, and the others leave nothing undone."""

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta

import psycopg

from collector.model import AggInterval
from collector.store import Store, Wanted, upkeep
from tests.acceptance.hurried import ZERO, fast
from tests.acceptance.nest import nest
from tests.acceptance.world import Collector, eventually, profile, simulating

RATE = 450
"""A quarter of an hour of theirs is two seconds of ours."""
QUARTER = AggInterval.FIFTEEN_MINUTES
LEASE = 2
PROFILES = [profile(f"p{number}", "15m", None, f'filters = {{ ca = ["CA {number}"] }}') for number in range(6)]


class Nursery:
    """Starts replicas, and ends them."""

    def __init__(self, collector, born, rate=RATE):
        self._collector, self._order = collector, [str(collector.config), repr(born), str(rate)]
        self._born = {}

    @property
    def alive(self):
        """The process ids of those that were not ended, oldest first."""
        return [*self._born]

    def start(self):
        """Start one more."""
        made = self._collector
        with (made.folder / "replicas.log").open("ab") as log:
            process = nest().bear(self._order, made.folder, made.environ, (log, log), "tests.acceptance.hurried:main")
        self._born[process.pid] = process

    def end(self, pid, number):
        """Send one its last signal; gives its exit code."""
        process = self._born.pop(pid)
        process.send_signal(number)
        return process.wait(60)

    def close(self):
        """Kill the rest."""
        for pid in self.alive:
            self.end(pid, signal.SIGKILL)


@contextmanager
def replicas(folder, database, count):
    born = time.time()
    clock = fast(born, RATE)
    with simulating(lambda: clock().timestamp()) as (simulator, url):
        made = Collector(folder, url, f'{database}"\nlease = "{LEASE}s', server="enabled = false")
        made.configure(*PROFILES)
        made.database = database
        nursery = Nursery(made, born)
        try:
            for _ in range(count):
                nursery.start()
            yield nursery, made, simulator, clock
        finally:
            nursery.close()


def fires(database):
    with psycopg.connect(database) as connection:
        return connection.execute("SELECT profile, due, outcome FROM fires ORDER BY due").fetchall()


def seen_to(database, until):
    """Tell whether every profile has a fire of *until*, or of later."""
    found = {}
    for name, due, _ in fires(database):
        found[name] = max(due, found.get(name, due))
    return len(found) == len(PROFILES) and min(found.values()) >= until


def test_killed_and_frozen_replicas_leave_every_due_moment_with_one_outcome(postgres_url, tmp_path):
    with replicas(tmp_path, postgres_url, 3) as (nursery, collector, simulator, clock):
        eventually(lambda: seen_to(postgres_url, QUARTER.floor(clock() - timedelta(minutes=30))), 60)
        for round_ in range(3):
            victim, frozen = nursery.alive[:2]
            nursery.end(victim, signal.SIGKILL)
            os.kill(frozen, signal.SIGSTOP)
            nursery.start()
            reached = QUARTER.floor(clock()) + (2 + round_ % 2) * QUARTER.step
            eventually(lambda reached=reached: seen_to(postgres_url, reached), 60)
            os.kill(frozen, signal.SIGCONT)
        reached = QUARTER.floor(clock()) + QUARTER.step
        eventually(lambda: seen_to(postgres_url, reached), 60)
        assert [nursery.end(pid, signal.SIGTERM) for pid in nursery.alive] == [0, 0, 0], collector.folder
        rows = fires(postgres_url)
        assert {outcome for *_, outcome in rows} <= {"collected", "coalesced", "failed"}
        for name in {name for name, *_ in rows}:
            dues = [due for one, due, _ in rows if one == name]
            expected = [dues[0] + n * QUARTER.step for n in range(len(dues))]
            assert dues == expected, name
        assert max(Counter((name, due) for name, due, _ in rows).values()) == 1
        recorded = collector.rows("SELECT count(*) FROM fetches")[0][0]
        cut_off = collector.rows("SELECT count(*) FROM fetches WHERE outcome = 'interrupted'")[0][0]
        assert recorded - cut_off <= len(simulator.requests) <= recorded


SHARED = profile("many", "1d", None, f"heal = false\n[profiles.each]\nca_owner = {[f'Owner {n}' for n in range(12)]}")
FIRST, LAST = ZERO.replace(hour=0, minute=0) - timedelta(days=366), ZERO.replace(hour=0, minute=0) - timedelta(days=30)
NARROW = {"series_per_request": 5, "max_span": dict.fromkeys(AggInterval, timedelta(days=7))}


async def order(database):
    async with Store.open(database, owner="test") as store:
        return (await store.create_backfill(Wanted(("many",), FIRST, LAST), store.clock())).id


@contextmanager
def sharing(folder, database, count):
    """So many daemons that have done what was due, and then a job; no answer comes before the gate is opened."""
    folder.mkdir()
    gate, clock = threading.Event(), fast(time.time(), 1)
    with simulating(lambda: clock().timestamp(), **NARROW) as (simulator, url):
        made = Collector(folder, url, f'{database}"\nlease = "{LEASE}s', server="enabled = false")
        made.configure(SHARED)
        made.database = database
        nursery = Nursery(made, time.time(), rate=1)
        try:
            for _ in range(count):
                nursery.start()
            eventually(lambda: made.count("replicas") == count and made.count("fires") > 0, 60)
            simulator.script(lambda _asked: gate.wait(60) and None)
            asyncio.run(order(database))
            yield nursery, made, simulator, gate
        finally:
            gate.set()
            nursery.close()


def ended(collector):
    (found,) = collector.rows("SELECT state, message, windows_failed, gaps_remaining FROM backfills")
    return found[0] != "running" and found[0] != "queued" and found


def dumped(database):
    return asyncio.run(upkeep.digest(database))


def slices(received):
    return [(one.query, one.start) for one in received.question.series] if received.question else []


def test_daemons_share_a_backfill_and_one_that_is_killed_costs_no_more_than_it_was_asking(
    postgres_url, empty_postgres_url, tmp_path
):
    asyncio.run(upkeep.upgrade(empty_postgres_url))
    with sharing(tmp_path / "alone", empty_postgres_url, 1) as (_, collector, simulator, gate):
        gate.set()
        eventually(lambda: ended(collector), 60)
        calm, requests = dumped(empty_postgres_url), len(simulator.requests)
    holders = "SELECT DISTINCT name FROM replicas JOIN backfill_windows ON replica_id = replicas.id"
    with sharing(tmp_path / "shared", postgres_url, 3) as (nursery, collector, simulator, gate):
        found = eventually(lambda: len(held := collector.rows(holders)) == 3 and held, 60)
        nursery.end(int(found[0][0].rpartition(":")[2]), signal.SIGKILL)
        gate.set()
        assert eventually(lambda: ended(collector), 60) == ("done", None, 0, 0)
        assert dumped(postgres_url) == calm
        cut = "SELECT count(*), coalesce(sum(positions), 0) FROM fetches WHERE outcome = 'interrupted'"
        ((cut_off, in_vain),) = collector.rows(cut)
        asked = Counter(one for received in simulator.requests if received.status == 200 for one in slices(received))
        assert sum(asked.values()) - len(asked) <= in_vain
        assert len(simulator.requests) <= requests + cut_off + 3 * 3
