"""The official SDK, with nothing changed but `base_url`, reads a running collector as it reads Cloudflare.

What is asked is what its own tests ask of `radar.ct`, except of the lists: timeseries, timeseries_groups and summary,
bare, with all parameters, raw, and streaming, each on every transport, with answers held to the contract or not.

Its three tests with all parameters (`test_method_…_with_all_params`) contradict themselves: `tld` goes neither with
`log`, `log_api` and `log_operator` nor with `entry_type`, and `date_range` not with `date_start` and `date_end`. Here
these are left out. A sum over a range cannot have `unique_entries=true` or `expiration_status` either: the numbers of
buckets that history has do not add up. If answers are held to the contract, groups cannot have a `name`, because the
contract demands the names `serie_0` and `summary_0`.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cloudflare import (
    AsyncCloudflare,
    BadRequestError,
    Cloudflare,
    DefaultAioHttpClient,
    NotFoundError,
    PermissionDeniedError,
)
from cloudflare.types.radar import CTSummaryResponse, CTTimeseriesGroupsResponse, CTTimeseriesResponse
from cloudflare.types.radar.ct import AuthorityListResponse, LogGetResponse, LogListResponse

from collector.model import Annotation
from collector.simulator import CatalogueOptions
from tests.harness.processes import CANARY, Collector, midnight, profile_toml, simulating

SUMMABLE_FILTERS = """[profiles.filters]
ca = ["string"]
ca_owner = ["string"]
duration = ["LTE_3D"]
has_ips = ["true"]
has_wildcards = ["true"]
public_key_algorithm = ["DSA"]
signature_algorithm = ["DSA_SHA_1"]
tld = ["com"]
validation_level = ["DOMAIN"]
"""
EVERY_FILTER = f'{SUMMABLE_FILTERS}expiration_status = ["EXPIRED"]\nunique_entries = ["true"]\n'
ALL_PARAMS = {
    "agg_interval": "1h",
    "ca": ["string"],
    "ca_owner": ["string"],
    "duration": ["LTE_3D"],
    "expiration_status": ["EXPIRED"],
    "has_ips": [True],
    "has_wildcards": [True],
    "public_key_algorithm": ["DSA"],
    "signature_algorithm": ["DSA_SHA_1"],
    "tld": ["com"],
    "unique_entries": ["true"],
    "validation_level": ["DOMAIN"],
    "format": "JSON",
    "name": ["main_series"],
}
OF_GROUPS = {"limit_per_group": 10, "normalization": "RAW_VALUES"}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The base URL of a running collector, and the simulator that it has collected from.

    No annotation lacks its end, because the contract, to which strict answers are held, demands one.
    """
    folder = tmp_path_factory.mktemp("served")
    lists = CatalogueOptions()
    with simulating(annotations=None, ongoing_since=None, catalogue=lists) as (simulator, url):
        collector = Collector(folder, url, catalogue=True)
        by_owner = '[profiles.each]\nca_owner = ["DigiCert, Inc.", "Sectigo Limited"]\n'
        collector.configure(
            profile_toml("all", "15m", 15),
            profile_toml("by-owner", "1h", 9, by_owner),
            profile_toml("every", "1h", 9, EVERY_FILTER),
            profile_toml("summable", "1h", 9, SUMMABLE_FILTERS),
            profile_toml("authorities", "1h", 9, 'dimension = "CA"'),
        )
        collector.run("collect")
        with collector.running("run") as running:
            running.says("serving")
            address = re.search(r"http://127\.0\.0\.1:\d+", running.log)
            yield f"{address[0]}/client/v4", simulator


class Blocking:
    """The synchronous SDK, asked from a thread."""

    def __init__(self, client):
        self.ct = client.radar.ct

    async def timeseries(self, **fields):
        return await self.bare("timeseries", **fields)

    async def bare(self, method, **fields):
        return await asyncio.to_thread(getattr(self.ct, method), **fields)

    async def raw(self, method, **fields):
        response = await asyncio.to_thread(getattr(self.ct.with_raw_response, method), **fields)
        assert response.is_closed
        return response.parse()

    async def streaming(self, method, **fields):
        def ask():
            with getattr(self.ct.with_streaming_response, method)(**fields) as response:
                assert not response.is_closed
                parsed = response.parse()
            assert response.is_closed
            return parsed

        return await asyncio.to_thread(ask)


class Awaiting:
    """The asynchronous SDK."""

    def __init__(self, client):
        self.ct = client.radar.ct
        self.timeseries = client.radar.ct.timeseries

    async def bare(self, method, **fields):
        return await getattr(self.ct, method)(**fields)

    async def raw(self, method, **fields):
        response = await getattr(self.ct.with_raw_response, method)(**fields)
        assert response.is_closed
        return await response.parse()

    async def streaming(self, method, **fields):
        async with getattr(self.ct.with_streaming_response, method)(**fields) as response:
            assert not response.is_closed
            parsed = await response.parse()
        assert response.is_closed
        return parsed


@asynccontextmanager
async def _client(transport, base_url, **options):
    options = {"api_token": "anything", "base_url": base_url, "max_retries": 0, **options}
    if transport == "sync":
        with Cloudflare(**options) as client:
            yield Blocking(client)
    else:
        http_client = DefaultAioHttpClient() if transport == "aiohttp" else None
        async with AsyncCloudflare(**options, http_client=http_client) as client:
            yield Awaiting(client)


@pytest.fixture(params=["loose", "strict"])
def strictness(request):
    return {"_strict_response_validation": request.param == "strict"}


@pytest.fixture(params=["sync", "async", "aiohttp"])
async def sdk(request, strictness, served):
    async with _client(request.param, served[0], **strictness) as client:
        yield client


async def test_method(sdk):
    answer = await sdk.timeseries()
    assert isinstance(answer, CTTimeseriesResponse)
    assert answer.meta.agg_interval == "ONE_HOUR"
    assert answer.meta.confidence_info.annotations
    assert len(answer.serie_0.values) == len(answer.serie_0.timestamps) > 160


async def test_method_with_all_params(sdk):
    answer = await sdk.timeseries(**ALL_PARAMS, date_range=["7d"])
    assert len(answer.main_series.values) > 160
    dates = {"date_start": [midnight(3)], "date_end": [midnight(2) - timedelta(minutes=1)]}
    answer = await sdk.timeseries(**ALL_PARAMS, **dates)
    assert [moment.hour for moment in answer.main_series.timestamps] == list(range(24))


@pytest.mark.parametrize("way", ["raw", "streaming"])
async def test_raw_and_streaming_responses(sdk, way):
    fields = {"date_range": ["7d", "7dControl"], "name": ["now", "before"], "agg_interval": "1d"}
    answer, same = await getattr(sdk, way)("timeseries", **fields), await sdk.timeseries(**fields)
    assert answer == same
    assert len(answer.meta.date_range) == 2
    assert len(answer.before.values) >= 7
    assert all(re.fullmatch(r"\d+", value) for value in answer.now.values + answer.before.values)


@pytest.mark.parametrize("way", ["bare", "raw", "streaming"])
async def test_groups_and_their_sums(sdk, way):
    groups = await getattr(sdk, way)("timeseries_groups", dimension="CA")
    sums = await getattr(sdk, way)("summary", dimension="CA")
    assert isinstance(groups, CTTimeseriesGroupsResponse)
    assert isinstance(sums, CTSummaryResponse)
    series, first = groups.serie_0.model_extra, groups.meta.date_range[0].start_time
    assert groups.serie_0.timestamps[0] == first == sums.meta.date_range[0].start_time
    assert len(series) == len(sums.summary_0) > 10
    assert {name: sum(map(int, values)) for name, values in series.items()} == {
        name: int(value) for name, value in sums.summary_0.items()
    }


async def test_groups_with_all_params(sdk, strictness):
    fields = ALL_PARAMS | OF_GROUPS | {"date_range": ["7d"]}
    if any(strictness.values()):
        fields.pop("name")
    answer = await sdk.bare("timeseries_groups", dimension="CA", **fields)
    series = answer.serie_0 if "name" not in fields else answer.main_series
    values = series["string"] if isinstance(series, dict) else series.string
    assert len(values) > 160
    summable = {name: value for name, value in fields.items() if name not in ("expiration_status", "unique_entries")}
    summable.pop("agg_interval")
    answer = await sdk.bare("summary", dimension="CA", **summable)
    sums = answer.summary_0 if "name" not in fields else answer.main_series
    assert sums["string"] == "0"
    with pytest.raises(BadRequestError, match="cannot be summed over the range"):
        await sdk.bare("summary", dimension="CA", **summable, unique_entries=["true"], expiration_status=["EXPIRED"])


async def test_the_numbers_are_those_of_radar(sdk, served):
    from collector.interval import AggInterval
    from collector.model import Question, Window

    window = Window(midnight(4), midnight(3))
    truth = served[1].truth(
        Question(AggInterval.ONE_HOUR, {"caOwner": ("DigiCert, Inc.",)}), window, datetime.now(UTC).timestamp()
    )
    dates = {"date_start": [window.start], "date_end": [window.end - timedelta(minutes=15)]}
    answer = await sdk.timeseries(agg_interval="1h", ca_owner=["DigiCert%2C Inc."], **dates)
    assert [float(value) for value in answer.serie_0.values] == list(truth.values)
    assert [moment.timestamp() for moment in answer.serie_0.timestamps] == list(truth.timestamps)


async def test_one_date_range_is_that_of_every_position(sdk):
    owners = ["DigiCert%2C Inc.", "Sectigo Limited"]
    shared = await sdk.timeseries(agg_interval="1h", ca_owner=owners, name=["a", "b"], date_range=["2d"])
    each = await sdk.timeseries(agg_interval="1h", ca_owner=owners, name=["a", "b"], date_range=["2d", "2d"])
    assert shared == each
    assert len(shared.a.values) == len(shared.b.values) > 40


async def test_what_came_as_null_is_null(tmp_path):
    remark = Annotation(midnight(2), None, "CT", "EVENT", "in force", "https://example.com", is_instantaneous=False)
    with simulating(annotations=(remark,), confidence_level=None) as (_, url):
        collector = Collector(tmp_path, url)
        collector.configure(profile_toml("all", "1h", 2))
        collector.run("collect")
        with collector.running("run") as running:
            running.says("serving")
            base_url = re.search(r"http://127\.0\.0\.1:\d+", running.log)[0] + "/client/v4"
            async with _client("async", base_url) as sdk:
                info = (await sdk.timeseries(date_range=["1d"], agg_interval="1h")).meta.confidence_info
    assert (info.level, [found.end_date for found in info.annotations]) == (None, [None])


async def test_refusals_are_the_errors_that_the_sdk_knows(sdk):
    with pytest.raises(BadRequestError) as refused:
        await sdk.timeseries(agg_interval="1m")
    assert refused.value.errors[0].code == 2001
    with pytest.raises(NotFoundError, match=r"the nearest profiles are 'by-owner/DigiCert, Inc\.'"):
        await sdk.timeseries(ca_owner=["DigiCert"])


async def test_what_was_known_then_can_be_asked_for_as_an_extra_parameter(sdk):
    with pytest.raises(NotFoundError, match="Nothing was known then"):
        await sdk.timeseries(extra_query={"as_of": "2020-01-01T00:00:00Z"})


@pytest.mark.parametrize("anonymous", [False, True])
async def test_its_token_is_that_of_our_server(tmp_path, anonymous):
    token = "0123456789abcdef-of-our-server"
    with simulating() as (_, url):
        collector = Collector(tmp_path, url, server=f"port = 0\nanonymous_read = {str(anonymous).lower()}")
        collector.configure(profile_toml("all", "1h", 2))
        collector.run("collect")
        with collector.running("run", environ={"COLLECTOR_SERVER__TOKEN": token}) as running:
            running.says("serving")
            base_url = re.search(r"http://127\.0\.0\.1:\d+", running.log)[0] + "/client/v4"
            async with _client("async", base_url, api_token=token) as sdk:
                assert (await sdk.timeseries(date_range=["1d"], agg_interval="1h")).serie_0.values
            async with _client("async", base_url, api_token=None, api_email="a@b.example", api_key=token) as sdk:
                assert (await sdk.timeseries(date_range=["1d"], agg_interval="1h")).serie_0.values
            async with _client("async", base_url, api_token=CANARY) as sdk:
                if anonymous:
                    assert (await sdk.timeseries(date_range=["1d"], agg_interval="1h")).serie_0.values
                else:
                    with pytest.raises(PermissionDeniedError):
                        await sdk.timeseries()
        assert token not in running.log


def test_it_reads_the_lists_of_authorities_and_logs(served):
    url, _ = served
    with Cloudflare(base_url=url, api_token=CANARY, _strict_response_validation=True) as client:
        ct = client.radar.ct
        logs, authorities = ct.logs.list(limit=100), ct.authorities.list(limit=100)
        assert isinstance(logs, LogListResponse)
        assert isinstance(authorities, AuthorityListResponse)
        assert (len(logs.certificate_logs), len(ct.logs.list().certificate_logs)) == (9, 5)
        page = ct.logs.list(limit=2, offset=1).certificate_logs
        assert [log.slug for log in page] == [log.slug for log in logs.certificate_logs[1:3]]
        slug = logs.certificate_logs[0].slug
        assert isinstance(details := ct.logs.get(slug), LogGetResponse)
        assert details.certificate_log.performance.uptime > 0
        with pytest.raises(NotFoundError, match="have not been collected yet"):
            ct.authorities.get(authorities.certificate_authorities[0].sha256_fingerprint)
        with pytest.raises(NotFoundError) as unknown:
            ct.logs.get("no-such-log")
        assert unknown.value.response.json() == {"error": "Not Found."}
        with pytest.raises(BadRequestError):
            ct.logs.list(limit=0)
        with pytest.raises(NotFoundError, match="first collected at"):
            ct.logs.list(extra_query={"as_of": "2026-01-01"})
        table = ct.logs.with_raw_response.list(format="CSV").text()
        assert table.splitlines()[0].startswith("api,description,")
