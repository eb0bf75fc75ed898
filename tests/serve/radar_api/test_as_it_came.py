"""What an answer of Radar says of itself is served as it came: not filled in, not left out."""

import json

import pytest
import sqlalchemy as sa

from collector.serve.radar_api import query_history
from collector.store.db.schema import answers
from collector.timestamps import rfc3339
from tests.harness import faults
from tests.harness.collect_core import NOW, open_core, run_pass
from tests.harness.factories import profile

ANNOTATION = {
    "dataSource": "A_SOURCE_OF_TOMORROW",
    "description": "a remark",
    "startDate": rfc3339(NOW.replace(minute=0)),
    "endDate": None,
    "eventType": "AN_EVENT_OF_TOMORROW",
    "linkedUrl": "",
    "isInstantaneous": False,
    "tags": ["TEXT", {"name": "LOG_API"}],
}


def _said(document):
    """Lay the parts of *document* over `result.meta`, and `confidenceInfo` over its own."""

    def change(answer):
        meta = answer["result"]["meta"]
        meta["confidenceInfo"] |= document.get("confidenceInfo", {})
        meta |= {key: content for key, content in document.items() if key != "confidenceInfo"}

    return faults.edit("said", change)


async def _collected(core, document=None):
    """Collect an answer that says *document* of itself; returns the `meta` that is served then."""
    core.script(_said(document or {}))
    assert (await run_pass(core)).complete
    return await _meta(core)


async def _meta(core):
    answered = await query_history(core.store, "aggInterval=1h&dateRange=1d", core.clock())
    return json.loads("".join(answered.chunks()))["result"]["meta"]


@pytest.mark.parametrize(
    "document",
    [
        {"units": [{"name": "entries", "value": "certificates"}]},
        {"units": [{"name": "a", "value": "x"}, {"name": "b", "value": "x"}]},
        {"units": [{"name": "a", "value": "x"}, {"name": "b", "value": "y"}]},
        {"units": [{"name": "*", "value": "certificates"}]},
        {"confidenceInfo": {"level": None}},
        {"confidenceInfo": {"level": 0}},
        {"confidenceInfo": {"annotations": [ANNOTATION]}},
        {"confidenceInfo": {"annotations": [ANNOTATION | {"endDate": ANNOTATION["startDate"]}]}},
        {"confidenceInfo": {"annotations": [ANNOTATION | {"linkedUrl": None, "description": None}]}},
        {"confidenceInfo": {"annotations": [ANNOTATION | {"dataSource": None, "eventType": None}]}},
    ],
    ids=[
        "name",
        "two names",
        "two units",
        "star",
        "null level",
        "zero",
        "null end",
        "tags",
        "null texts",
        "null words",
    ],
)
async def test_meta_is_served_as_it_came(sqlite_url, document):
    async with open_core(sqlite_url, profile()) as core:
        meta = await _collected(core, document)
    for key, content in document.items():
        served = {name: meta[key][name] for name in content} if key == "confidenceInfo" else meta[key]
        assert served == content


async def test_the_names_of_a_unit_are_those_of_the_newest_answer(store_url):
    async with open_core(store_url, profile()) as core:
        for name in ("first", "second", "*"):
            core.clock.advance(hours=1)
            units = [{"name": name, "value": "certificates"}]
            assert (await _collected(core, {"units": units}))["units"] == units
        assert len(await core.store.list_series()) == 1


async def test_without_an_answer_on_record_the_level_is_unassigned(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        assert (await _collected(core))["confidenceInfo"]["level"] == 5
        await core.store._database.write(lambda connection: connection.execute(sa.delete(answers)))
        assert (await _meta(core))["confidenceInfo"]["level"] == 4
