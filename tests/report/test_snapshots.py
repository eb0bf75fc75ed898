"""Snapshots over HTTP."""

from __future__ import annotations

import pytest

from collector.timestamps import rfc3339
from tests.harness import http_server
from tests.harness.factories import DAY, HOUR, NOW, batch, hours, query, saved
from tests.harness.http_server import served
from tests.store.write.test_snapshots import VALID, taken

PROFILE = '[[profiles]]\nname = "valid"\nagg_interval = "1h"\n[profiles.filters]\nexpiration_status = ["VALID"]\n'


@pytest.fixture
async def server(store_url, tmp_path, monkeypatch):
    monkeypatch.setattr(http_server, "CONFIG", f"{http_server.CONFIG}{PROFILE}")
    async with served(store_url, tmp_path) as found:
        await saved(found.store, batch((query(), hours(0, 3))), [1, 2, 3])
        await found.store.save_snapshots([taken(3, 2, 1, asked_at=NOW - 48 * HOUR)], NOW)
        await found.store.save_snapshots([taken(30, 20)], NOW)
        yield found


async def test_points_have_the_asked_at_of_their_snapshot(server):
    points = await server.all_of("/api/v1/points?limit=2", "points")
    assert [point.get("asked_at") for point in points] == [None] * 3 + [rfc3339(NOW)] * 2
    assert points[-1] == {
        "profile": "valid",
        "series": "valid",
        "timestamp": rfc3339(DAY + HOUR),
        "value": 20,
        "unit": "*",
        "asked_at": rfc3339(NOW),
    }
    earlier = await server.all_of(f"/api/v1/points?series=valid&as_of={rfc3339(NOW - HOUR)}", "points")
    assert [point["value"] for point in earlier] == [3, 2, 1]


async def test_columns_have_the_asked_at_of_their_snapshot(server):
    document = await server.get("/api/v1/points?thin=10")
    found = {one["series"]: one for one in document["series"]}
    assert "asked_at" not in found["all"]
    assert (found["valid"]["asked_at"], found["valid"]["mean"]) == (rfc3339(NOW), [30, 20])
    assert found["valid"]["covers"] == [rfc3339(DAY), rfc3339(DAY + 2 * HOUR)]


async def test_csv_has_asked_at_in_a_header(server):
    async with server.session.get(f"{server.url}/api/v1/points?format=csv") as answer:
        assert answer.headers["X-Asked-At"] == f"valid: {rfc3339(NOW)}"
    async with server.session.get(f"{server.url}/api/v1/points?format=csv&profile=all") as answer:
        assert "X-Asked-At" not in answer.headers


@pytest.mark.parametrize("path", ["points?", "points?format=csv&"])
async def test_a_range_outside_of_a_snapshot_is_rejected(server, path):
    async def get(query):
        async with server.session.get(f"{server.url}/api/v1/{path}{query}") as answer:
            return answer.status, await answer.text()

    before = f"start={rfc3339(DAY - HOUR)}"
    status, text = await get(before)
    assert status == 400
    assert f"valid: the range {rfc3339(DAY - HOUR)}.. lies outside of the newest snapshot" in text
    assert (await get(f"{before}&profile=all"))[0] == 200
    assert (await get(f"start={rfc3339(DAY)}&end={rfc3339(DAY + HOUR)}"))[0] == 200


async def test_a_snapshot_profile_is_not_backfilled(server):
    async def post(**order):
        body = {"start": "2026-04-01T00:00:00Z", **order}
        async with server.session.post(f"{server.url}/api/v1/backfills", json=body) as answer:
            return answer.status, await answer.json()

    status, document = await post(profiles=["all", "valid"])
    assert status == 400
    assert (
        "valid cannot be backfilled, because expirationStatus is judged at the moment of the request"
        in document["error"]
    )
    status, document = await post()
    assert (status, document["profiles"]) == (201, ["all", "by"])


async def test_the_status_shows_the_snapshot(server):
    document = await server.get("/api/v1/status")
    (row,) = [one for one in document["profiles"] if one["name"] == "valid"]
    assert (row["state"], row["points"], row["last_success"]) == ("snapshot", 2, rfc3339(NOW))
    assert (await server.store.snapshots([VALID]))[VALID].points == 2
