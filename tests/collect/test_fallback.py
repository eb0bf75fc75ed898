"""Missing history is requested from a simulator, once, within limits."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from collector.collect import fallback
from collector.collect.fallback import Fallback, check_budget
from collector.model import Slice, Window
from collector.radar.errors import RateLimited, TooCostly, Unauthorized
from collector.settings import load
from collector.store import Budget
from tests.harness.collect_core import DAY, HOUR, NOW, open_core
from tests.harness.factories import profile, query

_CONFIG = '[[profiles]]\nname = "all"\nagg_interval = "1h"\n'
CLOSED = HOUR.floor(NOW)


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(_CONFIG)
    return load(str(path), environ={}, now=NOW)


@asynccontextmanager
async def falling_back(url, settings, **options):
    async with (
        open_core(url, profile(), **options) as core,
        Fallback(core.store, core.batch_runner, settings) as filling,
    ):
        yield core, filling


def lacking(*queries, days=1):
    return [Slice(question, Window(CLOSED - days * DAY, CLOSED)) for question in queries or (query(tld=["com"]),)]


async def test_missing_buckets_are_requested_and_stored(store_url, settings):
    async with falling_back(store_url, settings) as (core, filling):
        await filling.fill(lacking())
        assert len(core.requests) == 1
        stored = await core.store.extents([query(tld=["com"])])
        assert stored[query(tld=["com"])] == Window(CLOSED - DAY, CLOSED)
        await filling.fill(lacking())
        await filling.fill(lacking(days=2))
        assert len(core.requests) == 2


async def test_simultaneous_queries_of_one_series_cost_one_request(sqlite_url, settings):
    async with falling_back(sqlite_url, settings) as (core, filling):
        await asyncio.gather(*(filling.fill(lacking()) for _ in range(50)))
        assert len(core.requests) == 1


async def test_questions_that_share_series_in_another_order_do_not_block_each_other(sqlite_url, settings):
    com, other = query(tld=["com"]), query(tld=["de"])
    async with falling_back(sqlite_url, settings) as (core, filling), asyncio.timeout(10):
        await asyncio.gather(filling.fill(lacking(com, other)), filling.fill(lacking(other, com)))
        assert len(core.requests) == 1


async def test_unpublished_buckets_are_not_requested_repeatedly(sqlite_url, settings):
    async with falling_back(sqlite_url, settings, lag=timedelta(hours=3)) as (core, filling):
        for _ in range(3):
            await filling.fill(lacking())
        assert len(core.requests) == 1
        core.clock.advance(minutes=16)
        await filling.fill(lacking())
        assert len(core.requests) == 2


async def test_a_bucket_that_has_just_closed_is_not_requested(sqlite_url, settings):
    async with falling_back(sqlite_url, settings) as (core, filling):
        core.clock.now = CLOSED + timedelta(minutes=1)
        await filling.fill([Slice(query(), Window(CLOSED - timedelta(hours=1), CLOSED))])
        assert not core.requests


async def test_a_query_that_needs_too_many_requests_is_rejected(sqlite_url, settings, monkeypatch):
    async with falling_back(sqlite_url, settings) as (core, filling):
        with pytest.raises(TooCostly):
            await filling.fill(lacking(days=8_000))
        monkeypatch.setattr(fallback, "_MAX_REQUESTS", 1)
        with pytest.raises(TooCostly):
            await filling.fill(
                lacking(*(query(tld=["x" * n]) for n in range(2, 63)), *(query(ca=[str(n)]) for n in range(50)))
            )
        assert not core.requests


async def test_a_query_that_takes_more_requests_than_planned_is_stopped(sqlite_url, settings, monkeypatch):
    monkeypatch.setattr(fallback, "_MAX_REQUESTS", 4)
    spans = {HOUR: DAY}
    async with falling_back(sqlite_url, settings, max_span=spans, series_per_request=2) as (core, filling):
        with pytest.raises(TooCostly):
            await filling.fill(lacking(days=60))
        assert len(core.requests) <= 8


async def test_half_of_the_budget_is_left_to_the_profiles(sqlite_url, settings):
    async with falling_back(sqlite_url, settings) as (core, filling):
        filling._limit = 4
        for number in range(2):
            await filling.fill(lacking(query(ca=[str(number)])))
        with pytest.raises(RateLimited):
            await filling.fill(lacking(query(tld=["com"])))
        assert len(core.requests) == 2


def test_a_blocked_budget_rejects_queries_until_it_ends():
    with pytest.raises(RateLimited) as refused:
        check_budget(Budget(600, 0, NOW + DAY), NOW)
    assert refused.value.not_before == NOW + DAY
    check_budget(Budget(600, 0, NOW), NOW)
    check_budget(Budget(1, 0, None), NOW)
    with pytest.raises(RateLimited):
        check_budget(Budget(1, 1, None), NOW)


async def test_the_error_of_the_request_is_raised(sqlite_url, settings):
    async with falling_back(sqlite_url, settings, token="another") as (core, filling):
        with pytest.raises(Unauthorized):
            await filling.fill(lacking())
        assert len(core.requests) == 1


async def test_a_query_continues_if_its_caller_is_cancelled(sqlite_url, settings):
    async with falling_back(sqlite_url, settings) as (core, filling):
        asking = asyncio.create_task(filling.fill(lacking()))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        while filling._tasks:
            await asyncio.wait(filling._tasks)
        assert await core.outcomes() == ["ok"]
