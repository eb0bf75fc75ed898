"""Refused questions on record: how often in a row, until when, and for what."""

from datetime import timedelta

from collector.model import Slice, Window
from collector.store import Refusal, Store, keys_of
from collector.store.admin.copy import copy
from tests.harness.factories import DAY, HOUR, NOW, hours, query

NEWEST = Slice(query(), Window(DAY, NOW.replace(minute=0, second=0, microsecond=0)))
PAST = Slice(query(), hours(-48, -24))


async def test_it_works(store):
    await store.refuse(NEWEST, "refused", "unknown tld", NOW)
    await store.refuse(PAST, "untrusted", "\0 is no number", NOW)
    await store.refuse(PAST, "untrusted", "NaN is no number", NOW + timedelta(minutes=1))
    whole = keys_of(NEWEST, NOW)[0]
    assert await store.refusals() == [
        Refusal(whole, None, "refused", "unknown tld", 1, NOW, NOW + timedelta(minutes=1)),
        Refusal(
            whole,
            PAST.window,
            "untrusted",
            "NaN is no number",
            2,
            NOW + timedelta(minutes=1),
            NOW + timedelta(minutes=3),
        ),
    ]
    assert [one.window for one in await store.refusals(NOW + timedelta(minutes=2))] == [PAST.window]
    await store.delete_refusals([whole, "another"])
    assert [one.key for one in await store.refusals()] == [keys_of(PAST, NOW)[0]]
    await store.delete_refusals([])


async def test_what_was_refused_long_ago_is_forgotten(store):
    await store.refuse(PAST, "refused", "x", NOW)
    await store.refuse(NEWEST, "refused", "x", NOW + timedelta(days=8))
    assert [one.refused_at for one in await store.refusals()] == [NOW + timedelta(days=8)]


def test_the_window_that_was_newest_a_moment_ago_still_is():
    assert len(keys_of(NEWEST, NOW + HOUR)) == 1
    assert len(keys_of(NEWEST, NOW + 2 * HOUR)) == 2


async def test_a_copy_keeps_the_pauses(sqlite_url, empty_postgres_url):
    async with Store.open(sqlite_url, owner="test") as store:
        await store.refuse(PAST, "refused", "x", NOW)
        before = await store.refusals()
    copy(sqlite_url, empty_postgres_url)
    async with Store.open(empty_postgres_url, owner=None) as store:
        assert await store.refusals() == before
