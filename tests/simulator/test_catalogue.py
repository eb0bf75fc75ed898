"""The simulated lists of authorities and logs: as many as wanted, changing over time, with details by slug."""

from datetime import UTC, datetime, timedelta

from collector.simulator import CatalogueOptions
from collector.simulator.catalogue import fingerprint

LOGS, AUTHORITIES = "/radar/ct/logs", "/radar/ct/authorities"
BEGIN = datetime(2026, 8, 1, tzinfo=UTC)


async def logs(radar, query="limit=1000"):
    _, document = await radar.json(query, path=LOGS)
    return {row["slug"]: row for row in document["result"]["certificateLogs"]}


async def test_it_works(serving):
    async with serving(catalogue=CatalogueOptions(owners=100, logs=40, page_limit=50, over_limit="reject")) as radar:
        assert len(await logs(radar, "limit=50")) == 40
        assert len(await logs(radar, "")) == 5
        assert await radar.refusal("limit=51", path=LOGS) == (400, 2001)
        assert await radar.json("", path=f"{LOGS}/nope") == (404, {"error": "Not Found."})
        slug = fingerprint("DigiCert, Inc.")
        status, document = await radar.json("", path=f"{AUTHORITIES}/{slug}")
        assert status == 200
        assert {"chromeStatus", "validTo", "related"} < {*document["result"]["certificateAuthority"]}


async def test_the_lists_change_over_time(serving):
    options = CatalogueOptions(since=BEGIN, every=timedelta(days=1))
    async with serving(catalogue=options) as radar:
        radar.clock.now = BEGIN.timestamp()
        first = await logs(radar)
        radar.clock.now += 2 * 86_400
        later = await logs(radar)
        assert sorted(later.keys() - first.keys()) == ["new-example-shard001", "new-example-shard002"]
        retired = [row["stateTimestamp"] for row in later.values() if row["state"] == "RETIRED"]
        assert sorted(retired) == ["2026-08-02T00:00:00Z", "2026-08-03T00:00:00Z"]
