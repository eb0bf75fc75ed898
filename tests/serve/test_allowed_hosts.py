import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from collector.serve.middleware import restrict_access, without_port


@pytest.mark.parametrize(
    ("host", "given"),
    [
        ("radar.example", "radar.example"),
        ("radar.example", "RADAR.example:8080"),
        ("192.0.2.7", "192.0.2.7:80"),
        ("::1", "[::1]"),
        ("::1", "[::1]:8080"),
        ("2001:db8::7", "2001:db8::7"),
    ],
)
def test_a_port_is_no_part_of_a_name(host, given):
    assert without_port(given) == host


async def _status(bound, hosts, *given):
    async def answer(_request):
        return web.Response()

    request = make_mocked_request("GET", "/", headers=[("Host", host) for host in given])
    return (await restrict_access(bound, hosts)(request, answer)).status


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "Machine")


@pytest.mark.parametrize("bound", ["0.0.0.0", "::"])
@pytest.mark.parametrize("host", ["192.0.2.7:8080", "[2001:db8::7]", "machine:8080", "localhost"])
async def test_bound_to_every_address_it_answers_to_any_address_and_its_own_name(bound, host):
    assert await _status(bound, [], host) == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "0x7f000001", "", "192.0.2.7, evil"])
@pytest.mark.parametrize("bound", ["0.0.0.0", "127.0.0.1"])
async def test_any_other_name_is_misdirected(bound, host):
    assert await _status(bound, [], host) == 421


async def test_bound_to_one_address_it_answers_to_no_other():
    assert await _status("192.0.2.7", [], "192.0.2.8") == 421
    assert await _status("192.0.2.7", [], "192.0.2.7") == 200


async def test_more_names_can_be_configured():
    assert await _status("0.0.0.0", ["collector"], "collector:8080") == 200
    assert await _status("127.0.0.1", ["radar.example"], "Radar.Example") == 200


@pytest.mark.parametrize("given", [(), ("localhost", "localhost"), ("localhost", "evil.example")])
async def test_one_name_has_to_be_given(given):
    assert await _status("127.0.0.1", [], *given) == 421
