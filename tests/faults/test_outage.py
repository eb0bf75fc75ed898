"""Radar away for 41 hours, and away again and again for six: what is left is as if nothing had happened.

Of the dump only the outcomes of fires differ, for some have failed and some were made good by a later one; that each
due moment has one is compared. The service is the real one, in a time that is not waited for.
"""

import json
import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from collector.circuit_breaker import BREAKER_THRESHOLD
from collector.store.admin import commands
from tests.harness import faults
from tests.harness.virtual_time import run_in_virtual_time, running_daemon

START = datetime(2026, 3, 9, 22, 31, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
CONFIG = """
[radar]
base_url = "{url}"
[[profiles]]
name = "quarters"
agg_interval = "15m"
since = 2026-03-01
[[profiles]]
name = "owners"
agg_interval = "1h"
each = { ca_owner = ["A", "B", "C", "D"] }
[[profiles]]
name = "days"
agg_interval = "1d"
"""
_NOTICED = 32 * MINUTE  # the next quarter is due, and a wait counts as ready for 15 minutes
_ALSO = timedelta(seconds=2)  # an answer takes its time, and a wait its jitter


def _down(begin, end, dice):
    """One way in which a server is away, from *begin* up to *end*."""
    ways = faults.html(503), faults.html(522), faults.closed(), faults.reset_in_header(), faults.unsuccessful()
    return dice.choice(ways).always().between(begin.timestamp(), end.timestamp())


def _lived(folder, hours, outages=(), seed=0):
    """The dump after so many hours, less the fires' outcomes; how long it took to be ready after each outage."""
    dice, waits = random.Random(seed), []

    async def work(loop):
        async with running_daemon(loop, folder, CONFIG) as run:
            run.simulator.script(*(_down(begin, end, dice) for begin, end in outages))
            for begin, end in outages:
                await run.never_ready(min(begin + _NOTICED, end), end)
                await run.until(end)
                waits.append(await run.ready(end + 2 * HOUR) - end)
            await run.until(START + hours * HOUR)
            requests, budget = run.simulator.requests, await run.store.list_fetches(limit=None)
        assert len(budget) == len(requests)
        return requests

    requests = run_in_virtual_time(START, work)
    return run_in_virtual_time(START, lambda _: known(folder)), waits, requests


async def known(folder):
    text = "".join(commands.dump(f"sqlite:///{folder}/collector.db"))
    lines = [json.loads(line) for line in text.splitlines()]
    return [line[:3] if line[0] == "fire" else line for line in lines]


def _spacing(requests, begin, end):
    """Seconds between requests that got no answer, once the breaker is open."""
    asked = [one.at for one in requests if begin.timestamp() <= one.at < end.timestamp()][BREAKER_THRESHOLD + 8 :]
    return [later - earlier for earlier, later in pairwise(asked)]


@pytest.mark.parametrize("hours", [1, pytest.param(41, marks=pytest.mark.campaign)])
def test_after_an_outage_it_is_back_within_a_minute_as_if_nothing_had_happened(tmp_path, hours, seed):
    outage = START + HOUR / 2, START + HOUR / 2 + hours * HOUR
    calm, _, _ = _lived(tmp_path / "calm", hours + 1)
    found, waits, requests = _lived(tmp_path / "away", hours + 1, [outage], seed)
    assert found == calm
    assert waits[0] <= MINUTE + _ALSO
    first_answer = next(one.at for one in requests if one.at >= outage[1].timestamp())
    assert (outage[1] + waits[0]).timestamp() - first_answer <= _ALSO.total_seconds()
    assert min(_spacing(requests, *outage)) >= MINUTE.total_seconds()


def _flapping(hours, seed):
    """Away for one to twenty minutes, there for one to ten, for so many hours."""
    dice, at, outages = random.Random(seed), START + HOUR / 2, []
    while at < START + hours * HOUR:
        end = at + timedelta(seconds=dice.uniform(60, 1200))
        outages.append((at, end))
        at = end + timedelta(seconds=dice.uniform(60, 600))
    return outages


@pytest.mark.parametrize("hours", [1, pytest.param(6, marks=pytest.mark.campaign)])
def test_a_radar_that_flaps_for_hours_leaves_nothing_out(tmp_path, hours, seed):
    outages = _flapping(hours, seed)
    calm, _, _ = _lived(tmp_path / "calm", hours + 1)
    found, waits, _ = _lived(tmp_path / "away", hours + 1, outages, seed)
    assert found == calm
    assert max(waits) <= MINUTE + _ALSO, waits
