"""The lists of authorities and logs from a running service: by its own routes, and by the official SDK."""

import re
from datetime import UTC, datetime

import pytest
from cloudflare import BadRequestError, Cloudflare, NotFoundError
from cloudflare.types.radar.ct import AuthorityGetResponse, AuthorityListResponse, LogGetResponse, LogListResponse

from collector.simulator import CatalogueChange, CatalogueOptions
from tests.harness.processes import CANARY, Collector, eventually, profile_toml, simulating

GONE = CatalogueChange("logs", "geomys-tuscolo2026h1", datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A service with the default settings that has read both lists, its address, and its simulator."""
    with simulating(catalogue=CatalogueOptions(page_limit=10, over_limit="reject")) as (simulator, url):
        collector = Collector(tmp_path_factory.mktemp("catalogue"), url, catalogue=True)
        collector.configure(profile_toml("all", "1h", 1))
        with collector.running("run") as service:
            service.says("serving")
            eventually(lambda: "list=logs outcome=ok" in service.log and "/ct/logs/" in service.log)
            address = re.search(r"http://127\.0\.0\.1:\d+", service.log)[0]
            yield collector, address, simulator


def test_the_service_reads_the_lists_and_a_command_lets_it_read_again(running):
    collector, _, simulator = running
    assert [row["entries"] for row in collector.json("status")["catalogue"]] == [25, 9]
    simulator.switch(catalogue=CatalogueOptions(changes=(GONE,)))
    assert "8 logs in" in collector.run("logs", "--refresh").stderr
    assert len(collector.json("logs")) == 8
    assert [row["slug"] for row in collector.json("logs", "--all") if row["gone_at"]] == [GONE.slug]
    assert "no authority" in collector.call("authorities", "--refresh", "0" * 64, expect=2).stderr


def test_the_sdk_reads_them_as_from_cloudflare(running):
    collector, address, _ = running
    client = Cloudflare(base_url=f"{address}/client/v4", api_token=CANARY, _strict_response_validation=True)
    logs = client.radar.ct.logs.list(limit=100)
    assert isinstance(logs, LogListResponse)
    assert {log.state for log in logs.certificate_logs} == {"USABLE"}
    assert len(client.radar.ct.logs.list().certificate_logs) == 5
    offset = client.radar.ct.logs.list(limit=2, offset=1).certificate_logs
    assert [log.slug for log in offset] == [log.slug for log in logs.certificate_logs[1:3]]
    authorities = client.radar.ct.authorities.list(limit=100)
    assert isinstance(authorities, AuthorityListResponse)
    authority = authorities.certificate_authorities[0]
    collector.run("authorities", "--refresh", authority.sha256_fingerprint)
    details = client.radar.ct.authorities.get(authority.sha256_fingerprint)
    assert isinstance(details, AuthorityGetResponse)
    assert details.certificate_authority.owner == authority.owner
    [(slug,)] = collector.rows("SELECT min(slug) FROM catalogue WHERE list = 'logs' AND part = 'details'")
    assert isinstance(client.radar.ct.logs.get(slug), LogGetResponse)
    with pytest.raises(NotFoundError) as unknown:
        client.radar.ct.logs.get("no-such-log")
    assert unknown.value.response.json() == {"error": "Not Found."}
    with pytest.raises(BadRequestError):
        client.radar.ct.logs.list(limit=0)
    with pytest.raises(NotFoundError, match="first collected at"):
        client.radar.ct.logs.list(extra_query={"as_of": "2026-01-01"})
    table = client.radar.ct.logs.with_raw_response.list(format="CSV").text()
    assert table.splitlines()[0].startswith("api,description,")
