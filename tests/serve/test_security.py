"""The security rules of the local HTTP server, each with a test of its own name."""

from __future__ import annotations

import asyncio
import csv
import gzip
import hmac
import io
import json
import logging
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web

from collector.daemon import Daemon
from collector.logs import configure
from collector.serve import connections, middleware
from collector.serve.app import make_app, serving
from collector.settings import ConfigurationError, Secret, load
from collector.store import Store
from tests.harness.factories import NOW, batch, hours, query, saved

SERVER_TOKEN = "server-canary-0123456789abcdef"
CONFIG = '[radar]\nbase_url = "http://127.0.0.1:9/client/v4"\n[[profiles]]\nname = "all"\nagg_interval = "1h"\n'
SERIES = "/client/v4/radar/ct/timeseries"
READS = ["profiles", "series", "fetches", "annotations", "gaps", "proof", "revisions", "points", "status", "backfills"]
OPEN = ["/", "/healthz", "/readyz", "/openapi.json", "/dashboard/app.js", "/nothing"]
DATA = [SERIES, "/client/v4/other", "/metrics", "/api/v1/backfills/1", *(f"/api/v1/{name}" for name in READS)]
ORDER = {"start": "2026-04-30T00:00:00Z"}
LEAKS = re.compile(
    rb"/tmp|/home|collector\.db|\.py\b|Traceback|SELECT|sqlite|sqlalchemy|asyncpg|psycopg", re.IGNORECASE
)
INJECTIONS = [
    "' OR 1=1 --",
    "'; DROP TABLE points; --",
    '" UNION SELECT name FROM sqlite_master --',
    "<script>alert(1)</script>",
    "{{7*7}}${7*7}#{7*7}",
    "$(id)`id`|id;id",
    "../../../../etc/passwd",
    "%00",
    "a\x00b",
    "a\r\nSet-Cookie: x=y",
    "\u202e\ufeff\U0001f4a9",
    "=1+1",
    "9" * 400,
    "-1",
    "1e999",
    "NaN",
    "null",
    "[]",
    "\\",
    "%",
    "x" * 3_000,
]
NAMES = ["profile", "series", "start", "end", "as_of", "asOf", "format", "thin", "limit", "after", "name", "dateRange"]
NAMES += ["dateStart", "dateEnd", "aggInterval", "ca", "caOwner", "tld", "log", "uniqueEntries", "nothing", ""]


@dataclass
class SecuredServer:
    service: Daemon
    store: Store
    session: aiohttp.ClientSession
    url: str
    app: web.Application

    async def ask(self, target, method="GET", **options):
        """(status, headers, body)."""
        async with self.session.request(method, self.url + target, allow_redirects=False, **options) as response:
            return response.status, response.headers, await response.read()

    async def raw(self, text):
        """Send bytes as they are and give all that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.url.rpartition(":")[2]))
        writer.write(text)
        try:
            async with asyncio.timeout(20):
                return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


@asynccontextmanager
async def serving_history(folder, url, token=None, write_token=None):
    path = folder / "config.toml"
    path.write_text(CONFIG)
    settings = load(str(path), environ={"CLOUDFLARE_API_TOKEN": "t" * 20})
    async with Store.open(url, owner="run") as store:
        service = Daemon(settings, store, lambda: settings, lambda: NOW)
        await store.activate_labels(settings.profiles, NOW)
        await saved(store, batch((query(), hours(0, 24))), range(24))
        secrets = [Secret(text) if text else None for text in (token, write_token)]
        made = make_app(service, "127.0.0.1", secrets[0], write_token=secrets[1])

        async def broken(_request):
            raise RuntimeError("SELECT secret FROM /etc/passwd")

        made.router.add_get("/api/v1/broken", broken)
        async with serving(made, "127.0.0.1", 0) as address, aiohttp.ClientSession() as session:
            yield SecuredServer(service, store, session, address, made)


@pytest.fixture
async def server(tmp_path, sqlite_url):
    async with serving_history(tmp_path, sqlite_url) as opened:
        yield opened


@pytest.fixture
async def guarded(tmp_path, sqlite_url):
    async with serving_history(tmp_path, sqlite_url, SERVER_TOKEN) as opened:
        yield opened


BEARER = {"Authorization": f"Bearer {SERVER_TOKEN}"}


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "[::2]", "0", "*"]
)
async def test_a_wrong_host_is_misdirected_on_every_route(server, host):
    for target in OPEN + DATA:
        status, _, body = await server.ask(target, headers={"Host": host})
        assert status == 421, target
        assert "error" in json.loads(body)
    assert (await server.ask("/api/v1/backfills", "POST", headers={"Host": host}, json=ORDER))[0] == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1@evil.example:80", "https://[::2]:1", "x:"])
async def test_a_target_that_names_another_host_is_misdirected_on_every_route(server, origin):
    for target in OPEN + DATA:
        said = await server.raw(
            f"GET {origin}{target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
        )
        assert said.split(b" ", 2)[1] in {b"400", b"421"}, (target, said[:200])
        assert origin == "x:" or said.split(b" ", 2)[1] == b"421"


async def test_a_target_that_names_this_host_is_served(server):
    said = await server.raw(b"GET http://localhost:1/healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert said.split(b" ", 2)[1] == b"200"
    said = await server.raw(b"CONNECT evil.example:443 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert said.split(b" ", 2)[1] in {b"400", b"421"}


@pytest.mark.parametrize(
    "head", [b"", b"Host:\r\n", b"Host: 127.0.0.1\r\nHost: evil.example\r\n", b"Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n"]
)
async def test_a_missing_or_double_host_is_not_served_on_any_route(server, head):
    for target in OPEN + DATA:
        said = await server.raw(b"GET " + target.encode() + b" HTTP/1.1\r\n" + head + b"Connection: close\r\n\r\n")
        assert said.split(b" ", 2)[1] in {b"400", b"421"}, (target, said[:200])


async def test_a_page_of_another_origin_cannot_read_the_data(server):
    origin = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    for method in ("GET", "OPTIONS"):
        for target in OPEN + DATA:
            _, headers, _ = await server.ask(target, method, headers=origin)
            assert not [name for name in headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1"])
async def test_a_request_of_another_origin_changes_nothing(server, origin):
    status, _, _ = await server.ask("/api/v1/backfills", "POST", json=ORDER, headers={"Origin": origin})
    assert status == 403
    assert await server.store.list_backfills() == []


async def test_a_request_of_the_same_origin_may_change_data(server):
    assert (await server.ask("/api/v1/backfills", "POST", json=ORDER, headers={"Origin": server.url}))[0] == 201


@pytest.mark.parametrize("form", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_body_that_is_not_json_changes_nothing(server, form):
    headers = {"Content-Type": form} if form else {}
    status, _, _ = await server.ask("/api/v1/backfills", "POST", data=json.dumps(ORDER).encode(), headers=headers)
    assert status == 415
    assert await server.store.list_backfills() == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST", "OPTIONS", "TRACE", "PROPFIND"])
async def test_every_other_method_is_refused(server, method):
    for target in OPEN + DATA:
        if method != "POST" or target != "/api/v1/backfills":
            assert (await server.ask(target, method))[0] in {404, 405} or target == "/client/v4/other", target


async def test_a_get_request_changes_nothing(server):
    assert (await server.ask("/api/v1/backfills?start=2026-04-30T00:00:00Z"))[0] in {200, 400}
    assert await server.store.list_backfills() == []


async def test_without_the_token_nothing_is_read_or_changed(guarded):
    for target in DATA:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"X-Auth-Key": "wrong"}):
            assert (await guarded.ask(target, headers=headers))[0] in {401, 403}, target
            assert (await guarded.ask(target, "HEAD", headers=headers))[0] in {401, 403}, target
    for target in ("backfills/1/cancel", "prune", "compact", "series/1/forget", "fetches/1/replay"):
        assert (await guarded.ask(f"/api/v1/{target}", "POST", json={}))[0] == 401
    assert (await guarded.ask("/api/v1/backfills", "POST", json=ORDER))[0] == 401
    assert (await guarded.ask("/api/v1/backfills", "POST", json=ORDER, headers=BEARER))[0] == 201
    assert (await guarded.ask("/api/v1/series", headers=BEARER))[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/series", "/./api/v1/series", "/x/../api/v1/series", "/%61pi/v1/series", "/api%2Fv1/series",
        "/API/v1/series",
        "/api/v1//series", "/api/v1/series/", "/api/v1/series;x", "/%2e/api/v1/series", "/dashboard/../api/v1/series",
        "/metrics/", "//metrics", "/%6detrics", "/healthz/../metrics", "/metrics%00", "http://127.0.0.1/api/v1/series",
        "http://127.0.0.1/metrics", "//client/v4/radar/ct/timeseries", "/client%2fv4/radar/ct/timeseries",
    ],
)  # fmt: skip
async def test_every_spelling_of_a_path_needs_the_token(guarded, path):
    said = await guarded.raw(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert said.split(b" ", 2)[1] in {b"400", b"401", b"403", b"404"}, said[:200]


async def test_with_anonymous_read_a_change_needs_the_token(tmp_path, sqlite_url):
    async with serving_history(tmp_path, sqlite_url, None, SERVER_TOKEN) as server:
        assert (await server.ask("/api/v1/series"))[0] == 200
        assert (await server.ask("/api/v1/backfills", "POST", json=ORDER))[0] == 401


async def test_a_token_is_compared_in_constant_time(guarded, monkeypatch):
    compared = []

    def compare(one, other):
        compared.append(one)
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(middleware.hmac, "compare_digest", compare)
    for target in ("/api/v1/series", SERIES):
        compared.clear()
        await guarded.ask(target, headers={"Authorization": "Bearer wrong"})
        assert b"wrong" in compared


async def test_a_token_is_in_no_log_and_no_response(tmp_path, sqlite_url, capfd):
    before = logging.root.handlers[:]
    try:
        configure("debug", "json")  # without its redacting filter: nothing may get that far
        async with serving_history(tmp_path, sqlite_url, SERVER_TOKEN) as server:
            for target in [*OPEN, *DATA, "/api/v1/broken", f"/api/v1/series?profile={'x' * 9_000}"]:
                _, headers, body = await server.ask(target, headers=BEARER)
                assert SERVER_TOKEN not in str(headers) + body.decode("utf-8", "replace")
            await server.raw(
                b"GET / HTTP/1.1\r\nAuthorization: Bearer " + SERVER_TOKEN.encode() + b"\r\nb\x00d: x\r\n\r\n"
            )
        captured = capfd.readouterr()
        assert '"event": "http_request_failed"' in captured.err
        assert SERVER_TOKEN not in captured.err + captured.out
    finally:
        logging.root.handlers[:] = before


async def test_every_response_has_the_security_headers(server):
    targets = [*OPEN, *DATA, "/api/v1/broken", "/api/v1/series?limit=x", f"{SERIES}?aggInterval=x", "/x" * 4_000]
    answers = [await server.ask(target) for target in targets]
    answers += [await server.ask("/", "DELETE"), await server.ask("/", headers={"Host": "evil"})]
    answers.append(
        await server.ask("/api/v1/backfills", "POST", data=b"x" * 70_000, headers={"Content-Type": "application/json"})
    )
    assert {200, 400, 404, 405, 413, 421, 500, 503} <= {status for status, _, _ in answers}
    for status, headers, _ in answers:
        assert headers["X-Content-Type-Options"] == "nosniff", status
        assert headers["Referrer-Policy"] == "no-referrer", status
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'"), status
        assert "frame-ancestors 'none'" in policy, status
        assert "unsafe" not in policy, status
        assert "Set-Cookie" not in headers, status
        assert "aiohttp" not in headers.get("Server", ""), status


@pytest.mark.parametrize(
    "text",
    [
        b"GET / HTTP/1.1\r\nb\x00d: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
)
async def test_a_malformed_request_gets_a_short_error_and_no_log_line(server, text, caplog):
    said = await server.raw(text)
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.split(b" ", 2)[1] == b"400"
    assert b"nosniff" in head
    assert b"Content-Security-Policy" in head
    assert json.loads(body) == {"error": "this is not a valid HTTP request"}
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_an_unknown_expect_header_is_rejected_in_any_encoding(server, caplog):
    for expected in (b"10\xb4-continue", b"xyzzy", b"<script>"):
        said = await server.raw(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: " + expected + b"\r\n\r\n")
        assert said.split(b" ", 2)[1] == b"417"
        assert b"nosniff" in said
        assert expected not in said
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_an_unexpected_exception_is_500_with_an_id_and_logged_once(server, caplog):
    status, _, body = await server.ask("/api/v1/broken")
    assert status == 500
    number = re.search(r"under ([0-9a-f]{8})", json.loads(body)["error"])[1]
    assert not LEAKS.search(body)
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [(record.id, bool(record.exc_info)) for record in records] == [(number, True)]


async def test_a_response_that_fails_halfway_is_cut_off(server):
    async def halfway(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        raise RuntimeError("secret")

    server.app.router._frozen = False
    server.app.router.add_get("/api/v1/halfway", halfway)
    said = await server.raw(b"GET /api/v1/halfway HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert b"secret" not in said
    assert said.count(b"HTTP/1.1") <= 1
    assert not said.endswith(b"0\r\n\r\n")


async def test_a_store_that_fails_is_503_and_never_an_empty_200(tmp_path, sqlite_url, caplog):
    async with serving_history(tmp_path, sqlite_url) as server:
        (tmp_path / "collector.db").unlink()
        # profiles: its answer is read from the store, too
        for target in [SERIES, "/metrics", "/readyz", "/api/v1/points?format=csv", *(f"/api/v1/{n}" for n in READS)]:
            status, _, body = await server.ask(target)
            assert status == 503, (target, body)
            assert not LEAKS.search(body), (target, body)
            assert target == "/readyz" or re.search(rb"[0-9a-f]{8}", body), (target, body)
        assert (await server.ask("/api/v1/backfills", "POST", json=ORDER))[0] == 503


async def test_a_large_body_is_rejected(server):
    async def gigabyte():
        for _ in range(16_384):
            yield b"x" * 65_536

    headers = {"Content-Type": "application/json"}
    for data in (b"x" * 70_000, gigabyte()):
        try:
            status, _, _ = await server.ask("/api/v1/backfills", "POST", data=data, headers=headers)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            continue  # hung up on before all was sent
        assert status == 413
    bomb = gzip.compress(b" " * 50_000_000)
    status, _, _ = await server.ask(
        "/api/v1/backfills", "POST", data=bomb, headers={**headers, "Content-Encoding": "gzip"}
    )
    assert status in {400, 413}
    assert (await server.ask("/healthz"))[0] == 200


async def test_a_long_address_or_header_and_many_headers_are_rejected(server):
    start = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    for text in (
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        start + b"X: " + b"x" * 20_000 + b"\r\n\r\n",
        start + b"".join(b"X%d: x\r\n" % number for number in range(1_000)) + b"\r\n",
    ):
        assert (await server.raw(text)).split(b" ", 2)[1] in {b"400", b"414", b"431"}


async def test_a_large_limit_is_rejected(server):
    for limit in ("10001", "0", "-1", "999999999999", "1e3"):
        assert (await server.ask(f"/api/v1/points?limit={limit}"))[0] == 400
    assert (await server.ask("/api/v1/points?thin=1000000"))[0] == 400


async def test_a_request_that_takes_too_long_is_503(server, monkeypatch):
    async def never(_request):
        await asyncio.Event().wait()

    server.app.router._frozen = False
    server.app.router.add_get("/api/v1/never", never)
    monkeypatch.setattr(middleware, "REQUEST_TIMEOUT_SECONDS", 0.05)
    status, _, body = await server.ask("/api/v1/never")
    assert (status, b"took too long" in body) == (503, True)


async def test_beyond_the_limit_the_idlest_connection_is_closed(server, monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    port = int(server.url.rpartition(":")[2])
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
    assert (await server.ask("/healthz"))[0] == 200
    ended = await asyncio.wait_for(idle[0][0].read(), 5)
    assert ended == b""
    for _, writer in idle:
        writer.close()


async def test_a_connection_that_sends_too_slowly_is_closed(server, monkeypatch):
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.1)
    monkeypatch.setattr(connections, "_SWEEP_SECONDS", 0.05)
    async with serving(make_app(server.service, "127.0.0.1"), "127.0.0.1", 0) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))

        async def trickle():
            writer.write(b"GET / HTTP/1.1\r\nX: ")
            while not writer.is_closing():
                writer.write(b"x")
                await asyncio.sleep(0.02)

        task = asyncio.create_task(trickle())
        try:
            async with asyncio.timeout(5):
                assert await reader.read() == b""
        except ConnectionResetError:
            pass
        finally:
            task.cancel()
            writer.close()


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd", "/dashboard/../../../../etc/passwd", "/dashboard/%2e%2e/%2e%2e/app.py",
        "/dashboard/..%2f..%2fapp.py", "/dashboard/....//app.py", "/dashboard/%252e%252e/app.py",
        "/dashboard/\\..\\app.py", "/dashboard//etc/passwd", "/dashboard/app.js%00.html", "/%00", "/api/v1/%00",
        "/dashboard/__init__.py", "/dashboard/", "/api/v1/backfills/%00", "/api/v1/backfills/1%0d%0aX: y",
        "/api/v1/backfills/../../x", "/client/v4/../../etc/passwd", "/%ff%fe", "/dashboard/.%00./app.py",
    ],
)  # fmt: skip
async def test_no_path_leads_out_of_the_package(server, path):
    said = await server.raw(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert said.split(b" ", 2)[1] in {b"400", b"404"}, said[:300]
    assert b"root:" not in said
    assert b"import" not in said


@pytest.mark.parametrize("text", INJECTIONS)
async def test_injected_text_is_a_value_like_any_other(server, text):
    targets = [SERIES, *(f"/api/v1/{name}" for name in READS)]
    for target in targets:
        for name in NAMES:
            status, headers, body = await server.ask(f"{target}?{quote(name)}={quote(text)}")
            assert status in {200, 400, 404}, (target, name, body)
            ours = body.replace(b"sqlite_master", b"")
            assert not re.search(rb"Traceback|sqlite|sqlalchemy|OperationalError", ours), (target, name, body)
            assert headers["Content-Type"].startswith(("application/json", "text/csv")), (target, name)
            assert "Set-Cookie" not in headers
    assert (await server.store.info()).points == 24


@pytest.mark.parametrize("text", INJECTIONS)
async def test_injected_text_in_a_body_is_rejected(server, text):
    for order in (
        {"profiles": [text], **ORDER},
        {"start": text},
        {**ORDER, "end": text},
        {**ORDER, text: 1},
        text,
        [text],
    ):
        status, _, body = await server.ask("/api/v1/backfills", "POST", json=order)
        assert status == 400, (order, body)
        assert not LEAKS.search(body.replace(text.encode(), b"").replace(json.dumps(text)[1:-1].encode(), b""))
    assert await server.store.list_backfills() == []


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
async def test_no_cell_of_a_csv_is_a_formula(server, start, tmp_path):
    asked = f"?format=CSV&aggInterval=1h&name={quote(start)}cmd%7C%27x%27%21A1&dateStart=2026-04-30T00:00:00Z"
    status, _, body = await server.ask(f"{SERIES}{asked}&dateEnd=2026-04-30T03:00:00Z")
    if status == 200:  # some cannot be a name at all
        assert not [cell for cell in next(csv.reader(io.StringIO(body.decode()))) if cell.startswith(start)]
    else:
        assert status == 400
    (tmp_path / "other.toml").write_text(CONFIG.replace('"all"', json.dumps(f"{start}cmd")))
    with pytest.raises(ConfigurationError, match="not starting with"):  # a label begins with its profile's name
        load(str(tmp_path / "other.toml"), environ={"CLOUDFLARE_API_TOKEN": "t" * 20})


def test_the_page_never_parses_text_as_markup():
    folder = files("collector.serve.dashboard")
    scripts = [file for file in folder.iterdir() if file.name.endswith(".js")]
    assert len(scripts) > 10
    for file in scripts:
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(|srcdoc", file.read_text()
        )
        assert found == [], file.name
