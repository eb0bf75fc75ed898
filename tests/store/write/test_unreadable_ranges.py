"""The API's own range, where an answer does not name it or it cannot be read: NULL, and nothing else changes."""

from datetime import timedelta

from collector.interval import AggInterval
from collector.settings import RetentionSettings
from collector.store import Store
from collector.store.admin import commands
from collector.store.admin.verify import verify
from tests.harness.factories import (
    DAY,
    HOUR,
    NOW,
    answer,
    batch,
    hours,
    profile,
    query,
    rows,
    saved,
    start_fetch,
    values,
)

ASKED = batch((query(), hours(0, 4)))


async def store_unread(store, now=NOW):
    """Save an answer without a range."""
    fetch_id = await start_fetch(store, ASKED, now)
    found = answer(ASKED, [1, 2, 3, 4], updated=now)
    found = found._replace(meta=found.meta._replace(date_ranges=(None,)))
    return await store.save(fetch_id, ASKED, found, now, 100)


async def test_it_is_null_and_the_window_counts(store):
    await store.activate_labels([profile()], NOW)
    assert (await store_unread(store)).inserted == 4
    (row,) = await rows(store, "SELECT start_time, end_time FROM date_ranges")
    assert row == (None, None)
    assert await values(store) == {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}
    assert (await store.last_covered_at([query()], DAY + HOUR)) == {query(): NOW}
    assert await store.gaps(query(), hours(0, 4), timedelta(days=14)) == []


async def test_an_older_version_finds_the_window_there_and_the_checksum_agrees(store_url):
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        await store_unread(store)
    assert (verify(store_url)).findings == []
    commands.downgrade(store_url, "0007")
    commands.upgrade(store_url)
    assert (verify(store_url)).findings == []
    async with Store.open(store_url, owner="test") as store:
        found = await rows(store, 'SELECT start_time = start, end_time = "end" FROM date_ranges')
        assert [tuple(map(bool, row)) for row in found] == [(True, True)]


async def test_retention_cuts_it_as_any_other(store_url):
    async with Store.open(store_url, owner="test") as store:
        await store.activate_labels([profile()], NOW)
        await store_unread(store)
        await saved(store, ASKED, {0: 1, 1: 5, 2: 3, 3: 4}, now=NOW + HOUR, updated=NOW + HOUR)
        keep = RetentionSettings({AggInterval.ONE_HOUR: timedelta(hours=1)})
        await store.prune(keep, DAY + 3 * HOUR)
        assert await values(store) == {2: 3.0, 3: 4.0}
    assert (verify(store_url)).findings == []
