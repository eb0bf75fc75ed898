"""A second dataset is one record: it is collected, served and exported without any other change."""

import json
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web

from collector.collect.one_pass import collect
from collector.datasets import DATASETS, Dataset, FilterParameter, Sums
from collector.errors import CollectorError
from collector.interval import AggInterval
from collector.model import Batch, Question, Slice, Window
from collector.radar.request import query_string
from collector.report.export import export_csv
from collector.serve.app import serving
from collector.serve.radar_api import RadarApi
from tests.harness.collect_core import DAY, HOUR, NOW, open_core
from tests.harness.factories import profile

DNS = Dataset(
    name="dns",
    path="dns/timeseries",
    unit="queries",
    parameters=(
        FilterParameter("protocol", ("UDP", "TCP"), over_values=Sums.ALWAYS, over_time=Sums.ALWAYS, reason="has one"),
        FilterParameter("queryName", max_length=253, over_time=Sums.ALWAYS, reason="may have several"),
        FilterParameter("cacheHit", ("YES", "NO"), is_snapshot=True, reason="judged when requested"),
    ),
    conflicts={"queryName": frozenset({"cacheHit"})},
)
SINCE = HOUR.floor(NOW).replace(hour=0) - 2 * DAY
CT = profile("ct", filters={"tld": ("com",)}, since=SINCE)
QUERIES = profile("dns", filters={"queryName": ("a,b",)}, each={"protocol": ("UDP", "TCP")}, dataset="dns", since=SINCE)


@pytest.fixture(autouse=True)
def dns(monkeypatch):
    monkeypatch.setitem(DATASETS, DNS.name, DNS)


@asynccontextmanager
async def collected(url, *profiles, **options):
    """The core after a complete pass over *profiles*."""
    async with open_core(url, *profiles, **options) as core:
        result = await collect(profiles, core.clock(), core.store, core.batch_runner, gaps=True)
        assert result.complete
        yield core


@asynccontextmanager
async def served(core):
    """Ask the local API of the store: path and query → status and document."""
    app = web.Application()
    RadarApi(SimpleNamespace(store=core.store, now=core.clock), None).add_to(app)
    async with serving(app, "127.0.0.1", 0) as url, aiohttp.ClientSession() as session:

        async def ask(path, **parameters):
            async with session.get(f"{url}/client/v4/radar/{path}", params=parameters) as response:
                return response.status, json.loads(await response.read())

        yield ask


def dates(window):
    start, end = (moment.isoformat().replace("+00:00", "Z") for moment in (window.start, window.end))
    return {"dateStart": start, "dateEnd": end}


async def test_it_is_collected_beside_the_other_one(store_url):
    async with collected(store_url, CT, QUERIES) as core:
        stored = await core.stored()
        for one in (*CT.series, *QUERIES.series):
            assert stored[one.label] == core.truth(one.query, Window(SINCE, HOUR.floor(NOW)))
        assert stored["dns/UDP"] != stored["dns/TCP"]
        paths = {got.path: {one.query.dataset for one in got.request.series} for got in core.requests}
        assert paths == {"/client/v4/radar/ct/timeseries": {"ct"}, "/client/v4/radar/dns/timeseries": {"dns"}}


async def test_series_of_two_datasets_with_the_same_filters_are_two(store_url):
    both = (profile("ct"), profile("dns", dataset="dns"))
    async with collected(store_url, *both) as core:
        stored, units = await core.stored(), {row.label: row.unit for row in await core.store.list_series()}
        assert stored["ct"].keys() == stored["dns"].keys()
        assert all(stored["ct"][at] != stored["dns"][at] for at in stored["ct"])
        assert units == {"ct": "certificates", "dns": "queries"}


async def test_it_is_served_under_its_own_path(store_url):
    async with collected(store_url, CT, QUERIES) as core, served(core) as ask:
        day = Window(SINCE, SINCE + DAY)
        inclusive = dates(Window(day.start, day.end - timedelta(hours=1)))
        status, document = await ask("dns/timeseries", queryName="a%2Cb", protocol="UDP", aggInterval="1h", **inclusive)
        assert status == 200, document
        truth = core.truth(QUERIES.series[0].query, day)
        assert document["result"]["serie_0"]["values"] == [str(int(value)) for value in truth.values()]
        assert document["result"]["meta"]["units"] == [{"name": "*", "value": "queries"}]
        status, document = await ask(
            "dns/timeseries", query_name="a%2Cb", protocol="UDP,TCP", aggInterval="1d", **inclusive
        )
        whole = replace(QUERIES.series[0].query, agg_interval=AggInterval.ONE_DAY)
        parts = [
            core.truth(replace(whole, filters={**whole.filters, "protocol": (one,)}), day) for one in ("UDP", "TCP")
        ]
        assert document["result"]["serie_0"]["values"] == [str(int(sum(sum(part.values()) for part in parts)))]


async def test_its_filters_are_checked_by_its_record(sqlite_url):
    async with collected(sqlite_url, QUERIES) as core, served(core) as ask:
        wrong = {"protocol": "ICMP"}, {"queryName": "a", "cacheHit": "YES"}
        for parameters in wrong:
            status, document = await ask("dns/timeseries", dateRange="1d", **parameters)
            assert (status, document["errors"][0]["code"]) == (400, 2001)
        status, document = await ask("ct/timeseries", dateRange="1d", aggInterval="1h")
        assert (status, document["errors"][0]["message"].split(";")[0]) == (
            404,
            "There is no history for a series without filters",
        )


async def test_it_is_exported_with_the_others(store_url):
    async with collected(store_url, CT, QUERIES) as core:
        blocks = core.store.export_blocks([], None, None)
        lines = b"".join([part async for part in export_csv(blocks)]).decode().splitlines()
        hours = (HOUR.floor(NOW) - SINCE) // HOUR.step
        assert len(lines) == 1 + 3 * hours
        assert {line.split(",")[1] for line in lines[1:]} == {"ct", "dns/UDP", "dns/TCP"}


async def test_what_it_judges_when_requested_is_kept_as_snapshots(sqlite_url):
    hits = profile("hits", each={"cacheHit": ("YES", "NO")}, dataset="dns")
    assert hits.takes_snapshots
    async with collected(sqlite_url, hits) as core:
        taken = await core.store.snapshots([one.query for one in hits.series])
        assert {query.filters["cacheHit"]: one.asked_at for query, one in taken.items()} == {
            ("YES",): core.clock(),
            ("NO",): core.clock(),
        }


async def test_its_limits_are_its_own(sqlite_url):
    many = profile("many", each={"queryName": tuple(f"name {n}" for n in range(40))}, dataset="dns")
    ct = profile("ct", each={"caOwner": tuple(f"name {n}" for n in range(40))})
    async with collected(sqlite_url, many, ct, series_per_request=7) as core:
        known = [await core.batch_runner.known_limits(one.request_kind) for one in (many, ct)]
        assert [one.dataset for one in known] == ["dns", "ct"]
        keys = [await core.store.get_state(f"limits:{one}/timeseries:1h") for one in ("dns", "ct")]
        assert all(keys)


def test_no_request_is_for_two_datasets_nor_for_a_dimension_that_is_not_there():
    window = Window(SINCE, SINCE + DAY)
    two = Batch(tuple(Slice(Question(HOUR, {}, name), window) for name in ("ct", "dns")))
    with pytest.raises(ValueError, match="one request for several datasets: ct, dns"):
        query_string(two)
    for query in (Question(HOUR, {}, "dns", "TLD"), Question(HOUR, {}, group="com")):
        with pytest.raises(CollectorError, match="is not supported"):
            query_string(Batch((Slice(query, window),)))
    with pytest.raises(CollectorError, match="dataset 'http' is unknown; known: ct, dns"):
        query_string(Batch((Slice(Question(HOUR, {}, "http"), window),)))
    with pytest.raises(ValueError, match="dns/timeseries has no filter tld"):
        query_string(Batch((Slice(Question(HOUR, {"tld": ("com",)}, "dns"), window),)))
