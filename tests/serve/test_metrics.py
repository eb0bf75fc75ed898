import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from collector import __version__
from collector.serve.metrics import Metrics
from collector.store import Fire, Saved
from tests.serve.serving import fill, served
from tests.store.making import NOW


@pytest.fixture
async def world(store_url, tmp_path):
    async with served(store_url, tmp_path) as found:
        await fill(found)
        yield found


async def _metrics(world):
    async with world.session.get(f"{world.url}/metrics") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/plain"
        text = await answer.text()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_it_works(world):
    world.service.metrics.asked("ok", 0.2)
    world.service.metrics.asked("unavailable", 31)
    world.service.metrics.saved("all", Saved(inserted=3, revised=2, unchanged=1))
    world.service.metrics.fired([Fire("all", NOW, "collected", NOW)])
    found = await _metrics(world)
    expected = {
        ("collector_requests_total", "ok"): 1,
        ("collector_requests_total", "unavailable"): 1,
        ("collector_request_seconds_count",): 2,
        ("collector_request_seconds_sum",): 31.2,
        ("collector_points_total", "all", "inserted"): 3,
        ("collector_points_total", "all", "revised"): 2,
        ("collector_points_total", "all", "unchanged"): 1,
        ("collector_fires_total", "all", "collected"): 1,
        ("collector_last_success_timestamp_seconds", "all"): NOW.timestamp(),
        ("collector_lag_seconds", "all"): 12 * 3600 + 0.123456,
        ("collector_interval_seconds", "all"): 3600,
        ("collector_gap_buckets", "all"): 0,  # the two that are absent are absent upstream
        ("collector_gap_buckets", "by"): 0,
        ("collector_confidence_level", "all"): 5,
        ("collector_request_budget_remaining",): 597,
        ("collector_upstream_blocked_seconds",): 0,
        ("collector_store_points",): 70,
        ("collector_build_info", __version__): 1,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["collector_store_bytes",] > 0
    assert not [name for name, *_ in found if name.endswith("_created")]


async def test_a_server_counts_for_itself(sqlite_url, tmp_path):
    Metrics().asked("ok", 1)
    async with served(sqlite_url, tmp_path) as world:
        assert ("collector_requests_total", "ok") not in await _metrics(world)


async def test_a_store_that_is_gone_fails_the_scrape(sqlite_url, tmp_path):
    async with served(sqlite_url, tmp_path) as world:
        (tmp_path / "collector.db").unlink()
        await world.get("/metrics", 503)


async def test_the_store_is_asked_once_for_many_scrapes(world, monkeypatch):
    asked = []
    info = world.store.info

    async def counted():
        asked.append(1)
        return await info()

    monkeypatch.setattr(world.store, "info", counted)
    for _ in range(5):
        await _metrics(world)
    assert len(asked) == 1


async def test_a_profile_name_is_text_and_nothing_else(world):
    world.service.metrics.saved('a"\n\\', Saved(1))
    async with world.session.get(f"{world.url}/metrics") as answer:
        assert re.search(r'collector_points_total\{.*profile="a\\"\\n\\\\"', await answer.text())
