"""TLS that must not be trusted, hosts that are not there, answers out of another world.

The certificates are made up, signed by a made-up authority, which the client is told to trust for the test.
"""

import asyncio
import base64
import ssl
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import aiohttp.connector
import pytest
from aiohttp import web

from collector.collect.one_pass import collect
from collector.radar.client import RadarClient
from collector.radar.errors import Unauthorized, Unavailable, Untrusted
from collector.settings import Credentials, RadarSettings, Secret
from collector.simulator import Simulator, SimulatorOptions
from tests.harness import faults
from tests.harness.collect_core import CALM, NOW, TOKEN, batch, open_core, until
from tests.harness.connect_proxy import proxying
from tests.harness.factories import profile

CERTIFICATES = Path(__file__).with_name("certificates")


@asynccontextmanager
async def asking(base_url, patience=2, **more):
    settings = RadarSettings(base_url, 600, 4, timedelta(seconds=patience), Credentials(token=Secret(TOKEN)), **more)
    async with RadarClient(settings, lambda: NOW) as client:
        yield client


@asynccontextmanager
async def shown(certificate):
    """A simulator behind TLS that shows this certificate; gives its base URL and the simulator."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{certificate}.pem", CERTIFICATES / "key_of_the_tests.pem")
    simulator = Simulator(SimulatorOptions(**CALM), NOW.timestamp)
    runner = web.AppRunner(simulator.app(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}/client/v4", simulator
    finally:
        await runner.cleanup()


@pytest.fixture
def trusting(monkeypatch):
    """The context that aiohttp checks certificates with unless it is told otherwise, with our authority in it."""
    context = ssl.create_default_context(cafile=CERTIFICATES / "authority.pem")
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", context)


async def test_a_certificate_of_a_trusted_authority_is_trusted(trusting):
    async with shown("good") as (url, _), asking(url) as client:
        assert (await client.request(batch())).answer.series


@pytest.mark.parametrize(
    ("certificate", "words"),
    [("expired", "expired"), ("another_host", "127.0.0.1"), ("self_signed", "self-signed")],
)
async def test_tls_that_is_expired_of_another_host_or_self_signed_is_refused(trusting, certificate, words):
    async with shown(certificate) as (url, simulator), asking(url) as client:
        with pytest.raises(Unavailable, match=words) as refused:
            await client.request(batch())
        assert simulator.requests == []
        assert TOKEN not in str(refused.value)


async def test_an_authority_that_nobody_has_named_is_refused():
    async with shown("good") as (url, simulator), asking(url) as client:
        with pytest.raises(Unavailable, match="certificate"):
            await client.request(batch())
        assert simulator.requests == []


AUTHORITY = str(CERTIFICATES / "authority.pem")


async def test_authorities_of_ca_file_are_trusted_instead_of_the_systems(trusting):
    async with shown("good") as (url, _), asking(url, ca_file=AUTHORITY) as client:
        assert (await client.request(batch())).answer.series
    async with (
        shown("good") as (url, _),
        asking(url, ca_file=str(CERTIFICATES / "self_signed.pem")) as client,
    ):
        with pytest.raises(Unavailable, match="certificate"):
            await client.request(batch())


async def test_a_proxy_gets_its_own_credentials_and_the_token_travels_inside_tls():
    async with shown("good") as (url, simulator), proxying() as (proxy, address):
        async with asking(url, ca_file=AUTHORITY, proxy=Secret(f"http://me:s3cret%20%C3%A9@{address}")) as client:
            for _ in range(2):
                assert (await client.request(batch())).answer.series
        assert len(simulator.requests) == 2
        (asked,) = proxy.asked
        target = url.removeprefix("https://").partition("/")[0]
        assert asked.startswith(f"CONNECT {target} HTTP/1.1\r\n")
        pair = base64.b64encode("me:s3cret é".encode()).decode()
        assert f"Proxy-Authorization: Basic {pair}\r\n" in asked
        assert "\r\nAuthorization" not in asked
        assert TOKEN not in asked
        assert TOKEN.encode() not in proxy.passed
        assert "s3cret" not in f"{simulator.requests}"


async def test_tls_is_checked_behind_a_proxy_too():
    async with shown("another_host") as (url, simulator), proxying() as (_, address):
        async with asking(url, ca_file=AUTHORITY, proxy=Secret(f"http://{address}")) as client:
            with pytest.raises(Unavailable, match="certificate is not trusted"):
                await client.request(batch())
        assert simulator.requests == []


async def test_a_proxy_that_refuses_is_named_and_its_password_is_not():
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    async with proxying(refusal) as (_, address):
        async with asking("https://radar.invalid", proxy=Secret(f"http://me:hunter22@{address}")) as client:
            with pytest.raises(Unavailable, match="the proxy refused the connection: HTTP 407") as caught:
                await client.request(batch())
        assert "hunter22" not in f"{caught.value!r}"


async def test_a_proxy_that_is_not_there_is_named():
    async with asking("https://radar.invalid", proxy=Secret("http://me:hunter22@127.0.0.1:9")) as client:
        with pytest.raises(Unavailable, match=r"cannot connect to the proxy 127\.0\.0\.1 port 9: connection refused"):
            await client.request(batch())


@pytest.mark.parametrize(
    "address",
    ["https://radar.invalid/client/v4", "http://[::1]:9/client/v4", "https://[100::1]/client/v4", "http://127.0.0.1:9"],
)
async def test_a_name_that_is_not_found_and_an_address_without_a_route_are_unavailable(address):
    async with asking(address) as client:
        with pytest.raises(Unavailable):
            await asyncio.wait_for(client.request(batch()), 30)


async def test_an_answer_that_is_late_for_one_profile_keeps_no_other_waiting(sqlite_url):
    slow, quick = profile("slow", filters={"tld": ("slow",)}), profile("quick", filters={"tld": ("quick",)})
    async with open_core(sqlite_url, slow, quick, patience=60) as core:
        await collect([quick], core.clock(), core.store, core.batch_runner)

        def rule(received):
            return faults.black_hole() if "slow" in received.raw_query else None

        core.script(rule)
        waiting = asyncio.create_task(collect([slow], core.clock(), core.store, core.batch_runner))
        await until(lambda: any("slow" in received.raw_query for received in core.requests))
        core.clock.advance(hours=1)
        assert (await collect([quick], core.clock(), core.store, core.batch_runner)).complete
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


_OTHER_WORLDS = {
    "an answer in UTF-16": faults.charset("utf-16"),
    "a million points": faults.many(),
    "a series named meta": faults.rewrite("named meta", lambda body: body.replace(b'"serie_0"', b'"meta"')),
    "no series": faults.without("result", "serie_0"),
    "another series than asked": faults.rewrite("other", lambda body: body.replace(b'"serie_0"', b'"serie_7"')),
    "a sixtieth second": faults.timestamp("2026-03-09T12:00:60Z"),
    "two values for one bucket": faults.timestamp("2026-03-09T13:00:00Z"),
}
_LEFT_OUT = {
    "the year 9999": faults.timestamp("9999-12-31T23:00:00Z", at=-1),
    "the future": faults.timestamp("2026-03-11T00:00:00Z", at=-1),
    "a list for a value": faults.value(["1"]),
}
_TAKEN = {
    "an offset": faults.timestamp("2026-03-09T12:00:00+00:00"),
    "a naive moment": faults.timestamp("2026-03-09T12:00:00"),
    "a missing key": faults.without("result", "meta", "lastUpdated"),
}


@pytest.mark.parametrize("name", _OTHER_WORLDS)
async def test_nothing_is_stored_of_an_answer_out_of_another_world(sqlite_url, name):
    async with open_core(sqlite_url, profile(), patience=60) as core:
        core.script(_OTHER_WORLDS[name])
        with pytest.raises(Untrusted) as refused:
            await core.fetcher.fetch(batch(), ["all"])
        assert await core.stored() == {}
        (row,) = await core.store.list_fetches()
        assert (row.outcome, row.message) == ("untrusted", str(refused.value))


@pytest.mark.parametrize("name", [*_LEFT_OUT, *_TAKEN])
async def test_of_an_answer_that_is_odd_in_part_all_else_is_stored(sqlite_url, name):
    async with open_core(sqlite_url, profile()) as core:
        core.script((_LEFT_OUT | _TAKEN)[name])
        await core.fetcher.fetch(batch(), ["all"])
        (stored,) = (await core.stored()).values()
        truth = core.truth(batch().slices[0].series, batch().slices[0].window)
        assert len(stored) == 24 - (name in _LEFT_OUT)
        assert stored.items() <= truth.items()


async def test_a_revoked_credential_is_asked_with_by_nobody_who_was_waiting(sqlite_url):
    """Those under way cannot be called back; of the others none asks before five minutes are over."""
    async with open_core(sqlite_url, profile(), concurrency=2) as core:
        await core.fetcher.fetch(batch(), ["all"])
        core.script(faults.api_error(403, 10000, "Authentication error").always())
        many = [core.fetcher.fetch(batch(days=day), ["all"]) for day in range(1, 20)]
        found = await asyncio.gather(*many, return_exceptions=True)
        assert {type(error) for error in found} == {Unauthorized}
        assert len(core.requests) <= 1 + 2
