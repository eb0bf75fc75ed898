"""`[server] base_path`: the server behind a reverse proxy that offers it under a path."""

import re

import aiohttp
import pytest

from collector.serve.app import make_app, serving
from collector.settings import Secret
from tests.harness.http_server import SERVER_TOKEN


@pytest.fixture
async def based(empty_server):
    app = make_app(empty_server.service, "127.0.0.1", Secret(SERVER_TOKEN), base_path="/x/radar")
    async with serving(app, "127.0.0.1", 0) as url, aiohttp.ClientSession() as session:
        yield session, url


async def test_every_route_is_under_the_base_path_and_nowhere_else(based):
    session, url = based
    headers = {"Authorization": f"Bearer {SERVER_TOKEN}"}
    paths = ["/", "/api/v1/status", "/metrics", "/docs", "/docs/http", "/openapi.json", "/dashboard/app.js"]
    for path in [*paths, "/client/v4/radar/ct/timeseries?aggInterval=1h&dateRange=1d"]:
        async with session.get(f"{url}/x/radar{path}", headers=headers) as answer:
            assert answer.status == (404 if "client" in path else 200), path
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        async with session.get(url + path, headers=headers) as answer:
            assert (answer.status, await answer.json()) == (404, {"error": "Not Found"}), path
    for path in ("/healthz", "/x/radar/healthz"):
        async with session.get(url + path) as answer:
            assert answer.status == 200


async def test_data_under_the_base_path_needs_the_token(based):
    session, url = based
    for path in ("/api/v1/status", "/metrics", "/api/v1/points?format=csv"):
        async with session.get(f"{url}/x/radar{path}") as answer:
            assert answer.status == 401, path
    async with session.get(f"{url}/x/radar/client/v4/radar/ct/timeseries") as answer:
        assert answer.status == 401
        assert (await answer.json())["errors"][0]["code"] == 9106


async def test_links_lead_under_the_base_path(based):
    session, url = based
    async with session.get(f"{url}/x/radar", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (308, "/x/radar/")
    async with session.get(f"{url}/x/radar/docs/http") as answer:
        links = re.findall(r'(?:href|src)="([^"#:]+)"', await answer.text())
        assert len(links) > 5
        assert {link.startswith("/x/radar/") for link in links} == {True}
    async with session.get(f"{url}/x/radar/") as answer:
        text = await answer.text()
        assert {"points", "status"} <= set(re.search('data-routes="([^"]*)"', text)[1].split())
        links = re.findall(r'(?:href|src)="([^"#:]+)"', text)
        assert not [link for link in links if link.startswith("/")]
    async with session.get(f"{url}/x/radar/openapi.json") as answer:
        assert (await answer.json())["servers"] == [{"url": "/x/radar"}]
    order = {"start": "2026-04-01T00:00:00Z"}
    headers = {"Authorization": f"Bearer {SERVER_TOKEN}"}
    async with session.post(f"{url}/x/radar/api/v1/backfills", json=order, headers=headers) as answer:
        assert answer.headers["Location"].startswith("/x/radar/api/v1/backfills/")
