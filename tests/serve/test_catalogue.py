"""The routes about the catalogue: pages, moments, unknown slugs, and what was not collected."""

from datetime import timedelta

import pytest

from collector.datasets.catalogue import CatalogueEntry, EntryDetails
from collector.store import ListRecord
from tests.harness.factories import NOW
from tests.harness.http_server import served

CT = "/client/v4/radar/ct"


@pytest.fixture
async def server(sqlite_url, tmp_path):
    async with served(sqlite_url, tmp_path, clock=lambda: NOW + timedelta(days=3)) as running:
        yield running


async def save(store, *owners, now=NOW):
    entries = [
        CatalogueEntry(f"{n}" * 64, f'{{"name":"{name} Root","owner":"{name}"}}') for n, name in enumerate(owners)
    ]
    await store.save_list("authorities", entries, now, ListRecord(), is_whole=True)


async def test_lists_are_paged_searched_and_read_as_of_a_moment(server):
    await save(server.store, "A", "B", "C")
    await save(server.store, "A", "Bee", now=NOW + timedelta(days=1))
    rows = await server.all_of("/api/v1/authorities?limit=1", "authorities")
    assert [row["holder"] for row in rows] == ["A", "Bee"]
    every = await server.get("/api/v1/authorities?gone=true")
    assert [row["gone_at"] is None for row in every["authorities"]] == [True, True, False]
    then = await server.get("/api/v1/authorities?as_of=2026-05-02")
    assert [row["name"] for row in then["authorities"]] == ["A Root", "B Root", "C Root"]
    assert len((await server.get("/api/v1/authorities?search=bee"))["authorities"]) == 1
    values = await server.get("/api/v1/values/ca_owner?search=e")
    assert [row["value"] for row in values["values"]] == ["Bee"]
    changes = (await server.get(f"/api/v1/authorities/{'1' * 64}"))["changes"]
    assert [(row["change"], row["key"]) for row in changes] == [
        ("listed", None),
        ("changed", "name"),
        ("changed", "owner"),
    ]


async def test_what_was_not_collected_is_refused_with_the_reason(server):
    document = await server.get("/api/v1/logs")
    assert document["logs"] == []
    assert "has not been collected yet" in document["absence"]
    refusal = (await server.get(f"{CT}/logs", 404))["errors"][0]
    assert refusal["code"] == 7003
    assert "`collector logs --refresh`" in refusal["message"]
    assert "has not been collected" in (await server.get("/api/v1/logs/a", 404))["error"]
    await save(server.store, "A")
    assert "first collected" in (await server.get("/api/v1/authorities?as_of=2026-01-01"))["absence"]
    assert "details" in (await server.get(f"{CT}/authorities/{'0' * 64}", 404))["errors"][0]["message"]


async def test_the_contract_has_entries_with_details_and_errors_of_its_own(server):
    await save(server.store, "A", "B", "C")
    details = EntryDetails("0" * 64, '{"appleStatus":"INCLUDED","new":{"x":1},"owner":"old"}')
    assert await server.store.save_details("authorities", details, NOW)
    document = await server.get(f"{CT}/authorities/{'0' * 64}")
    authority = document["result"]["certificateAuthority"]
    assert authority == {"appleStatus": "INCLUDED", "new": {"x": 1}, "owner": "A", "name": "A Root"}
    assert await server.get(f"{CT}/authorities/nope", 404) == {"error": "Not Found."}
    rows = (await server.get(f"{CT}/authorities?limit=1&offset=1"))["result"]["certificateAuthorities"]
    assert [row["owner"] for row in rows] == ["B"]
    assert (await server.get(f"{CT}/authorities?offset=9"))["result"]["certificateAuthorities"] == []
    for query in ("limit=0", "limit=x", "offset=-1", "format=XML", "as_of=2030-01-01", f"limit={'9' * 30}"):
        assert (await server.get(f"{CT}/authorities?{query}", 400))["errors"][0]["code"] == 2001
    async with server.session.get(f"{server.url}{CT}/authorities/{'0' * 64}?format=csv") as answer:
        assert await answer.text() == 'appleStatus,new,owner,name\nINCLUDED,"{""x"":1}",A,A Root\n'
    async with server.session.post(f"{server.url}{CT}/authorities") as answer:
        assert answer.status == 405
    async with server.session.head(f"{server.url}{CT}/authorities") as answer:
        assert (answer.status, await answer.text()) == (200, "")


async def test_a_number_that_is_too_large_is_refused_with_what_is_allowed(server):
    await save(server.store, "A")
    for asked, least in (("limit=99999999999999999999", 1), ("limit=0", 1), ("offset=1e3", 0)):
        message = (await server.get(f"{CT}/authorities?{asked}", 400))["errors"][0]["message"]
        name, text = asked.split("=")
        assert message.startswith(f"{name}: expected an integer from {least} to 999999999999999999, received")
        assert text in message
