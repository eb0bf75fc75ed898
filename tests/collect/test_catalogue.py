"""The lists of authorities and logs: read page by page, followed as they change, with the details of each entry."""

import json
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
import sqlalchemy as sa

from collector.collect.batches.fetcher import ShuttingDown
from collector.collect.catalogue import refresh_due, refresh_now
from collector.collect.catalogue import walk as walks
from collector.contract.response import HttpReply
from collector.datasets.catalogue import LISTS, LOGS, CatalogueEntry
from collector.radar.catalogue import ListPage
from collector.radar.errors import NotFound, Unauthorized
from collector.simulator import CatalogueChange, CatalogueOptions
from collector.simulator.catalogue import fingerprint
from collector.simulator.faults import instead
from collector.store import CATALOGUE, ListRecord, NewReplica, Store
from collector.store.admin import commands
from collector.store.admin.verify import verify
from tests.harness.collect_core import DAY, NOW, open_core
from tests.harness.factories import rows

MANY = CatalogueOptions(owners=100, logs=40)


def paths(core, kind="logs"):
    return [each.path + "?" + each.raw_query for each in core.requests if f"/ct/{kind}" in each.path]


async def of(core, kind="logs", **options):
    return await core.store.with_read_view(lambda view: view.catalogue_entries(kind, **options))


async def test_it_works(store_url):
    async with open_core(store_url, catalogue=MANY) as core:
        assert await refresh_due(core.fetcher) == []
        logs, authorities = await of(core), await of(core, "authorities")
        assert len(logs) == 40
        assert len({entry.item["owner"] for entry in authorities}) == 100
        assert {entry.first_seen for entry in logs} == {logs[0].first_seen}
        assert [entry.slug for entry in logs if entry.details] == [logs[0].slug, logs[1].slug]
        assert logs[0].measures["submittedCertCount"].isdecimal()
        assert len(core.requests) == 6  # two for each list: only the second one shows that the first had all
        assert await core.outcomes() == ["ok"] * 6
        again = await rows(core.store, "SELECT count(*) FROM catalogue")
        core.clock.advance(days=1)
        await core.store.set_state("catalogue:logs", '{"limit": 40, "is_full": true, "offset": 0, "note": null}')
        await refresh_due(core.fetcher)
        assert await rows(core.store, "SELECT count(*) FROM catalogue WHERE part = 'entry'") == [(again[0][0] - 4,)]
    assert verify(store_url).findings == []
    assert commands.check(store_url) == []


@pytest.mark.parametrize("over_limit", ["cut", "reject"])
@pytest.mark.parametrize(("page_limit", "most"), [(5, 30), (50, 6), (100, 6)])
async def test_any_limit_of_a_page_is_learned(sqlite_url, page_limit, most, over_limit):
    lists = replace(MANY, owners=60, page_limit=page_limit, over_limit=over_limit)
    async with open_core(sqlite_url, catalogue=lists) as core:
        for kind, size in (("logs", 40), ("authorities", 73)):
            await refresh_now(core.fetcher, kind)
            assert len(await of(core, kind)) == size
        first = len(core.requests)
        core.clock.advance(days=1)
        for kind in ("logs", "authorities"):
            refreshed = await refresh_now(core.fetcher, kind)
            assert refreshed.note is None
            assert not any(refreshed.changes.counts.values())
        later = len(core.requests) - first
        assert later <= most
        assert later <= first


async def test_what_appears_changes_and_goes_is_known_from_then_on(store_url):
    moment = NOW + timedelta(hours=20)
    changes = (
        CatalogueChange("logs", "new-shard", moment, {"state": "PENDING", "operator": "New"}),
        CatalogueChange("logs", "google-argon2026h1", moment, {"state": "RETIRED"}),
        CatalogueChange("logs", "google-xenon2026h1", moment),
    )
    async with open_core(store_url, catalogue=CatalogueOptions(changes=changes)) as core:
        await refresh_due(core.fetcher)
        before = core.clock()
        core.clock.advance(days=1)
        refreshed = await refresh_now(core.fetcher, "logs")
        assert refreshed.changes.counts == {"appeared": 1, "changed": 1, "gone": 1}
        now = {entry.slug: entry for entry in await of(core)}
        assert now["new-shard"].first_seen > before
        assert now["google-xenon2026h1"].gone_at == now["new-shard"].first_seen
        then = {entry.slug: entry for entry in await of(core, as_of=before)}
        assert len(then) == 9
        assert "new-shard" not in then
        assert then["google-xenon2026h1"].gone_at is None
        states = [then["google-argon2026h1"].item["state"], now["google-argon2026h1"].item["state"]]
        assert states == ["USABLE", "RETIRED"]
        assert await of(core, as_of=NOW - DAY) == []
        core.simulator.switch(catalogue=CatalogueOptions())
        core.clock.advance(days=1)
        assert (await refresh_now(core.fetcher, "logs")).changes.appeared == ("google-xenon2026h1",)
        back = {entry.slug: entry for entry in await of(core)}["google-xenon2026h1"]
        assert (back.gone_at, back.first_seen) == (None, then["google-xenon2026h1"].first_seen)
        assert "PENDING" in "".join(commands.dump(store_url))
        assert verify(store_url).findings == []
        damage = sa.text("UPDATE catalogue SET content = '{}' WHERE slug = 'new-shard'")
        await core.store._database.write(lambda connection: connection.execute(damage))
    (finding,) = verify(store_url).findings
    assert "logs new-shard, entry of" in finding


async def test_a_list_that_is_suddenly_short_must_be_so_twice(sqlite_url):
    async with open_core(sqlite_url, catalogue=CatalogueOptions()) as core:
        await refresh_due(core.fetcher)
        gone = [CatalogueChange("logs", entry.slug, NOW) for entry in await of(core)]
        core.simulator.switch(catalogue=CatalogueOptions(changes=tuple(gone)))
        core.clock.advance(days=1)
        assert "they are gone if the next reading lacks them" in (await refresh_due(core.fetcher))[0]
        assert [entry.gone_at for entry in await of(core)] == [None] * 9
        core.clock.advance(hours=1)
        assert await refresh_due(core.fetcher) == []
        assert None not in [entry.gone_at for entry in await of(core)]


async def test_details_come_in_turn_new_and_changed_entries_first(sqlite_url):
    async with open_core(sqlite_url, catalogue=CatalogueOptions(hidden=("google-xenon2026h1",))) as core:
        for _ in range(24):
            await refresh_due(core.fetcher)
            core.clock.advance(hours=1)
        total = len(await of(core)) + len(await of(core, "authorities"))
        asked = [each.path.rpartition("/")[2] for each in core.requests if each.path.count("/") == 6]
        assert len(asked) == 48
        assert len(set(asked)) == total == 34
        states = {state.name: state for state in await core.store.catalogue_states()}
        assert (states["logs"].detailed, states["authorities"].detailed) == (8, 25)
        change = CatalogueChange("logs", "digicert-wyvern2026h1", core.clock(), {"state": "READ_ONLY"})
        core.simulator.switch(catalogue=CatalogueOptions(changes=(change,)))
        await refresh_now(core.fetcher, "logs")
        assert (await core.store.next_details(1)) == [("logs", "digicert-wyvern2026h1")]
        with pytest.raises(NotFound):
            await refresh_now(core.fetcher, "logs", "no-such-log")


async def test_failures_are_recorded_and_retried_later_and_later(sqlite_url):
    async with open_core(sqlite_url, siblings="no route") as core:  # it has no such paths
        problems = await refresh_due(core.fetcher)
        assert [text.partition(":")[0] for text in problems] == ["authorities", "logs"]
        assert set(await core.outcomes()) == {"misdirected"}
        assert await refresh_due(core.fetcher) == []
        core.clock.advance(days=1)
        core.simulator.switch(catalogue=CatalogueOptions())
        core.script(instead("down", HttpReply(500, b"{}")).times(2))
        assert len(await refresh_due(core.fetcher)) == 1
        states = {state.name: state for state in await core.store.catalogue_states()}
        assert states["authorities"].failures == 2
        assert states["authorities"].again > core.clock()
        assert (states["logs"].failures, states["logs"].success) == (0, states["logs"].success)
        core.clock.now = states["authorities"].again
        assert await refresh_due(core.fetcher) == []
        assert len(await of(core, "authorities")) == 25


async def test_it_obeys_credentials_and_shutdown(sqlite_url):
    async with open_core(sqlite_url, catalogue=CatalogueOptions(), token="another-token-0123456789") as core:
        with pytest.raises(Unauthorized):
            await refresh_now(core.fetcher, "logs")
        sent = len(core.requests)
        with pytest.raises(Unauthorized):
            await refresh_now(core.fetcher, "logs")
        assert len(core.requests) == sent
        core.fetcher.stop.set()
        core.clock.advance(hours=2)
        with pytest.raises(ShuttingDown):
            await refresh_due(core.fetcher)
        assert await rows(core.store, "SELECT name FROM duties WHERE replica_id <> 0") == []


async def test_one_replica_at_a_time_reads_the_lists(postgres_url):
    async with (
        open_core(postgres_url, catalogue=CatalogueOptions()) as core,
        Store.open(postgres_url, owner="x") as other,
    ):
        for store in (core.store, other):
            await store.register(NewReplica("host:1", "0.1.0", [], timedelta(seconds=30)))
        names = ["authorities", "logs", "details"]
        await other.claim(CATALOGUE, names, core.clock(), lambda free, _: [item.name for item in free])
        assert await refresh_due(core.fetcher) == []
        assert core.requests == []
        await other.deregister(core.clock())
        await refresh_due(core.fetcher)
        assert len(await of(core)) == 9


def page_of(*slugs, unreadable=()):
    keys = tuple(map(str, slugs))
    return ListPage(tuple(CatalogueEntry(key, "{}") for key in keys if key not in unreadable), keys)


def read(pages, walk, unreadable=()):
    """Read *pages*, functions from (offset, limit) to slugs, to the end."""
    while walk.end is None:
        walk = walks.after_page(walk, page_of(*next(pages)(walk.offset, walk.limit), unreadable=unreadable))
    return walk


def test_a_list_that_changes_between_two_pages_is_not_whole():
    before, after = list(range(30)), list(range(1, 30))
    pages = iter([lambda o, n: before[o : o + n], *[lambda o, n: after[o : o + n]] * 9])
    shrunk = read(pages, walks.Walk(10, 10))
    assert (shrunk.end, shrunk.is_whole) == ("end", False)
    pages = iter([lambda o, n: after[o : o + n], *[lambda o, n: before[o : o + n]] * 9])
    grown = read(pages, walks.Walk(10, 10))
    assert len(grown.entries) == 29
    assert not grown.is_whole
    pages = iter([lambda o, n: before[:n]] * 9)
    assert read(pages, walks.Walk(10, 10)).end.startswith("each page is the same")


def test_a_list_of_too_many_pages_goes_on_the_next_day():
    whole = list(range(2000))
    pages = (lambda o, n: whole[o : o + n] for _ in count())
    walk = read(pages, walks.Walk(5, 5))
    record, is_whole = walks.record_after(walk, ListRecord(), [], NOW)
    assert (is_whole, len(walk.entries), record.offset) == (False, 601, 600)
    following = read(pages, walks.begin(record, NOW))
    assert not following.is_whole
    assert min(map(int, following.entries)) == 600


@pytest.mark.parametrize("unreadable", ["29", "9", "8 9", "10", "0", "18 19 20 21 22 23 24 25 26 27 28 29"])
def test_entries_that_cannot_be_read_are_left_out_wherever_they_are(unreadable):
    whole, left_out = list(range(30)), set(unreadable.split())
    for walk in (walks.Walk(10, 10), walks.Walk(1000)):
        found = read((lambda o, n: whole[o : o + n] for _ in count()), walk, left_out)
        assert (len(found.entries), found.unreadable, found.has_shifted) == (30 - len(left_out), left_out, False)
        assert (found.end, found.is_whole) == ("end", False)


async def test_a_list_is_kept_though_its_last_entry_cannot_be_read(sqlite_url):
    async with open_core(sqlite_url) as core:
        listed = [{"slug": "a"}, {"slug": "b"}, {"slug": None}]
        pages = [json.dumps({"success": True, "result": {"certificateLogs": rows}}) for rows in (listed, listed[-1:])]
        core.script(*(instead("page", HttpReply(200, page.encode())) for page in pages))
        refreshed = await refresh_now(core.fetcher, "logs")
        assert (refreshed.entries, refreshed.pages) == (2, 2)
        assert refreshed.note == "1 of its entries cannot be read; absent entries count as listed"
        assert [entry.slug for entry in await of(core)] == ["a", "b"]


def test_a_page_that_is_cut_short_is_found_by_what_it_lacks():
    walk = walks.after_page(walks.Walk(100, 100), page_of(*range(50)))
    assert walk.end == "end"
    again = walks.reopened(walk, [str(n) for n in range(80)])
    assert again.end is None
    assert walks.reopened(walk, [str(n) for n in range(50)]).end == "end"
    done = read(iter([lambda o, n: range(o, 80), lambda o, n: range(o, 80)]), again)
    assert (done.end, len(done.entries)) == ("end", 80)


def test_lists_have_different_names():
    assert {*LISTS} == {"authorities", "logs"}
    assert LOGS.names({"slug": "a", "description": "A", "operator": ""}, "log") == ["A", "a"]
    assert len(fingerprint("x")) == 64
