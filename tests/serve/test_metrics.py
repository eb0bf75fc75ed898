import re
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from collector import __version__
from collector.circuit_breaker import BREAKER_THRESHOLD
from collector.radar.errors import RadarError, Unavailable
from collector.serve.metrics import Metrics
from collector.store import Fire, SaveResult
from tests.harness.factories import NOW, batch, hours, start_fetch
from tests.harness.http_server import fill, served


async def _metrics(server):
    async with server.session.get(f"{server.url}/metrics") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/plain"
        text = await answer.text()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_it_works(server):
    server.service.metrics.asked("ok", 0.2)
    server.service.metrics.asked("unavailable", 31)
    server.service.metrics.saved("all", SaveResult(inserted=3, revised=2, unchanged=1))
    server.service.metrics.fired([Fire("all", NOW, "collected", NOW)])
    found = await _metrics(server)
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
        ("collector_lag_seconds", "all"): 11 * 3600,  # the bucket of the last hour is not due yet
        ("collector_interval_seconds", "all"): 3600,
        ("collector_gap_buckets", "all"): 0,  # the two that are absent are absent upstream
        ("collector_gap_buckets", "by"): 0,
        ("collector_upstream_gap_buckets", "all"): 2,
        ("collector_unconfirmed_buckets", "all"): 20,
        ("collector_stale", "all"): 1,  # it was told at noon that there is nothing after midnight
        ("collector_failing", "all"): 0,
        ("collector_failing", "by"): 1,
        ("collector_healthy", "by"): 0,
        ("collector_confidence_level", "all"): 5,
        ("collector_request_budget_remaining",): 597,
        ("collector_upstream_blocked_seconds",): 0,
        ("collector_clock_difference_seconds",): 0,
        ("collector_store_points",): 70,
        ("collector_build_info", __version__): 1,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["collector_store_bytes",] > 0
    assert not [name for name, *_ in found if name.endswith("_created")]


NAMES = {
    "requests_total": {"outcome"},
    "request_seconds": {"le"},
    "points_total": {"profile", "change"},
    "fires_total": {"profile", "outcome"},
    "last_success_timestamp_seconds": {"profile"},
    "interval_seconds": {"profile"},
    "lag_seconds": {"profile"},
    "gap_buckets": {"profile"},
    "upstream_gap_buckets": {"profile"},
    "unconfirmed_buckets": {"profile"},
    "proof_buckets": set(),  # no profile here has a dimension
    "stale": {"profile"},
    "failing": {"profile"},
    "healthy": {"profile"},
    "confidence_level": {"profile"},
    "request_budget_remaining": set(),
    "upstream_blocked_seconds": set(),
    "clock_difference_seconds": set(),
    "store_points": set(),
    "store_bytes": set(),
    "build_info": {"version"},
}


async def test_the_names_are_those_that_are_promised_with_few_labels(server):
    async with server.session.get(f"{server.url}/metrics") as answer:
        families = list(text_string_to_metric_families(await answer.text()))
    found = {
        family.name + ("_total" if family.type == "counter" else ""): {
            label for sample in family.samples for label in sample.labels
        }
        for family in families
    }
    assert found == {f"collector_{name}": labels for name, labels in NAMES.items()}
    for family in families:  # as `promtool check metrics` wants it
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram")
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", family.name)
        assert not re.search(r"_(milliseconds|minutes|hours|kib|mb|gauge|counter|count|sum|bucket)$", family.name)


CHANGES = ("inserted", "revised", "unchanged", "ignored")


async def test_what_has_not_happened_yet_is_zero(server):
    found = await _metrics(server)
    outcomes = {kind.outcome for kind in _kinds(RadarError)} - {RadarError.outcome}
    zeros = [("collector_requests_total", outcome) for outcome in outcomes | {"ok"}]
    zeros += [("collector_fires_total", name, o) for name in ("all", "by") for o in ("collected", "failed")]
    zeros += [("collector_points_total", *sorted((name, what))) for name in ("all", "by") for what in CHANGES]
    assert {found[tuple(name)] for name in zeros} == {0}


def _kinds(kind):
    return {kind}.union(*map(_kinds, kind.__subclasses__()))


async def test_a_server_counts_for_itself(sqlite_url, tmp_path):
    Metrics().asked("ok", 1)
    async with served(sqlite_url, tmp_path) as server:
        assert (await _metrics(server))["collector_requests_total", "ok"] == 0


async def test_a_missing_store_fails_the_scrape(sqlite_url, tmp_path):
    async with served(sqlite_url, tmp_path) as server:
        (tmp_path / "collector.db").unlink()
        await server.get("/metrics", 503)


async def test_the_store_is_read_once_for_many_scrapes(server, monkeypatch):
    asked = []
    with_read_view = server.store.with_read_view

    async def counted(work):
        asked.append(1)
        return await with_read_view(work)

    monkeypatch.setattr(server.store, "with_read_view", counted)
    for _ in range(5):
        await _metrics(server)
    assert len(asked) == 1


async def test_a_profile_name_is_escaped_in_a_label(server):
    server.service.metrics.saved('a"\n\\', SaveResult(1))
    async with server.session.get(f"{server.url}/metrics") as answer:
        assert re.search(r'collector_points_total\{.*profile="a\\"\\n\\\\"', await answer.text())


async def test_a_wait_for_radar_shows_how_long_it_lasts(server):
    await server.store.set_state("blocked_until", (NOW + timedelta(minutes=20)).isoformat())
    assert (await _metrics(server))["collector_upstream_blocked_seconds",] == 1200


async def test_an_open_circuit_breaker_shows_how_long_it_lasts(store_url, tmp_path):
    async with served(store_url, tmp_path) as server:
        (every, _) = server.service.profiles
        asked = batch((every.series[0].query, hours(0, 1)))
        for number in range(BREAKER_THRESHOLD):
            fetch_id = await start_fetch(server.store, asked, NOW - timedelta(seconds=50 - number))
            await server.store.fail(fetch_id, Unavailable("down"), NOW - timedelta(seconds=50 - number))
        assert 20 < (await _metrics(server))["collector_upstream_blocked_seconds",] < 60


async def test_a_paused_profile_is_healthy_and_never_late(sqlite_url, tmp_path):
    async with served(sqlite_url, tmp_path) as server:
        await fill(server)
        paused, by = server.service.profiles
        profiles = (replace(paused, enabled=False), by)
        server.service._settings = replace(server.service._settings, profiles=profiles)
        found = await _metrics(server)
        gone = ("last_success_timestamp_seconds", "interval_seconds", "lag_seconds")
        assert {(f"collector_{name}", "all") for name in gone}.isdisjoint(found)
        assert {(f"collector_{name}", "by") for name in gone} <= found.keys()
        assert [found[f"collector_{name}", "all"] for name in ("healthy", "stale", "failing", "gap_buckets")] == [
            1, 0, 0, 0,
        ]  # fmt: skip
        row, _ = (await server.get("/api/v1/profiles"))["profiles"]
        assert row["enabled"] is False
