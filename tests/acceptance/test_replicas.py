"""Real daemons share the windows of one backfill job, and one that is killed leaves nothing undone."""

import asyncio
import os
import signal
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest

from collector.interval import AggInterval
from collector.store import BackfillRequest, Store
from collector.store.admin import commands
from tests.harness.fast_daemon import CLOCK_START
from tests.harness.processes import eventually, profile_toml
from tests.harness.replicas import replicas

SHARED = profile_toml(
    "many", "1d", None, f"heal = false\n[profiles.each]\nca_owner = {[f'Owner {n}' for n in range(12)]}"
)
FIRST, LAST = (
    CLOCK_START.replace(hour=0, minute=0) - timedelta(days=366),
    CLOCK_START.replace(hour=0, minute=0) - timedelta(days=30),
)
NARROW = {"series_per_request": 5, "max_span": dict.fromkeys(AggInterval, timedelta(days=7))}


async def order(database):
    async with Store.open(database, owner="test") as store:
        return (await store.create_backfill(BackfillRequest(("many",), FIRST, LAST), store.clock())).id


@contextmanager
def sharing(folder, database, count):
    """So many daemons that have done what was due, and then a job; no answer comes before the gate is opened."""
    gate = threading.Event()
    with replicas(folder, database, [SHARED], count, **NARROW) as started:
        try:
            eventually(lambda: started.shared.count("replicas") == count and started.shared.count("fires") > 0, 60)
            started.simulator.script(lambda _asked: gate.wait(60) and None)
            asyncio.run(order(database))
            yield started, gate
        finally:
            gate.set()


def ended(collector):
    (found,) = collector.rows("SELECT state, message, windows_failed, gaps_remaining FROM backfills")
    return found[0] != "running" and found[0] != "queued" and found


def dumped(database):
    return commands.digest(database)


def slices(received):
    return [(one.query, one.start) for one in received.request.series] if received.request else []


@pytest.fixture(scope="module")
def undisturbed(postgres_server, postgres_template, tmp_path_factory):
    """The digest that one daemon alone ends with, and its requests."""
    made = postgres_server.create(postgres_template)
    url = made.render_as_string(hide_password=False)
    with sharing(tmp_path_factory.mktemp("alone"), url, 1) as (started, gate):
        gate.set()
        eventually(lambda: ended(started.shared), 60)
        yield dumped(url), len(started.simulator.requests)
    postgres_server.drop(made)


@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP])
def test_daemons_share_a_backfill_and_one_that_is_killed_or_frozen_costs_no_more_than_it_was_asking(
    undisturbed, postgres_url, tmp_path, fate
):
    calm, requests = undisturbed
    holders = "SELECT DISTINCT name FROM replicas JOIN backfill_windows ON replica_id = replicas.id"
    with sharing(tmp_path, postgres_url, 3) as (started, gate):
        found = eventually(lambda: len(held := started.shared.rows(holders)) == 3 and held, 60)
        victim = int(found[0][0].rpartition(":")[2])
        os.kill(victim, fate)
        gate.set()
        assert eventually(lambda: ended(started.shared), 60) == ("done", None, 0, 0)
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGCONT)  # what it has to say now comes too late
        codes = {pid: started.pool.end(pid, signal.SIGTERM) for pid in started.pool.alive}
        assert codes == dict.fromkeys(codes, 0) | ({victim: -fate} if fate == signal.SIGKILL else {})
        assert ended(started.shared) == ("done", None, 0, 0)
        assert dumped(postgres_url) == calm
        cut = "SELECT count(*), coalesce(sum(positions), 0) FROM fetches WHERE outcome = 'interrupted'"
        ((cut_off, in_vain),) = started.shared.rows(cut)
        received = started.simulator.requests
        asked = Counter(one for each in received if each.status == 200 for one in slices(each))
        assert sum(asked.values()) - len(asked) <= in_vain
        assert len(received) <= 1.3 * requests + cut_off, "each replica learns from its own part of the job"
