"""The lists of authorities and logs in a running service with the default settings."""

import re
from datetime import UTC, datetime

import pytest

from collector.simulator import CatalogueChange, CatalogueOptions
from tests.harness.processes import Collector, eventually, profile_toml, simulating

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
