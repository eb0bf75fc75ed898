"""The preset of the whole ecosystem: how many requests an hour it costs, and that every value is right."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from collector.cli.commands import config
from collector.interval import AggInterval
from collector.model import Window
from collector.simulator.options import Life
from tests.harness import ecosystem
from tests.harness.virtual_time import run_in_virtual_time, running_daemon

START = datetime(2026, 3, 1, 22, 7, tzinfo=UTC)
CONFIG, MARKET_SHARES = (
    config.with_profiles(preset).replace('base_url = "https://api.cloudflare.com/client/v4"', 'base_url = "{url}"')
    for preset in ("ecosystem", "market-shares")
)
NEW, RETIRED = "ca_owner 003", "log 000"
WORLD = {
    "lag": timedelta(minutes=45),
    "series_per_request": 20,
    "remembered_requests": 100_000,
    "lives": {NEW: Life(start=datetime(2026, 3, 2, tzinfo=UTC)), RETIRED: Life(end=datetime(2026, 3, 1, tzinfo=UTC))},
}
MOST_AN_HOUR = 15
HOUR = AggInterval.ONE_HOUR


@pytest.mark.parametrize(
    ("hours", "owners"), [(5, 5), pytest.param(7 * 24, 90, marks=pytest.mark.campaign)], ids=["hours", "week"]
)
def test_the_whole_ecosystem_costs_few_requests_an_hour(tmp_path, hours, owners):
    """The newcomer's first bucket starts at midnight and is published at 1:45, so that the pass of 2:02 brings it."""
    world = {**WORLD, "more_values": {"caOwner": owners, "log": owners // 3, "tld": owners // 3}}

    async def work(loop):
        async with running_daemon(loop, tmp_path, CONFIG, **world) as run:
            await run.until(START + 2 * HOUR.step)  # limits are learned
            settled = len(run.simulator.requests)
            await run.until(datetime(2026, 3, 2, 2, 5, tzinfo=UTC))
            assert f"by-owner/{NEW}" in await _stored(run)
            await run.until(START + hours * HOUR.step)
            assert (len(run.simulator.requests) - settled) / (hours - 2) <= MOST_AN_HOUR
            assert await run.service.unready() == []
            await _every_value_is_right(run)

    run_in_virtual_time(START, work)


def test_market_shares_cost_two_requests_an_hour_and_count_precertificates_once(tmp_path):
    async def work(loop):
        async with running_daemon(loop, tmp_path, MARKET_SHARES, **WORLD) as run:
            await run.until(START + 2 * HOUR.step)
            before = len(run.simulator.requests)
            await run.until(START + 6 * HOUR.step)
            assert (len(run.simulator.requests) - before) / 4 == 2
            stored, now = await _stored(run), run.loop.now()
            window = Window(HOUR.floor(START - HOUR.step), HOUR.floor(now - 2 * HOUR.step))
            truth = ecosystem.Truth(run.simulator, run.service.profiles)
            assert truth.problems(stored, window, now.timestamp()) == []
            # the simulator rounds counts under two filters
            assert _sums(stored, "precerts-by-owner") == pytest.approx(stored["precerts"], rel=1e-3)

    run_in_virtual_time(START, work)


async def _stored(run):
    return ecosystem.by_label([row async for row in run.store.export()])


def _sums(stored, profile):
    sums = defaultdict(float)
    for label, points in stored.items():
        for timestamp, value in points.items() if label.startswith(f"{profile}/") else ():
            sums[timestamp] += value
    return sums


async def _every_value_is_right(run):
    stored, now = await _stored(run), run.loop.now()
    window = Window(HOUR.floor(START - HOUR.step), HOUR.floor(now - 2 * HOUR.step))
    truth = ecosystem.Truth(run.simulator, run.service.profiles)
    assert truth.problems(stored, window, now.timestamp()) == []
    totals = stored["total"]
    for name in ("by-owner", "by-lifetime"):
        assert _sums(stored, name) == totals
    assert max(stored[f"by-log/{RETIRED}"], default=0) < max(totals)
