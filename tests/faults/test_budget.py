"""429 and 503 with every form of `Retry-After`; the ceiling over restarts, with a backfill beside the service.

The clock moves only where something waits. Requests are counted as the server sees them.
"""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from math import inf

import pytest

from collector.errors import CollectorError
from collector.store import BackfillRequest, Store
from tests.harness import faults
from tests.harness.collect_core import DAY, NOW, batch, open_core
from tests.harness.factories import profile
from tests.harness.virtual_time import run_in_virtual_time, running_daemon

CAMPAIGN = pytest.mark.campaign
_BLOCK, _DAY = 300, 86_400
"""Seconds for which nothing is asked after a 429 that names no time; the longest that is believed."""


def _forms(dice, now):
    """One `Retry-After`, and the seconds for which it must be obeyed; inf stands for: it says nothing."""
    seconds, ahead = dice.randrange(1, 900), dice.randrange(1, 800)
    return dice.choice(
        [
            (str(seconds), seconds),
            (f" {seconds} ", seconds),
            (f"00{seconds}", seconds),
            ("0", 0),
            ("1000000000", _DAY),
            ("9" * 40, inf),
            (faults.http_date(now + ahead), int(now) + ahead - now),
            (faults.http_date(now - ahead), 0),
            (faults.http_date(now + 40 * _DAY), _DAY),
            (None, inf),
            ("", inf),
            ("-5", inf),
            ("1.5", inf),
            ("soon", inf),
            ("\u0661\u0662".encode().decode("latin-1"), inf),
            ("12, 30", inf),
            ("Wed, 21 Oct 2015 07:28:00", inf),
            ("Wed, 99 Oct 2026 07:28:00 GMT", inf),
        ]
    )


def _fault(dice, header):
    """Give a reply with *header*, and how long a reply that names no time is obeyed."""
    kind = dice.randrange(6)
    if kind < 3:
        return faults.too_many(header, dice.choice((1015, 971, 10100))), _BLOCK
    by_kind = faults.html(503, header), faults.problem(503, header), faults.api_error(500, 2000, "x", header)
    return by_kind[kind - 3], 0


async def _episode(core, dice, found):
    """Meet one reply, then ask until there is an answer; nothing may be asked too early."""
    header, seconds = _forms(dice, core.clock.timestamp())
    fault, unnamed = _fault(dice, header)
    core.script(fault)
    if dice.random() < 0.1:
        core.restart()
    before = len(core.requests)
    while len(core.requests) < before + 2:
        with suppress(CollectorError):
            await core.fetcher.fetch(batch(days=dice.randrange(1, 3)), ["all"])
        if dice.random() < 0.3:
            core.restart()
        if len(core.requests) < before + 2:
            core.clock.advance(seconds=dice.choice((1, 60, 3600, _DAY)))
    first, second = (received.at for received in core.requests[before:])
    wait = unnamed if seconds == inf else seconds
    assert second - first >= wait, f"{header!r} was {second - first} s"
    found["429" if unnamed else "5xx", "named" if seconds < inf else "unnamed"] += 1


@pytest.mark.parametrize("episodes", [100, pytest.param(10_000, marks=pytest.mark.campaign)])
async def test_nothing_is_asked_before_retry_after_ends(sqlite_url, episodes, seed):
    dice, found = random.Random(seed), Counter()
    async with open_core(sqlite_url, profile()) as core:
        for _ in range(episodes):
            await _episode(core, dice, found)
            core.clock.advance(seconds=dice.randrange(1000))
        assert len(core.requests) == 2 * episodes
        assert len(await core.store.list_fetches(limit=None)) == 2 * episodes
    print(f"{episodes} episodes: {dict(found)}")  # noqa: T201 - counts for the record
    assert len(found) == 4


async def test_a_storm_of_429_at_a_shared_boundary_is_not_met_by_all_at_once(sqlite_url):
    """Each waits a little longer than it was told, and no two the same."""
    async with open_core(sqlite_url, profile()) as core:
        await core.fetcher.fetch(batch(), ["all"])
        core.script(faults.too_many("60"))
        days = range(1, 9)
        await asyncio.gather(*(core.fetcher.fetch(batch(days=day), ["all"]) for day in days))
        waits = [pause - 60 for pause in core.fetcher.pauses if pause >= 60]
        assert len(set(waits)) == len(waits) > 0
        assert all(0 <= wait <= 1 for wait in waits)


async def test_that_no_request_is_left_is_a_hint_alone(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        core.script(faults.exhausted(30).times(3))
        for _ in range(3):
            assert await core.fetcher.fetch(batch(), ["all"])
        assert (core.fetcher.pauses, await core.outcomes()) == ([], ["ok"] * 3)


def most_in_300_seconds(moments):
    """The most requests in any sliding 300 s; *moments* ascend."""
    first, most = 0, 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - 300:
            first += 1
        most = max(most, last - first + 1)
    return most


CONFIG = """
[radar]
base_url = "{url}"
requests_per_5min = CEILING
[[profiles]]
name = "quarters"
agg_interval = "15m"
since = 2026-01-01
each = { ca_owner = ["A", "B", "C", "D", "E", "F"] }
"""


@pytest.mark.parametrize(
    ("restarts", "ceiling"), [(6, 30), pytest.param(100, 3, marks=CAMPAIGN), pytest.param(100, 60, marks=CAMPAIGN)]
)
def test_the_ceiling_holds_with_restarts_and_a_backfill_beside_the_service(tmp_path, restarts, ceiling, seed):
    """So many restarts in five minutes, each by a kill, and then as long again without."""
    dice, requests = random.Random(seed), []
    ends = [*sorted(dice.uniform(0, 300) for _ in range(restarts)), 900]

    async def work(loop):
        for end in ends:
            await _life(loop, tmp_path, ceiling, NOW + timedelta(seconds=end), requests)
        async with Store.open(f"sqlite:///{tmp_path}/collector.db", owner="test") as store:
            assert len(await store.list_fetches(limit=None)) == len(requests)

    run_in_virtual_time(NOW, work)
    assert len(requests) > ceiling
    assert most_in_300_seconds([received.at for received in requests]) == ceiling


async def _life(loop, folder, ceiling, end, requests):
    """Run the service until *end*, with a backfill to do, and kill it."""
    async with running_daemon(loop, folder, CONFIG.replace("CEILING", str(ceiling)), series_per_request=1) as life:
        job = BackfillRequest(("quarters",), NOW - 300 * DAY, NOW)
        await life.store.create_backfill(job, loop.now())
        await life.until(end)
        life.task.cancel()
        await asyncio.wait([life.task])
    requests += life.simulator.requests
