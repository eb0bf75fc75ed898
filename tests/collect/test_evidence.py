"""Bodies of refused answers, and one example of each deviation, are kept in the store."""

import json

import pytest

from collector.collect.batches.fetcher import Handling
from collector.radar.errors import RadarError
from collector.settings import RetentionSettings
from collector.store import Store, StoreUnavailable
from collector.store.admin.copy import copy
from collector.store.admin.verify import verify
from collector.store.ledger.bodies import MOST_OF_A_KIND
from tests.harness import faults
from tests.harness.collect_core import DAY, NOW, TOKEN, batch, open_core
from tests.harness.factories import profile, query

ALL = profile()
OWNER = query(caOwner=["DigiCert, Inc."])


def body(content):
    """Answer with *content* in place of the body."""
    return faults.rewrite("body", lambda _: content)


async def refused(core, fault, batch_=None):
    """Send one request whose answer is rejected because of *fault*."""
    core.script(fault)
    with pytest.raises(RadarError) as caught:
        await core.fetcher._request(batch_ or batch(), ["all"], lambda: None, Handling(), core.clock())
    return caught.value


@pytest.mark.parametrize(
    ("fault", "kind", "whole", "content"),
    [
        (faults.unequal(), "untrusted: N timestamps but N values", True, b'"timestamps"'),
        (body(b"{"), "untrusted: not JSON: Expecting property name", True, b"{"),
        (body(b"<html>Sorry"), "unavailable: HTTP N with", True, b"<html>Sorry"),
        (body(b'{"success": false, "errors": []}'), "unavailable: HTTP N", True, b'{"success": false'),
        (faults.api_error(400, 2001), "refused: HTTP 400, code 2001", True, b'"code"'),
        (faults.html(503), "unavailable: HTTP 503", True, b"<"),
        (body(b" " * 2_000_000), "untrusted: the body is larger than N bytes", False, b"    "),
        (
            body(b" " * 99_999 + b'"meta":{}' + b" " * 2_000_000),
            "untrusted: the body is larger",
            False,
            b'\n"meta": {}',
        ),
        (faults.truncated(), "unavailable: ", False, b'"success"'),
        (faults.truncated_gzip(), "unavailable: the compressed stream ends too early", False, b'"success"'),
        (body(f'"{TOKEN}'.encode()), "untrusted: not JSON: Unterminated string", True, b'"***'),
    ],
    ids=[
        "untrusted",
        "not JSON",
        "HTML",
        "no success",
        "400",
        "503",
        "too large",
        "too large with meta",
        "cut",
        "cut gzip",
        "our token",
    ],
)
async def test_the_body_of_a_refused_answer_is_kept_with_its_question(sqlite_url, fault, kind, whole, content):
    batch_ = batch(query(), OWNER)
    async with open_core(sqlite_url, ALL) as core:
        error = await refused(core, fault, batch_)
        assert error.body is None, "errors are kept for long, and bodies are large"
        (kept,) = await core.store.bodies()
        assert kept.kind.startswith(kind)
        assert (kept.fetch_id, kept.whole, kept.received_at) == (1, whole, NOW)
        body = await core.store.body(1)
        assert content in body
        assert TOKEN.encode() not in body
        assert await core.store.question(1) == batch_
        (row,) = await core.store.list_fetches(kept=True)
        assert (row.id, row.body) == (1, True)
    assert (verify(sqlite_url)).findings == []


async def test_the_body_of_an_accepted_answer_is_not_kept(sqlite_url):
    async with open_core(sqlite_url, ALL) as core:
        await core.fetcher.fetch(batch(), ["all"])
        assert await core.store.bodies() == []
        assert await core.store.body(1) is None
        assert await core.store.question(1) is None


async def test_the_first_answer_with_a_deviation_is_kept_as_its_example(store_url):
    async with open_core(store_url, ALL) as core:
        core.script(faults.without("result", "meta", "confidenceInfo").always())
        for _ in range(2):
            await core.fetcher.fetch(batch(), ["all"])
        core.restart()
        await core.fetcher.fetch(batch(), ["all"])
        (kept,) = await core.store.bodies()
        assert (kept.kind, kept.fetch_id) == ("deviation: meta.confidenceInfo is absent", 1)
        assert not kept.refused
        assert not kept.replayable
        assert "confidenceInfo" not in json.loads(await core.store.body(1))["result"]["meta"]
        (noted,) = await core.store.deviations()
        assert noted.example == 1


async def test_a_deviation_without_an_example_gets_the_next_answer_as_its_example(sqlite_url):
    """An older version has recorded it, or its example was deleted."""
    async with open_core(sqlite_url, ALL) as core:
        kind = "meta.confidenceInfo is absent"
        await core.store.record_deviations([kind], 99, NOW)
        core.script(faults.without("result", "meta", "confidenceInfo"))
        await core.fetcher.fetch(batch(), ["all"])
        (noted,) = await core.store.deviations()
        assert (noted.fetch_id, noted.example) == (99, 1)


async def test_the_newest_bodies_of_a_kind_are_kept_and_their_fetches_outlive_retention(sqlite_url):
    async with open_core(sqlite_url, ALL) as core:
        for _ in range(MOST_OF_A_KIND + 2):
            await refused(core, faults.unequal())
        await refused(core, body(b"{"))
        kept = [body.fetch_id for body in await core.store.bodies()]
        assert kept == [*range(3, MOST_OF_A_KIND + 4)]
        await core.store.prune(RetentionSettings(fetches=DAY), NOW + 90 * DAY)
        assert [row.id for row in await core.store.list_fetches()] == kept[::-1]
    assert (verify(sqlite_url)).findings == []


async def test_a_body_that_cannot_be_stored_changes_nothing_else(sqlite_url, monkeypatch, caplog):
    async def full(*_):
        raise StoreUnavailable("the disk is full")

    async with open_core(sqlite_url, ALL) as core:
        monkeypatch.setattr(core.store, "keep_body", full)
        error = await refused(core, faults.unequal())
        assert error.outcome == "untrusted"
        assert await core.outcomes() == ["untrusted"]
        assert await core.store.bodies() == []
        assert [record.reason for record in caplog.records if record.message == "evidence"] == ["the disk is full"]


async def test_a_copy_contains_the_bodies_and_a_damaged_body_is_found(sqlite_url, empty_postgres_url, tmp_path):
    async with open_core(sqlite_url, ALL) as core:
        await refused(core, faults.unequal())
        body = await core.store.body(1)
    copy(sqlite_url, empty_postgres_url)
    copy(empty_postgres_url, f"sqlite:///{tmp_path}/back.db")
    async with Store.open(f"sqlite:///{tmp_path}/back.db", owner=None) as store:
        assert await store.body(1) == body
    async with Store.open(empty_postgres_url, owner="test") as store:
        assert await store.body(1) == body
        assert (verify(empty_postgres_url)).findings == []

        def spoil(connection):
            connection.exec_driver_sql("UPDATE bodies SET size = size + 1")
            connection.exec_driver_sql(
                "INSERT INTO bodies SELECT 7, kind, received_at, status, size, stored,"
                " whole, version, replayed_by, question, body FROM bodies"
            )

        await store._database.write(spoil)
    findings = "\n".join((verify(empty_postgres_url)).findings)
    assert "the kept body of fetch 1 is damaged" in findings
    assert "fetch 7, which is not on record" in findings


async def test_deleting_a_series_deletes_the_bodies_that_are_about_no_other(store_url):
    async with open_core(store_url, ALL) as core:
        await core.activate_labels(ALL, profile("owner", filters={"caOwner": ("DigiCert, Inc.",)}))
        await refused(core, faults.unequal(), batch(OWNER))
        await refused(core, faults.unequal(), batch(query(), OWNER))
        await core.activate_labels(ALL)
        (series_id,) = [row.id for row in await core.store.list_series() if row.label == "owner"]
        counted = await core.store.delete_series(series_id, [ALL], dry_run=True)
        assert counted.rows["bodies"] == 1
        await core.store.delete_series(series_id, [ALL], dry_run=False)
        assert [body.fetch_id for body in await core.store.bodies()] == [2]


@pytest.mark.parametrize("word", ["units", "normalization"])
async def test_an_answer_without_unit_or_normalization_is_not_reported_as_damage(sqlite_url, word):
    """Neither before nor after answers that contain it."""
    async with open_core(sqlite_url, ALL) as core:
        for fault in (faults.without("result", "meta", word), None, faults.without("result", "meta", word)):
            core.script(*([fault] if fault else []))
            await core.fetcher.fetch(batch(), ["all"])
    assert (verify(sqlite_url)).findings == []
