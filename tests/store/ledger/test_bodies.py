"""The room that kept bodies take, and what of them is seen."""

import random
from datetime import timedelta

import pytest

from collector.store import Store
from collector.store.errors import StoreCorrupt
from collector.store.ledger.bodies import MOST_BYTES, MOST_STORED_BYTES, NewBody, Packed, pack, write_question
from tests.harness.factories import HOUR, NOW, batch, hours, profile, query, start_fetch

ASKED = batch((query(), hours(0, 4)))
NOISE = random.Random(3).randbytes(MOST_BYTES - 10_000)


@pytest.fixture
async def sqlite_store(sqlite_url):
    async with Store.open(sqlite_url, owner="test") as opened:
        yield opened


def body(fetch_id, kind="untrusted: odd", content=b"{}", packed=None):
    packed = packed or pack(content)
    return NewBody(fetch_id, kind, NOW, 200, len(content), packed, write_question(ASKED))


async def test_all_of_them_take_64_mebibytes_at_most(sqlite_store):
    """The oldest body of all is the newest of its kind: it stays."""
    store, packed = sqlite_store, Packed(NOISE, whole=True)
    for number in range(70):
        fetch_id = await start_fetch(store, ASKED)
        await store.keep_body(body(fetch_id, f"kind {(number + 18) // 19}", NOISE, packed))
    kept = await store.bodies()
    stored = len(kept) * len(NOISE)
    assert MOST_STORED_BYTES - MOST_BYTES < stored <= MOST_STORED_BYTES
    assert kept[0].fetch_id == 1
    assert [one.fetch_id for one in kept[1:]] == [*range(72 - len(kept), 71)]


async def test_a_body_is_kept_once_and_only_of_a_fetch_on_record(store):
    await store.activate_labels([profile()], NOW)
    fetch_id = await start_fetch(store, ASKED)
    await store.keep_body(body(fetch_id, content=b"first"))
    await store.keep_body(body(fetch_id, content=b"second"))
    await store.keep_body(body(fetch_id + 1, content=b"stray"))
    assert [one.fetch_id for one in await store.bodies()] == [fetch_id]
    assert await store.body(fetch_id) == b"first"


async def test_a_body_under_way_or_of_an_error_waits_for_no_replay(store):
    for status, waits in ((200, True), (203, True), (206, True), (400, False), (503, False)):
        fetch_id = await start_fetch(store, ASKED, NOW + timedelta(seconds=status))
        new = body(fetch_id)
        await store.keep_body(NewBody(**{name: getattr(new, name) for name in NewBody._fields} | {"status": status}))
        assert (fetch_id in [one.fetch_id for one in await store.bodies(waiting=True)]) is waits


@pytest.mark.parametrize("what", ["body = question", "size = 1", "question = '{}'"])
async def test_a_damaged_body_is_told_and_not_given(sqlite_store, what):
    store = sqlite_store
    fetch_id = await start_fetch(store, ASKED, NOW + HOUR)
    await store.keep_body(body(fetch_id, content=b"some body"))

    def spoil(connection):
        change = what.replace("question", "CAST(question AS BLOB)", 1) if what.startswith("body") else what
        connection.exec_driver_sql(f"UPDATE bodies SET {change}")

    await store._database.write(spoil)

    async def read():
        return await store.body(fetch_id), await store.question(fetch_id)

    with pytest.raises(StoreCorrupt, match=f"fetch {fetch_id}"):
        await read()
