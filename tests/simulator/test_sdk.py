"""The official SDK, told to hold every answer to the published contract, reads the simulator's."""

from __future__ import annotations

import asyncio

import pytest
from cloudflare import APIStatusError, AsyncCloudflare, BadRequestError, Cloudflare
from cloudflare._exceptions import APIResponseValidationError

from collector.interval import AggInterval
from collector.model import Question, Window
from collector.timestamps import utc

FIELDS = {"name": ["a", "b"], "date_range": ["7d", "7dcontrol"], "tld": ["com", "org"], "agg_interval": "1h"}


def _check(answer, radar):
    assert answer.meta.agg_interval == "ONE_HOUR"
    assert answer.meta.normalization == "RAW_VALUES"
    assert len(answer.meta.date_range) == 2
    window = Window(utc("2026-08-07T10:00:00Z"), utc("2026-08-14T11:00:00Z"))
    truth = radar.simulator.truth(Question(AggInterval.ONE_HOUR, {"tld": ("com",)}), window, radar.clock.now)
    assert [moment.timestamp() for moment in answer.a.timestamps] == list(truth.timestamps)
    assert [float(value) for value in answer.a.values] == list(truth.values)
    assert len(answer.b.values) == 169


async def test_the_asynchronous_sdk_reads_it_strictly(serving):
    async with (
        serving(ongoing_since=None) as radar,
        AsyncCloudflare(api_token="made-up", base_url=radar.url, _strict_response_validation=True) as client,
    ):
        _check(await client.radar.ct.timeseries(**FIELDS), radar)


async def test_the_synchronous_sdk_reads_it_strictly(serving):
    async with serving(ongoing_since=None) as radar:
        with Cloudflare(api_token="made-up", base_url=radar.url, _strict_response_validation=True) as client:
            _check(await asyncio.to_thread(client.radar.ct.timeseries, **FIELDS), radar)


async def test_the_sdk_asks_with_a_key_and_explicit_dates(serving):
    credentials = {"api_email": "a@b.example", "api_key": "k", "api_token": None}
    async with (
        serving(ongoing_since=None, email_and_key=("a@b.example", "k")) as radar,
        AsyncCloudflare(**credentials, base_url=radar.url, _strict_response_validation=True) as client,
    ):
        dates = {"date_start": [utc("2026-08-01T00:00:00Z")], "date_end": [utc("2026-08-05T23:45:00Z")]}
        answer = await client.radar.ct.timeseries(agg_interval="1d", ca_owner=["DigiCert%2C Inc."], **dates)
        assert [moment.day for moment in answer.serie_0.timestamps] == [1, 2, 3, 4, 5]
        assert radar.simulator.requests[0].request.series[0].query.filters == {"caOwner": ("DigiCert, Inc.",)}


async def test_every_switch_of_style_is_read_strictly(serving):
    styles = {"value_style": "decimal", "timestamp_style": "milliseconds", "messages": True, "compress": False}
    async with (
        serving(ongoing_since=None, **styles) as radar,
        AsyncCloudflare(api_token="made-up", base_url=radar.url, _strict_response_validation=True) as client,
    ):
        _check(await client.radar.ct.timeseries(**FIELDS), radar)


async def test_annotations_of_a_year_are_read_strictly(serving):
    async with (
        serving(ongoing_since=None) as radar,
        AsyncCloudflare(api_token="made-up", base_url=radar.url, _strict_response_validation=True) as client,
    ):
        answer = await client.radar.ct.timeseries(date_range=["52w"], agg_interval="1d")
        assert len(answer.meta.confidence_info.annotations) > 40


async def test_an_annotation_without_an_end_is_outside_the_contract(serving):
    async with (
        serving() as radar,
        AsyncCloudflare(api_token="made-up", base_url=radar.url, _strict_response_validation=True) as client,
    ):
        with pytest.raises(APIResponseValidationError):
            await client.radar.ct.timeseries(**FIELDS)


async def test_the_sdk_tells_a_refusal(serving):
    async with (
        serving(token="other") as radar,
        AsyncCloudflare(api_token="made-up", base_url=radar.url, max_retries=0) as client,
    ):
        with pytest.raises(APIStatusError) as refused:
            await client.radar.ct.timeseries(date_range=["7d"])
        assert refused.value.status_code == 403
        radar.simulator.requests.clear()
    async with (
        serving() as radar,
        AsyncCloudflare(api_token="made-up", base_url=radar.url, max_retries=0) as client,
    ):
        with pytest.raises(BadRequestError):
            await client.radar.ct.timeseries(ca_owner=["DigiCert, Inc."])
