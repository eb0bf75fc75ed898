import hashlib
import json
from datetime import timedelta

import pytest

from collector.model import Annotation
from collector.store import Fire, Store
from collector.store.admin import dump
from collector.store.admin.commands import digest
from collector.store.admin.commands import dump as dump_of
from collector.store.admin.dump import in_order
from tests.harness.factories import DAY, HOUR, NOW, answer, batch, hours, profile, query, saved, start_fetch

ALL, COM = query(), query(tld="com")
LATER = NOW + timedelta(minutes=15)
REMARK = Annotation(DAY, DAY + HOUR, "", "OUTAGE", "“text”", "", is_instantaneous=False, tags=("a",))


def dumped(store):
    with store._database.read() as connection:
        return "".join(dump.dump(connection))


async def lines(store, kind):
    found = [json.loads(line) for line in dumped(store).splitlines()]
    return [line[1:] for line in found if line[0] == kind]


@pytest.fixture
async def store(store):
    await store.activate_labels([profile()], NOW)
    return store


async def test_it_works(store):
    await saved(store, batch((ALL, hours(0, 2))), [1, 0.1], annotations=[REMARK])
    await saved(store, batch((ALL, hours(1, 4))), {2: 3}, now=LATER, updated=LATER)
    await saved(store, batch((ALL, hours(0, 1))), [4], now=LATER, updated=LATER, annotations=[])
    await store.finish([Fire("all", DAY + HOUR, "collected", NOW)], [])
    tags = json.dumps('["a"]')
    assert dumped(store).splitlines() == [
        '["series","ct","","","1h","{}","RAW_VALUES","*"]',
        '["point","2026-04-30T00:00:00Z",4.0]',
        '["point","2026-04-30T01:00:00Z",0.1]',
        '["point","2026-04-30T02:00:00Z",3.0]',
        '["revision","2026-04-30T00:00:00Z",1.0]',
        '["vanished","2026-04-30T01:00:00Z"]',
        '["covered","2026-04-30T00:00:00Z","2026-04-30T04:00:00Z"]',
        '["fire","all","2026-04-30T01:00:00Z","collected"]',
        f'["annotation","ct","2026-04-30T00:00:00Z","2026-04-30T01:00:00Z","","OUTAGE","“text”","",false,{tags},true]',
        '["meta","1h","RAW_VALUES","*"]',
    ]


async def test_the_digest_is_that_of_the_text(store):
    await saved(store, batch((ALL, hours(0, 2))), [1, 2])
    with store._database.read() as connection:
        assert dump.digest(connection) == hashlib.sha256(dumped(store).encode()).hexdigest()


async def test_windows_order_and_moments_leave_no_trace(store_url, sqlite_template, tmp_path):
    """The same history, asked for in one go, and by an interrupted run that went on another day."""
    whole, pieces = f"sqlite:///{tmp_path}/whole.db", store_url
    profiles = [profile(), profile("each", caOwner=("ü", "Z", "a"))]
    queries = [series.query for each in profiles for series in each.series]
    async with Store.open(whole, owner="test") as store:
        await store.activate_labels(profiles, NOW)
        await saved(store, batch(*((q, hours(0, 8)) for q in queries)), *[list(range(8))] * 4)
    async with Store.open(pieces, owner="test") as store:
        await store.activate_labels(profiles[::-1], LATER)
        await start_fetch(store, batch((ALL, hours(0, 8))))
        await store.interrupt(LATER)
        for start in (4, 0, 2, 6):
            asked = batch(*((q, hours(start, start + 2)) for q in reversed(queries)))
            await saved(store, asked, *[list(range(start, start + 2))] * 4, now=LATER, updated=LATER)
            await saved(store, asked, *[list(range(start, start + 2))] * 4, now=LATER + HOUR, updated=LATER)
    assert digest(whole) == digest(pieces)


async def test_fires_come_by_profile_and_due_with_their_outcome(store):
    await store.finish([Fire(name, DAY + n * HOUR, "failed", NOW, "why") for name in "bBaä" for n in (1, 0)], [])
    assert [(name, due[11:13]) for name, due, outcome in await lines(store, "fire")] == [
        (name, due) for name in "Babä" for due in ("00", "01")
    ]


async def test_replaced_values_come_in_the_order_in_which_they_stood(store):
    """The requests overlap: what was asked last is answered first."""
    asked = batch((ALL, hours(0, 1)))
    await saved(store, asked, [1])
    first, second = await start_fetch(store, asked), await start_fetch(store, asked)
    for fetch_id, value in ((second, 2), (first, 3)):
        await store.save(fetch_id, asked, answer(asked, [value]), LATER, 100)
    assert [value for _, value in await lines(store, "revision")] == [1.0, 2.0]
    assert [value for _, value in await lines(store, "point")] == [3.0]


async def test_many_points_come_in_blocks_that_lose_nothing(store, monkeypatch):
    monkeypatch.setattr(dump, "_ROWS_AT_ONCE", 3)
    for start in range(0, 20, 4):
        await saved(store, batch((ALL, hours(start, start + 4))), range(4))
    before = dumped(store)
    for value in (7, 8):
        await saved(store, batch((ALL, hours(0, 20))), [value] * 20, now=LATER, updated=LATER)
    assert before.count('["point"') == 20
    assert [value for _, value in await lines(store, "revision")][1::2] == [7.0] * 20


async def test_a_series_of_another_unit_is_another_series(store):
    await saved(store, batch((ALL, hours(0, 1))), [1])
    await saved(store, batch((ALL, hours(1, 2))), [1], unit="percent", now=LATER, updated=LATER)
    assert [line[-1] for line in await lines(store, "series")] == ["*", "percent"]
    assert [line[-1] for line in await lines(store, "meta")] == ["*", "percent"]


async def test_a_dump_is_read_beside_whoever_writes(store, store_url):
    await saved(store, batch((ALL, hours(0, 1))), [1])
    assert "".join(dump_of(store_url)) == dumped(store)


@pytest.mark.parametrize(
    ("expected", "replaced"),
    [
        ([], []),
        ([1.0, 2.0], [(1, 2, 1.0), (2, 3, 2.0)]),
        ([1.0, 3.0, 2.0], [(1, 3, 1.0), (2, 4, 2.0), (3, 2, 3.0)]),
        ([2.0, 1.0], [(1, 2, 1.0), (2, 1, 2.0)][::-1]),
    ],
)
def test_values_follow_the_one_they_replaced(expected, replaced):
    assert in_order(replaced) == expected
