"""The daemon's jobs and its compaction over HTTP: what is ordered, what is cancelled, what is refused."""

import logging
import re
from datetime import timedelta

import pytest

from collector.serve.api import changes
from collector.store.retention import compact
from collector.timestamps import rfc3339
from tests.harness.http_server import NOW

ORDER = {"start": rfc3339(NOW - timedelta(days=3))}


async def post(server, path, body, status):
    async with server.session.post(f"{server.url}/api/v1/{path}", json=body) as answer:
        assert answer.status == status, (path, answer.status, await answer.text())
        return await answer.json()


@pytest.mark.parametrize("name", ["start", "end"])
@pytest.mark.parametrize("year", ["0001", "0002", "1999", "2027", "9999"])
async def test_a_job_of_an_impossible_date_is_refused(empty_server, name, year):
    refused = await post(empty_server, "backfills", {**ORDER, name: f"{year}-01-01T00:00:00Z"}, 400)
    assert refused["error"].startswith(f"{name}: {year}-01-01T00:00:00Z is out of range; allowed: 2000-01-01 to ")
    assert await empty_server.store.list_backfills() == []


@pytest.mark.parametrize("name", ["start", "end", "as_of"])
@pytest.mark.parametrize("year", ["0001", "9999"])
async def test_a_list_with_an_impossible_date_is_rejected(empty_server, name, year):
    refused = await empty_server.get(f"/api/v1/points?{name}={year}-01-01T00:00:00Z", 400)
    assert f"{name}: {year}-01-01T00:00:00Z is out of range" in refused["error"]


async def test_a_query_with_an_impossible_date_is_rejected(empty_server):
    asked = "/client/v4/radar/ct/timeseries?dateStart=1999-12-31T00:00:00Z&dateEnd=2000-01-03T00:00:00Z&aggInterval=1d"
    (error,) = (await empty_server.get(asked, 400))["errors"]
    assert error["message"].startswith("dateStart: 1999-12-31T00:00:00Z is out of range")


async def test_a_job_is_cancelled_once(empty_server):
    job = await post(empty_server, "backfills", ORDER, 201)
    assert job["state"] == "queued"
    cancelled = await post(empty_server, f"backfills/{job['id']}/cancel", {}, 200)
    assert (cancelled["state"], cancelled["message"]) == ("cancelled", "cancelled before all of it was asked for")
    assert cancelled["finished_at"] is not None
    assert await empty_server.get(f"/api/v1/backfills/{job['id']}") == cancelled
    again = await post(empty_server, f"backfills/{job['id']}/cancel", {}, 409)
    assert again == {"error": f"backfill {job['id']} is over: cancelled"}


async def test_an_estimate_creates_no_job(empty_server):
    (cost, wide) = [
        await post(empty_server, "backfills", {"start": start, "profiles": ["all"], "dry_run": True}, 200)
        for start in (rfc3339(NOW - timedelta(days=1)), rfc3339(NOW - timedelta(days=2)))
    ]
    assert cost["requests"] >= 1
    assert wide["points"] == cost["points"] + 24
    assert cost["minutes"] == 5 * cost["requests"] / empty_server.service.requests_per_5min
    assert await empty_server.store.list_backfills() == []


async def test_cancelling_takes_json_of_the_same_origin_and_a_job_that_exists(empty_server):
    job = (await post(empty_server, "backfills", ORDER, 201))["id"]
    path = f"{empty_server.url}/api/v1/backfills/{job}/cancel"
    for status, options in (
        (415, {"data": b"{}", "headers": {"Content-Type": "text/plain"}}),
        (403, {"json": {}, "headers": {"Origin": "http://elsewhere.example"}}),
        (400, {"json": {"why": "not"}}),
        (400, {"data": b"", "headers": {"Content-Type": "application/json"}}),
    ):
        async with empty_server.session.post(path, **options) as answer:
            assert answer.status == status, options
    assert await post(empty_server, "backfills/999/cancel", {}, 404) == {"error": "there is no such backfill"}
    assert (await empty_server.get(f"/api/v1/backfills/{job}"))["state"] == "queued"


@pytest.mark.parametrize("moment", ["2026-02-30", "", 0, None])
async def test_the_error_of_a_body_is_our_own_text(empty_server, moment):
    refused = await post(empty_server, "backfills", {"start": moment}, 400)
    assert refused["error"].startswith("start: ")
    assert "Value error" not in refused["error"]


async def test_the_list_of_jobs_takes_no_parameter(empty_server):
    assert await empty_server.get("/api/v1/backfills?limit=1", 400) == {"error": "unknown parameter 'limit'"}


async def test_a_date_before_1970_is_not_called_misspelt(empty_server):
    asked = "/client/v4/radar/ct/timeseries?dateStart=0001-01-01T00:00:00Z&dateEnd=2000-01-03T00:00:00Z&aggInterval=1d"
    (error,) = (await empty_server.get(asked, 400))["errors"]
    assert error["message"] == "dateStart: must not lie before 1970, received '0001-01-01T00:00:00Z'"


async def test_compaction_returns_the_bytes_before_and_after(empty_server, caplog):
    caplog.set_level(logging.INFO)
    done = await post(empty_server, "compact", {}, 200)
    assert done.keys() == {"bytes_before", "bytes_after", "waits_for_readers"}
    assert "compact" in caplog.messages
    refused = await post(empty_server, "compact", {"full": True}, 400)
    assert refused["error"].startswith("full: ")


async def test_compaction_that_takes_longer_than_a_minute_goes_on(empty_server, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(changes, "_MAX_WAIT_SECONDS", 0)
    assert await post(empty_server, "compact", {}, 202) == {"running": True}
    await empty_server.service.compact()
    assert caplog.messages.count("compact") == 1


async def test_compaction_without_room_is_refused_without_a_path(empty_server, monkeypatch):
    monkeypatch.setattr(compact, "_MORE_BYTES", 10**18)
    refused = await post(empty_server, "compact", {}, 507)
    assert re.fullmatch(
        r"to compact the store, \d+ bytes of room on the disk are needed, and \d+ are free", refused["error"]
    )
