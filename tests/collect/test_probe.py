"""Finding out what the API does not publish."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from collector.collect.fetch import Fetcher
from collector.collect.gather import Gatherer
from collector.collect.probe import MOST_REQUESTS, Prober
from collector.model import AggInterval
from collector.radar.client import RadarClient
from collector.radar.simulator import TOO_COSTLY, Simulator, SimulatorOptions, serve
from collector.settings import load
from collector.store import Store

NOW = datetime(2026, 3, 10, 12, 3, tzinfo=UTC)


async def findings(folder, **options):
    simulator = Simulator(SimulatorOptions(**options), clock=NOW.timestamp)
    async with serve(simulator) as url:
        environ = {"CLOUDFLARE_API_TOKEN": "t" * 20, "COLLECTOR_RADAR__BASE_URL": url}
        settings = load(None, environ, required=False, now=NOW)
        async with (
            Store.open(f"sqlite:///{folder}/probe.db", owner="probe") as store,
            RadarClient(settings.radar, lambda: NOW) as radar,
        ):
            fetcher = Fetcher(radar, store, limit=600, stop=asyncio.Event(), clock=lambda: NOW)
            gatherer = Gatherer(fetcher, 4)
            found = {finding.question: finding.answer for finding in await Prober(gatherer).probe()}
            limits = {interval: await gatherer.limits(interval) for interval in AggInterval}
            assert len(simulator.requests) <= MOST_REQUESTS
            assert await store.list_series() == []
            assert [row async for row in store.export()] == []
            outcomes = {row.outcome for row in await store.list_fetches()}
            assert outcomes <= {"ok", "refused", "too_costly"}
            return found, limits


async def test_it_works(tmp_path):
    found, _ = await findings(tmp_path)
    assert found["unit"] == "certificates"
    assert found["normalization"] == "RAW_VALUES (compares across requests)"
    assert found["lastUpdated"] == "2026-03-10T11:15:00Z, 48 minutes behind"
    assert found["end of the newest bucket"] == "0 minutes before lastUpdated"
    assert found["empty filter positions"] == "accepted"


@pytest.mark.parametrize("refusal", [{}, {"span_refusal": TOO_COSTLY, "series_refusal": TOO_COSTLY}])
async def test_hidden_limits_are_found_and_remembered(tmp_path, refusal):
    span = dict.fromkeys(AggInterval, timedelta(days=31)) | {AggInterval.FIFTEEN_MINUTES: timedelta(days=1)}
    found, limits = await findings(tmp_path, max_span=span, series_per_request=5, empty_values=False, **refusal)
    assert found["series per request"] == "5"
    assert found["empty filter positions"] == "refused"
    assert found["longest span at 15m"] == "1 day"
    shape = limits[AggInterval.FIFTEEN_MINUTES].shape
    assert (shape.span, shape.positions, shape.gaps) == (timedelta(days=1), 5, False)
    assert limits[AggInterval.ONE_DAY].shape.span == timedelta(days=28)


async def test_a_relative_normalization_is_told(tmp_path):
    found, _ = await findings(tmp_path, normalization="MIN_MAX", series_per_request=1)
    assert found["normalization"] == "MIN_MAX (holds within one answer only)"
