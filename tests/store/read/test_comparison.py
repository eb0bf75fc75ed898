"""Runs of buckets in which groups were compared with a total, in every way in which a store is cared for."""

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from collector.daemon import Daemon
from collector.interval import AggInterval
from collector.model import GroupedPoints, Remainder
from collector.serve.app import make_app, serving
from collector.settings import RetentionSettings
from collector.store import Store
from collector.store.admin.commands import digest
from collector.store.admin.copy import copy
from collector.store.admin.verify import verify
from tests.harness.factories import DAY, HOUR, NOW, answer, at, batch, hours, profile, rows, saved, start_fetch
from tests.harness.http_server import served

OWNERS = profile("owners", dimension="CA_OWNER", settle=timedelta(0))
ALL = profile(settle=timedelta(0))
SUMS, TOTAL = OWNERS.series[0].query, ALL.series[0].query
LATER = NOW + HOUR


async def save_groups(store, by_hour, now=NOW, unknown=()):
    """Save an answer of four hours in which one group has the values *by_hour*, and the rest is *unknown* in some."""
    asked = batch((SUMS, hours(0, 4)))
    content = answer(asked, by_hour, updated=now)
    (sums,) = content.series
    remainders = {at(hour): Remainder(9, 9) for hour in unknown}
    came = content._replace(series=(GroupedPoints(sums.timestamps, sums.values, {"A": sums}, remainders),))
    await store.save(await start_fetch(store, asked, now), asked, came, now, 100)


async def save_total(store, by_hour, now=NOW):
    await saved(store, batch((TOTAL, hours(0, 4))), by_hour, now=now, updated=now)


async def runs(store):
    """(hour, hour, state) of each stored run."""
    stored = await rows(store, 'SELECT start, "end", state FROM proofs ORDER BY start')
    return [(hour(start), hour(end), state) for start, end, state in stored]


def hour(moment):
    seconds = moment if isinstance(moment, (int, float)) else moment.timestamp()
    return int(seconds - at(0)) // 3600


@pytest.fixture
async def store(store_url):
    async with Store.open(store_url, owner="test") as opened:
        await opened.activate_labels([OWNERS, ALL], NOW)
        yield opened


async def test_it_works(store):
    await save_groups(store, [10, 10, 12, 8], unknown=[3])
    assert await store.compare_sums(SUMS, 0) is None
    await save_total(store, [10, 10, 10, 10])
    assert await store.compare_sums(SUMS, 0) is not None
    assert await store.compare_sums(SUMS, 0) is None
    assert await runs(store) == [(0, 2, "proven"), (2, 3, "differs"), (3, 4, "unlisted")]
    assert await store.differing_windows([SUMS]) == {SUMS: [(at(2), at(3))]}


async def test_the_service_lists_and_counts_the_runs(sqlite_url, tmp_path):
    async with served(sqlite_url, tmp_path) as empty:
        settings = replace(empty.service._settings, profiles=(OWNERS, ALL))
        service = Daemon(settings, empty.store, lambda: settings, lambda: NOW)
        await empty.store.activate_labels([OWNERS, ALL], NOW)
        await save_groups(empty.store, [10, 10, 12, 13])
        await save_total(empty.store, [10, 10, 10, 10])
        await empty.store.compare_sums(SUMS, 0)
        async with serving(make_app(service, "127.0.0.1"), "127.0.0.1", 0) as url:
            listed = await replace(empty, url=url).all_of("/api/v1/proof?profile=owners&limit=2", "proof")
            async with empty.session.get(f"{url}/metrics") as answer:
                text = await answer.text()
    assert [(row["state"], row["buckets"], row["difference"]) for row in listed] == [
        ("proven", 2, None),
        ("differing", 1, 2),
        ("differing", 1, 3),
    ]
    assert 'collector_proof_buckets{profile="owners",state="differing"} 2.0' in text


async def test_a_changed_total_takes_the_proof_back(store):
    await save_groups(store, [10, 10, 10, 10])
    await save_total(store, [10, 10, 10, 10])
    await store.compare_sums(SUMS, 0)
    assert await runs(store) == [(0, 4, "proven")]
    await save_total(store, [10, 11, 10, 10], now=LATER)
    assert await runs(store) == [(0, 1, "proven"), (1, 2, "changed"), (2, 4, "proven")]


async def test_a_bucket_that_comes_later_is_compared_then(store):
    await save_groups(store, {0: 10, 1: 10, 3: 10})
    await save_total(store, [10, 10, 10, 10])
    await store.compare_sums(SUMS, 0)
    assert await runs(store) == [(0, 2, "proven"), (2, 3, "missing"), (3, 4, "proven")]
    await save_groups(store, [10, 10, 10, 10], now=LATER)
    await store.compare_sums(SUMS, 0)
    assert await runs(store) == [(0, 4, "proven")]


async def test_a_store_with_comparisons_is_copied_verified_pruned_and_forgotten(store_url, tmp_path):
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([OWNERS, ALL], NOW)
        await save_groups(store, [10, 10, 12, 10])
        await save_total(store, [10, 10, 10, 10])
        await store.compare_sums(SUMS, 0)
    assert verify(store_url).findings == []
    target = f"sqlite:///{tmp_path}/copy.db"
    assert copy(store_url, target).digest == digest(store_url)
    async with Store.open(target, owner="test") as store:
        assert await runs(store) == [(0, 2, "proven"), (2, 3, "differs"), (3, 4, "proven")]
        await store._database.write(lambda c: c.execute(sa.text("UPDATE proofs SET state = 'proven'")))
    assert verify(target).findings == ["buckets in which the groups of series 1 do not compare as is said: 1"]
    async with Store.open(store_url, owner="test") as store:
        old = RetentionSettings(points={AggInterval.ONE_HOUR: timedelta(days=1)})
        await store.prune(old, DAY + 25 * HOUR)
        assert await runs(store) == [(1, 2, "proven"), (2, 3, "differs"), (3, 4, "proven")]
        total = next(row.id for row in await store.list_series(sums=True) if row.label == "all")
        deleted = await store.delete_series(total, [OWNERS], dry_run=False)
        assert deleted.rows["proofs"] == 3
        assert await runs(store) == []
    assert verify(store_url).findings == []
