"""The collector itself, from plan to store, with nothing left out: the same classes that a backfill uses."""

import asyncio
from datetime import UTC, datetime, timedelta

from collector.collect.batches.batch_runner import BatchRunner
from collector.collect.batches.fetcher import Fetcher
from collector.collect.planning import request_limits
from collector.radar.client import RadarClient
from collector.settings import Credentials, RadarSettings, Secret
from collector.store import Store
from tests.bench.server import PATH
from tests.bench.workload import WEEK, Size, profile, slices

_NO_LIMIT = 1_000_000_000  # the budget is counted all the same
_TIMEOUT = timedelta(seconds=60)


async def prepare(address: str, size: Size, positions: int) -> None:
    """Create the store, with its labels and with what an earlier run would have learned of Radar's limits."""
    known = request_limits.measured(profile(size).agg_interval, WEEK, positions, now=datetime.now(UTC))
    async with Store.open(address, owner="bench") as store:
        await store.activate_labels([profile(size)], datetime.now(UTC))
        await store.set_state(request_limits.limits_key(known.kind), request_limits.dump_limits(known))


async def load(address: str, base_url: str, size: Size, concurrency: int) -> None:
    """Collect everything."""
    credentials = Credentials(token=Secret("a token that nobody checks"))
    radar_settings = RadarSettings(
        base_url + PATH.removesuffix("/radar/ct/timeseries"), 1, concurrency, _TIMEOUT, credentials
    )
    wanted = slices(size)
    async with Store.open(address, owner="bench") as store, RadarClient(radar_settings) as radar:
        fetcher = Fetcher(radar, store, limit=_NO_LIMIT, stop=asyncio.Event())
        batch_runner = BatchRunner(fetcher, concurrency)
        result = await batch_runner.run(wanted, {piece.series: ["bench"] for piece in wanted})
    if result.failures:
        raise result.failures[0].error
